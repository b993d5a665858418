//! The leaves, tiles and roots of a domain's tree, against its events.
//!
//! A tree is grown twice: from the rows' headers, and from the stored leaf
//! hashes. Where the two differ, the leaf has its finding; the roots that were
//! sealed then tell by themselves which of the two was changed, so that one
//! changed row is not held against every root after it.

use uuid::Uuid;

use super::finding::{Finding, FindingClass};
use super::judge::late_authority;
use super::raw::RawEvent;
use super::rehash::{Rehashed, rehash};
use crate::event::EventId;
use crate::hash::{Digest, EMPTY_ROOT, to_hex};
use crate::merkle::{Frontier, TILE_WIDTH, Tile, hashes_from_bytes, shape};
use crate::name::DomainName;
use crate::registry::Registry;

/// Tiles as they are stored, which may be anything.
pub trait StoredTiles {
    /// Why one could not be read.
    type Error;

    /// The bytes of tile `index` of `level`; none if there is no such tile.
    ///
    /// # Errors
    /// Whatever stands between the caller and the tile.
    fn stored(&mut self, level: u8, index: u64) -> Result<Option<Vec<u8>>, Self::Error>;
}

/// A root that was sealed: of the tree's first `tree_size` leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedRoot {
    /// The number of leaves.
    pub tree_size: u64,
    /// The root, as it is stored.
    pub root: Vec<u8>,
    /// The first checkpoint that has it.
    pub checkpoint_id: i64,
    /// The registry's size in the checkpoint before that one.
    pub registry_before: u64,
}

/// A root that somebody kept outside the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRoot {
    /// The number of leaves.
    pub tree_size: u64,
    /// The root over them.
    pub root: Digest,
    /// Where it was kept, for people: it stands in the finding.
    pub source: String,
}

/// A leaf's row with its event's, if there is one.
#[derive(Debug, Default)]
pub struct StoredLeaf<'a> {
    /// `leaf_index`, as it is stored.
    pub leaf_index: i64,
    /// `event_id` of the leaf.
    pub event_id: Option<Uuid>,
    /// The event's row.
    pub row: Option<RawEvent<'a>>,
    /// What the event's row makes.
    pub made: Option<Rehashed>,
    /// What is wrong with the row itself.
    pub findings: Vec<Finding>,
}

/// What the event of a leaf makes: with its payload hashed again, or from the row's
/// header alone. Of what is no event at all the header alone finds nothing: that is
/// found where the chains are verified.
pub fn leaf_of(row: &RawEvent, with_payload: bool, findings: &mut Vec<Finding>) -> Option<Rehashed> {
    if with_payload {
        return rehash(row, findings);
    }
    let header = RawEvent { payload: Some("null"), ..*row }.parse().ok()?.header;
    Some(Rehashed { leaf: header.leaf_hash(), header })
}

/// Verifies the leaves of a domain's tree, which come in their order: each row
/// against its leaf, the leaves against the tiles and every root sealed there.
pub struct TreeVerifier<'r, S> {
    domain: DomainName,
    /// Judges what had lost its authority by the time of its seal; none: not judged.
    registry: Option<&'r Registry>,
    tiles: S,
    /// By size, none smaller than the part's first leaf.
    sealed: Vec<SealedRoot>,
    next_sealed: usize,
    /// By size.
    kept: Vec<KeptRoot>,
    next_kept: usize,
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

impl<'r, S: StoredTiles> TreeVerifier<'r, S> {
    /// A verifier for the leaves from `edge` on, the tree of those before. `sealed` is
    /// in the order of sizes and has none that is smaller.
    pub fn new(
        domain: DomainName,
        registry: Option<&'r Registry>,
        edge: Frontier,
        sealed: Vec<SealedRoot>,
        tiles: S,
    ) -> Self {
        TreeVerifier {
            domain,
            registry,
            tiles,
            tree_size: sealed.last().map_or(edge.tree_size(), |last| last.tree_size),
            sealed,
            next_sealed: 0,
            kept: Vec::new(),
            next_kept: 0,
            from_rows: edge.clone(),
            from_tiles: edge,
            leaves: None,
            last_id: None,
            is_broken: false,
            is_rebuilt: true,
            first_bad: None,
        }
    }

    /// The verifier that also demands that the tree continues these.
    pub fn continuing(mut self, mut kept: Vec<KeptRoot>) -> Self {
        kept.sort_by_key(|kept| kept.tree_size);
        self.kept = kept;
        self
    }

    /// The number of leaves so far.
    pub fn size(&self) -> u64 {
        self.from_rows.tree_size()
    }

    /// The number of leaves at the last checkpoint.
    pub fn tree_size(&self) -> u64 {
        self.tree_size
    }

