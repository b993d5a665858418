//! Steps 6 to 8 of the gate: the head is locked, compared and moved on, what depends on it
//! is judged, and the event gets what is the server's to assign.

use std::sync::Arc;

use ets_core::event::{Event, EventId, Header};
use ets_core::registry::Registry;
use ets_core::time::Timestamp;
use serde_json::{Value as Json, json};

use super::{IdChoice, Inspected, authorize, head_moved, is_registry, register, schema_of, semantics};
use crate::db::View;
use crate::error::{Error, Result, sqlstate};
use crate::transaction::{self, Head};
use crate::{clock, events, heads, ledger};

/// The event as it will be stored, beside its payload. Its stream's head is locked,
/// compared and moved on; the row must follow in the same statement.
pub fn place(inspected: &Inspected) -> Result<Header> {
    if let IdChoice::Client(id) = inspected.candidate.event_id {
        check_clock_skew(id)?;
    }
    let at_once = if inspected.is_plain() && !transaction::has_head(&inspected.domain, &inspected.stream) {
        let judge = inspected.judge.as_ref();
        heads::advance_at_once(&heads::Next {
            domain: &inspected.domain,
            stream: &inspected.stream,
            previous_hash: inspected.candidate.previous_hash,
            current_hash: inspected.current_hash,
            event_id: match inspected.candidate.event_id {
                IdChoice::Server(id) | IdChoice::Client(id) => id,
            },
            timestamp: inspected.judged_at,
            registry_version: judge.map_or(0, |judge| judge.registry.version()),
        })?
    } else {
        None
    };
    let (header, head) = match at_once {
        Some(head) => follow_registry(inspected, head)?,
        None => advance(inspected)?,
    };
    transaction::remember_head(&header.domain, &header.stream, head);
    Ok(header)
}

/// Steps 7 and 8 after a head that moved at once: nothing of it is kept if one of
/// them refuses.
fn follow_registry(inspected: &Inspected, mut head: Head) -> Result<(Header, Head)> {
    let timestamp = head.last_timestamp;
    let registry = judge_again(inspected, timestamp)?;
    if let (true, Some(registry)) = (inspected.needs_head(), &registry) {
        inspected.subject(registry)?.check_with_head(head.sequence, &Json::Null)?;
    }
    let version = version_of(registry.as_deref());
    if version != head.registry_version {
        head.registry_version = version;
        head.dirty = true;
    }
    let event_id = head.last_event_id.ok_or_else(ledger::not_initialised)?;
    check_still_free(inspected, event_id)?;
    Ok((inspected.header(head.sequence, event_id, timestamp, version), head))
}

/// Steps 6 to 8 under the head's lock.
fn advance(inspected: &Inspected) -> Result<(Header, Head)> {
    let mut head = heads::lock(&inspected.domain, &inspected.stream)?;
    if head.hash != inspected.candidate.previous_hash {
        return Err(head_moved(&inspected.domain, &inspected.stream, &head));
    }
    let event_id = next_id(inspected.candidate.event_id, head.last_event_id)?;
    check_still_free(inspected, event_id)?;
    let timestamp = inspected.judged_at.max(head.last_timestamp);
    let registry = judge_again(inspected, timestamp)?;
    let sequence = head.sequence + 1;
    if let Some(registry) = &registry {
        judge_on_state(inspected, registry, sequence, &mut head)?;
    }
    let version = version_of(registry.as_deref());
    let header = inspected.header(sequence, event_id, timestamp, version);
    if is_registry(&header.domain) {
        register(&Event { header: header.clone(), payload: inspected.payload().clone() })?;
    }
    head.sequence = sequence;
    head.hash = header.current_hash;
    head.last_event_id = Some(event_id);
    head.last_timestamp = timestamp;
    head.registry_version = version;
    head.dirty = true;
    Ok((header, head))
}

impl Inspected {
    /// Whether the head can move on before the event is looked at again: not in
    /// the registry, whose next event depends on its last, nor where a state is
    /// kept, nor for the ledger's first event.
    fn is_plain(&self) -> bool {
        self.judge
            .as_ref()
            .is_some_and(|judge| !is_registry(&self.domain) && !judge.registry.keeps_state(&self.domain))
    }

