//! Rows as they are stored, which may be anything.

use uuid::Uuid;

use super::finding::{Finding, Flaw};
use crate::canonical::{Limits, Payload};
use crate::event::{Event, EventId, Header};
use crate::hash::{Digest, bytes_of, to_hex};
use crate::key::Signature;
use crate::time::Timestamp;

/// The columns of a ledger event as the database gives them. Somebody who can
/// write to the table's files can have put anything there, so nothing is
/// assumed: what is no event becomes a finding, never an error.
#[derive(Debug, Clone, Copy, Default)]
pub struct RawEvent<'a> {
    /// `event_id`.
    pub event_id: Option<Uuid>,
    /// `domain`.
    pub domain: Option<&'a str>,
    /// `stream`.
    pub stream: Option<&'a str>,
    /// `sequence`.
    pub sequence: Option<i64>,
    /// `payload`, the text of the jsonb value.
    pub payload: Option<&'a str>,
    /// `schema_version`.
    pub schema_version: Option<&'a str>,
    /// `key_id`.
    pub key_id: Option<&'a str>,
    /// `public_key`.
    pub public_key: Option<&'a [u8]>,
    /// `previous_hash`.
    pub previous_hash: Option<&'a [u8]>,
    /// `current_hash`.
    pub current_hash: Option<&'a [u8]>,
    /// `signature`.
    pub signature: Option<&'a [u8]>,
    /// `timestamp` in microseconds since 1970-01-01T00:00:00Z; `None` also for
    /// what is no moment, such as `infinity`.
    pub timestamp: Option<i64>,
    /// `registry_version`.
    pub registry_version: Option<i64>,
}

impl RawEvent<'_> {
    /// The event that the row holds.
    ///
    /// # Errors
    /// A finding that names the column, if it holds none.
    // A finding is large, but made at most once for a row.
    #[allow(clippy::result_large_err)]
    pub fn parse(&self) -> Result<Event, Finding> {
        self.event().map_err(|flaw| self.finding(*flaw))
    }

    /// The header that the row holds, whatever its payload.
    ///
    /// # Errors
    /// As [`RawEvent::parse`].
    #[allow(clippy::result_large_err)]
    pub fn parse_header(&self) -> Result<Header, Finding> {
        self.header().map_err(|flaw| self.finding(*flaw))
    }

    fn header(&self) -> Result<Header, Box<Flaw>> {
        Ok(Header {
            event_id: column("event_id", self.event_id, EventId::from_uuid, |id| id.to_string())?,
            domain: column("domain", self.domain, |text| text.parse().ok(), text)?,
            stream: column("stream", self.stream, |text| text.parse().ok(), text)?,
            sequence: column("sequence", self.sequence, counter, |n| n.to_string())
                .and_then(|n| if n > 0 { Ok(n) } else { Err(invalid("sequence", "0".into())) })?,
            schema_version: column("schema_version", self.schema_version, |text| text.parse().ok(), text)?,
            key_id: column("key_id", self.key_id, |text| text.parse().ok(), text)?,
            public_key: column("public_key", self.public_key, |bytes| bytes_of(bytes).ok(), bytes)?,
            previous_hash: column("previous_hash", self.previous_hash, |b| Digest::try_from(b).ok(), bytes)?,
            current_hash: column("current_hash", self.current_hash, |b| Digest::try_from(b).ok(), bytes)?,
            signature: column("signature", self.signature, |b| Signature::try_from(b).ok(), bytes)?,
            timestamp: column("timestamp", self.timestamp, Timestamp::from_unix_micros, |n| n.to_string())?,
            registry_version: column("registry_version", self.registry_version, counter, |n| n.to_string())?,
        })
    }

    fn event(&self) -> Result<Event, Box<Flaw>> {
        let header = self.header()?;
        let stored = self.payload.ok_or_else(|| missing("payload"))?;
        let payload = Payload::parse(stored, &Limits::CEILING).map_err(|error| {
            Box::new(Flaw::tampering("payload", format!("the stored payload has no canonical form: {error}")))
        })?;
        Ok(Event { header, payload })
    }

    /// `flaw` as a finding about this row.
    pub(super) fn finding(&self, flaw: Flaw) -> Finding {
        Finding {
            class: flaw.class,
            domain: self.domain.map(str::to_owned),
            stream: self.stream.map(str::to_owned),
            sequence: self.sequence,
            event_id: self.event_id,
            check: flaw.check,
            expected: flaw.expected,
            actual: flaw.actual,
            detail: flaw.detail,
        }
    }
}

fn column<C: Copy, T>(
    name: &'static str,
    stored: Option<C>,
    read: impl FnOnce(C) -> Option<T>,
    show: impl FnOnce(C) -> String,
) -> Result<T, Box<Flaw>> {
    let stored = stored.ok_or_else(|| missing(name))?;
    read(stored).ok_or_else(|| invalid(name, show(stored)))
}

fn missing(name: &'static str) -> Box<Flaw> {
    Box::new(Flaw::tampering(name, format!("the row has no {name}")))
}

fn invalid(name: &'static str, actual: String) -> Box<Flaw> {
    let mut flaw = Flaw::tampering(name, format!("the stored {name} is no {name} at all"));
    flaw.actual = Some(actual);
    Box::new(flaw)
}

fn counter(value: i64) -> Option<u64> {
    u64::try_from(value).ok()
}

/// As much of a stored text as a finding should repeat.
fn text(stored: &str) -> String {
    stored.chars().take(100).collect()
}

/// As much of a stored byte string as a finding should repeat.
fn bytes(stored: &[u8]) -> String {
    let start = to_hex(stored.get(..64).unwrap_or(stored));
    if stored.len() > 64 { format!("{start}… ({} bytes)", stored.len()) } else { start }
}
