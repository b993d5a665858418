//! Checkpoints that arrive: each tree is grown from the rows of its leaves and
//! must have the root that came along, and the roots must make the MetaRoot.

use std::collections::BTreeMap;

use ets_core::checkpoint::{DomainRoot, meta_root};
use ets_core::event::EventId;
use ets_core::hash::{EMPTY_ROOT, SPECIFICATION_VERSION};
use ets_core::key::PublicKey;
use ets_core::merkle::Frontier;
use ets_core::name::DomainName;
use ets_core::note::{self, NoteError};
use ets_core::registry::Registry;
use serde_json::{Value as Json, json};

use crate::db::{self, View};
use crate::error::{Error, Result, sqlstate};
use crate::seal::{self, Checkpoint};
use crate::value::Value;
use crate::{ledger, receiver, rows};

/// A root that arrived, with its note.
pub type ReceivedRoot = (DomainRoot, Option<String>);

/// Takes a checkpoint in whose leaves and roots are stored: grows the trees of the
/// domains that are held, stores their tiles, and compares.
///
/// # Errors
/// ET002 with what differs; ET010 if it is not the next checkpoint.
pub fn settle(checkpoint: &Checkpoint, roots: &[ReceivedRoot]) -> Result<()> {
    let id = checkpoint.checkpoint_id;
    let last = seal::last_checkpoint(View::Latest)?;
    let expected = last.as_ref().map_or(1, |last| last.checkpoint_id + 1);
    if id != expected {
        return Err(Error::new(sqlstate::FIELD, format!("the next checkpoint is {expected}, not {id}"))
            .detail(json!({"checkpoint_id": id, "expected": expected}))
            .hint("import what is missing: ets.export(from_checkpoint => …) on the other side"));
    }
    let before: BTreeMap<DomainName, DomainRoot> = match &last {
        Some(last) => seal::domain_roots(View::Latest, last.checkpoint_id)?,
        None => Vec::new(),
    }
    .into_iter()
    .map(|root| (root.domain.clone(), root))
    .collect();
    let registry = ledger::registry(View::Latest)?;
    check_domains(id, &before, roots, &registry)?;
    let held = receiver::held_domain()?;
    let mut greatest = last.map(|last| last.checkpoint_event_id);
    for (root, _) in roots {
        if receiver::holds(held.as_ref(), root.domain.as_str()) {
            greatest = greatest.max(grow(id, before.get(&root.domain), root)?);
        }
    }
    let stated = checkpoint.checkpoint_event_id;
    if held.is_none() && greatest != Some(stated) || greatest > Some(stated) {
        let greatest = greatest.map(|id| id.to_string());
        return Err(differs(id, "checkpoint_event_id", greatest.into(), stated.to_string().into()));
    }
    let plain: Vec<DomainRoot> = roots.iter().map(|(root, _)| root.clone()).collect();
    let computed = meta_root(SPECIFICATION_VERSION, &stated, &plain).ok();
    if computed != Some(checkpoint.meta_root) || checkpoint.version != SPECIFICATION_VERSION {
        let computed = computed.map(|root| root.to_string());
        return Err(differs(id, "meta_root", computed.into(), checkpoint.meta_root.to_string().into()));
    }
    check_notes(checkpoint, roots, &registry)
}

/// A checkpoint has the domains that its own registry tree has created, none of
/// them smaller than before.
fn check_domains(
    id: u64,
    before: &BTreeMap<DomainName, DomainRoot>,
    roots: &[ReceivedRoot],
    registry: &Registry,
) -> Result<()> {
    let size_of = |domain: &DomainName| {
        roots.iter().find(|(root, _)| root.domain == *domain).map(|(root, _)| root.tree_size)
    };
    for root in before.values() {
        if size_of(&root.domain).is_none_or(|size| size < root.tree_size) {
            let expected = format!("at least {} leaves of {}", root.tree_size, root.domain);
            return Err(differs(id, "tree_size", expected.into(), size_of(&root.domain).into()));
        }
    }
    let registry_size = size_of(&DomainName::registry()).unwrap_or(0);
    if registry_size > registry.version() {
        return Err(differs(id, "registry", registry.version().into(), registry_size.into()));
    }
    let mut stated: Vec<&DomainName> = roots.iter().map(|(root, _)| &root.domain).collect();
    stated.sort();
    let created = registry.domains_at(registry_size);
    if !created.iter().eq(stated.iter().copied()) {
        return Err(differs(id, "domains", names(created.iter()), names(stated.into_iter())));
    }
    Ok(())
}

