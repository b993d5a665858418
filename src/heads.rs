//! Step 6 of the gate and the end of step 8: locking, comparing and advancing
//! the heads of streams.
//!
//! A head is one row of `ets.stream_head`. Its lock makes the appends to a
//! stream wait for each other, and to no other stream.

use ets_core::event::EventId;
use ets_core::hash::{Digest, genesis_hash};
use ets_core::name::{DomainName, StreamName};
use ets_core::time::Timestamp;
use serde_json::json;

use crate::db::{self, Row, View};
use crate::error::{Error, Result, sqlstate};
use crate::head_row::{self, HeadRow, column};
use crate::ledger;
use crate::transaction::{self, Head};
use crate::value::{self, Type, Value};

/// What the next event of a stream would leave as the head.
pub struct Next<'a> {
    /// The event's domain.
    pub domain: &'a DomainName,
    /// The event's stream.
    pub stream: &'a StreamName,
    /// What must be the head now.
    pub previous_hash: Digest,
    /// The event's hash.
    pub current_hash: Digest,
    /// The id that it would have.
    pub event_id: EventId,
    /// The time that it would have.
    pub timestamp: Timestamp,
    /// The registry_version that it would have.
    pub registry_version: u64,
}

/// Compares a head and moves it on in one go, if all is as hoped: nobody was
/// faster, and neither clock nor registry went back. Most appends are single and
/// come through here.
///
/// None if anything is not; then nothing was changed.
pub fn advance_at_once(next: &Next<'_>) -> Result<Option<Head>> {
    let mut sequence = 0;
    let place = db::with_latest_snapshot(|| {
        head_row::advance(next.domain.as_str(), next.stream.as_str(), |row| {
            let stored = StoredHead::of(row)?;
            let as_hoped = stored.head_hash == next.previous_hash
                && stored.last_event_id < *next.event_id.as_uuid().as_bytes()
                && stored.last_timestamp <= next.timestamp.unix_micros()
                && stored.registry_version <= next.registry_version
                && !stored.has_state;
            if !as_hoped {
                return Ok(None);
            }
            sequence = stored.sequence + 1;
            Ok(Some([
                next.domain.as_str().into(),
                next.stream.as_str().into(),
                sequence.into(),
                next.current_hash.into(),
                next.event_id.into(),
                next.timestamp.into(),
                next.registry_version.into(),
                Value::Null(Type::Jsonb),
            ]))
        })
    })?;
    Ok(place.map(|tid| Head {
        sequence,
        hash: next.current_hash,
        last_event_id: Some(next.event_id),
        last_timestamp: next.timestamp,
        registry_version: next.registry_version,
        state: None,
        tid,
        dirty: false,
    }))
}

/// What a head's row holds, as far as an append compares it.
struct StoredHead {
    sequence: u64,
    head_hash: Digest,
    last_event_id: [u8; 16],
    last_timestamp: i64,
    registry_version: u64,
    has_state: bool,
}

impl StoredHead {
    fn of(row: &HeadRow) -> Result<Self> {
        let count = |place: usize, name| {
            row.datum(place)
                .and_then(|datum| u64::try_from(datum.value() as i64).ok())
                .ok_or_else(|| corrupted(name))
        };
        Ok(StoredHead {
            sequence: count(column::SEQUENCE, "sequence")?,
            head_hash: row
                .datum(column::HEAD_HASH)
                // SAFETY: the column is a bytea.
                .and_then(|datum| Digest::try_from(unsafe { value::bytes_of(datum) }.as_slice()).ok())
                .ok_or_else(|| corrupted("head_hash"))?,
            last_event_id: row
                .datum(column::LAST_EVENT_ID)
                // SAFETY: the column is a uuid.
                .map(|datum| unsafe { value::uuid_of(datum) })
                .ok_or_else(|| corrupted("last_event_id"))?,
            last_timestamp: row
                .datum(column::LAST_TIMESTAMP)
                .map(|datum| value::unix_micros(datum.value() as i64))
                .ok_or_else(|| corrupted("last_timestamp"))?,
            registry_version: count(column::REGISTRY_VERSION, "registry_version")?,
            has_state: row.datum(column::STATE).is_some(),
        })
    }
}

/// Locks the head of a stream until the transaction ends; makes it, at the
/// genesis hash, if the stream has no event yet.
pub fn lock(domain: &DomainName, stream: &StreamName) -> Result<Head> {
    if let Some(head) = transaction::head(domain, stream) {
        return Ok(head);
    }
    let head = match select_locked(domain, stream)? {
        Some(head) => head,
        None => {
            // Of two that make it at once, one waits here for the other's commit
            // and then finds it made.
            db::write(
                "INSERT INTO ets.stream_head
                        (domain, stream, sequence, head_hash, last_event_id, last_timestamp, registry_version)
                 VALUES ($1, $2, 0, $3, '00000000-0000-0000-0000-000000000000', 'epoch', 0)
                     ON CONFLICT (domain, stream) DO NOTHING",
                &[
                    domain.as_str().into(),
                    stream.as_str().into(),
                    genesis_hash(&ledger::id()?, domain, stream).into(),
                ],
            )?;
            select_locked(domain, stream)?.ok_or_else(|| {
                Error::new(sqlstate::CORRUPTED, format!("the head of stream {stream} cannot be made"))
            })?
        }
    };
    transaction::remember_head(domain, stream, head.clone());
    Ok(head)
}

