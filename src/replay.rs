//! Replay: the states of a domain's streams, from their events.
//!
//! Streams come one after the other in the order of their names' bytes, so that
//! memory holds one batch of events and one state, however many there are. What
//! is read is what the calling query sees. ets-core judges each event as it
//! passes; here its signatures are verified, a batch at a time, on several cores.

use ets_core::event::{Event, EventId};
use ets_core::key;
use ets_core::name::{DomainName, StreamName};
use ets_core::registry::Registry;
use ets_core::replay::StreamReplay;
use ets_core::verify::{Finding, FindingClass};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::db::{self, Row, View};
use crate::error::Result;
use crate::value::{Type, Value};
use crate::{gucs, rows, threads};

/// A stream's state and the sequence of the last event in it.
pub struct Replayed {
    /// The stream.
    pub stream: StreamName,
    /// The sequence of its last event.
    pub sequence: u64,
    /// The state after that; none if it could not be known, which a finding says.
    pub state: Option<Json>,
}

/// Which events are replayed, and how.
pub struct Scope<'a> {
    /// The domain.
    pub domain: &'a DomainName,
    /// One stream of it; all without one.
    pub stream: Option<&'a StreamName>,
    /// Up to the greatest id that is not above this. Ids increase in each stream,
    /// so in that event's own stream it is the last.
    pub until: Option<EventId>,
    /// Whether signatures are verified too.
    pub signatures: bool,
}

/// Replays from the first events. Findings go to `wrong`, which may end it; each
/// stream goes to `done` once its last event has passed. The number of events.
pub fn from_genesis(
    registry: &Registry,
    scope: &Scope<'_>,
    mut wrong: impl FnMut(Finding) -> Result<()>,
    mut done: impl FnMut(Replayed) -> Result<()>,
) -> Result<u64> {
    let mut replay = StreamReplay::new(registry).trusting_signatures();
    let mut running: Option<StreamName> = None;
    let mut events = 0;
    let mut findings = Vec::new();
    let each = |batch: &[Row]| {
        let batch: Vec<Result<Event>> = batch.iter().map(rows::event).collect();
        let bad = if scope.signatures { bad_signatures(&batch) } else { Vec::new() };
        for (place, event) in batch.into_iter().enumerate() {
            let event = event?;
            if running.as_ref() != Some(&event.header.stream)
                && let Some(stream) = running.replace(event.header.stream.clone())
            {
                done(Replayed { stream, sequence: replay.sequence(), state: replay.take_state() })?;
            }
            events += 1;
            if !event.payload.is_stored_form() {
                wrong(about(&event, "payload", "the stored payload is not its canonical value"))?;
            }
            if bad.binary_search(&place).is_ok() {
                wrong(about(&event, "signature", "the signature is not this key's over current_hash"))?;
            }
            replay.push(&event, &mut findings);
            findings.drain(..).try_for_each(&mut wrong)?;
        }
        Ok(())
    };
    let (domain, until) = (scope.domain.as_str().into(), Value::or_null(scope.until, Type::Uuid));
    // Two statements, so that the index leads straight to the one stream.
    match scope.stream {
        None => db::scan_batches(
            View::Query,
            crate::select_events!(
                "WHERE event.domain OPERATOR(pg_catalog.=) $1
                   AND ($2 IS NULL OR event.event_id OPERATOR(pg_catalog.<=) $2)
                 ORDER BY event.domain USING OPERATOR(pg_catalog.<), event.stream USING OPERATOR(pg_catalog.<),
                          event.sequence USING OPERATOR(pg_catalog.<)"
            ),
            &[domain, until],
            BATCH,
            each,
        ),
        Some(stream) => db::scan_batches(
            View::Query,
            crate::select_events!(
                "WHERE event.domain OPERATOR(pg_catalog.=) $1 AND event.stream OPERATOR(pg_catalog.=) $3
                   AND ($2 IS NULL OR event.event_id OPERATOR(pg_catalog.<=) $2)
                 ORDER BY event.sequence USING OPERATOR(pg_catalog.<)"
            ),
            &[domain, until, stream.as_str().into()],
            BATCH,
            each,
        ),
    }?;
    if let Some(stream) = running {
        done(Replayed { stream, sequence: replay.sequence(), state: replay.take_state() })?;
    }
    Ok(events)
}

/// How many events are read at once.
const BATCH: std::ffi::c_long = 1024;

/// The places of the events whose signature does not verify, in ascending order.
/// A public key that could not be registered verifies nothing.
fn bad_signatures(batch: &[Result<Event>]) -> Vec<usize> {
    const WORTH_A_THREAD: usize = 32;
    let threads = gucs::worker_threads().min(batch.len() / WORTH_A_THREAD).max(1);
    threads::all_where(batch, threads, |event| {
        event.as_ref().is_ok_and(|event| {
            let header = &event.header;
            !key::verify_strict(&header.public_key, header.current_hash.as_bytes(), &header.signature.0)
        })
    })
}

fn about(event: &Event, check: &'static str, detail: &str) -> Finding {
    let header = &event.header;
    Finding {
        class: FindingClass::Tampering,
        domain: Some(header.domain.to_string()),
        stream: Some(header.stream.to_string()),
        sequence: i64::try_from(header.sequence).ok(),
        event_id: Some(Uuid::from_bytes(*header.event_id.as_uuid().as_bytes())),
        check,
        expected: None,
        actual: None,
        detail: detail.to_owned(),
    }
}
