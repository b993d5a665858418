//! `ets.export`: the ledger, or one domain and the registry, as lines.
//!
//! Everything is read with the snapshot of the calling query. Each event is held
//! against its leaf on its way out: what was changed past the gate is refused here
//! (ET002), and need not be found by whoever imports it.

use std::collections::BTreeMap;

use ets_core::checkpoint::DomainRoot;
use ets_core::event::Event;
use ets_core::export::{ExportHeader, ExportWriter, Leaves, MAX_LEAVES, SealedCheckpoint};
use ets_core::merkle::TileSource as _;
use ets_core::name::{AUDIT, DomainName, REGISTRY};
use ets_core::trust::TrustRoot;
use serde_json::json;

use crate::api::append::no_domain;
use crate::db::{self, View};
use crate::error::{Error, Result, sqlstate};
use crate::receiver::checkpoint::stored_roots;
use crate::seal::{self, StoredTiles};
use crate::value::{Type, Value};
use crate::{keys, ledger, receiver, rows};

/// What an export shall hold.
pub struct Range {
    /// One domain beside `ets.registry`; none: all that are held.
    pub domain: Option<DomainName>,
    /// The checkpoint after which it begins; 0: the beginning.
    pub from: u64,
    /// The last checkpoint; none: the newest, and what is not sealed yet.
    pub to: Option<u64>,
}

/// Writes the lines of an export to `put`.
///
/// # Errors
/// ET011 for an unknown domain or checkpoint; ET015 without the server's key,
/// which signs the manifest; ET002 for a row that is not what was sealed.
pub fn export(range: Range, mut put: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let registry = ledger::registry(View::Query)?;
    let domain = held_part(range.domain)?;
    if let Some(domain) = domain.as_ref().filter(|domain| registry.domain(domain.as_str()).is_none()) {
        return Err(no_domain(domain));
    }
    let key = keys::server_key()?;
    let newest = seal::last_checkpoint(View::Query)?.map_or(0, |last| last.checkpoint_id);
    let to = range.to.unwrap_or(newest);
    for wanted in [range.from, to] {
        if wanted > 0 {
            seal::checkpoint(View::Query, wanted)?;
        }
    }
    if range.from > to {
        return Err(Error::parameter("from_checkpoint", "is greater than to_checkpoint"));
    }
    let (from_roots, meta_root) = match range.from {
        0 => (Vec::new(), None),
        from => {
            (seal::domain_roots(View::Query, from)?, Some(seal::checkpoint(View::Query, from)?.meta_root))
        }
    };
    let trust_root = TrustRoot::of(registry.ledger()).ok_or_else(ledger::not_initialised)?;
    let header = ExportHeader { trust_root, domain: domain.clone(), from_checkpoint: range.from, from_roots };
    let mut sizes: BTreeMap<DomainName, u64> =
        header.from_roots.iter().map(|root| (root.domain.clone(), root.tree_size)).collect();
    let (mut writer, line) = ExportWriter::begin(header.clone(), meta_root);
    put(&line)?;
    for checkpoint_id in range.from + 1..=to {
        let mut roots = stored_roots(checkpoint_id)?;
        // The registry first: it is what the other events are judged by.
        roots.sort_by_key(|(root, _)| (root.domain.as_str() != REGISTRY, root.domain.clone()));
        for (root, _) in roots.iter().filter(|(root, _)| header.covers(&root.domain)) {
            let size = sizes.entry(root.domain.clone()).or_default();
            export_leaves(&mut writer, root, *size, &mut put)?;
            *size = root.tree_size;
        }
        roots.sort_by(|(one, _), (other, _)| one.domain.cmp(&other.domain));
        let row = seal::checkpoint(View::Query, checkpoint_id)?;
        put(&writer.checkpoint(&SealedCheckpoint {
            checkpoint_id,
            checkpoint_event_id: row.checkpoint_event_id,
            meta_root: row.meta_root,
            created_at: row.created_at,
            roots,
        }))?;
    }
    if range.to.is_none() {
        export_unsealed(&mut writer, domain.as_ref(), &mut put)?;
    }
    put(&writer.finish(&key))
}

