//! The events, stream by stream, and the heads.

use std::ffi::c_long;

use ets_core::hash::{Digest, genesis_hash};
use ets_core::name::{DomainName, StreamName};
use ets_core::time::Timestamp;
use ets_core::verify::{ChainVerifier, Finding, FindingClass, RawEvent, RegistryVerifier, VerifiedRegistry};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Findings, finding};
use crate::db::{self, Row, View};
use crate::error::Result;
use crate::value::{Type, Value};
use crate::{gucs, threads};

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

/// Verifies stored events except the registry's, which [`registry`] verifies, on
/// several threads. Each takes a run of rows that follow one another and is shown
/// the row before them first, so that it knows the link.
pub struct Chains<'r> {
    verifiers: Vec<ChainVerifier<'r>>,
}

impl<'r> Chains<'r> {
    pub fn new(ledger_id: Uuid, verified: &'r VerifiedRegistry) -> Self {
        let threads = gucs::worker_threads().max(1);
        Chains { verifiers: (0..threads).map(|_| ChainVerifier::judging_by(ledger_id, verified)).collect() }
    }

    /// Verifies the part's events in the order of domain, stream and sequence, at
    /// most about `budget` of them.
    pub fn verify(&mut self, part: Part, budget: u64, findings: &mut Findings) -> Result<Reached> {
        const CHUNK: usize = 2048;
        let mut rows: Vec<StoredRow> = Vec::new();
        // The last row of the chunk before, or the one at `after`: known already.
        let mut before: Option<StoredRow> = None;
        let mut reached = Reached { events: 0, next: None };
        let mut is_first = true;
        let each = |row: &Row| {
            let row = StoredRow::of(row);
            if part.domain.is_some_and(|domain| row.domain.as_deref() != Some(domain)) {
                return Ok(false);
            }
            if std::mem::take(&mut is_first) && part.after.is_some() && part.after == row.place().as_ref() {
                before = Some(row);
                return Ok(true);
            }
            if row.domain.as_deref() == Some("ets.registry") && row.stream.as_deref() != Some("main") {
                findings.add(Finding {
                    expected: Some("main".into()),
                    actual: row.stream.clone(),
                    ..row.finding(FindingClass::Tampering, "stream", "the registry has one stream, main")
                });
            }
            rows.push(row);
            let is_spent = reached.events + rows.len() as u64 >= budget;
            if rows.len() >= CHUNK || is_spent {
                reached.events += rows.len() as u64;
                before = self.chunk(&mut rows, before.take(), findings)?;
                reached.next = before.as_ref().filter(|_| is_spent).and_then(StoredRow::place);
            }
            Ok(reached.next.is_none() && !findings.is_full())
        };
        read_part(part, each)?;
        reached.events += rows.len() as u64;
        self.chunk(&mut rows, before, findings)?;
        Ok(reached)
    }

    /// Verifies `rows` and empties it; answers the last of them.
    fn chunk(
        &mut self,
        rows: &mut Vec<StoredRow>,
        before: Option<StoredRow>,
        findings: &mut Findings,
    ) -> Result<Option<StoredRow>> {
        const WORTH_A_THREAD: usize = 32;
        let threads = (rows.len() / WORTH_A_THREAD).clamp(1, self.verifiers.len());
        let size = rows.len().div_ceil(threads).max(1);
        let mut work: Vec<Share> = Vec::new();
        let mut known = before.as_ref();
        for (verifier, rows) in self.verifiers.iter_mut().zip(rows.chunks(size)) {
            work.push(Share { verifier, before: known, rows, findings: Vec::new() });
            known = rows.last();
        }
        threads::each(&mut work, Share::verify);
        let found: Vec<Finding> = work.into_iter().flat_map(|share| share.findings).collect();
        findings.collect(|all| all.extend(found));
        let last = rows.pop();
        rows.clear();
        Ok(last.or(before))
    }
}

/// One thread's rows of a chunk.
struct Share<'a, 'r> {
    verifier: &'a mut ChainVerifier<'r>,
    before: Option<&'a StoredRow>,
    rows: &'a [StoredRow],
    findings: Vec<Finding>,
}

