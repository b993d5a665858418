//! Rows that a logical-replication apply worker brings. It fires no statement
//! triggers, so each row is judged, and its head moved, by itself.

use ets_core::canonical::Limits;
use ets_core::checkpoint::DomainRoot;
use ets_core::event::{Event, EventId, Header};
use ets_core::hash::{Digest, bytes_of};
use ets_core::key::Signature;
use ets_core::time::Timestamp;
use pgrx::pg_sys::{self, Datum};

use super::{NewRow, Trigger, append_only, column, not_version_7};
use crate::error::{Error, Result, sqlstate};
use crate::gate::import::{Arrival, admit};
use crate::receiver::{self, checkpoint, refusal};
use crate::seal::Checkpoint;
use crate::value;
use crate::{heads, transaction};

/// An event's row: the tuple to store; none if the event is stored already, or of
/// a domain that is not held.
pub(super) fn event(trigger: &Trigger, mut row: NewRow) -> Result<Datum> {
    let mut header = None;
    let judged = receiver::require_importer().and_then(|()| row.received()).and_then(|event| {
        let arrival = admit(&event);
        header = Some(event.header);
        arrival
    });
    let arrival = judged.inspect_err(|error| refusal::remember(error, "ledger_event", header.as_ref()))?;
    let (Arrival::New, Some(header), Some(payload)) = (arrival, header, row.given(column::PAYLOAD)) else {
        return Ok(Datum::null());
    };
    heads::write_dirty()?;
    transaction::count_row();
    Ok(row.tuple(trigger, &header, payload))
}

/// A row of another table: the tuple to store, none if the same is stored already.
pub(super) fn other(trigger: &Trigger) -> Result<Datum> {
    let table = trigger.table_name();
    let judged = receiver::require_importer().and_then(|()| match (table.as_str(), trigger.operation()) {
        ("merkle_leaf", "INSERT") => leaf(&trigger.columns()),
        ("domain_root", "INSERT") => root(&trigger.columns()),
        ("checkpoint", "INSERT") => checkpoint(&trigger.columns()),
        _ => Err(append_only(trigger)),
    });
    let is_new = judged.inspect_err(|error| refusal::remember(error, &table, None))?;
    Ok(if is_new { trigger.given_tuple() } else { Datum::null() })
}

fn leaf(columns: &[Option<Datum>]) -> Result<bool> {
    let domain = text(columns, 0)?.parse()?;
    receiver::require(&domain)?;
    checkpoint::is_free(&domain, count(columns, 1)?, event_id(columns, 2)?)
}

fn root(columns: &[Option<Datum>]) -> Result<bool> {
    let checkpoint_id = count(columns, 0)?;
    let root = DomainRoot {
        domain: text(columns, 1)?.parse()?,
        tree_size: count(columns, 2)?,
        root: digest(columns, 3)?,
    };
    receiver::require(&ets_core::name::DomainName::registry())?;
    checkpoint::is_new_root(checkpoint_id, &root)
}

fn checkpoint(columns: &[Option<Datum>]) -> Result<bool> {
    receiver::require(&ets_core::name::DomainName::registry())?;
    let row = Checkpoint {
        checkpoint_id: count(columns, 0)?,
        version: text(columns, 1)?,
        checkpoint_event_id: event_id(columns, 2)?,
        meta_root: digest(columns, 3)?,
        created_at: timestamp(columns, 4)?,
    };
    if !checkpoint::is_new(&row)? {
        return Ok(false);
    }
    checkpoint::settle(&row, &checkpoint::stored_roots(row.checkpoint_id)?)?;
    Ok(true)
}

