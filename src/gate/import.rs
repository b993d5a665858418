//! The gate's import mode: an event that was admitted elsewhere brings its
//! server-assigned fields along, and they are verified instead of assigned.
//!
//! The checks are the gate's, in its order, with authority and schema as of the
//! event's own `registry_version`. Left out are what only the admitting database
//! could judge: its settings, rules that are SQL functions, and a new schema
//! against its history.

use std::sync::Arc;

use ets_core::event::{Event, Header};
use ets_core::name::SchemaVersion;
use ets_core::registry::{Registry, Request};
use serde_json::{Value as Json, json};

use super::semantics::{self, Subject};
use super::{check_signature, head_moved, is_registry, register, route_error};
use crate::db::{self, View};
use crate::error::{Error, Result, sqlstate};
use crate::receiver::{self, Receiver};
use crate::transaction::{self, Head};
use crate::{events, heads, ledger};

/// What became of an event that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It passed, and its stream's head has moved on: the row must follow.
    New,
    /// The same event is stored already.
    Stored,
}

/// Judges an event that arrives.
///
/// # Errors
/// As the gate's, and ET010 for a server-assigned field that cannot be right;
/// ET013 where nothing is received.
pub fn admit(event: &Event) -> Result<Arrival> {
    let header = &event.header;
    let receiver = receiver::require(&header.domain)?;
    if let Some(stored) = db::by_key(|| events::find(View::Latest, header.event_id))? {
        return if stored == *event { Ok(Arrival::Stored) } else { Err(stored_otherwise(header)) };
    }
    check_bytes(event)?;
    match ledger::registry_if_begun(View::Latest)? {
        None => admit_first(event, &receiver)?,
        Some(registry) => {
            judge(&registry, event)?;
            place(Some(&registry), event)?;
        }
    }
    Ok(Arrival::New)
}

/// Step 4, and the key's id: what an event says about itself.
fn check_bytes(event: &Event) -> Result<()> {
    let header = &event.header;
    let computed = event.computed_hash();
    if computed != header.current_hash {
        return Err(Error::new(sqlstate::HASH, "current_hash is not the hash of payload and previous_hash")
            .detail(json!({"event_id": header.event_id.to_string(), "computed": computed.to_string()}))
            .hint("the event was changed on its way, or where it comes from"));
    }
    if !header.check_key_id() {
        return Err(wrong(header, "key_id", "the SHA-256 of public_key".into()));
    }
    check_signature(&header.public_key, &header.current_hash, &header.signature)
        .map_err(|error| of_event(error, header))
}

/// Steps 2, 3 and 5, at the event's own registry version.
fn judge(registry: &Registry, event: &Event) -> Result<()> {
    let header = &event.header;
    let version = header.registry_version;
    if version > registry.version() {
        return Err(wrong(header, "registry_version", format!("at most {}", registry.version())));
    }
    let schema = registry.schema_at(&header.schema_version, version)?;
    let payload = event.payload.value();
    schema.check_pointer(payload).map_err(route_error)?;
    if schema.domain != header.domain {
        return Err(wrong(header, "domain", schema.domain.to_string()));
    }
    let stream = schema.stream_of(payload).map_err(route_error)?;
    if stream != header.stream {
        return Err(wrong(header, "stream", stream.to_string()));
    }
    registry.authorize(version, &Request::of(header)).map_err(|denial| of_event(denial.into(), header))?;
    Subject::admitted(registry, schema, event)?.check_offline().map_err(|error| of_event(error, header))
}

/// The ledger's first event must be the one that `ets.join` was given.
fn admit_first(event: &Event, receiver: &Receiver) -> Result<()> {
    let header = &event.header;
    if header.current_hash != receiver.first_hash {
        return Err(Error::new(sqlstate::FIELD, "the first event is not the one that ets.join was given")
            .detail(json!({"expected": receiver.first_hash.to_string(), "actual": header.current_hash.to_string()}))
            .hint("this is another ledger's, or not its beginning"));
    }
    let first: SchemaVersion = "ets.ledger/1.0.0".parse()?;
    if header.schema_version != first || header.registry_version != 0 {
        return Err(wrong(header, "registry_version", "0".into()));
    }
    place(None, event)
}

