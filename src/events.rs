//! Stored events: looking them up, and putting admitted ones in.

use ets_core::event::{Event, EventId};
use pgrx::pg_sys::{self, Datum};
use serde_json::json;

use crate::db::{self, View};
use crate::error::{Error, Result, sqlstate};
use crate::event_row;
use crate::function::no_event;
use crate::rows;
use crate::transaction::{self, Expected};
use crate::triggers::{self, column};
use crate::value::Value;

/// The stored event of this id, in whichever domain.
///
/// # Errors
/// ET011 if there is none; ET002 if its row holds what no event can have.
pub fn by_id(view: View, id: EventId) -> Result<Event> {
    find(view, id)?.ok_or_else(|| no_event(id.as_uuid().as_bytes()))
}

/// As [`by_id`]; none if there is none.
pub fn find(view: View, id: EventId) -> Result<Option<Event>> {
    db::first(
        view,
        crate::select_events!("WHERE event.event_id OPERATOR(pg_catalog.=) $1"),
        &[id.into()],
        rows::event,
    )
}

/// Whether an event of this id has committed, or is this transaction's own.
pub fn exists(id: EventId) -> Result<bool> {
    let found = db::first(
        View::Latest,
        "SELECT true FROM ets.ledger_event AS event WHERE event.event_id OPERATOR(pg_catalog.=) $1",
        &[id.into()],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

/// Makes the transactions that bring the same id wait for each other.
pub fn lock_id(id: EventId) -> Result<()> {
    // The last 64 bits are the random ones; a collision only makes two wait.
    let [.., a, b, c, d, e, f, g, h] = *id.as_uuid().as_bytes();
    let key = i64::from_be_bytes([a, b, c, d, e, f, g, h]);
    db::first(View::Query, "SELECT pg_catalog.pg_advisory_xact_lock($1)", &[key.into()], |_| Ok(()))?;
    Ok(())
}

/// ET010 for an id that an event has already; says nothing about that event.
pub fn taken(id: EventId) -> Error {
    Error::new(sqlstate::FIELD, format!("event_id {id} is taken"))
        .detail(json!({"event_id": id.to_string()}))
        .hint("leave event_id out, or make a new UUID version 7; a retry must send the same event")
}

/// Stores an admitted event and answers the datum of its payload, which lives as
/// long as the present memory context. `payload` is the datum that the caller
/// gave, if it is already what will be stored.
pub fn insert(event: &Event, payload: Option<Datum>) -> Result<Datum> {
    let header = &event.header;
    let payload = payload
        .or_else(|| Value::Jsonb(event.payload.canonical().to_owned()).to_datum())
        .ok_or_else(|| Error::null("payload"))?;
    // SAFETY: the INSERT gives the transaction an id in any case.
    let transaction_id = unsafe { pg_sys::GetTopFullTransactionId().value };
    transaction::expect(Expected { header: header.clone(), payload, transaction_id });
    let values: [Value; column::COUNT] = [
        header.event_id.into(),
        Value::JsonbDatum(payload),
        header.schema_version.as_str().into(),
        header.key_id.into(),
        header.public_key.into(),
        header.previous_hash.into(),
        header.current_hash.into(),
        header.signature.into(),
        header.timestamp.into(),
        header.domain.as_str().into(),
        header.stream.as_str().into(),
        header.sequence.into(),
        header.registry_version.into(),
        transaction_id.into(),
    ];
    transaction::open_frame();
    let mut datums = [Datum::null(); column::COUNT];
    for (datum, value) in datums.iter_mut().zip(&values) {
        *datum = value.to_datum().unwrap_or(Datum::null());
    }
    let stored = event_row::store(&mut datums)?;
    if !stored {
        transaction::close_frame();
        db::run(
            "INSERT INTO ets.ledger_event
                    (event_id, payload, schema_version, key_id, public_key, previous_hash, current_hash, signature,
                     \"timestamp\", domain, stream, sequence, registry_version, transaction_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
            &values,
        )?;
    }
    if transaction::take_expected().is_some() {
        return Err(Error::new(sqlstate::STATE, "the ledger is not armed: its triggers are missing or off")
            .detail(json!({"state": "not armed"}))
            .hint("SELECT ets.arm(), then ets.verify_ledger()"));
    }
    if stored {
        triggers::settle(1)?;
    }
    Ok(payload)
}
