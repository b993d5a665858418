//! The leaves, tiles and roots of each domain's tree, against its events.
//!
//! A tree is grown twice: from the rows' headers, and from the stored leaf
//! hashes. Where the two differ, the leaf has its finding; the roots that were
//! sealed then tell by themselves which of the two was changed, so that one
//! changed row is not held against every root after it.

use ets_core::event::EventId;
use ets_core::hash::{Digest, EMPTY_ROOT};
use ets_core::merkle::{Frontier, TILE_WIDTH, TreeError, hashes_from_bytes, shape};
use ets_core::name::{DomainName, REGISTRY};
use ets_core::registry::Registry;
use ets_core::verify::{Finding, FindingClass, RawEvent, Rehashed, late_authority, rehash};
use uuid::Uuid;

use super::chains::BATCH;
use super::stored::StoredRow;
use super::{Findings, clipped, finding};
use crate::conveyor::with_conveyor;
use crate::db::{self, Row, View};
use crate::error::{Error, Result};
use crate::gucs;
use crate::seal::StoredTiles;
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

/// A root that was sealed: of the tree's first `tree_size` leaves.
struct Sealed {
    tree_size: u64,
    root: Vec<u8>,
    /// The first checkpoint that has it.
    checkpoint_id: i64,
    /// The registry's size in the checkpoint before that one.
    registry_before: u64,
}

struct Tree<'a> {
    domain: &'a DomainName,
    part: &'a Part<'a>,
    /// The part's first leaf.
    from: u64,
    /// By size, none smaller than that. A domain has as many as seals found
    /// something new in it.
    sealed: Vec<Sealed>,
    next_sealed: usize,
    /// The size at the last checkpoint.
    tree_size: u64,
    from_rows: Frontier,
    from_tiles: Frontier,
    /// The stored tile of level 0 that holds the next leaf.
    leaves: Option<(u64, Vec<Digest>)>,
    /// The leaf before, if the same seal took it.
    last_id: Option<EventId>,
    /// From some leaf on nothing is known: it has neither a row nor a stored hash.
    is_broken: bool,
    /// Whether every leaf so far was made from its row.
    is_rebuilt: bool,
    first_bad: Option<(u64, Option<Uuid>)>,
}

/// A row of `ets.merkle_leaf`, with its event if there is one.
struct StoredLeaf {
    place: i64,
    event_id: Option<Uuid>,
    row: Option<StoredRow>,
    /// What the event's row makes, and what is wrong with it.
    made: Option<Rehashed>,
    findings: Vec<Finding>,
}

impl StoredLeaf {
    fn of(row: &Row) -> Self {
        StoredLeaf {
            place: row.int(14).unwrap_or(-1),
            event_id: row.uuid(1).map(Uuid::from_bytes),
            row: (row.bool(15) == Some(true)).then(|| StoredRow::of(row)),
            made: None,
            findings: Vec::new(),
        }
    }

    fn make(&mut self, with_payload: bool) {
        let Some(row) = &self.row else { return };
        self.made = if with_payload {
            rehash(&row.raw(), &mut self.findings)
        } else {
            // What is no event at all is found where the chains are verified.
            let header =
                RawEvent { payload: Some("null"), ..row.raw() }.parse().ok().map(|event| event.header);
            header.map(|header| Rehashed { leaf: header.leaf_hash(), header })
        };
    }
}