    /// The root that the last checkpoint states.
    pub fn stored_root(&self) -> Option<&[u8]> {
        self.sealed.last().map(|last| &last.root[..])
    }

    /// The root that the rows make; none unless every leaf so far had its event.
    pub fn rebuilt_root(&self) -> Option<Digest> {
        (self.is_rebuilt && !self.is_broken).then(|| self.from_rows.root())
    }

    /// The first leaf that is not what was sealed, and its event.
    pub fn first_bad(&self) -> Option<(u64, Option<Uuid>)> {
        self.first_bad
    }

    /// Begins: compares the roots at the first leaf.
    pub fn begin(&mut self, findings: &mut Vec<Finding>) {
        self.check_roots(findings);
    }

    /// The next row of `ets.merkle_leaf`.
    ///
    /// # Errors
    /// The source's, as for all that reads tiles.
    pub fn push(&mut self, leaf: StoredLeaf<'_>, findings: &mut Vec<Finding>) -> Result<(), S::Error> {
        let StoredLeaf { leaf_index, event_id, row, made, findings: of_row } = leaf;
        let domain = self.domain.to_string();
        let at = |class, check, detail: String| Finding {
            domain: Some(domain.clone()),
            stream: row.as_ref().and_then(|row| row.stream.map(str::to_owned)),
            sequence: row.as_ref().and_then(|row| row.sequence),
            event_id,
            ..Finding::new(class, check, detail)
        };
        let index = match u64::try_from(leaf_index) {
            Ok(index) if index < self.size() => {
                self.first_bad.get_or_insert((index, event_id));
                findings.push(at(FindingClass::Seal, "leaf_index", format!("leaf {index} is there twice")));
                return Ok(());
            }
            Ok(index) if index < self.tree_size => index,
            _ => {
                let detail =
                    format!("leaf {leaf_index} is in no checkpoint: the last has {} leaves", self.tree_size);
                findings.push(at(FindingClass::Seal, "leaf_index", detail));
                return Ok(());
            }
        };
        self.fill(index, findings)?;
        let is_sound = of_row.is_empty();
        findings.extend(of_row);
        let mut is_bad = !is_sound || row.is_none();
        if row.is_none() {
            findings.push(at(FindingClass::Seal, "leaf", format!("the event of leaf {index} is missing")));
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
                findings.push(Finding {
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
            findings.push(at(FindingClass::Seal, "leaf_order", detail));
        }
        self.last_id = id.or(self.last_id);
        if let (Some(registry), Some(made), Some(sealed)) =
            (self.registry, &made, self.sealed.get(self.next_sealed))
            && let Some(late) = late_authority(registry, &made.header, sealed.registry_before)
        {
            findings.push(late);
        }
        if is_bad {
            self.first_bad.get_or_insert((index, event_id));
        }
        self.grow(computed, stored, findings)
    }

    /// Goes on to leaf `index` past leaves that have no row, by their stored hashes.
    ///
    /// # Errors
    /// The source's.
    pub fn fill(&mut self, index: u64, findings: &mut Vec<Finding>) -> Result<(), S::Error> {
        let first = self.size();
        if index <= first || self.is_broken {
            return Ok(());
        }
        let which = match index - first {
            1 => format!("leaf {first} is"),
            _ => format!("leaves {first} to {} are", index - 1),
        };
        let detail = format!("{which} missing from ets.merkle_leaf");
        findings.push(self.finding(FindingClass::Seal, "leaf_index", detail));
        self.first_bad.get_or_insert((first, None));
        while self.size() < index && !self.is_broken {
            let stored = self.stored_leaf(self.size(), findings)?;
            self.grow(None, stored, findings)?;
        }
        Ok(())
    }

    /// Ends the tree: the tiles that are not full, and what was kept of a tree that
    /// was larger.
    ///
    /// # Errors
    /// The source's.
    pub fn finish(&mut self, findings: &mut Vec<Finding>) -> Result<(), S::Error> {
        if !self.is_broken {
            self.check_tiles(true, findings)?;
        }
        for kept in self.kept.iter().skip(self.next_kept) {
            let detail = match self.is_broken {
                true => format!(
                    "the tree of {} cannot be computed, to compare it with {}",
                    kept.tree_size, kept.source
                ),
                false => format!(
                    "the tree has {} leaves, and had {} in {}: events are missing, or this is an older copy",
                    self.size(),
                    kept.tree_size,
                    kept.source
                ),
            };
            findings.push(Finding {
                expected: Some(format!("at least {}", kept.tree_size)),
                actual: Some(self.size().to_string()),
                ..self.finding(FindingClass::Seal, "kept_checkpoint", detail)
            });
        }
        self.next_kept = self.kept.len();
        Ok(())
    }

    /// A finding, if the tree has no such tile.
    pub fn further_tile(&self, level: i64, index: i64) -> Option<Finding> {
        let belongs = shape(self.tree_size).iter().any(|shape| {
            let tiles = shape.full_tiles + u64::from(shape.partial_width > 0);
            i64::from(shape.level) == level && u64::try_from(index).is_ok_and(|index| index < tiles)
        });
        let detail = || format!("tile {index} of level {level} is in no checkpoint");
        (!belongs).then(|| self.finding(FindingClass::Seal, "tile", detail()))
    }

    /// Adds a leaf, as its row and as its tile have it.
    fn grow(
        &mut self,
        computed: Option<Digest>,
        stored: Option<Digest>,
        findings: &mut Vec<Finding>,
    ) -> Result<(), S::Error> {
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
            findings.push(self.finding(FindingClass::Unverifiable, "root", detail));
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

    /// Compares the roots that were sealed, or kept, at this size.
    fn check_roots(&mut self, findings: &mut Vec<Finding>) {
        let size = self.size();
        while let Some(sealed) = self.sealed.get(self.next_sealed).filter(|sealed| sealed.tree_size <= size) {
            let (of_rows, of_tiles) = self.roots();
            if sealed.root != of_rows.as_bytes() && sealed.root != of_tiles.as_bytes() {
                let detail = format!(
                    "the root of {size} leaves in checkpoint {} is not that of the tree",
                    sealed.checkpoint_id
                );
                findings.push(Finding {
                    expected: Some(of_rows.to_string()),
                    actual: Some(to_hex(&sealed.root)),
                    ..self.finding(FindingClass::Seal, "root", detail)
                });
            }
            self.next_sealed += 1;
            self.last_id = None;
        }
        while let Some(kept) = self.kept.get(self.next_kept).filter(|kept| kept.tree_size <= size) {
            let (of_rows, of_tiles) = self.roots();
            // What is behind this part's first leaf has been compared before.
            if kept.tree_size == size && kept.root != of_rows && kept.root != of_tiles {
                let detail = format!(
                    "the first {size} leaves are not those of {}: history was rewritten",
                    kept.source
                );
                findings.push(Finding {
                    expected: Some(kept.root.to_string()),
                    actual: Some(of_rows.to_string()),
                    ..self.finding(FindingClass::Seal, "kept_checkpoint", detail)
                });
            }
            self.next_kept += 1;
        }
    }

    /// The root as the rows, and as the stored leaves make it.
    fn roots(&self) -> (Digest, Digest) {
        match self.size() {
            0 => (EMPTY_ROOT, EMPTY_ROOT),
            _ => (self.from_rows.root(), self.from_tiles.root()),
        }
    }

    /// Compares the tiles that are full, or with `rest` all others, with what is
    /// stored. Level 0 has been compared leaf by leaf, but for its length.
    fn check_tiles(&mut self, rest: bool, findings: &mut Vec<Finding>) -> Result<(), S::Error> {
        let (of_rows, of_tiles): (Vec<Tile>, Vec<Tile>) = if rest {
            (self.from_rows.clone().finish().tiles, self.from_tiles.clone().finish().tiles)
        } else {
            (self.from_rows.take_full_tiles(), self.from_tiles.take_full_tiles())
        };
        for (of_row, of_tile) in of_rows.iter().zip(&of_tiles) {
            let (level, index) = (of_row.level, of_row.index);
            let stored = self.tiles.stored(level, index)?;
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
            findings.push(self.finding(FindingClass::Seal, "tile", detail));
        }
        Ok(())
    }

    /// The stored hash of a leaf. A tile that is missing or malformed is reported once.
    fn stored_leaf(&mut self, index: u64, findings: &mut Vec<Finding>) -> Result<Option<Digest>, S::Error> {
        let (tile, place) = (index / TILE_WIDTH as u64, (index % TILE_WIDTH as u64) as usize);
        let hashes = match self.leaves.take().filter(|(known, _)| *known == tile) {
            Some((_, hashes)) => hashes,
            None => {
                let bytes = self.tiles.stored(0, tile)?;
                let hashes = bytes.as_deref().and_then(|bytes| hashes_from_bytes(bytes).ok());
                if hashes.is_none() {
                    let problem = if bytes.is_some() { "is no tile at all" } else { "is missing" };
                    let detail = format!("tile {tile} of level 0 {problem}");
                    findings.push(self.finding(FindingClass::Seal, "tile", detail));
                }
                hashes.unwrap_or_default()
            }
        };
        let hash = hashes.get(place).copied();
        self.leaves = Some((tile, hashes));
        Ok(hash)
    }

    fn finding(&self, class: FindingClass, check: &'static str, detail: String) -> Finding {
        Finding { domain: Some(self.domain.to_string()), ..Finding::new(class, check, detail) }
    }
}
