//! Stored events: looking them up, and putting admitted ones in.

use ets_core::canonical::Payload;
use ets_core::event::{Event, EventId, Header};
use pgrx::pg_sys::{self, Datum};
use serde_json::json;

use crate::db::{self, View};
use crate::error::{Error, Result, sqlstate};
use crate::event_row::Target;
use crate::function::no_event;
use crate::transaction::{self, Expected};
use crate::triggers::{self, column};
use crate::value::{self, Value};
use crate::{owner, rows};

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

/// Stores an admitted event in a statement of its own; the row's columns as `ets.event` has
/// them. `given` is the datum of the payload, if the caller has one that is what will be stored.
pub fn insert(header: &Header, payload: &Payload, given: Option<Datum>) -> Result<Vec<Value>> {
    together(|statement| statement.insert(header, payload, given))
}

/// Runs `body`, whose inserts are one statement: each head is written once, at its end,
/// however many events moved it.
pub fn together<T>(body: impl FnOnce(&mut Statement) -> Result<T>) -> Result<T> {
    let mut statement = Statement { stored: 0, target: Target::open()? };
    transaction::open_frame();
    let ended = body(&mut statement).and_then(|value| {
        statement.target.take().map(Target::close).transpose()?;
        triggers::settle(statement.stored).map(|()| value)
    });
    if ended.is_err() {
        transaction::close_frame();
    }
    ended
}

/// Inserts that end together.
pub struct Statement {
    /// How many rows were stored without a statement of SQL.
    stored: u64,
    /// Where they are stored; none if the table wants an INSERT.
    target: Option<Target>,
}

impl Statement {
    /// As [`insert`]. The columns live as long as the present memory context.
    pub fn insert(&mut self, header: &Header, payload: &Payload, given: Option<Datum>) -> Result<Vec<Value>> {
        let payload = given.unwrap_or_else(|| value::payload_datum(payload));
        // SAFETY: the INSERT gives the transaction an id in any case.
        let transaction_id = unsafe { pg_sys::GetTopFullTransactionId().value };
        let mut row = triggers::row_of(header, payload, transaction_id);
        match &mut self.target {
            Some(target) => {
                target.insert(&mut row)?;
                transaction::count_row();
                self.stored += 1;
            }
            None => {
                transaction::expect(Expected { header: header.clone(), payload, transaction_id });
                insert_by_statement(&row)?;
            }
        }
        Ok(column::OF_EVENT.map(|place| Value::Made(row[place], column::TYPES[place])).to_vec())
    }
}

/// Brings an announced row to the table's triggers.
fn insert_by_statement(row: &[Datum; column::COUNT]) -> Result<()> {
    let values: [Value; column::COUNT] =
        std::array::from_fn(|place| Value::Made(row[place], column::TYPES[place]));
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
    if transaction::take_expected().is_some() {
        return Err(not_armed());
    }
    Ok(())
}

/// ET013, when a trigger of `ets.ledger_event` did not fire.
pub fn not_armed() -> Error {
    Error::new(sqlstate::STATE, "the ledger is not armed: its triggers are missing or off")
        .detail(json!({"state": "not armed"}))
        .hint("SELECT ets.arm(), then ets.verify_ledger()")
}
