//! The leaves, tiles and roots of each domain's tree, as [`TreeVerifier`] judges
//! them: read from the tables, made on several threads.

use ets_core::hash::Digest;
use ets_core::merkle::{Frontier, TreeError};
use ets_core::name::{DomainName, REGISTRY};
use ets_core::registry::Registry;
use ets_core::verify::{
    Finding, FindingClass, Rehashed, SealedRoot, StoredLeaf, StoredTiles, TreeVerifier, clipped, leaf_of,
};
use uuid::Uuid;

use super::chains::BATCH;
use super::stored::StoredRow;
use super::{Findings, finding};
use crate::conveyor::with_conveyor;
use crate::db::{self, Row, View};
use crate::error::{Error, Result};
use crate::gucs;
use crate::seal;
use crate::value::Value;

/// The domains that have a leaf, a tile or a root, whatever they are called.
pub fn domains() -> Result<Vec<String>> {
    db::query(
        View::Query,
        "SELECT root.domain FROM ets.domain_root AS root UNION
         SELECT leaf.domain FROM ets.merkle_leaf AS leaf UNION
         SELECT tile.domain FROM ets.merkle_tile AS tile
          ORDER BY domain",
        &[],
        |row| Ok(row.text(1).unwrap_or_default()),
    )
}

/// A part of a tree to verify.
pub struct Part<'a> {
    pub domain: &'a str,
    /// The first leaf.
    pub from: u64,
    /// The leaf to stop before; none: to the tree's end, and that nothing is behind it.
    pub to: Option<u64>,
    /// Whether each payload is hashed, too. Else the row's header is all that counts.
    pub with_payloads: bool,
    /// Judges what had lost its authority by the time of its seal; none: not judged.
    pub registry: Option<&'a Registry>,
}

/// What came of a part.
#[derive(Default)]
pub struct Walked {
    /// Leaves verified.
    pub events: u64,
    /// The leaf to go on with; none: the part is done.
    pub next: Option<u64>,
    /// The size and root at the last checkpoint that has one.
    pub tree_size: u64,
    pub stored_root: Option<Vec<u8>>,
    /// The root that the rows make; none unless the walk came to the end and
    /// every leaf had its event.
    pub rebuilt_root: Option<Digest>,
    /// The first leaf that is not what was sealed, and its event.
    pub first_bad: Option<(u64, Option<Uuid>)>,
}

/// Verifies a part of a domain's tree, about `budget` leaves at most: each row
/// against its leaf, the leaves against the tiles and every root sealed there.
pub fn walk(part: &Part, budget: u64, findings: &mut Findings) -> Result<Walked> {
    match part.domain.parse::<DomainName>() {
        Ok(domain) => Tree::load(&domain, part, findings)?.walk(budget, findings),
        Err(error) => {
            findings.add(Finding {
                domain: Some(clipped(part.domain)),
                ..finding(FindingClass::Seal, "domain", format!("a tree of no domain: {error}"))
            });
            Ok(Walked::default())
        }
    }
}

struct Tree<'a> {
    domain: &'a DomainName,
    part: &'a Part<'a>,
    /// The part's first leaf.
    from: u64,
    verifier: TreeVerifier<'a, Tiles<'a>>,
}

/// The stored tiles of a domain.
struct Tiles<'a>(&'a DomainName);

impl StoredTiles for Tiles<'_> {
    type Error = Error;

    fn stored(&mut self, level: u8, index: u64) -> Result<Option<Vec<u8>>> {
        pgrx::check_for_interrupts!();
        let hashes = db::first(
            View::Query,
            "SELECT tile.hashes FROM ets.merkle_tile AS tile
              WHERE tile.domain = $1 AND tile.level = $2 AND tile.tile_index = $3",
            &[self.0.as_str().into(), Value::Int4(level.into()), index.into()],
            |row| Ok(row.bytes(1)),
        )?;
        Ok(hashes.flatten())
    }
}

/// A row of `ets.merkle_leaf`, with its event if there is one.
struct LeafRow {
    place: i64,
    event_id: Option<Uuid>,
    row: Option<StoredRow>,
    /// What the event's row makes, and what is wrong with it.
    made: Option<Rehashed>,
    findings: Vec<Finding>,
}

impl LeafRow {
    fn of(row: &Row) -> Self {
        LeafRow {
            place: row.int(14).unwrap_or(-1),
            event_id: row.uuid(1).map(Uuid::from_bytes),
            row: (row.bool(15) == Some(true)).then(|| StoredRow::of(row)),
            made: None,
            findings: Vec::new(),
        }
    }

    fn make(&mut self, with_payload: bool) {
        if let Some(row) = &self.row {
            self.made = leaf_of(&row.raw(), with_payload, &mut self.findings);
        }
    }
}

