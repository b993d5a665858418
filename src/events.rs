//! Stored events: looking them up, and putting admitted ones in.

use ets_core::event::{Event, EventId};
use pgrx::pg_sys::{self, Datum};
use serde_json::json;

use crate::db::{self, View};
use crate::error::{Error, Result, sqlstate};
use crate::function::no_event;
use crate::transaction::{self, Expected};
use crate::triggers::{self, column};
use crate::value::Value;
use crate::{event_row, owner, rows};

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
    together(|statement| statement.insert(event, payload))
}

/// Runs `body`, whose inserts are one statement: each head is written once, at its end,
/// however many events moved it.
pub fn together<T>(body: impl FnOnce(&mut Statement) -> Result<T>) -> Result<T> {
    let mut statement = Statement { stored: 0 };
    transaction::open_frame();
    match body(&mut statement) {
        Ok(value) => triggers::settle(statement.stored).map(|()| value),
        Err(error) => {
            transaction::close_frame();
            Err(error)
        }
    }
}

/// Inserts that end together.
pub struct Statement {
    /// How many rows were stored without a statement of SQL.
    stored: u64,
}

impl Statement {
    /// As [`insert`].
    pub fn insert(&mut self, event: &Event, payload: Option<Datum>) -> Result<Datum> {
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
        let mut datums = values.each_ref().map(|value| value.to_datum().unwrap_or(Datum::null()));
        if event_row::store(&mut datums)? {
            self.stored += 1;
        } else {
            // Triggers of others fire here with the owner's rights, not with the caller's path.
            owner::with_catalog_path(|| {
                db::run(
                    "INSERT INTO ets.ledger_event
                            (event_id, payload, schema_version, key_id, public_key, previous_hash, current_hash, signature,
                             \"timestamp\", domain, stream, sequence, registry_version, transaction_id)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
                    &values,
                )
            })?;
        }
        if transaction::take_expected().is_some() {
            return Err(Error::new(
                sqlstate::STATE,
                "the ledger is not armed: its triggers are missing or off",
            )
            .detail(json!({"state": "not armed"}))
            .hint("SELECT ets.arm(), then ets.verify_ledger()"));
        }
        Ok(payload)
    }
}
