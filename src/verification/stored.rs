//! Rows as they are stored, owned, to be taken to other threads.

use std::ops::Range;

use ets_core::verify::{Finding, FindingClass, RawEvent};
use uuid::Uuid;

use super::chains::Place;
use super::finding;
use crate::db::Row;

/// The columns of a row as they are stored, with the thirteen members in the
/// order of `ets.event`.
pub struct StoredRow {
    event_id: Option<Uuid>,
    sequence: Option<i64>,
    timestamp: Option<i64>,
    registry_version: Option<i64>,
    /// The others, one behind the other: rows are made and dropped by the million.
    bytes: Vec<u8>,
    columns: [Option<Range<usize>>; COLUMNS],
}

/// The columns of variable length, by their place in [`StoredRow`]'s bytes, with
/// their numbers in the result.
#[derive(Clone, Copy)]
enum Column {
    Domain,
    Stream,
    Payload,
    SchemaVersion,
    KeyId,
    PublicKey,
    PreviousHash,
    CurrentHash,
    Signature,
}

const COLUMNS: usize = 9;
const NUMBERS: [usize; COLUMNS] = [2, 3, 5, 6, 7, 8, 9, 10, 11];

impl StoredRow {
    /// The row, whatever it holds.
    pub fn of(row: &Row) -> Self {
        // As much as most rows have.
        let mut bytes = Vec::with_capacity(1024);
        let columns = NUMBERS.map(|number| {
            let start = bytes.len();
            let is_there = if number == 5 {
                row.append_jsonb(number, &mut bytes)
            } else {
                row.append_bytes(number, &mut bytes)
            };
            is_there.then_some(start..bytes.len())
        });
        StoredRow {
            event_id: row.uuid(1).map(Uuid::from_bytes),
            sequence: row.int(4),
            timestamp: row.unix_micros(12),
            registry_version: row.int(13),
            bytes,
            columns,
        }
    }

    /// About how much memory the row takes, in bytes.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.bytes.capacity()
    }

    /// The row as ets-core takes it.
    pub fn raw(&self) -> RawEvent<'_> {
        RawEvent {
            event_id: self.event_id,
            domain: self.text(Column::Domain),
            stream: self.text(Column::Stream),
            sequence: self.sequence,
            payload: self.text(Column::Payload),
            schema_version: self.text(Column::SchemaVersion),
            key_id: self.text(Column::KeyId),
            public_key: self.column(Column::PublicKey),
            previous_hash: self.column(Column::PreviousHash),
            current_hash: self.column(Column::CurrentHash),
            signature: self.column(Column::Signature),
            timestamp: self.timestamp,
            registry_version: self.registry_version,
        }
    }

    fn column(&self, column: Column) -> Option<&[u8]> {
        self.columns.get(column as usize)?.clone().and_then(|range| self.bytes.get(range))
    }

    /// A text: UTF-8, as the database's encoding is.
    fn text(&self, column: Column) -> Option<&str> {
        std::str::from_utf8(self.column(column)?).ok()
    }

    /// The domain, as it is stored.
    pub fn domain(&self) -> Option<&str> {
        self.text(Column::Domain)
    }

    /// The stream, as it is stored.
    pub fn stream(&self) -> Option<&str> {
        self.text(Column::Stream)
    }

    /// The sequence, as it is stored.
    pub fn sequence(&self) -> Option<i64> {
        self.sequence
    }

    /// Where the row stands, if it says so.
    pub fn place(&self) -> Option<Place> {
        Some(Place {
            domain: self.domain()?.to_owned(),
            stream: self.stream()?.to_owned(),
            sequence: self.sequence?,
        })
    }

    /// A finding about this row.
    pub fn finding(&self, class: FindingClass, check: &'static str, detail: &str) -> Finding {
        Finding {
            domain: self.domain().map(str::to_owned),
            stream: self.stream().map(str::to_owned),
            sequence: self.sequence,
            event_id: self.event_id,
            ..finding(class, check, detail)
        }
    }
}
