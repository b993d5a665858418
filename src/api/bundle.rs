//! Proof bundles and stream bundles: what somebody without a database needs to
//! verify an event, or a whole stream.

use std::ffi::c_long;

use ets_core::bundle::{
    self, BUNDLE_LIMITS, Evidence, Inclusion, ProofBundle, RegistryEntry, RegistryPart, StreamBundle,
};
use ets_core::event::{Event, Header};
use ets_core::merkle;
use ets_core::name::{DomainName, MAIN, REGISTRY, SchemaVersion, StreamName};
use ets_core::registry::Registry;
use ets_core::trust::TrustRoot;
use serde_json::json;

use crate::api::append::no_domain;
use crate::api::forest::{self, inclusion};
use crate::db::{self, View};
use crate::error::{Error, Result, sqlstate};
use crate::function::Call;
use crate::seal::{self, Checkpoint, StoredTiles, tree_error};
use crate::value::Value;
use crate::{events, ledger, rows};

crate::sql_functions! {
    ets_proof_bundle pg_finfo_ets_proof_bundle => proof_bundle;
    ets_stream_bundle pg_finfo_ets_stream_bundle => stream_bundle;
}

fn proof_bundle(call: &Call) -> Result<Value> {
    let id = call.required_event_id(0, "event_id")?;
    let registry = ledger::registry(View::Query)?;
    let event = events::by_id(View::Query, id)?;
    let needed = [event.header.schema_version.clone()];
    let evidence = evidence(&registry, &event.header, &needed, event.header.registry_version)?;
    require_intact(&event)?;
    bundle_value(ProofBundle { event, evidence }.to_jcs())
}

/// The stream as the last checkpoint has it: what has come since is not proved
/// yet, and left out.
fn stream_bundle(call: &Call) -> Result<Value> {
    let domain: DomainName = call.required_text(0, "domain")?.parse()?;
    let stream: StreamName = call.required_text(1, "stream")?.parse()?;
    let registry = ledger::registry(View::Query)?;
    if registry.domain(domain.as_str()).is_none() {
        return Err(no_domain(&domain));
    }
    let events = sealed_events(&domain, &stream)?;
    let Some(last) = events.last() else { return Err(nothing_sealed(&domain, &stream)?) };
    let mut needed: Vec<SchemaVersion> =
        events.iter().map(|event| event.header.schema_version.clone()).collect();
    needed.sort();
    needed.dedup();
    let greatest = events.iter().map(|event| event.header.registry_version).max().unwrap_or(0);
    let evidence = evidence(&registry, &last.header, &needed, greatest)?;
    bundle_value(StreamBundle { events, evidence }.to_jcs())
}

/// Everything in a bundle but its events: the proof of the event of `header`, and
/// the registry up to `registry_version` or as far as the proof itself needs it.
///
/// # Errors
/// As [`inclusion`].
pub fn evidence(
    registry: &Registry,
    header: &Header,
    needed: &[SchemaVersion],
    registry_version: u64,
) -> Result<Evidence> {
    let proof = inclusion(View::Query, header.event_id.as_uuid().as_bytes(), None)?;
    let registry_size =
        forest::tree_size(View::Query, proof.checkpoint.checkpoint_id, &DomainName::registry())?;
    let part_size = RegistryPart::size_for(registry, header, registry_size).max(registry_version);
    Ok(Evidence {
        trust_root: TrustRoot::of(registry.ledger()).ok_or_else(ledger::not_initialised)?,
        inclusion: Inclusion { leaf_index: proof.leaf_index, path: proof.path },
        checkpoint: checkpoint(&proof.checkpoint, &header.domain)?,
        registry: registry_part(part_size, registry_size, needed)?,
    })
}

/// A checkpoint with its roots and the note of one domain.
fn checkpoint(row: &Checkpoint, domain: &DomainName) -> Result<bundle::Checkpoint> {
    let stored = forest::stored_root(View::Query, row.checkpoint_id, domain)?;
    Ok(bundle::Checkpoint {
        checkpoint_id: row.checkpoint_id,
        checkpoint_event_id: row.checkpoint_event_id,
        meta_root: row.meta_root,
        domain_roots: seal::domain_roots(View::Query, row.checkpoint_id)?,
        note: stored.and_then(|stored| stored.note),
    })
}