    /// Whether its schema has rules that only step 7 can judge.
    fn needs_head(&self) -> bool {
        self.judge.as_ref().is_some_and(|judge| judge.schema.rules.needs_head())
    }

    fn header(
        &self,
        sequence: u64,
        event_id: EventId,
        timestamp: Timestamp,
        registry_version: u64,
    ) -> Header {
        let candidate = &self.candidate;
        Header {
            event_id,
            domain: self.domain.clone(),
            stream: self.stream.clone(),
            sequence,
            schema_version: candidate.schema_version.clone(),
            key_id: self.key_id,
            public_key: candidate.public_key,
            previous_hash: candidate.previous_hash,
            current_hash: self.current_hash,
            signature: candidate.signature,
            timestamp,
            registry_version,
        }
    }
}

/// Step 7: the rules that need the head, and the state after this event where the
/// domain keeps one.
fn judge_on_state(inspected: &Inspected, registry: &Registry, sequence: u64, head: &mut Head) -> Result<()> {
    let keeps_state = registry.keeps_state(&inspected.domain);
    if !keeps_state && !inspected.needs_head() {
        return Ok(());
    }
    let subject = inspected.subject(registry)?;
    let before = if keeps_state {
        semantics::state_before(registry, &inspected.domain, &inspected.stream, head)?
    } else {
        Json::Null
    };
    subject.check_with_head(sequence, &before)?;
    if keeps_state {
        head.state = Some(subject.next_state(sequence, &before)?);
    }
    Ok(())
}

/// Step 3 again, if the registry has moved since or the time is another one: the
/// registry that the event is judged against; none for the ledger's first event.
fn judge_again(inspected: &Inspected, timestamp: Timestamp) -> Result<Option<Arc<Registry>>> {
    let Some(judge) = &inspected.judge else { return Ok(None) };
    let registry = ledger::registry(View::Latest)?;
    if registry.version() != judge.registry.version() || timestamp != inspected.judged_at {
        let candidate = &inspected.candidate;
        schema_of(&registry, &candidate.schema_version)?;
        authorize(&registry, candidate, inspected.key_id, &inspected.domain, &inspected.stream, timestamp)?;
    }
    Ok(Some(registry))
}

fn version_of(registry: Option<&Registry>) -> u64 {
    registry.map_or(0, Registry::version)
}

fn next_id(choice: IdChoice, last: Option<EventId>) -> Result<EventId> {
    match (choice, last) {
        (IdChoice::Server(id), Some(last)) if id <= last => last
            .successor()
            .ok_or_else(|| Error::new(sqlstate::FIELD, "the stream has used up all event ids")),
        (IdChoice::Client(id), Some(last)) if id <= last => {
            Err(Error::new(sqlstate::FIELD, format!("event_id {id} is not greater than the stream's last"))
                .detail(json!({"event_id": id.to_string()}))
                .hint("leave event_id out, or make a new UUID version 7"))
        }
        (IdChoice::Server(id) | IdChoice::Client(id), _) => Ok(id),
    }
}

fn check_clock_skew(id: EventId) -> Result<()> {
    let now = clock::unix_millis();
    let skew = crate::gucs::max_clock_skew_millis();
    if id.unix_millis().abs_diff(now) <= skew {
        return Ok(());
    }
    Err(Error::new(sqlstate::FIELD, format!("event_id {id} states a time too far from now"))
        .detail(json!({"event_id": id.to_string(), "max_clock_skew_seconds": skew / 1000}))
        .hint("make the id when the event happens, or leave it out; ets.max_clock_skew is the limit"))
}

/// An id that a client chose is looked up again under the head's lock.
fn check_still_free(inspected: &Inspected, id: EventId) -> Result<()> {
    match inspected.candidate.event_id {
        IdChoice::Client(_) if events::exists(id)? => Err(events::taken(id)),
        _ => Ok(()),
    }
}