fn names<'a>(domains: impl Iterator<Item = &'a DomainName>) -> Json {
    domains.map(DomainName::as_str).collect()
}

/// Grows a tree by the leaves that arrived since `before`, from their rows, and
/// stores its tiles; the greatest of their ids.
fn grow(id: u64, before: Option<&DomainRoot>, after: &DomainRoot) -> Result<Option<EventId>> {
    const BATCH: std::ffi::c_long = 1024;
    let empty = DomainRoot { domain: after.domain.clone(), tree_size: 0, root: EMPTY_ROOT };
    let before = before.unwrap_or(&empty);
    // Tiles that this very statement has written count: an import has many checkpoints.
    let mut frontier: Frontier = db::with_latest_snapshot(|| seal::frontier(before))?;
    let mut greatest = None;
    // The plan is kept while the tables grow, so it must not be one for small tables.
    db::by_index(|| {
        db::scan(
            View::Latest,
            crate::select_events_of_leaves!("NULL::pg_catalog.jsonb"),
            &[after.domain.as_str().into(), before.tree_size.into(), after.tree_size.into()],
            BATCH,
            |row| {
                let header = rows::header(row)?;
                frontier.append(header.leaf_hash());
                greatest = greatest.max(Some(header.event_id));
                seal::write_tiles(&after.domain, &frontier.take_full_tiles())
            },
        )
    })?;
    let grown = frontier.finish();
    seal::write_tiles(&after.domain, &grown.tiles)?;
    if grown.tree_size != after.tree_size || grown.root != after.root {
        let expected = json!({"domain": after.domain.as_str(), "tree_size": grown.tree_size, "root": grown.root.to_string()});
        let actual = json!({"domain": after.domain.as_str(), "tree_size": after.tree_size, "root": after.root.to_string()});
        return Err(differs(id, "root", expected, actual));
    }
    Ok(greatest)
}

/// A note is of its root and MetaRoot. One by a key that the registry does not name
/// yet is kept as it came: a rotation may follow.
fn check_notes(checkpoint: &Checkpoint, roots: &[ReceivedRoot], registry: &Registry) -> Result<()> {
    let origin = &registry.ledger().origin;
    let keys: Vec<PublicKey> = registry.server_keys().collect();
    for (root, text) in roots {
        let Some(text) = text else { continue };
        for key in &keys {
            match note::open_checkpoint(text, origin, &root.domain, key) {
                Ok(stated) if stated == (root.clone(), checkpoint.meta_root) => {}
                Err(NoteError::NotSigned) => continue,
                _ => {
                    let expected = format!("a note of {}", root.domain);
                    return Err(differs(
                        checkpoint.checkpoint_id,
                        "note",
                        expected.into(),
                        text.as_str().into(),
                    ));
                }
            }
            break;
        }
    }
    Ok(())
}

/// ET002: what came along is not what the rows here make.
fn differs(checkpoint_id: u64, what: &str, expected: Json, actual: Json) -> Error {
    Error::new(sqlstate::HASH, format!("checkpoint {checkpoint_id} is not that of the events here: {what}"))
        .detail(
            json!({"checkpoint_id": checkpoint_id, "differs": what, "expected": expected, "actual": actual}),
        )
        .hint("SELECT * FROM ets.compare_roots(…) says where the two databases part")
}

/// The roots of a checkpoint as they are stored, with their notes.
pub fn stored_roots(checkpoint_id: u64) -> Result<Vec<ReceivedRoot>> {
    db::query(
        View::Latest,
        "SELECT root.domain, root.tree_size, root.root_hash, root.note FROM ets.domain_root AS root
          WHERE root.checkpoint_id OPERATOR(pg_catalog.=) $1
          ORDER BY root.domain USING OPERATOR(pg_catalog.<)",
        &[checkpoint_id.into()],
        |row| Ok((seal::root_row(row)?, row.text(4))),
    )
}

