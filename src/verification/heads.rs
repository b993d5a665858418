//! The heads, each against the last event of its stream.

use ets_core::hash::{Digest, genesis_hash};
use ets_core::name::{DomainName, StreamName};
use ets_core::time::Timestamp;
use ets_core::verify::{Finding, FindingClass};
use uuid::Uuid;

use super::chains::BATCH;
use super::{Findings, finding};
use crate::db::{self, Row, View};
use crate::error::Result;
use crate::value::{Type, Value};

/// Compares each head with the last event of its stream.
pub fn compare(
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
           FROM (SELECT stream.domain, stream.stream, stream.sequence, event.current_hash, event.event_id,
                        event.timestamp, event.registry_version
                   FROM (SELECT event.domain, event.stream, max(event.sequence) AS sequence
                           FROM ets.ledger_event AS event
                          WHERE ($1 IS NULL OR event.domain = $1) AND ($2 IS NULL OR event.stream = $2)
                          GROUP BY event.domain, event.stream) AS stream
                  CROSS JOIN LATERAL (
                        SELECT * FROM ets.ledger_event AS event
                         WHERE event.domain = stream.domain AND event.stream = stream.stream
                           AND event.sequence = stream.sequence LIMIT 1) AS event) AS last
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