/// Reads a head without locking it: its hash and sequence; none if the stream
/// has no event. What this transaction has not written yet counts.
pub fn peek(view: View, domain: &DomainName, stream: &StreamName) -> Result<Option<(Digest, u64)>> {
    if let Some(head) = transaction::head(domain, stream) {
        return Ok((head.sequence > 0).then_some((head.hash, head.sequence)));
    }
    let read = || {
        head_row::read(domain.as_str(), stream.as_str(), |row| {
            StoredHead::of(row).map(|stored| (stored.head_hash, stored.sequence))
        })
    };
    let found = match view {
        View::Latest => db::with_latest_snapshot(read)?,
        _ => read()?,
    };
    Ok(found.filter(|(_, sequence)| *sequence > 0))
}

/// Writes every head that the statement has moved on. Runs once a statement, so
/// that many events to one stream cost one row version, not one each.
pub fn write_dirty() -> Result<()> {
    for ((domain, stream), mut head) in transaction::dirty_heads() {
        let (block, offset) = head.tid;
        // By its place, not by its key: in a transaction of many statements the
        // key's index leads through every dead version of the row.
        let tid = db::write_returning(
            "UPDATE ets.stream_head AS head
                SET sequence = $4, head_hash = $5, last_event_id = $6, last_timestamp = $7,
                    registry_version = $8, state = $9
              WHERE head.ctid OPERATOR(pg_catalog.=) $1
                AND head.domain OPERATOR(pg_catalog.=) $2 AND head.stream OPERATOR(pg_catalog.=) $3
          RETURNING head.ctid",
            &[
                Value::Tid(block, offset),
                domain.as_str().into(),
                stream.as_str().into(),
                head.sequence.into(),
                head.hash.into(),
                Value::or_null(head.last_event_id, Type::Uuid),
                head.last_timestamp.into(),
                head.registry_version.into(),
                head.state.as_ref().map_or(Value::Null(Type::Jsonb), |state| {
                    Value::Jsonb(ets_core::canonical::to_jcs(state))
                }),
            ],
            |row| tid(row, 1),
        )?;
        head.tid = tid.ok_or_else(|| {
            // The row is locked: only a trigger that is not ours keeps it as it was.
            Error::new(sqlstate::FIELD, format!("the head of stream {stream} was not written"))
                .detail(json!({"domain": domain.as_str(), "stream": stream.as_str()}))
                .hint("a trigger on ets.stream_head took it away; SELECT * FROM ets.verify_ledger()")
        })?;
        head.dirty = false;
        transaction::remember_head(&domain, &stream, head);
    }
    Ok(())
}

fn select_locked(domain: &DomainName, stream: &StreamName) -> Result<Option<Head>> {
    db::by_key(|| {
        db::first(
            View::Write,
            "SELECT head.sequence, head.head_hash, head.last_event_id, head.last_timestamp,
                head.registry_version, head.state, head.ctid
           FROM ets.stream_head AS head
          WHERE head.domain OPERATOR(pg_catalog.=) $1 AND head.stream OPERATOR(pg_catalog.=) $2
            FOR NO KEY UPDATE",
            &[domain.as_str().into(), stream.as_str().into()],
            |row| {
                Ok(Head {
                    sequence: count(row, 1)?,
                    hash: digest(row, 2)?,
                    last_event_id: row.uuid(3).and_then(|id| EventId::from_slice(&id)),
                    last_timestamp: row
                        .unix_micros(4)
                        .and_then(Timestamp::from_unix_micros)
                        .ok_or_else(|| corrupted("last_timestamp"))?,
                    registry_version: count(row, 5)?,
                    state: row
                        .jsonb(6)
                        .map(|text| {
                            ets_core::canonical::parse_json(&text, &ets_core::canonical::Limits::CEILING)
                        })
                        .transpose()?,
                    tid: tid(row, 7)?,
                    dirty: false,
                })
            },
        )
    })
}

fn count(row: &Row, column: usize) -> Result<u64> {
    row.int(column).and_then(|number| u64::try_from(number).ok()).ok_or_else(|| corrupted("sequence"))
}

fn digest(row: &Row, column: usize) -> Result<Digest> {
    row.bytes(column)
        .and_then(|bytes| Digest::try_from(bytes.as_slice()).ok())
        .ok_or_else(|| corrupted("head_hash"))
}

fn tid(row: &Row, column: usize) -> Result<(u32, u16)> {
    // SAFETY: the column is a tid.
    row.datum(column).map(|datum| unsafe { value::tid_of(datum) }).ok_or_else(|| corrupted("ctid"))
}

fn corrupted(column: &str) -> Error {
    Error::new(sqlstate::CORRUPTED, format!("ets.stream_head holds an impossible {column}"))
        .hint("run ets.verify_ledger() to see what was changed")
}
