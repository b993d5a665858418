//! The events, stream by stream.

use std::ffi::c_long;

use ets_core::name::{DomainName, StreamName};
use ets_core::verify::{
    ChainVerifier, Finding, FindingClass, Inspected, Inspector, RawEvent, RegistryVerifier, VerifiedRegistry,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::stored::StoredRow;
use super::{Findings, finding};
use crate::conveyor::with_conveyor;
use crate::db::{self, Row, View};
use crate::error::Result;
use crate::gucs;
use crate::value::{Type, Value};

/// Rows read at once.
pub const BATCH: c_long = 500;

/// Verifies and folds the registry's own events.
pub fn registry(ledger_id: Uuid, findings: &mut Findings) -> Result<VerifiedRegistry> {
    let mut verifier = RegistryVerifier::new(ledger_id);
    let mut has_events = false;
    db::scan(
        View::Query,
        crate::select_events!(
            "WHERE event.domain = 'ets.registry' AND event.stream = 'main'
          ORDER BY event.sequence"
        ),
        &[],
        BATCH,
        |row| {
            has_events = true;
            // To the end, even with no room for findings: all else is judged by it.
            findings.collect(|found| verifier.push_raw(&StoredRow::of(row).raw(), found));
            Ok(())
        },
    )?;
    let verified = verifier.finish();
    if !has_events {
        findings.add(Finding {
            domain: Some("ets.registry".into()),
            stream: Some("main".into()),
            sequence: Some(1),
            ..finding(FindingClass::Tampering, "sequence", "the registry's events are missing")
        });
    }
    Ok(verified)
}

/// Where an event stands in the order of domain, stream and sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub domain: String,
    pub stream: String,
    pub sequence: i64,
}

impl Place {
    /// Before all that a table can hold.
    fn first() -> Self {
        Place { domain: String::new(), stream: String::new(), sequence: i64::MIN }
    }
}

/// Which events to verify: of all domains, a domain or a stream, after a place.
#[derive(Default, Clone, Copy)]
pub struct Part<'a> {
    pub domain: Option<&'a str>,
    pub stream: Option<&'a str>,
    pub after: Option<&'a Place>,
}

/// How far [`Chains::verify`] came.
pub struct Reached {
    /// Events verified.
    pub events: u64,
    /// Where to go on; none: the part is done.
    pub next: Option<Place>,
}

/// Verifies stored events except the registry's, which [`registry`] verifies. What
/// can be said of a row alone is said on several threads while the next rows are
/// read; then each row is held against the one before it, in their order.
pub struct Chains<'r> {
    chain: ChainVerifier<'r>,
    inspectors: Vec<Inspector<'r>>,
}

impl<'r> Chains<'r> {
    pub fn new(ledger_id: Uuid, verified: &'r VerifiedRegistry) -> Self {
        let threads = gucs::worker_threads().max(1);
        Chains {
            chain: ChainVerifier::judging_by(ledger_id, verified),
            inspectors: (0..threads).map(|_| Inspector::judging_by(verified)).collect(),
        }
    }

    /// Verifies the part's events in the order of domain, stream and sequence, at
    /// most about `budget` of them.
    pub fn verify(&mut self, part: Part, budget: u64, findings: &mut Findings) -> Result<Reached> {
        let (chain, inspectors) = (&mut self.chain, self.inspectors.iter_mut().collect());
        let mut reached = Reached { events: 0, next: None };
        let mut is_first = true;
        with_conveyor(inspectors, inspect, |belt| {
            let mut rows = Batch::default();
            read_part(part, |row| {
                let row = StoredRow::of(row);
                if part.domain.is_some_and(|domain| row.domain() != Some(domain)) {
                    return Ok(false);
                }
                if std::mem::take(&mut is_first) && part.after.is_some() && part.after == row.place().as_ref()
                {
                    // What is wrong with it is another part's to find.
                    chain.skip(&row.raw());
                    return Ok(true);
                }
                reached.events += 1;
                let is_spent = reached.events >= budget;
                if is_spent {
                    reached.next = row.place();
                }
                if let Some(rows) = rows.push(row) {
                    belt.put(rows);
                    while let Some((_, found)) = belt.take() {
                        link(chain, found, findings);
                    }
                }
                Ok(!is_spent && !findings.is_full())
            })?;
            belt.put(rows.take());
            while let Some((_, found)) = belt.take_last() {
                link(chain, found, findings);
            }
            Ok(reached)
        })
    }
}

/// Rows that one thread inspects at once.
#[derive(Default)]
pub struct Batch {
    rows: Vec<StoredRow>,
    bytes: usize,
}

impl Batch {
    /// Takes a row; answers the rows when there are enough of them.
    pub fn push(&mut self, row: StoredRow) -> Option<Vec<StoredRow>> {
        const ROWS: usize = 256;
        const BYTES: usize = 1 << 20;
        self.bytes += row.size();
        self.rows.push(row);
        (self.rows.len() >= ROWS || self.bytes >= BYTES).then(|| self.take())
    }