impl NewRow {
    /// The event of a row that brings all its columns along.
    fn received(&self) -> Result<Event> {
        let columns: Vec<Option<Datum>> = (0..column::COUNT).map(|column| self.given(column)).collect();
        let columns = &columns[..];
        let payload = columns[column::PAYLOAD].ok_or_else(|| impossible(column::PAYLOAD))?;
        // SAFETY: the column is a jsonb.
        let payload = unsafe { value::payload_of(payload, &Limits::CEILING)? };
        let header = Header {
            event_id: event_id(columns, column::EVENT_ID)?,
            domain: text(columns, column::DOMAIN)?.parse()?,
            stream: text(columns, column::STREAM)?.parse()?,
            sequence: count(columns, column::SEQUENCE)?,
            schema_version: text(columns, column::SCHEMA_VERSION)?.parse()?,
            key_id: text(columns, column::KEY_ID)?.parse().map_err(|_| impossible(column::KEY_ID))?,
            public_key: bytes(columns, column::PUBLIC_KEY)?,
            previous_hash: digest(columns, column::PREVIOUS_HASH)?,
            current_hash: digest(columns, column::CURRENT_HASH)?,
            signature: Signature(bytes(columns, column::SIGNATURE)?),
            timestamp: timestamp(columns, column::TIMESTAMP)?,
            registry_version: count(columns, column::REGISTRY_VERSION)?,
        };
        if !payload.is_stored_form() {
            return Err(Error::new(
                sqlstate::HASH,
                format!("the payload of event {} is not canonical", header.event_id),
            )
            .detail(serde_json::json!({"event_id": header.event_id.to_string()}))
            .hint("it was changed past the gate where it comes from"));
        }
        Ok(Event { header, payload })
    }
}

impl Trigger {
    /// The columns of the new row, of whichever table.
    pub(super) fn columns(&self) -> Vec<Option<Datum>> {
        let descriptor = self.descriptor();
        // SAFETY: the trigger tuple is of this descriptor; as many places as it has columns.
        unsafe {
            let count = usize::try_from((*descriptor).natts).unwrap_or(0);
            let (mut datums, mut nulls) = (vec![Datum::null(); count], vec![true; count]);
            pg_sys::heap_deform_tuple(
                (*self.data).tg_trigtuple,
                descriptor,
                datums.as_mut_ptr(),
                nulls.as_mut_ptr(),
            );
            datums.into_iter().zip(nulls).map(|(datum, null)| (!null).then_some(datum)).collect()
        }
    }
}

fn given(columns: &[Option<Datum>], place: usize) -> Result<Datum> {
    columns.get(place).copied().flatten().ok_or_else(|| impossible(place))
}

fn text(columns: &[Option<Datum>], place: usize) -> Result<String> {
    // SAFETY: the column is a text.
    given(columns, place).map(|datum| unsafe { value::text_of(datum) })
}

fn count(columns: &[Option<Datum>], place: usize) -> Result<u64> {
    given(columns, place).and_then(|datum| u64::try_from(datum.value() as i64).map_err(|_| impossible(place)))
}

fn bytes<const N: usize>(columns: &[Option<Datum>], place: usize) -> Result<[u8; N]> {
    // SAFETY: the column is a bytea.
    let bytes = given(columns, place).map(|datum| unsafe { value::bytes_of(datum) })?;
    bytes_of(&bytes).map_err(|_| impossible(place))
}

fn digest(columns: &[Option<Datum>], place: usize) -> Result<Digest> {
    bytes(columns, place).map(Digest)
}

fn event_id(columns: &[Option<Datum>], place: usize) -> Result<EventId> {
    // SAFETY: the column is a uuid.
    let bytes = given(columns, place).map(|datum| unsafe { value::uuid_of(datum) })?;
    EventId::from_slice(&bytes).ok_or_else(|| not_version_7(&bytes))
}

fn timestamp(columns: &[Option<Datum>], place: usize) -> Result<Timestamp> {
    let micros = value::unix_micros(given(columns, place)?.value() as i64);
    Timestamp::from_unix_micros(micros).ok_or_else(|| impossible(place))
}

fn impossible(place: usize) -> Error {
    Error::new(sqlstate::HASH, format!("a row arrived with an impossible value in column {}", place + 1))
        .detail(serde_json::json!({"column": place + 1}))
        .hint("it was changed past the gate where it comes from")
}
