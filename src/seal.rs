//! The seal: what has committed and has no leaf joins its domain's tree, and one
//! checkpoint covers all domains.
//!
//! Seals run one at a time. All rows are read with one snapshot, so a checkpoint
//! whose trees hold an event also holds the registry that it was judged by. The
//! order inside a seal is that of the event ids, not of the commits; from then on
//! the order of the leaves is a recorded fact. If the server dies anywhere in
//! here, the transaction never was, and the last checkpoint stands.

mod unsealed;

use std::collections::BTreeMap;

use ets_core::checkpoint::{DomainRoot, meta_root};
use ets_core::event::EventId;
use ets_core::hash::{Digest, EMPTY_ROOT, SPECIFICATION_VERSION};
use ets_core::merkle::{Frontier, Tile, TileSource, TreeError, hashes_from_bytes};
use ets_core::name::DomainName;
use ets_core::note;
use ets_core::registry::Registry;
use ets_core::time::Timestamp;
use serde_json::json;

use crate::db::{self, Row, View};
use crate::error::{self, Error, Result, sqlstate};
use crate::value::Value;
use crate::{clock, high_water, keys, ledger, receiver, transaction};

use unsealed::{Leaf, Unsealed};

/// A checkpoint's row.
pub struct Checkpoint {
    /// From 1, without gaps.
    pub checkpoint_id: u64,
    /// The specification's version, part of the MetaRoot.
    pub version: String,
    /// The greatest event id in any of its trees.
    pub checkpoint_event_id: EventId,
    /// The root over all domain roots.
    pub meta_root: Digest,
    /// When it was made; under no hash.
    pub created_at: Timestamp,
}

/// Seals, and answers the new checkpoint; or the last one, if nothing is new
/// outside `ets.audit` and it is less than a day old.
pub fn seal() -> Result<Checkpoint> {
    if transaction::has_appended() {
        return Err(Error::new(
            sqlstate::ACTIVE_TRANSACTION,
            "a seal cannot run in a transaction that has appended",
        )
        .detail(json!({"function": "ets.seal"}))
        .hint("commit first"));
    }
    ledger::registry(View::Latest)?;
    receiver::refuse_own("seal")?;
    // Another seal is waited for; readers and appends are not.
    db::write("LOCK TABLE ets.checkpoint IN SHARE ROW EXCLUSIVE MODE", &[])?;
    db::with_latest_snapshot(|| {
        let last = last_checkpoint(View::Query)?;
        let unsealed = Unsealed::now(last.as_ref())?;
        if let Some(last) = last.as_ref().filter(|last| is_recent(last))
            && !unsealed.any_outside_audit()?
        {
            return Ok(Checkpoint { version: last.version.clone(), ..*last });
        }
        let mut forest = Forest::load(last.as_ref())?;
        unsealed.each(|leaf| forest.add(leaf))?;
        forest.finish(last.as_ref(), &unsealed)
    })
}

/// The newest checkpoint, if there is one.
pub fn last_checkpoint(view: View) -> Result<Option<Checkpoint>> {
    db::first(
        view,
        "SELECT checkpoint.checkpoint_id, checkpoint.version, checkpoint.checkpoint_event_id,
                checkpoint.meta_root, checkpoint.created_at
           FROM ets.checkpoint AS checkpoint ORDER BY checkpoint.checkpoint_id DESC LIMIT 1",
        &[],
        checkpoint_row,
    )
}

/// The checkpoint of this number.
///
/// # Errors
/// ET011 if there is none.
pub fn checkpoint(view: View, checkpoint_id: u64) -> Result<Checkpoint> {
    db::first(
        view,
        "SELECT checkpoint.checkpoint_id, checkpoint.version, checkpoint.checkpoint_event_id,
                checkpoint.meta_root, checkpoint.created_at
           FROM ets.checkpoint AS checkpoint WHERE checkpoint.checkpoint_id OPERATOR(pg_catalog.=) $1",
        &[checkpoint_id.into()],
        checkpoint_row,
    )?
    .ok_or_else(|| {
        Error::new(sqlstate::NOT_FOUND, format!("no checkpoint {checkpoint_id}"))
            .detail(json!({"checkpoint_id": checkpoint_id}))
            .hint("ets.checkpoint lists those there are; ets.seal() makes one")
    })
}

/// The MetaRoot of the checkpoint of this number, if there is one.
pub fn meta_root_of(view: View, checkpoint_id: u64) -> Result<Option<Digest>> {
    let root = db::first(
        view,
        "SELECT checkpoint.meta_root FROM ets.checkpoint AS checkpoint
          WHERE checkpoint.checkpoint_id OPERATOR(pg_catalog.=) $1",
        &[checkpoint_id.into()],
        |row| Ok(row.bytes(1)),
    )?;
    Ok(root.flatten().and_then(|root| Digest::try_from(&root[..]).ok()))
}