    /// The rows so far.
    pub fn take(&mut self) -> Vec<StoredRow> {
        self.bytes = 0;
        std::mem::take(&mut self.rows)
    }
}

/// A row that was inspected, and what is wrong with its place.
struct Found {
    misplaced: Option<Finding>,
    row: Inspected,
}

/// The rows go back with what was found: memory is best freed by the thread that got it.
fn inspect(inspector: &mut &mut Inspector, rows: Vec<StoredRow>) -> (Vec<StoredRow>, Vec<Found>) {
    let raw: Vec<RawEvent<'_>> = rows.iter().map(StoredRow::raw).collect();
    let inspected = inspector.inspect_each(&raw);
    let found = rows.iter().zip(inspected).map(|(row, inspected)| {
        let is_misplaced = row.domain() == Some("ets.registry") && row.stream() != Some("main");
        let misplaced = is_misplaced.then(|| Finding {
            expected: Some("main".into()),
            actual: row.stream().map(str::to_owned),
            ..row.finding(FindingClass::Tampering, "stream", "the registry has one stream, main")
        });
        Found { misplaced, row: inspected }
    });
    let found = found.collect();
    (rows, found)
}

/// Holds rows against those before them, in their order.
fn link(chain: &mut ChainVerifier, rows: Vec<Found>, findings: &mut Findings) {
    for Found { misplaced, row } in rows {
        findings.collect(|all| {
            all.extend(misplaced);
            chain.push_inspected(row, all);
        });
    }
}

/// Reads a part's events, that at its `after` among them, for as long as `each`
/// answers true; past the end of its domain, too.
fn read_part(part: Part, each: impl FnMut(&Row) -> Result<bool>) -> Result<()> {
    let start = part
        .after
        .cloned()
        .unwrap_or_else(|| Place { domain: part.domain.unwrap_or_default().to_owned(), ..Place::first() });
    db::by_index(|| match (part.domain, part.stream) {
        (Some(domain), Some(stream)) => db::scan_while(
            View::Query,
            crate::select_events!(
                "WHERE event.domain = $1 AND event.stream = $2 AND event.sequence >= $3
                AND NOT (event.domain = 'ets.registry' AND event.stream = 'main')
              ORDER BY event.domain, event.stream, event.sequence"
            ),
            &[domain.into(), stream.into(), start.sequence.into()],
            BATCH,
            each,
        ),
        _ => db::scan_while(
            View::Query,
            crate::select_events!(
                "WHERE (event.domain, event.stream, event.sequence) >= ($1, $2, $3)
                AND NOT (event.domain = 'ets.registry' AND event.stream = 'main')
              ORDER BY event.domain, event.stream, event.sequence"
            ),
            &[start.domain.as_str().into(), start.stream.as_str().into(), start.sequence.into()],
            BATCH,
            each,
        ),
    })
}

/// The streams of a domain after `after` that have leaves from `from_leaf` on, each
/// with the last place before those.
pub fn tails(
    domain: &str,
    from_leaf: u64,
    after: Option<&str>,
    mut each: impl FnMut(&str, Place) -> Result<bool>,
) -> Result<()> {
    db::scan_while(
        View::Query,
        "SELECT tail.stream, (SELECT max(event.sequence) FROM ets.ledger_event AS event
                               WHERE event.domain = $1 AND event.stream = tail.stream AND event.sequence < tail.first)
           FROM (SELECT event.stream, min(event.sequence) AS first
                   FROM ets.merkle_leaf AS leaf
                   JOIN ets.ledger_event AS event ON event.event_id = leaf.event_id AND event.domain = leaf.domain
                  WHERE leaf.domain = $1 AND leaf.leaf_index >= $2 AND ($3 IS NULL OR event.stream > $3)
                  GROUP BY event.stream) AS tail
          ORDER BY tail.stream",
        &[domain.into(), from_leaf.into(), Value::or_null(after, Type::Text)],
        BATCH,
        |row| {
            let stream = row.text(1).unwrap_or_default();
            let sequence = row.int(2).unwrap_or(i64::MIN);
            let place = Place { domain: domain.to_owned(), stream: stream.clone(), sequence };
            each(&stream, place)
        },
    )
}

/// Whether a domain, or a stream of it, has an event.
pub fn has_events(domain: &DomainName, stream: Option<&StreamName>) -> Result<bool> {
    let found = db::first(
        View::Query,
        "SELECT true FROM ets.ledger_event AS event
          WHERE event.domain = $1 AND ($2 IS NULL OR event.stream = $2) LIMIT 1",
        &[domain.as_str().into(), Value::or_null(stream.map(StreamName::as_str), Type::Text)],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

/// Whether a stream has a head that says that it has events.
pub fn has_head(domain: &DomainName, stream: &StreamName) -> Result<bool> {
    let found = db::first(
        View::Query,
        "SELECT true FROM ets.stream_head AS head
          WHERE head.domain = $1 AND head.stream = $2 AND head.sequence > 0",
        &[domain.as_str().into(), stream.as_str().into()],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}