impl<'a> Tree<'a> {
    fn load(domain: &'a DomainName, part: &'a Part<'a>, findings: &mut Findings) -> Result<Self> {
        let mut tiles = seal::StoredTiles { domain, view: View::Query };
        let (from, edge) = match Frontier::load(&mut tiles, part.from) {
            Ok(edge) => (part.from, edge),
            Err(TreeError::Source(Error::Postgres)) => return Err(Error::Postgres),
            Err(error) => {
                let detail = format!(
                    "the tiles up to leaf {} cannot be read: {}",
                    part.from,
                    seal::tree_error(domain, error)
                );
                findings.add(Finding {
                    domain: Some(domain.to_string()),
                    ..finding(FindingClass::Seal, "tile", detail)
                });
                (0, Frontier::default())
            }
        };
        let sealed = db::query(
            View::Query,
            "SELECT each.tree_size, each.root_hash, each.checkpoint_id, before.tree_size
               FROM (SELECT root.tree_size, root.root_hash, min(root.checkpoint_id) AS checkpoint_id
                       FROM ets.domain_root AS root WHERE root.domain = $1 AND root.tree_size >= $3
                      GROUP BY root.tree_size, root.root_hash) AS each
               LEFT JOIN ets.domain_root AS before
                 ON before.checkpoint_id = each.checkpoint_id - 1 AND before.domain = $2
              ORDER BY each.tree_size, each.checkpoint_id",
            &[domain.as_str().into(), REGISTRY.into(), from.into()],
            |row| {
                let count = |column| row.int(column).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
                Ok(SealedRoot {
                    tree_size: count(1),
                    root: row.bytes(2).unwrap_or_default(),
                    checkpoint_id: row.int(3).unwrap_or(0),
                    registry_before: count(4),
                })
            },
        )?;
        let verifier = TreeVerifier::new(domain.clone(), part.registry, edge, sealed, Tiles(domain));
        Ok(Tree { domain, part, from, verifier })
    }

    fn walk(mut self, budget: u64, findings: &mut Findings) -> Result<Walked> {
        let end = self.part.to.unwrap_or(u64::MAX);
        let stop = self.from.saturating_add(budget.max(1));
        let tree_size = self.verifier.tree_size();
        // The last part looks behind the end, where nothing may be.
        let to = if stop < end.min(tree_size) { stop } else { end };
        findings.collect(|found| self.verifier.begin(found));
        self.read(to, findings)?;
        let mut walked = Walked { tree_size, ..Walked::default() };
        if !findings.is_full() {
            findings.try_collect(|found| self.verifier.fill(to.min(tree_size), found))?;
            if to == u64::MAX {
                findings.try_collect(|found| self.verifier.finish(found))?;
                self.further_tiles(findings)?;
                walked.rebuilt_root = self.verifier.rebuilt_root();
            }
            walked.next = (to < end).then_some(to);
        }
        walked.events = self.verifier.size() - self.from;
        walked.stored_root = self.verifier.stored_root().map(<[u8]>::to_vec);
        walked.first_bad = self.verifier.first_bad();
        Ok(walked)
    }

    /// Reads the leaves up to `to`; makes them from their rows on several threads.
    fn read(&mut self, to: u64, findings: &mut Findings) -> Result<()> {
        const LEAVES: usize = 512;
        const BYTES: usize = 1 << 20;
        let with_payloads = self.part.with_payloads;
        let (domain, from) = (self.domain, self.from);
        let make = |(): &mut (), mut leaves: Vec<LeafRow>| {
            leaves.iter_mut().for_each(|leaf| leaf.make(with_payloads));
            leaves
        };
        with_conveyor(vec![(); gucs::worker_threads().max(1)], make, |belt| {
            let (mut leaves, mut bytes) = (Vec::new(), 0);
            let each = |row: &Row| {
                let leaf = LeafRow::of(row);
                bytes += leaf.row.as_ref().map_or(0, StoredRow::size);
                leaves.push(leaf);
                if leaves.len() >= LEAVES || bytes >= BYTES {
                    bytes = 0;
                    belt.put(std::mem::take(&mut leaves));
                    while let Some(made) = belt.take() {
                        self.leaves(made, findings)?;
                    }
                }
                Ok(!findings.is_full())
            };
            db::by_index(|| {
                db::scan_while(
                    View::Query,
                    "SELECT leaf.event_id, event.domain, event.stream, event.sequence,
                            CASE WHEN $4 THEN event.payload END,
                            event.schema_version, event.key_id, event.public_key, event.previous_hash,
                            event.current_hash, event.signature, event.timestamp, event.registry_version,
                            leaf.leaf_index, event.event_id IS NOT NULL
                       FROM ets.merkle_leaf AS leaf
                       LEFT JOIN ets.ledger_event AS event
                         ON event.event_id = leaf.event_id AND event.domain = leaf.domain
                      WHERE leaf.domain = $1 AND leaf.leaf_index >= $2 AND leaf.leaf_index < $3
                      ORDER BY leaf.leaf_index",
                    // Before leaf 0 nothing may be, either.
                    &[
                        domain.as_str().into(),
                        if from == 0 { Value::Int(i64::MIN) } else { from.into() },
                        to.into(),
                        with_payloads.into(),
                    ],
                    BATCH,
                    each,
                )
            })?;
            belt.put(leaves);
            while let Some(made) = belt.take_last() {
                self.leaves(made, findings)?;
            }
            Ok(())
        })
    }

    fn leaves(&mut self, leaves: Vec<LeafRow>, findings: &mut Findings) -> Result<()> {
        for leaf in leaves {
            if findings.is_full() {
                break;
            }
            let LeafRow { place, event_id, row, made, findings: of_row } = leaf;
            let row = row.as_ref().map(StoredRow::raw);
            let leaf = StoredLeaf { leaf_index: place, event_id, row, made, findings: of_row };
            findings.try_collect(|found| self.verifier.push(leaf, found))?;
        }
        Ok(())
    }

    /// Tiles that a tree of this size does not have.
    fn further_tiles(&self, findings: &mut Findings) -> Result<()> {
        db::scan_while(
            View::Query,
            "SELECT tile.level::pg_catalog.int8, tile.tile_index FROM ets.merkle_tile AS tile
              WHERE tile.domain = $1 ORDER BY tile.level, tile.tile_index",
            &[self.domain.as_str().into()],
            BATCH,
            |row| {
                let (level, index) = (row.int(1).unwrap_or(-1), row.int(2).unwrap_or(-1));
                self.verifier.further_tile(level, index).into_iter().for_each(|found| findings.add(found));
                Ok(!findings.is_full())
            },
        )
    }
}