impl<'a> Tree<'a> {
    fn load(domain: &'a DomainName, part: &'a Part<'a>, findings: &mut Findings) -> Result<Self> {
        let mut tiles = StoredTiles { domain, view: View::Query };
        let (from, edge) = match Frontier::load(&mut tiles, part.from) {
            Ok(edge) => (part.from, edge),
            Err(TreeError::Source(Error::Postgres)) => return Err(Error::Postgres),
            Err(error) => {
                let detail = format!(
                    "the tiles up to leaf {} cannot be read: {}",
                    part.from,
                    crate::seal::tree_error(domain, error)
                );
                findings.add(Finding {
                    domain: Some(domain.to_string()),
                    ..finding(FindingClass::Seal, "tile", detail)
                });
                (0, Frontier::default())
            }
        };
        let sealed: Vec<Sealed> = db::query(
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
                Ok(Sealed {
                    tree_size: count(1),
                    root: row.bytes(2).unwrap_or_default(),
                    checkpoint_id: row.int(3).unwrap_or(0),
                    registry_before: count(4),
                })
            },
        )?;
        Ok(Tree {
            domain,
            part,
            from,
            tree_size: sealed.last().map_or(from, |last| last.tree_size),
            sealed,
            next_sealed: 0,
            from_rows: edge.clone(),
            from_tiles: edge,
            leaves: None,
            last_id: None,
            is_broken: false,
            is_rebuilt: true,
            first_bad: None,
        })
    }

    fn walk(mut self, budget: u64, findings: &mut Findings) -> Result<Walked> {
        let end = self.part.to.unwrap_or(u64::MAX);
        let stop = self.from.saturating_add(budget.max(1));
        // The last part looks behind the end, where nothing may be.
        let to = if stop < end.min(self.tree_size) { stop } else { end };
        self.check_roots(findings);
        self.read(to, findings)?;
        let mut walked = Walked { tree_size: self.tree_size, ..Walked::default() };
        if !findings.is_full() {
            self.fill(to.min(self.tree_size), findings)?;
            if to == u64::MAX {
                if !self.is_broken {
                    self.check_tiles(true, findings)?;
                }
                self.further_tiles(findings)?;
                walked.rebuilt_root = (self.is_rebuilt && !self.is_broken).then(|| self.from_rows.root());
            }
            walked.next = (to < end).then_some(to);
        }
        walked.events = self.size() - self.from;
        walked.stored_root = self.sealed.pop().map(|last| last.root);
        walked.first_bad = self.first_bad;
        Ok(walked)
    }

    /// Reads the leaves up to `to`; makes them from their rows on several threads.
    fn read(&mut self, to: u64, findings: &mut Findings) -> Result<()> {
        const LEAVES: usize = 512;
        const BYTES: usize = 1 << 20;
        let with_payloads = self.part.with_payloads;
        let (domain, from) = (self.domain, self.from);
        let make = |(): &mut (), mut leaves: Vec<StoredLeaf>| {
            leaves.iter_mut().for_each(|leaf| leaf.make(with_payloads));
            leaves
        };
        with_conveyor(vec![(); gucs::worker_threads().max(1)], make, |belt| {
            let (mut leaves, mut bytes) = (Vec::new(), 0);
            let each = |row: &Row| {
                let leaf = StoredLeaf::of(row);
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

    fn leaves(&mut self, leaves: Vec<StoredLeaf>, findings: &mut Findings) -> Result<()> {
        for leaf in leaves {
            if findings.is_full() {
                break;
            }
            self.leaf(leaf, findings)?;
        }
        Ok(())
    }

    /// The next row of `ets.merkle_leaf`.
    fn leaf(&mut self, leaf: StoredLeaf, findings: &mut Findings) -> Result<()> {
        let StoredLeaf { place, event_id, row, made, findings: of_row } = leaf;
        let domain = self.domain;
        let at = |class, check, detail: String| Finding {
            domain: Some(domain.to_string()),
            stream: row.as_ref().and_then(|row| row.stream().map(str::to_owned)),
            sequence: row.as_ref().and_then(StoredRow::sequence),
            event_id,
            ..finding(class, check, detail)
        };
        let index = match u64::try_from(place) {
            Ok(index) if index < self.size() => {
                self.first_bad.get_or_insert((index, event_id));
                findings.add(at(FindingClass::Seal, "leaf_index", format!("leaf {index} is there twice")));
                return Ok(());
            }
            Ok(index) if index < self.tree_size => index,
            _ => {
                let detail =
                    format!("leaf {place} is in no checkpoint: the last has {} leaves", self.tree_size);
                findings.add(at(FindingClass::Seal, "leaf_index", detail));
                return Ok(());
            }
        };
        self.fill(index, findings)?;
        let is_sound = of_row.is_empty();
        findings.collect(|all| all.extend(of_row));
        let mut is_bad = !is_sound || row.is_none();
        if row.is_none() {
            findings.add(at(FindingClass::Seal, "leaf", format!("the event of leaf {index} is missing")));
        }
        let stored = self.stored_leaf(index, findings)?;
        let computed = made.as_ref().map(|made| made.leaf);
        if let (Some(computed), Some(stored)) = (computed, stored)
            && computed != stored
        {
            is_bad = true;
            // A payload that does not hash has been named.
            if is_sound {
                let detail = format!("the event's header does not hash to leaf {index} as it was sealed");
                findings.add(Finding {
                    expected: Some(stored.to_string()),
                    actual: Some(computed.to_string()),
                    ..at(FindingClass::Seal, "leaf", detail)
                });
            }
        }
        let id = event_id.and_then(EventId::from_uuid);
        if self.last_id.is_some() && id <= self.last_id {
            is_bad = true;
            let detail = format!("leaf {index} has no greater event_id than the one before it in its seal");
            findings.add(at(FindingClass::Seal, "leaf_order", detail));
        }
        self.last_id = id.or(self.last_id);
        if let (Some(registry), Some(made), Some(sealed)) =
            (self.part.registry, &made, self.sealed.get(self.next_sealed))
            && let Some(late) = late_authority(registry, &made.header, sealed.registry_before)
        {
            findings.add(late);
        }
        if is_bad {
            self.first_bad.get_or_insert((index, event_id));
        }
        self.push(computed, stored, findings)
    }

    /// Goes on to leaf `index` past leaves that have no row, by their stored hashes.
    fn fill(&mut self, index: u64, findings: &mut Findings) -> Result<()> {
        let first = self.size();
        if index <= first || self.is_broken {
            return Ok(());
        }
        let which = match index - first {
            1 => format!("leaf {first} is"),
            _ => format!("leaves {first} to {} are", index - 1),
        };
        findings.add(self.finding(
            FindingClass::Seal,
            "leaf_index",
            format!("{which} missing from ets.merkle_leaf"),
        ));
        self.first_bad.get_or_insert((first, None));
        while self.size() < index && !self.is_broken {
            pgrx::check_for_interrupts!();
            let stored = self.stored_leaf(self.size(), findings)?;
            self.push(None, stored, findings)?;
        }
        Ok(())
    }

    /// Adds a leaf, as its row and as its tile have it.
    fn push(
        &mut self,
        computed: Option<Digest>,
        stored: Option<Digest>,
        findings: &mut Findings,
    ) -> Result<()> {
        if self.is_broken {
            return Ok(());
        }
        self.is_rebuilt &= computed.is_some();
        let (Some(of_row), Some(of_tile)) = (computed.or(stored), stored.or(computed)) else {
            self.is_broken = true;
            let detail = format!(
                "leaf {} has neither a readable event nor a stored hash: no root from there on can be computed",
                self.size()
            );
            findings.add(self.finding(FindingClass::Unverifiable, "root", detail));
            return Ok(());
        };
        self.from_rows.append(of_row);
        self.from_tiles.append(of_tile);
        if self.size().is_multiple_of(TILE_WIDTH as u64) {
            self.check_tiles(false, findings)?;
        }
        self.check_roots(findings);
        Ok(())
    }

    /// Compares the roots that were sealed at this size.
    fn check_roots(&mut self, findings: &mut Findings) {
        let size = self.size();
        while let Some(sealed) = self.sealed.get(self.next_sealed).filter(|sealed| sealed.tree_size <= size) {
            let (of_rows, of_tiles) = match size {
                0 => (EMPTY_ROOT, EMPTY_ROOT),
                _ => (self.from_rows.root(), self.from_tiles.root()),
            };
            if sealed.root != of_rows.as_bytes() && sealed.root != of_tiles.as_bytes() {
                let detail = format!(
                    "the root of {size} leaves in checkpoint {} is not that of the tree",
                    sealed.checkpoint_id
                );
                findings.add(Finding {
                    expected: Some(of_rows.to_string()),
                    actual: Some(ets_core::hash::to_hex(&sealed.root)),
                    ..self.finding(FindingClass::Seal, "root", detail)
                });
            }
            self.next_sealed += 1;
            self.last_id = None;
        }
    }

    /// Compares the tiles that are full, or with `rest` all others, with what is
    /// stored. Level 0 has been compared leaf by leaf, but for its length.
    fn check_tiles(&mut self, rest: bool, findings: &mut Findings) -> Result<()> {
        let (of_rows, of_tiles) = if rest {
            (self.from_rows.clone().finish().tiles, self.from_tiles.clone().finish().tiles)
        } else {
            (self.from_rows.take_full_tiles(), self.from_tiles.take_full_tiles())
        };
        for (of_row, of_tile) in of_rows.iter().zip(&of_tiles) {
            let (level, index) = (of_row.level, of_row.index);
            let stored = stored_tile(self.domain, level, index)?;
            let problem = match &stored {
                None if level == 0 => continue,
                None => "is missing",
                Some(bytes) if level == 0 && bytes.len() == of_row.to_bytes().len() => continue,
                Some(bytes) if *bytes == of_row.to_bytes() || *bytes == of_tile.to_bytes() => continue,
                Some(bytes) if bytes.len() != of_row.to_bytes().len() => {
                    "has not as many hashes as it should"
                }
                Some(_) => "does not follow from the leaves",
            };
            let detail = format!("tile {index} of level {level} {problem}");
            findings.add(self.finding(FindingClass::Seal, "tile", detail));
        }
        Ok(())
    }

    /// Tiles that a tree of this size does not have.
    fn further_tiles(&self, findings: &mut Findings) -> Result<()> {
        let levels = shape(self.tree_size);
        db::scan_while(
            View::Query,
            "SELECT tile.level::pg_catalog.int8, tile.tile_index FROM ets.merkle_tile AS tile
              WHERE tile.domain = $1 ORDER BY tile.level, tile.tile_index",
            &[self.domain.as_str().into()],
            BATCH,
            |row| {
                let (level, index) = (row.int(1).unwrap_or(-1), row.int(2).unwrap_or(-1));
                let belongs = levels.iter().any(|shape| {
                    let tiles = shape.full_tiles + u64::from(shape.partial_width > 0);
                    i64::from(shape.level) == level && u64::try_from(index).is_ok_and(|index| index < tiles)
                });
                if !belongs {
                    let detail = format!("tile {index} of level {level} is in no checkpoint");
                    findings.add(self.finding(FindingClass::Seal, "tile", detail));
                }
                Ok(!findings.is_full())
            },
        )
    }

    /// The stored hash of a leaf. A tile that is missing or malformed is reported once.
    fn stored_leaf(&mut self, index: u64, findings: &mut Findings) -> Result<Option<Digest>> {
        let (tile, place) = (index / TILE_WIDTH as u64, (index % TILE_WIDTH as u64) as usize);
        let hashes = match self.leaves.take().filter(|(known, _)| *known == tile) {
            Some((_, hashes)) => hashes,
            None => {
                let bytes = stored_tile(self.domain, 0, tile)?;
                let hashes = bytes.as_deref().and_then(|bytes| hashes_from_bytes(bytes).ok());
                if hashes.is_none() {
                    let problem = if bytes.is_some() { "is no tile at all" } else { "is missing" };
                    let detail = format!("tile {tile} of level 0 {problem}");
                    findings.add(self.finding(FindingClass::Seal, "tile", detail));
                }
                hashes.unwrap_or_default()
            }
        };
        let hash = hashes.get(place).copied();
        self.leaves = Some((tile, hashes));
        Ok(hash)
    }

    fn size(&self) -> u64 {
        self.from_rows.tree_size()
    }

    fn finding(&self, class: FindingClass, check: &'static str, detail: String) -> Finding {
        Finding { domain: Some(self.domain.to_string()), ..finding(class, check, detail) }
    }
}

fn stored_tile(domain: &DomainName, level: u8, index: u64) -> Result<Option<Vec<u8>>> {
    let hashes = db::first(
        View::Query,
        "SELECT tile.hashes FROM ets.merkle_tile AS tile
          WHERE tile.domain = $1 AND tile.level = $2 AND tile.tile_index = $3",
        &[domain.as_str().into(), Value::Int4(level.into()), index.into()],
        |row| Ok(row.bytes(1)),
    )?;
    Ok(hashes.flatten())
}
