//! Where an audit has its rows from: a server, or an export.
//!
//! Whoever answers is not trusted: what comes is compared, counted and put to the
//! proof by whoever called.

use ets_core::anchor::AnchorRecord;
use ets_core::time::Timestamp;
use ets_core::verify::{CheckpointRow, Columns, RootRow, SealedRoot, StoredTiles};

use super::copy::Row;

/// The column behind the thirteen members: the event's leaf in its domain's tree, and
/// the transaction that appended it; or in the order of leaves, whether there is an event.
pub const LEAF_INDEX: usize = 13;
/// See [`LEAF_INDEX`].
pub const TRANSACTION_ID: usize = 14;

/// What the last seal saw, as it is stored.
pub struct SealPosition {
    snapshot: (i64, i64, Vec<i64>),
}

impl SealPosition {
    /// The snapshot's `xmin`, `xmax` and transactions in progress.
    pub fn new(xmin: i64, xmax: i64, running: Vec<i64>) -> Self {
        SealPosition { snapshot: (xmin, xmax, running) }
    }

    /// Whether the last seal saw what this transaction appended.
    pub fn saw(&self, transaction_id: i64) -> bool {
        let (xmin, xmax, running) = &self.snapshot;
        transaction_id < *xmin || (transaction_id < *xmax && !running.contains(&transaction_id))
    }
}

/// Takes rows as they come; its error ends the reading.
pub type EachRow<'a> = &'a mut dyn FnMut(Row) -> Result<(), String>;
/// Takes checkpoints with their roots: the number, then either.
pub type EachCheckpoint<'a> =
    &'a mut dyn FnMut(i64, Option<CheckpointRow>, Option<RootRow>, Option<Timestamp>) -> Result<(), String>;

/// The rows of a ledger. Every method's error is a message for the user: something
/// cannot be read, or what `each` answered.
pub trait Source {
    /// The registry's events in their order: the thirteen members, [`LEAF_INDEX`], [`TRANSACTION_ID`].
    fn registry(&self, each: EachRow) -> Result<(), String>;
    /// All other events, by domain, stream and sequence.
    fn others(&self, each: EachRow) -> Result<(), String>;
    /// The leaves of a domain from the first number to before the second, in their order,
    /// each with its event but for the payload.
    fn leaves(&self, domain: &str, range: (i64, i64), each: EachRow) -> Result<(), String>;
    /// Every `event_id` with its domain, ascending.
    fn ids(&self, each: EachRow) -> Result<(), String>;
    /// Every checkpoint with its roots, in order.
    fn checkpoints(&self, each: EachCheckpoint) -> Result<(), String>;
    /// The roots that were sealed of a domain's tree, by size.
    fn sealed_roots(&self, domain: &str) -> Result<Vec<SealedRoot>, String>;
    /// The domains that have a root, a leaf or a tile, whatever they are called.
    fn domains(&self) -> Result<Vec<String>, String>;
    /// `level, tile_index` of every stored tile of a domain.
    fn tiles(&self, domain: &str, each: EachRow) -> Result<(), String>;
    /// The hashes of a stored tile; none if there is none.
    fn tile(&self, domain: &str, level: u8, index: u64) -> Result<Option<Vec<u8>>, String>;
    /// What the last seal saw; none if that says nothing about rows here.
    fn seal_position(&self) -> Result<Option<SealPosition>, String>;
    /// About how many rows there are to read; for the progress bar alone.
    fn estimate(&self) -> u64;
    /// The tables that are made from events; none where there are events only.
    fn tables(&self) -> Option<&dyn Tables>;
    /// What of the ledger is not here, for the report.
    fn lacks(&self) -> Vec<String>;
}

/// What a database makes of its events.
pub trait Tables {
    /// `domain, stream, sequence, head_hash, last_event_id, last_timestamp,
    /// registry_version, state` of every head.
    fn heads(&self, each: EachRow) -> Result<(), String>;
    /// The rows of a table that is made from the registry, as text.
    fn projection(&self, name: &str, columns: &[&str]) -> Result<Vec<Columns>, String>;
    /// Every row of `ets.anchor`; none where the ledger is older than that table.
    fn anchors(&self) -> Result<Vec<AnchorRecord>, String>;
    /// When each promotion of a receiver was, `None` for one that still receives.
    fn receivers(&self) -> Result<Vec<Option<Timestamp>>, String>;
}

/// A domain's stored tiles.
pub struct Tiles<'a> {
    pub source: &'a dyn Source,
    pub domain: String,
}

impl StoredTiles for Tiles<'_> {
    type Error = String;

    fn stored(&mut self, level: u8, index: u64) -> Result<Option<Vec<u8>>, String> {
        self.source.tile(&self.domain, level, index)
    }
}
