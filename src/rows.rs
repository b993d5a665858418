//! Rows of `ets.ledger_event` as events.

use ets_core::canonical::{Limits, Payload};
use ets_core::event::{Event, EventId, Header};
use ets_core::hash::{Digest, bytes_of};
use ets_core::key::Signature;
use ets_core::time::Timestamp;

use crate::db::Row;
use crate::error::{Error, Result, sqlstate};

/// The columns of `ets.ledger_event AS event` that make its thirteen members, in
/// the order of `ets.event`, with something in the payload's place.
#[macro_export]
macro_rules! event_columns {
    ($payload:literal) => {
        concat!(
            "event.event_id, event.domain, event.stream, event.sequence, ",
            $payload,
            ", event.schema_version, event.key_id, event.public_key, event.previous_hash,
             event.current_hash, event.signature, event.timestamp, event.registry_version"
        )
    };
}

/// The statement that reads the events of a domain's leaves ($1, from $2 to before
/// $3) in their order, a missing one left out; with something in the payload's place.
#[macro_export]
macro_rules! select_events_of_leaves {
    ($payload:literal) => {
        concat!(
            "SELECT ",
            $crate::event_columns!($payload),
            " FROM ets.merkle_leaf AS leaf
             CROSS JOIN LATERAL (
               SELECT * FROM ets.ledger_event AS each
                WHERE each.event_id OPERATOR(pg_catalog.=) leaf.event_id
                  AND each.domain OPERATOR(pg_catalog.=) leaf.domain
                LIMIT 1) AS event
             WHERE leaf.domain OPERATOR(pg_catalog.=) $1
               AND leaf.leaf_index OPERATOR(pg_catalog.>=) $2 AND leaf.leaf_index OPERATOR(pg_catalog.<) $3
             ORDER BY leaf.leaf_index USING OPERATOR(pg_catalog.<)"
        )
    };
}

/// The statement that reads the thirteen members of events, in the order of
/// `ets.event`: what [`event()`] and [`header`] take. The rest of it follows
/// `FROM ets.ledger_event AS event`.
#[macro_export]
macro_rules! select_events {
    ($rest:literal) => {
        concat!("SELECT ", $crate::event_columns!("event.payload"), " FROM ets.ledger_event AS event ", $rest)
    };
}

/// An event from a row with the thirteen members in the order of `ets.event`.
///
/// # Errors
/// ET002 if a column holds what no event can have: the row was changed past the gate.
pub fn event(row: &Row) -> Result<Event> {
    let header = header(row)?;
    let payload = row.jsonb(5).ok_or_else(|| impossible(row, "payload"))?;
    let payload = Payload::parse(&payload, &Limits::CEILING).map_err(|_| impossible(row, "payload"))?;
    Ok(Event { header, payload })
}

/// As [`event`], without looking at the payload.
pub fn header(row: &Row) -> Result<Header> {
    fn parsed<T: std::str::FromStr>(row: &Row, column: usize, name: &str) -> Result<T> {
        row.text(column).and_then(|text| text.parse().ok()).ok_or_else(|| impossible(row, name))
    }
    fn bytes<const N: usize>(row: &Row, column: usize, name: &str) -> Result<[u8; N]> {
        row.bytes(column).and_then(|value| bytes_of(&value).ok()).ok_or_else(|| impossible(row, name))
    }
    fn count(row: &Row, column: usize, name: &str) -> Result<u64> {
        row.int(column).and_then(|value| value.try_into().ok()).ok_or_else(|| impossible(row, name))
    }
    Ok(Header {
        event_id: row
            .uuid(1)
            .and_then(|id| EventId::from_slice(&id))
            .ok_or_else(|| impossible(row, "event_id"))?,
        domain: parsed(row, 2, "domain")?,
        stream: parsed(row, 3, "stream")?,
        sequence: count(row, 4, "sequence")?,
        schema_version: parsed(row, 6, "schema_version")?,
        key_id: parsed(row, 7, "key_id")?,
        public_key: bytes(row, 8, "public_key")?,
        previous_hash: Digest(bytes(row, 9, "previous_hash")?),
        current_hash: Digest(bytes(row, 10, "current_hash")?),
        signature: Signature(bytes(row, 11, "signature")?),
        timestamp: row
            .unix_micros(12)
            .and_then(Timestamp::from_unix_micros)
            .ok_or_else(|| impossible(row, "timestamp"))?,
        registry_version: count(row, 13, "registry_version")?,
    })
}

fn impossible(row: &Row, column: &str) -> Error {
    impossible_column(row.uuid(1).map(uuid::Uuid::from_bytes), column)
}

/// `ET002` for a row with a column that holds what no event can have.
pub fn impossible_column(event_id: Option<uuid::Uuid>, column: &str) -> Error {
    let id = event_id.map_or_else(|| "unknown".to_owned(), |id| id.to_string());
    Error::new(sqlstate::HASH, format!("the row of event {id} holds an impossible {column}"))
        .detail(serde_json::json!({"event_id": id, "column": column}))
        .hint("the row was changed past the gate; run ets.verify_ledger() to see what else was")
}