/// The domain roots of a checkpoint, in the order of the names' bytes.
pub fn domain_roots(view: View, checkpoint_id: u64) -> Result<Vec<DomainRoot>> {
    db::query(
        view,
        "SELECT root.domain, root.tree_size, root.root_hash FROM ets.domain_root AS root
          WHERE root.checkpoint_id OPERATOR(pg_catalog.=) $1
          ORDER BY root.domain USING OPERATOR(pg_catalog.<)",
        &[checkpoint_id.into()],
        root_row,
    )
}

/// A domain's root from a row with name, size and root.
pub fn root_row(row: &Row) -> Result<DomainRoot> {
    Ok(DomainRoot {
        domain: row.text(1).unwrap_or_default().parse()?,
        tree_size: row.int(2).and_then(|size| size.try_into().ok()).ok_or_else(corrupted)?,
        root: row.bytes(3).and_then(|hash| Digest::try_from(&hash[..]).ok()).ok_or_else(corrupted)?,
    })
}

/// The tiles of a domain's tree, as they are stored.
pub struct StoredTiles<'a> {
    /// The domain.
    pub domain: &'a DomainName,
    /// What the reads see.
    pub view: View,
}

impl TileSource for StoredTiles<'_> {
    type Error = Error;

    fn tile(&mut self, level: u8, index: u64) -> Result<Vec<Digest>> {
        let hashes = db::first(
            self.view,
            "SELECT tile.hashes FROM ets.merkle_tile AS tile
              WHERE tile.domain OPERATOR(pg_catalog.=) $1 AND tile.level OPERATOR(pg_catalog.=) $2
                AND tile.tile_index OPERATOR(pg_catalog.=) $3",
            &[self.domain.as_str().into(), Value::Int4(level.into()), index.into()],
            |row| Ok(row.bytes(1)),
        )?
        .flatten();
        let Some(hashes) = hashes else { return Ok(Vec::new()) };
        hashes_from_bytes(&hashes).map_err(|error| broken_tree(self.domain, error))
    }
}

/// A tree that cannot be read as what it was: tiles were changed past the seal.
pub fn tree_error(domain: &DomainName, error: TreeError<Error>) -> Error {
    match error {
        TreeError::Source(error) => error,
        error => broken_tree(domain, error),
    }
}

/// `ET002` for a tree that is not what was sealed.
pub fn broken_tree(domain: &DomainName, problem: impl std::fmt::Display) -> Error {
    Error::new(sqlstate::HASH, format!("the tree of domain {domain} is not what was sealed: {problem}"))
        .detail(json!({"domain": domain.as_str()}))
        .hint("run ets.verify_ledger() to see what was changed")
}

/// Refuses to grow a tree that has leaves which are in no checkpoint: somebody has
/// made them, or taken the checkpoint away.
///
/// # Errors
/// ET002.
fn nothing_behind(domain: &DomainName, tree_size: u64) -> Result<()> {
    let further = db::first(
        View::Query,
        "SELECT true FROM ets.merkle_leaf AS leaf
          WHERE leaf.domain OPERATOR(pg_catalog.=) $1 AND leaf.leaf_index OPERATOR(pg_catalog.>=) $2 LIMIT 1",
        &[domain.as_str().into(), tree_size.into()],
        |_| Ok(()),
    )?;
    match further {
        None => Ok(()),
        Some(()) => Err(broken_tree(
            domain,
            format_args!("it has leaves past the {tree_size} of the last checkpoint"),
        )),
    }
}

/// `ET002` for a checkpoint or root that no seal can have written.
pub fn corrupted() -> Error {
    Error::new(sqlstate::HASH, "a checkpoint's row holds what no checkpoint can have")
        .hint("run ets.verify_ledger() to see what was changed")
}

fn checkpoint_row(row: &Row) -> Result<Checkpoint> {
    Ok(Checkpoint {
        checkpoint_id: row.int(1).and_then(|id| id.try_into().ok()).ok_or_else(corrupted)?,
        version: row.text(2).unwrap_or_default(),
        checkpoint_event_id: row.uuid(3).and_then(|id| EventId::from_slice(&id)).ok_or_else(corrupted)?,
        meta_root: row.bytes(4).and_then(|hash| Digest::try_from(&hash[..]).ok()).ok_or_else(corrupted)?,
        created_at: row.unix_micros(5).and_then(Timestamp::from_unix_micros).ok_or_else(corrupted)?,
    })
}

fn is_recent(last: &Checkpoint) -> bool {
    const DAY_MILLIS: i64 = 86_400_000;
    let age = i64::try_from(clock::unix_millis()).unwrap_or(i64::MAX) - last.created_at.unix_micros() / 1000;
    (0..DAY_MILLIS).contains(&age)
}

