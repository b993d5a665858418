//! Replay: the states of a domain's streams, from their events.
//!
//! Streams come one after the other in the order of their names' bytes, so that
//! memory holds a few batches of events and one state, however many there are. What
//! is read is what the calling query sees. What ets-core can say of an event alone
//! it says on several cores; then it judges each on the state before it.

use ets_core::event::EventId;
use ets_core::name::{DomainName, StreamName};
use ets_core::registry::Registry;
use ets_core::replay::StreamReplay;
use ets_core::verify::{Finding, Inspected, Inspector};
use serde_json::Value as Json;

use crate::conveyor::with_conveyor;
use crate::db::{self, Row, View};
use crate::error::{Error, Result};
use crate::gucs;
use crate::value::{Type, Value};
use crate::verification::{Batch, StoredRow};

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
    let threads = gucs::worker_threads().max(1);
    let inspectors = (0..threads).map(|_| {
        let inspector = Inspector::new(Some(registry)).replaying();
        if scope.signatures { inspector } else { inspector.trusting_signatures() }
    });
    let inspect = |inspector: &mut Inspector, rows: Vec<StoredRow>| -> Vec<Inspected> {
        inspector.inspect_each(&rows.iter().map(StoredRow::raw).collect::<Vec<_>>())
    };
    with_conveyor(inspectors.collect(), inspect, |belt| {
        let mut replay = StreamReplay::new(registry);
        let mut running: Option<StreamName> = None;
        let mut findings = Vec::new();
        let mut events = 0;
        let mut each = |rows: Vec<Inspected>| {
            for row in rows {
                let stream = row.stream().map(|(_, stream)| stream);
                if let Some(stream) =
                    stream.filter(|stream| running.as_ref().is_none_or(|at| at.as_str() != *stream))
                    && let Ok(stream) = stream.parse()
                    && let Some(stream) = running.replace(stream)
                {
                    done(Replayed { stream, sequence: replay.sequence(), state: replay.take_state() })?;
                }
                events += 1;
                replay.push_inspected(row, &mut findings);
                findings.drain(..).try_for_each(&mut wrong)?;
            }
            Ok::<(), Error>(())
        };
        let mut batch = Batch::default();
        read(scope, |row| {
            if let Some(rows) = batch.push(StoredRow::of(row)) {
                belt.put(rows);
                while let Some(rows) = belt.take() {
                    each(rows)?;
                }
            }
            Ok(())
        })?;
        belt.put(batch.take());
        while let Some(rows) = belt.take_last() {
            each(rows)?;
        }
        if let Some(stream) = running {
            done(Replayed { stream, sequence: replay.sequence(), state: replay.take_state() })?;
        }
        Ok(events)
    })
}

/// Reads the rows of a scope, stream by stream.
fn read(scope: &Scope<'_>, each: impl FnMut(&Row) -> Result<()>) -> Result<()> {
    let (domain, until) = (scope.domain.as_str().into(), Value::or_null(scope.until, Type::Uuid));
    // Two statements, so that the index leads straight to the one stream.
    match scope.stream {
        None => db::scan(
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
        Some(stream) => db::scan(
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
    }
}

/// How many events are read at once.
const BATCH: std::ffi::c_long = 1024;