impl Share<'_, '_> {
    fn verify(&mut self) {
        if let Some(before) = self.before {
            // What is wrong with it has been found, or is another part's to find.
            self.verifier.push_raw(&before.raw(), &mut Vec::new());
        }
        for row in self.rows {
            self.verifier.push_raw(&row.raw(), &mut self.findings);
        }
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

/// Compares each head with the last event of its stream.
pub fn heads(
    ledger_id: Uuid,
    domain: Option<&str>,
    stream: Option<&str>,
    findings: &mut Findings,
) -> Result<()> {
    db::scan_while(
        View::Query,
        "SELECT coalesce(last.domain, head.domain), coalesce(last.stream, head.stream),
                last.sequence, last.current_hash, last.event_id, last.timestamp, last.registry_version,
                head.sequence, head.head_hash, head.last_event_id, head.last_timestamp, head.registry_version
           FROM (SELECT DISTINCT ON (event.domain, event.stream)
                        event.domain, event.stream, event.sequence, event.current_hash, event.event_id,
                        event.timestamp, event.registry_version
                   FROM ets.ledger_event AS event
                  WHERE ($1 IS NULL OR event.domain = $1) AND ($2 IS NULL OR event.stream = $2)
                  ORDER BY event.domain, event.stream, event.sequence DESC) AS last
           FULL JOIN (SELECT * FROM ets.stream_head AS head
                       WHERE ($1 IS NULL OR head.domain = $1) AND ($2 IS NULL OR head.stream = $2)) AS head
             ON head.domain = last.domain AND head.stream = last.stream
          WHERE (last.sequence, last.current_hash, last.event_id, last.timestamp, last.registry_version)
                IS DISTINCT FROM
                (head.sequence, head.head_hash, head.last_event_id, head.last_timestamp, head.registry_version)
          ORDER BY 1, 2",
        &[Value::or_null(domain, Type::Text), Value::or_null(stream, Type::Text)],
        BATCH,
        |row| {
            let (domain, stream) = (row.text(1).unwrap_or_default(), row.text(2).unwrap_or_default());
            if is_unused(row, ledger_id, &domain, &stream) {
                return Ok(true);
            }
            let (what, expected, actual) = difference(row);
            findings.add(Finding {
                domain: Some(domain),
                stream: Some(stream),
                sequence: row.int(3).or(row.int(8)),
                event_id: row.uuid(5).or(row.uuid(10)).map(Uuid::from_bytes),
                expected,
                actual,
                ..finding(FindingClass::Projection, "stream_head", what)
            });
            Ok(!findings.is_full())
        },
    )
}

/// A head that was locked before the first event of its stream: right, if it
/// stands at the genesis hash.
fn is_unused(row: &Row, ledger_id: Uuid, domain: &str, stream: &str) -> bool {
    let (Ok(domain), Ok(stream)) = (domain.parse::<DomainName>(), stream.parse::<StreamName>()) else {
        return false;
    };
    let genesis = genesis_hash(&ledger_id, &domain, &stream);
    row.int(3).is_none() && row.int(8) == Some(0) && row.bytes(9).as_deref() == Some(genesis.as_bytes())
}

/// How a head differs from the last event, with what should be there and what is.
fn difference(row: &Row) -> (String, Option<String>, Option<String>) {
    let (last, head) = (row.int(3), row.int(8));
    match (last, head) {
        (Some(last), None) => {
            (format!("the head is missing, the last event is {last}"), Some(last.to_string()), None)
        }
        (None, Some(head)) => {
            (format!("the head is at {head}, but the stream has no event"), None, Some(head.to_string()))
        }
        (Some(last), Some(head)) if last != head => {
            let way = if head > last { "ahead of" } else { "behind" };
            let what = format!("the head is at {head}, {way} the last event, {last}");
            (what, Some(last.to_string()), Some(head.to_string()))
        }
        _ => {
            let time = |column| row.unix_micros(column).and_then(Timestamp::from_unix_micros);
            let columns = [
                ("head_hash", hex(row, 4), hex(row, 9)),
                ("last_event_id", id(row, 5), id(row, 10)),
                ("last_timestamp", time(6).map(|t| t.to_string()), time(11).map(|t| t.to_string())),
                ("registry_version", row.int(7).map(|n| n.to_string()), row.int(12).map(|n| n.to_string())),
            ];
            let differs = columns.into_iter().find(|(_, last, head)| last != head);
            let (name, last, head) = differs.unwrap_or(("head", None, None));
            (format!("the head's {name} is not the last event's"), last, head)
        }
    }
}

fn hex(row: &Row, column: usize) -> Option<String> {
    let bytes = row.bytes(column)?;
    Some(Digest::try_from(&bytes[..]).map_or_else(|_| format!("{} bytes", bytes.len()), |d| d.to_string()))
}

fn id(row: &Row, column: usize) -> Option<String> {
    row.uuid(column).map(|id| Uuid::from_bytes(id).to_string())
}

/// An id is one event's, in one domain: a proof would not say which is meant.
pub fn ids_in_two_domains(domain: Option<&str>, findings: &mut Findings) -> Result<()> {
    db::scan_while(
        View::Query,
        "SELECT event.event_id, min(event.domain), max(event.domain) FROM ets.ledger_event AS event
          GROUP BY event.event_id
         HAVING count(*) > 1 AND ($1 IS NULL OR bool_or(event.domain = $1))",
        &[Value::or_null(domain, Type::Text)],
        BATCH,
        |row| {
            findings.add(Finding {
                domain: row.text(2),
                event_id: row.uuid(1).map(Uuid::from_bytes),
                expected: Some("1".into()),
                ..finding(
                    FindingClass::Tampering,
                    "event_id",
                    format!("the id is there twice, also in {}", row.text(3).unwrap_or_default()),
                )
            });
            Ok(!findings.is_full())
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

/// The columns of a row as they are stored, with the thirteen members in the
/// order of `ets.event`.
pub struct StoredRow {
    event_id: Option<Uuid>,
    domain: Option<String>,
    stream: Option<String>,
    sequence: Option<i64>,
    payload: Option<String>,
    schema_version: Option<String>,
    key_id: Option<String>,
    public_key: Option<Vec<u8>>,
    previous_hash: Option<Vec<u8>>,
    current_hash: Option<Vec<u8>>,
    signature: Option<Vec<u8>>,
    timestamp: Option<i64>,
    registry_version: Option<i64>,
}

impl StoredRow {
    /// The row, whatever it holds.
    pub fn of(row: &Row) -> Self {
        StoredRow {
            event_id: row.uuid(1).map(Uuid::from_bytes),
            domain: row.text(2),
            stream: row.text(3),
            sequence: row.int(4),
            payload: row.jsonb(5),
            schema_version: row.text(6),
            key_id: row.text(7),
            public_key: row.bytes(8),
            previous_hash: row.bytes(9),
            current_hash: row.bytes(10),
            signature: row.bytes(11),
            timestamp: row.unix_micros(12),
            registry_version: row.int(13),
        }
    }

    /// The row as ets-core takes it.
    pub fn raw(&self) -> RawEvent<'_> {
        RawEvent {
            event_id: self.event_id,
            domain: self.domain.as_deref(),
            stream: self.stream.as_deref(),
            sequence: self.sequence,
            payload: self.payload.as_deref(),
            schema_version: self.schema_version.as_deref(),
            key_id: self.key_id.as_deref(),
            public_key: self.public_key.as_deref(),
            previous_hash: self.previous_hash.as_deref(),
            current_hash: self.current_hash.as_deref(),
            signature: self.signature.as_deref(),
            timestamp: self.timestamp,
            registry_version: self.registry_version,
        }
    }

    /// The stream, as it is stored.
    pub fn stream(&self) -> Option<&str> {
        self.stream.as_deref()
    }

    /// The sequence, as it is stored.
    pub fn sequence(&self) -> Option<i64> {
        self.sequence
    }

    fn place(&self) -> Option<Place> {
        Some(Place { domain: self.domain.clone()?, stream: self.stream.clone()?, sequence: self.sequence? })
    }

    fn finding(&self, class: FindingClass, check: &'static str, detail: &str) -> Finding {
        Finding {
            domain: self.domain.clone(),
            stream: self.stream.clone(),
            sequence: self.sequence,
            event_id: self.event_id,
            ..finding(class, check, detail)
        }
    }
}