/// The trees of all domains while they grow.
struct Forest {
    roots: BTreeMap<DomainName, DomainRoot>,
    growing: Option<Growing>,
    greatest: Option<EventId>,
}

/// The one domain whose rows are coming in: they are sorted by domain.
struct Growing {
    domain: DomainName,
    frontier: Frontier,
    indexes: Vec<i64>,
    ids: Vec<[u8; 16]>,
}

/// Leaf rows written with one statement.
const LEAF_BATCH: usize = 4096;

impl Forest {
    /// The trees as the last checkpoint left them.
    ///
    /// # Errors
    /// ET002 if a stored tree no longer has the root that was sealed.
    fn load(last: Option<&Checkpoint>) -> Result<Self> {
        let mut forest = Forest {
            roots: BTreeMap::new(),
            growing: None,
            greatest: last.map(|last| last.checkpoint_event_id),
        };
        let Some(last) = last else { return Ok(forest) };
        for root in domain_roots(View::Query, last.checkpoint_id)? {
            frontier(&root)?;
            forest.roots.insert(root.domain.clone(), root);
        }
        Ok(forest)
    }

    fn add(&mut self, leaf: Leaf) -> Result<()> {
        if self.growing.as_ref().is_none_or(|growing| growing.domain != leaf.domain) {
            self.settle()?;
            let frontier = match self.roots.get(&leaf.domain) {
                Some(root) => frontier(root)?,
                None => Frontier::default(),
            };
            nothing_behind(&leaf.domain, frontier.tree_size())?;
            let domain = leaf.domain;
            self.growing = Some(Growing { domain, frontier, indexes: Vec::new(), ids: Vec::new() });
        }
        let Some(growing) = &mut self.growing else { return Ok(()) };
        growing.indexes.push(i64::try_from(growing.frontier.tree_size()).unwrap_or(i64::MAX));
        growing.ids.push(*leaf.event_id.as_uuid().as_bytes());
        growing.frontier.append(leaf.hash);
        self.greatest = self.greatest.max(Some(leaf.event_id));
        if growing.ids.len() >= LEAF_BATCH {
            growing.write()?;
        }
        Ok(())
    }

    /// Finishes the domain whose rows came in last.
    fn settle(&mut self) -> Result<()> {
        let Some(mut growing) = self.growing.take() else { return Ok(()) };
        growing.write()?;
        let grown = growing.frontier.finish();
        write_tiles(&growing.domain, &grown.tiles)?;
        let root =
            DomainRoot { domain: growing.domain.clone(), tree_size: grown.tree_size, root: grown.root };
        self.roots.insert(growing.domain, root);
        Ok(())
    }

    /// Writes the checkpoint over all domains that its registry tree has created.
    fn finish(mut self, last: Option<&Checkpoint>, unsealed: &Unsealed) -> Result<Checkpoint> {
        self.settle()?;
        let registry = ledger::registry(View::Latest)?;
        let registry_size = self.roots.get(&DomainName::registry()).map_or(0, |root| root.tree_size);
        for domain in registry.domains_at(registry_size) {
            self.roots.entry(domain.clone()).or_insert(DomainRoot { domain, tree_size: 0, root: EMPTY_ROOT });
        }
        let roots: Vec<DomainRoot> = self.roots.into_values().collect();
        let checkpoint_event_id = self.greatest.ok_or_else(ledger::not_initialised)?;
        let meta_root = meta_root(SPECIFICATION_VERSION, &checkpoint_event_id, &roots)
            .map_err(|error| Error::new(sqlstate::HASH, error.to_string()))?;
        let checkpoint = Checkpoint {
            checkpoint_id: last.map_or(1, |last| last.checkpoint_id + 1),
            version: SPECIFICATION_VERSION.to_owned(),
            checkpoint_event_id,
            meta_root,
            created_at: clock::now()?,
        };
        // Compares the file with the checkpoints before this one.
        high_water::announce(&checkpoint, &roots)?;
        write_checkpoint(&checkpoint, &roots, &registry, registry_size)?;
        write_position(unsealed)?;
        Ok(checkpoint)
    }
}

impl Growing {
    fn write(&mut self) -> Result<()> {
        db::in_scratch(|| {
            let (indexes, ids) = (std::mem::take(&mut self.indexes), std::mem::take(&mut self.ids));
            write_leaves(&self.domain, indexes, ids)?;
            write_tiles(&self.domain, &self.frontier.take_full_tiles())
        })
    }
}

/// Stores which event is which leaf.
pub fn write_leaves(domain: &DomainName, indexes: Vec<i64>, ids: Vec<[u8; 16]>) -> Result<()> {
    db::write(
        "INSERT INTO ets.merkle_leaf (domain, leaf_index, event_id)
         SELECT $1, leaf.leaf_index, leaf.event_id
           FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3)) AS leaf (leaf_index, event_id)",
        &[domain.as_str().into(), Value::IntArray(indexes), Value::UuidArray(ids)],
    )?;
    Ok(())
}