/// What of `wanted` is held here: a database that received one domain has no other.
fn held_part(wanted: Option<DomainName>) -> Result<Option<DomainName>> {
    match (receiver::held_domain()?, wanted) {
        (None, wanted) => Ok(wanted),
        (Some(held), None) => Ok(Some(held)),
        (Some(held), Some(wanted)) if receiver::holds(Some(&held), wanted.as_str()) => Ok(Some(wanted)),
        (Some(_), Some(wanted)) => Err(no_domain(&wanted)),
    }
}

/// The leaves of a tree from `from` on, and their events.
fn export_leaves(
    writer: &mut ExportWriter,
    root: &DomainRoot,
    from: u64,
    put: &mut impl FnMut(&str) -> Result<()>,
) -> Result<()> {
    const WIDTH: u64 = MAX_LEAVES as u64;
    let mut tiles = StoredTiles { domain: &root.domain, view: View::Query };
    let mut first = from;
    while first < root.tree_size {
        pgrx::check_for_interrupts!();
        // No further than the tile goes in which the first one lies.
        let end = root.tree_size.min((first / WIDTH + 1) * WIDTH);
        let within =
            usize::try_from(first % WIDTH).unwrap_or(0)..usize::try_from((end - 1) % WIDTH).unwrap_or(0) + 1;
        db::in_scratch(|| {
            let hashes = tiles.tile(0, first / WIDTH)?;
            let hashes = hashes
                .get(within)
                .ok_or_else(|| seal::broken_tree(&root.domain, "a tile lacks hashes"))?
                .to_vec();
            let events = events_of(&root.domain, first, end)?;
            if events.len() != hashes.len() {
                return Err(seal::broken_tree(&root.domain, "a leaf has no event"));
            }
            if let Some((event, _)) = events
                .iter()
                .zip(&hashes)
                .find(|(event, hash)| event.header.leaf_hash() != **hash || !event.check_hash())
            {
                return Err(changed(event));
            }
            put(&writer.leaves(&Leaves { domain: root.domain.clone(), first, hashes }))?;
            events.iter().try_for_each(|event| put(&writer.event(event)))
        })?;
        first = end;
    }
    Ok(())
}

fn events_of(domain: &DomainName, first: u64, end: u64) -> Result<Vec<Event>> {
    db::by_key(|| {
        db::query(
            View::Query,
            crate::select_events_of_leaves!("event.payload"),
            &[domain.as_str().into(), first.into(), end.into()],
            rows::event,
        )
    })
}

/// What no seal has taken in yet: the registry, then each domain by id, the
/// server's statements last.
fn export_unsealed(
    writer: &mut ExportWriter,
    domain: Option<&DomainName>,
    put: &mut impl FnMut(&str) -> Result<()>,
) -> Result<()> {
    const BATCH: std::ffi::c_long = 256;
    db::scan(
        View::Query,
        crate::select_events!(
            "WHERE NOT EXISTS (SELECT FROM ets.merkle_leaf AS leaf
                                WHERE leaf.event_id OPERATOR(pg_catalog.=) event.event_id
                                  AND leaf.domain OPERATOR(pg_catalog.=) event.domain)
               AND ($1 IS NULL OR event.domain OPERATOR(pg_catalog.=) $1 OR event.domain OPERATOR(pg_catalog.=) $2)
             ORDER BY event.domain OPERATOR(pg_catalog.<>) $2, event.domain OPERATOR(pg_catalog.=) $3,
                      event.domain USING OPERATOR(pg_catalog.<), event.event_id USING OPERATOR(pg_catalog.<)"
        ),
        &[Value::or_null(domain.map(DomainName::as_str), Type::Text), REGISTRY.into(), AUDIT.into()],
        BATCH,
        |row| {
            let event = rows::event(row)?;
            if event.check_hash() { put(&writer.event(&event)) } else { Err(changed(&event)) }
        },
    )
}

fn changed(event: &Event) -> Error {
    let header = &event.header;
    Error::new(sqlstate::HASH, format!("event {} is not what was hashed and sealed", header.event_id))
        .detail(json!({
            "event_id": header.event_id.to_string(), "domain": header.domain.as_str(),
            "stream": header.stream.as_str(), "sequence": header.sequence,
        }))
        .hint("the row was changed past the gate; run ets.verify_ledger() to see what else was")
}