/// The registry's first `size` events, and the proof that they begin its tree of
/// `tree_size` leaves.
fn registry_part(size: u64, tree_size: u64, needed: &[SchemaVersion]) -> Result<RegistryPart> {
    let events = db::query(
        View::Query,
        crate::select_events!(
            "WHERE event.domain OPERATOR(pg_catalog.=) $1 AND event.stream OPERATOR(pg_catalog.=) $2
            AND event.sequence OPERATOR(pg_catalog.<=) $3
          ORDER BY event.sequence USING OPERATOR(pg_catalog.<)"
        ),
        &[REGISTRY.into(), MAIN.into(), size.into()],
        |row| Ok(RegistryEntry::for_bundle(rows::event(row)?, needed)),
    )?;
    let domain = DomainName::registry();
    let consistency =
        merkle::consistency_proof(&mut StoredTiles { domain: &domain, view: View::Query }, size, tree_size)
            .map_err(|error| tree_error(&domain, error))?;
    Ok(RegistryPart { events, consistency })
}

/// The events of a stream that the last checkpoint holds. They are the first
/// ones: appends to one stream commit in order.
fn sealed_events(domain: &DomainName, stream: &StreamName) -> Result<Vec<Event>> {
    const BATCH: c_long = 1000;
    let Some(last) = seal::last_checkpoint(View::Query)? else { return Ok(Vec::new()) };
    let tree_size = forest::tree_size(View::Query, last.checkpoint_id, domain)?;
    let mut bytes = 0;
    let mut events = Vec::new();
    db::scan(
        View::Query,
        crate::select_events!(
            "JOIN ets.merkle_leaf AS leaf
             ON leaf.event_id OPERATOR(pg_catalog.=) event.event_id
            AND leaf.domain OPERATOR(pg_catalog.=) event.domain
          WHERE event.domain OPERATOR(pg_catalog.=) $1 AND event.stream OPERATOR(pg_catalog.=) $2
            AND leaf.leaf_index OPERATOR(pg_catalog.<) $3
          ORDER BY event.sequence USING OPERATOR(pg_catalog.<)"
        ),
        &[domain.as_str().into(), stream.as_str().into(), tree_size.into()],
        BATCH,
        |row| {
            let event = rows::event(row)?;
            require_intact(&event)?;
            bytes += event.payload.canonical().len();
            if bytes > BUNDLE_LIMITS.max_bytes {
                return Err(too_large(bytes));
            }
            events.push(event);
            Ok(())
        },
    )?;
    Ok(events)
}

/// ET012 if the stream has events, ET011 if it has none.
fn nothing_sealed(domain: &DomainName, stream: &StreamName) -> Result<Error> {
    let found = db::first(
        View::Query,
        "SELECT true FROM ets.ledger_event AS event
          WHERE event.domain OPERATOR(pg_catalog.=) $1 AND event.stream OPERATOR(pg_catalog.=) $2 LIMIT 1",
        &[domain.as_str().into(), stream.as_str().into()],
        |_| Ok(()),
    )?;
    if found.is_none() {
        return Ok(no_stream(domain, stream));
    }
    Ok(Error::new(sqlstate::NOT_SEALED, format!("no event of stream {domain}/{stream} is sealed yet"))
        .detail(json!({"domain": domain.as_str(), "stream": stream.as_str()}))
        .hint("SELECT * FROM ets.seal(), or wait for the next scheduled seal"))
}

/// `ET011` for a stream that has no event.
pub fn no_stream(domain: &DomainName, stream: &StreamName) -> Error {
    Error::new(sqlstate::NOT_FOUND, format!("no stream {stream} in domain {domain}"))
        .detail(json!({"domain": domain.as_str(), "stream": stream.as_str()}))
        .hint("ets.streams lists those there are")
}

/// A changed row is refused here, so that nobody hands on a bundle that proves
/// nothing.
fn require_intact(event: &Event) -> Result<()> {
    let id = event.header.event_id;
    if event.payload.is_stored_form() && event.check_hash() && event.header.check_key_id() {
        return Ok(());
    }
    Err(Error::new(sqlstate::HASH, format!("event {id} does not hash to its current_hash"))
        .detail(json!({"event_id": id.to_string(), "computed": event.computed_hash().to_string()}))
        .hint("the row was changed past the gate; run ets.verify_ledger() to see what else was"))
}

fn bundle_value(text: String) -> Result<Value> {
    if text.len() > BUNDLE_LIMITS.max_bytes { Err(too_large(text.len())) } else { Ok(Value::Json(text)) }
}

fn too_large(bytes: usize) -> Error {
    let limit = BUNDLE_LIMITS.max_bytes;
    Error::new(
        sqlstate::LIMIT,
        format!("the bundle would have {bytes} bytes or more, and verifiers read {limit}"),
    )
    .detail(json!({"bytes": bytes, "limit": limit}))
    .hint("ets.proof_bundle proves single events; an auditor pulls a long stream event by event")
}