/// Steps 6 to 8: the head is locked, compared with what the event says of its
/// place, and moved on.
fn place(registry: Option<&Arc<Registry>>, event: &Event) -> Result<()> {
    let header = &event.header;
    let mut head = heads::lock(&header.domain, &header.stream)?;
    check_place(header, &head)?;
    if let Some(registry) = registry {
        judge_on_state(registry, event, &mut head)?;
    }
    if is_registry(&header.domain) {
        register(event)?;
    }
    let moved = Head {
        sequence: header.sequence,
        hash: header.current_hash,
        last_event_id: Some(header.event_id),
        last_timestamp: header.timestamp,
        registry_version: header.registry_version,
        dirty: true,
        ..head
    };
    transaction::remember_head(&header.domain, &header.stream, moved);
    Ok(())
}

fn check_place(header: &Header, head: &Head) -> Result<()> {
    if header.previous_hash != head.hash {
        return Err(of_event(head_moved(&header.domain, &header.stream, head), header));
    }
    if header.sequence != head.sequence + 1 {
        return Err(wrong(header, "sequence", (head.sequence + 1).to_string()));
    }
    if let Some(last) = head.last_event_id.filter(|last| header.event_id <= *last) {
        return Err(wrong(header, "event_id", format!("greater than {last}")));
    }
    if header.timestamp < head.last_timestamp {
        return Err(wrong(header, "timestamp", format!("at least {}", head.last_timestamp)));
    }
    if header.registry_version < head.registry_version {
        return Err(wrong(header, "registry_version", format!("at least {}", head.registry_version)));
    }
    Ok(())
}

/// Step 7. A state is kept from the registry version on from which the admitting
/// database kept it.
fn judge_on_state(registry: &Registry, event: &Event, head: &mut Head) -> Result<()> {
    let header = &event.header;
    let schema = registry.schema_at(&header.schema_version, header.registry_version)?;
    let subject = Subject::admitted(registry, schema, event)?;
    let since = registry.keeps_state_since(&header.domain);
    if since.is_some_and(|since| since <= header.registry_version) {
        let before = semantics::state_before(registry, &header.domain, &header.stream, head)?;
        subject.check_with_head(header.sequence, &before).map_err(|error| of_event(error, header))?;
        head.state = Some(subject.next_state(header.sequence, &before)?);
    } else if subject.needs_head() {
        subject.check_with_head(header.sequence, &Json::Null).map_err(|error| of_event(error, header))?;
    }
    Ok(())
}

/// ET010 for a field that the admitting database cannot have assigned.
fn wrong(header: &Header, field: &str, expected: String) -> Error {
    Error::new(sqlstate::FIELD, format!("the {field} of event {} is not possible here", header.event_id))
        .detail(json!({
            "event_id": header.event_id.to_string(), "domain": header.domain.as_str(),
            "stream": header.stream.as_str(), "sequence": header.sequence, "field": field, "expected": expected,
        }))
        .hint("events of a stream arrive whole, in their order, and as they were admitted")
}

fn stored_otherwise(header: &Header) -> Error {
    Error::new(sqlstate::FIELD, format!("another event is stored under the id {}", header.event_id))
        .detail(json!({"event_id": header.event_id.to_string(), "domain": header.domain.as_str()}))
        .hint("one of the two was changed: run ets.verify_ledger() in both databases")
}

fn of_event(error: Error, header: &Header) -> Error {
    error
        .with_detail_member("event_id", header.event_id.to_string().into())
        .with_detail_member("domain", header.domain.as_str().into())
        .with_detail_member("stream", header.stream.as_str().into())
        .with_detail_member("sequence", header.sequence.into())
}