/// The edge of a domain's tree, which must have the root that was sealed.
pub fn frontier(sealed: &DomainRoot) -> Result<Frontier> {
    let mut tiles = StoredTiles { domain: &sealed.domain, view: View::Query };
    let frontier =
        Frontier::load(&mut tiles, sealed.tree_size).map_err(|error| tree_error(&sealed.domain, error))?;
    if frontier.root() == sealed.root {
        return Ok(frontier);
    }
    Err(broken_tree(&sealed.domain, "its edge does not give the last root"))
}

/// Stores tiles that are new or longer.
pub fn write_tiles(domain: &DomainName, tiles: &[Tile]) -> Result<()> {
    for tile in tiles {
        db::write(
            "INSERT INTO ets.merkle_tile (domain, level, tile_index, hashes) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (domain, level, tile_index) DO UPDATE SET hashes = excluded.hashes",
            &[
                domain.as_str().into(),
                Value::Int4(tile.level.into()),
                tile.index.into(),
                Value::Bytes(tile.to_bytes()),
            ],
        )?;
    }
    Ok(())
}

/// Writes a checkpoint and its roots, with notes signed by the server's key of
/// its registry tree.
fn write_checkpoint(
    checkpoint: &Checkpoint,
    roots: &[DomainRoot],
    registry: &Registry,
    registry_size: u64,
) -> Result<()> {
    let key = match keys::server_key_at(registry, registry_size) {
        Ok(key) => Some(key),
        // Seals go on without the key; their notes are absent.
        Err(error) if error.sqlstate() == Some(sqlstate::NO_KEY) => {
            error::warn(
                "the server's key is not here: this checkpoint has no signed notes",
                "put the key file back; ets.server_key_directory says where it is looked for",
            );
            None
        }
        Err(error) => return Err(error),
    };
    for root in roots {
        let note = key
            .as_ref()
            .map(|key| note::sign_checkpoint(&registry.ledger().origin, root, &checkpoint.meta_root, key));
        write_root(checkpoint.checkpoint_id, root, note.as_deref())?;
    }
    // Last: whoever receives it by replication has its leaves and roots by then.
    write_row(checkpoint)
}

/// Writes the row of a domain's root.
pub fn write_root(checkpoint_id: u64, root: &DomainRoot, note: Option<&str>) -> Result<()> {
    db::write(
        "INSERT INTO ets.domain_root (checkpoint_id, domain, tree_size, root_hash, note)
         VALUES ($1, $2, $3, $4, $5)",
        &[
            checkpoint_id.into(),
            root.domain.as_str().into(),
            root.tree_size.into(),
            root.root.into(),
            Value::or_null(note, crate::value::Type::Text),
        ],
    )?;
    Ok(())
}

/// Writes the row of a checkpoint.
pub fn write_row(checkpoint: &Checkpoint) -> Result<()> {
    db::write(
        "INSERT INTO ets.checkpoint (checkpoint_id, version, checkpoint_event_id, meta_root, created_at)
         VALUES ($1, $2, $3, $4, $5)",
        &[
            checkpoint.checkpoint_id.into(),
            checkpoint.version.as_str().into(),
            checkpoint.checkpoint_event_id.into(),
            checkpoint.meta_root.into(),
            checkpoint.created_at.into(),
        ],
    )?;
    // Whoever follows a tree need not look all the time. An append tells nobody: its
    // commit would wait for every other one that does.
    db::first(
        View::Write,
        "SELECT pg_catalog.pg_notify('ets_sealed', $1)",
        &[checkpoint.checkpoint_id.to_string().into()],
        |_| Ok(()),
    )?;
    Ok(())
}

fn write_position(seen: &Unsealed) -> Result<()> {
    db::write(
        "INSERT INTO ets.seal_position (snapshot, system_identifier, database_oid, relation_oid, has_foreign_ids)
         SELECT $1::pg_catalog.pg_snapshot, system.system_identifier, database.oid,
                'ets.ledger_event'::pg_catalog.regclass, $2
           FROM pg_catalog.pg_control_system() AS system, pg_catalog.pg_database AS database
          WHERE database.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
             ON CONFLICT (one) DO UPDATE SET snapshot = excluded.snapshot,
                system_identifier = excluded.system_identifier, database_oid = excluded.database_oid,
                relation_oid = excluded.relation_oid,
                has_foreign_ids = seal_position.has_foreign_ids OR excluded.has_foreign_ids",
        &[seen.snapshot().into(), seen.has_foreign_ids().into()],
    )?;
    Ok(())
}