/// Whether this place in a tree is free; not, if it holds the same event already.
///
/// # Errors
/// ET002 if it holds another event, or the event is elsewhere in the tree.
pub fn is_free(domain: &DomainName, leaf_index: u64, event_id: EventId) -> Result<bool> {
    let stored = db::by_key(|| {
        db::query(
            View::Latest,
            // Two looks by a key each: an OR would be answered by all leaves of the domain.
            "SELECT leaf.leaf_index, leaf.event_id FROM ets.merkle_leaf AS leaf
              WHERE leaf.domain OPERATOR(pg_catalog.=) $1 AND leaf.leaf_index OPERATOR(pg_catalog.=) $2
              UNION ALL
             SELECT leaf.leaf_index, leaf.event_id FROM ets.merkle_leaf AS leaf
              WHERE leaf.event_id OPERATOR(pg_catalog.=) $3 AND leaf.domain OPERATOR(pg_catalog.=) $1",
            &[domain.as_str().into(), leaf_index.into(), event_id.into()],
            |row| Ok((row.int(1), row.uuid(2))),
        )
    })?;
    let same = (i64::try_from(leaf_index).ok(), Some(*event_id.as_uuid().as_bytes()));
    match stored.iter().find(|leaf| **leaf != same) {
        None => Ok(stored.is_empty()),
        Some(_) => Err(Error::new(
            sqlstate::HASH,
            format!("leaf {leaf_index} of domain {domain} is another event here"),
        )
        .detail(
            json!({"domain": domain.as_str(), "leaf_index": leaf_index, "event_id": event_id.to_string()}),
        )
        .hint("SELECT * FROM ets.compare_roots(…) says where the two databases part")),
    }
}

/// Stores the place of an event in its domain's tree.
pub fn write_leaves(domain: &DomainName, leaves: &[(u64, EventId)]) -> Result<()> {
    let mut new = (Vec::new(), Vec::new());
    for (index, event_id) in leaves {
        if is_free(domain, *index, *event_id)? {
            new.0.push(i64::try_from(*index).unwrap_or(i64::MAX));
            new.1.push(*event_id.as_uuid().as_bytes());
        }
    }
    if new.0.is_empty() {
        return Ok(());
    }
    seal::write_leaves(domain, new.0, new.1)
}

/// Whether a checkpoint is new here; not, if the same is stored already.
///
/// # Errors
/// ET002 if another one is stored under its number.
pub fn is_new(checkpoint: &Checkpoint) -> Result<bool> {
    let id = checkpoint.checkpoint_id;
    if seal::last_checkpoint(View::Latest)?.is_none_or(|last| last.checkpoint_id < id) {
        return Ok(true);
    }
    let stored = seal::checkpoint(View::Latest, id)?;
    if stored.meta_root == checkpoint.meta_root
        && stored.checkpoint_event_id == checkpoint.checkpoint_event_id
    {
        return Ok(false);
    }
    Err(differs(
        id,
        "meta_root",
        stored.meta_root.to_string().into(),
        checkpoint.meta_root.to_string().into(),
    ))
}

/// Whether a root is new here; not, if the same is stored already.
///
/// # Errors
/// ET002 if another one is stored in its place.
pub fn is_new_root(checkpoint_id: u64, root: &DomainRoot) -> Result<bool> {
    let stored = db::by_key(|| {
        db::first(
            View::Latest,
            "SELECT root.domain, root.tree_size, root.root_hash FROM ets.domain_root AS root
          WHERE root.checkpoint_id OPERATOR(pg_catalog.=) $1 AND root.domain OPERATOR(pg_catalog.=) $2",
            &[checkpoint_id.into(), Value::from(root.domain.as_str())],
            seal::root_row,
        )
    })?;
    match stored {
        None => Ok(true),
        Some(stored) if stored == *root => Ok(false),
        Some(stored) => {
            Err(differs(checkpoint_id, "root", stored.root.to_string().into(), root.root.to_string().into()))
        }
    }
}
