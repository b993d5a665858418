//! The triggers on the ledger's tables: thin, and written against the raw
//! trigger interface because every append pays for them.
//!
//! One INSERT statement is one frame. BEFORE STATEMENT opens it, BEFORE ROW sends
//! each row through the gate, AFTER STATEMENT writes the heads and refuses if a
//! row that passed was not stored: `ON CONFLICT DO NOTHING` or another trigger
//! could drop it after its head had moved.

mod received;

use std::ffi::{CStr, c_char};

use ets_core::event::{EventId, Header};
use ets_core::hash::Digest;
use ets_core::key::Signature;
use pgrx::pg_sys::{self, Datum};
use serde_json::json;

use crate::error::{Error, Result, sqlstate};
use crate::function::{Call, exact_bytes};
use crate::gate::{self, Candidate, IdChoice, Inspected};
use crate::owner::Owner;
use crate::receiver::{import, refusal};
use crate::transaction::{self, Expected};
use crate::value::{self, Value};
use crate::{clock, db, events, gucs, heads, receiver};

crate::sql_functions! {
    ets_gate pg_finfo_ets_gate => gate_trigger;
    ets_guard pg_finfo_ets_guard => guard_trigger;
    ets_import_lines pg_finfo_ets_import_lines => import_lines_trigger;
}

/// The columns of `ets.ledger_event`, by their place from 0.
pub mod column {
    #![allow(missing_docs, reason = "named as the columns are")]

    use pgrx::pg_sys::{self, Oid};

    pub const EVENT_ID: usize = 0;
    pub const PAYLOAD: usize = 1;
    pub const SCHEMA_VERSION: usize = 2;
    pub const KEY_ID: usize = 3;
    pub const PUBLIC_KEY: usize = 4;
    pub const PREVIOUS_HASH: usize = 5;
    pub const CURRENT_HASH: usize = 6;
    pub const SIGNATURE: usize = 7;
    pub const TIMESTAMP: usize = 8;
    pub const DOMAIN: usize = 9;
    pub const STREAM: usize = 10;
    pub const SEQUENCE: usize = 11;
    pub const REGISTRY_VERSION: usize = 12;
    pub const TRANSACTION_ID: usize = 13;
    pub const COUNT: usize = 14;

    /// Their types.
    pub const TYPES: [Oid; COUNT] = [
        pg_sys::UUIDOID,
        pg_sys::JSONBOID,
        pg_sys::TEXTOID,
        pg_sys::TEXTOID,
        pg_sys::BYTEAOID,
        pg_sys::BYTEAOID,
        pg_sys::BYTEAOID,
        pg_sys::BYTEAOID,
        pg_sys::TIMESTAMPTZOID,
        pg_sys::TEXTOID,
        pg_sys::TEXTOID,
        pg_sys::INT8OID,
        pg_sys::INT8OID,
        pg_sys::INT8OID,
    ];
    /// Those of the composite type `ets.event`, in its order.
    pub const OF_EVENT: [usize; 13] = [
        EVENT_ID,
        DOMAIN,
        STREAM,
        SEQUENCE,
        PAYLOAD,
        SCHEMA_VERSION,
        KEY_ID,
        PUBLIC_KEY,
        PREVIOUS_HASH,
        CURRENT_HASH,
        SIGNATURE,
        TIMESTAMP,
        REGISTRY_VERSION,
    ];
}

/// The values of an event's row, none of them NULL.
pub fn row_of(header: &Header, payload: Datum, transaction_id: u64) -> [Datum; column::COUNT] {
    let values: [Value; column::COUNT] = [
        header.event_id.into(),
        Value::Made(payload, pg_sys::JSONBOID),
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
    values.map(|value| value.to_datum().unwrap_or(Datum::null()))
}

fn gate_trigger(call: &Call) -> Result<Datum> {
    let trigger = Trigger::of(call)?;
    let _owner = trigger.become_owner();
    match (trigger.is_before(), trigger.is_row()) {
        (true, false) => {
            transaction::open_frame();
            Ok(Datum::null())
        }
        (true, true) => before_row(&trigger),
        (false, _) => {
            after_statement(&trigger)?;
            Ok(Datum::null())
        }
    }
}

/// Refuses what is not the ledger's own statement: UPDATE, DELETE and TRUNCATE of
/// events by anybody, and any change by hand of the tables that the gate and the
/// seal write.
fn guard_trigger(call: &Call) -> Result<Datum> {
    let trigger = Trigger::of(call)?;
    if trigger.is_row() {
        // A session's statement was judged before its rows; an apply worker has none.
        if db::is_writing() || !receiver::is_apply_worker() {
            return Ok(trigger.given_tuple());
        }
        let _owner = trigger.become_owner();
        return received::other(&trigger);
    }
    if db::is_writing() {
        return Ok(Datum::null());
    }
    let refusal = append_only(&trigger);
    if receiver::is_apply_worker() {
        refusal::remember(&refusal, &trigger.table_name(), None);
    }
    Err(refusal)
}

/// COPY and INSERT into the view `ets.import_lines`: a statement is an import, a
/// row a line.
fn import_lines_trigger(call: &Call) -> Result<Datum> {
    let trigger = Trigger::of(call)?;
    match (trigger.is_row(), trigger.is_before()) {
        (true, _) => {
            let line = trigger.columns().first().copied().flatten().ok_or_else(|| Error::null("line"))?;
            // SAFETY: the view's only column is a text.
            let line = unsafe { value::text_of(line) };
            import::take_line(&line)?;
            return Ok(trigger.given_tuple());
        }
        (false, true) => import::begin_statement()?,
        (false, false) => import::end_statement()?,
    }
    Ok(Datum::null())
}

fn append_only(trigger: &Trigger) -> Error {
    let (table, operation) = (trigger.table_name(), trigger.operation());
    Error::new(
        sqlstate::APPEND_ONLY,
        format!("{operation} on ets.{table} is refused: the ledger is append-only"),
    )
    .detail(json!({"table": table, "operation": operation}))
    .hint("append an event that says what changed; ets.append is the way in")
}

fn before_row(trigger: &Trigger) -> Result<Datum> {
    if let Some(name) = trigger.row_trigger_behind() {
        return Err(Error::new(
            sqlstate::FIELD,
            "a row trigger stands behind the gate and could store another row",
        )
        .detail(json!({"trigger": name}))
        .hint("DROP TRIGGER, or give it a name that sorts before zz_ets_gate"));
    }
    if receiver::is_apply_worker() && !db::is_writing() {
        return received::event(trigger, trigger.new_row()?);
    }
    if !transaction::has_frame() {
        return Err(Error::new(sqlstate::FIELD, "a row was inserted past the ledger's table")
            .hint("insert into ets.ledger_event, not into a part of it"));
    }
    let mut row = trigger.new_row()?;
    if let Some(expected) = transaction::take_expected() {
        row.check(&expected)?;
        transaction::count_row();
        return Ok(trigger.given_tuple());
    }
    let (header, inspected) = row.admit().map_err(transaction::first_refusal)?;
    let payload = row.payload.unwrap_or_else(|| value::payload_datum(inspected.payload()));
    let tuple = row.tuple(trigger, &header, payload);
    if !inspected.is_checked() {
        transaction::check_later(inspected)?;
    }
    transaction::count_row();
    Ok(tuple)
}

fn after_statement(trigger: &Trigger) -> Result<()> {
    settle(trigger.inserted())
}

/// The end of an INSERT: waits for the checks of its rows, writes the heads that moved and
/// closes the frame. `stored` is the number of rows that the statement stored.
pub fn settle(stored: u64) -> Result<()> {
    transaction::finish_checks()?;
    heads::write_dirty()?;
    let passed = transaction::close_frame().unwrap_or(0);
    if passed != stored {
        return Err(Error::new(sqlstate::FIELD, "a row that passed the gate was not stored")
            .detail(json!({"passed": passed, "stored": stored}))
            .hint("ON CONFLICT and further row triggers on ets.ledger_event are not possible"));
    }
    Ok(())
}

/// The new row of a plain INSERT or COPY, or of `ets.append`.
struct NewRow {
    datums: [Datum; column::COUNT],
    nulls: [bool; column::COUNT],
    payload: Option<Datum>,
}

impl NewRow {
    fn given(&self, column: usize) -> Option<Datum> {
        (!self.nulls[column]).then_some(self.datums[column])
    }

    fn required(&self, column: usize, name: &str) -> Result<Datum> {
        self.given(column).ok_or_else(|| Error::null(name))
    }

    /// The row of a plain INSERT or COPY, through the gate.
    fn admit(&mut self) -> Result<(Header, Inspected)> {
        let payload = self.required(column::PAYLOAD, "payload")?;
        // SAFETY: each datum is of its column's type.
        let (parsed, schema_version, public_key, previous_hash, signature) = unsafe {
            (
                value::payload_of(payload, &gucs::payload_limits())?,
                value::text_of(self.required(column::SCHEMA_VERSION, "schema_version")?),
                value::bytes_of(self.required(column::PUBLIC_KEY, "public_key")?),
                value::bytes_of(self.required(column::PREVIOUS_HASH, "previous_hash")?),
                value::bytes_of(self.required(column::SIGNATURE, "signature")?),
            )
        };
        if parsed.is_stored_form() {
            self.payload = Some(payload);
        }
        let mut inspected = gate::arrive(Candidate {
            payload: parsed,
            schema_version: schema_version.parse()?,
            public_key: exact_bytes(&public_key, "public_key", sqlstate::SIGNATURE)?,
            previous_hash: Digest(exact_bytes(&previous_hash, "previous_hash", sqlstate::PARAMETER)?),
            signature: Signature(exact_bytes(&signature, "signature", sqlstate::SIGNATURE)?),
            event_id: self.id_choice()?,
        })?;
        let header = gate::admit(&mut inspected)?;
        match self.check_given(&header) {
            Ok(()) => Ok((header, inspected)),
            Err(error) => inspected.or_refusal(error),
        }
    }

    fn id_choice(&self) -> Result<IdChoice> {
        let Some(datum) = self.given(column::EVENT_ID) else { return Ok(IdChoice::Server(clock::new_id()?)) };
        // SAFETY: the column is a uuid.
        let bytes = unsafe { value::uuid_of(datum) };
        let id = EventId::from_slice(&bytes).ok_or_else(|| not_version_7(&bytes))?;
        if transaction::take_id(id) {
            return Ok(IdChoice::Server(id));
        }
        events::lock_id(id)?;
        if events::exists(id)? {
            return Err(events::taken(id));
        }
        Ok(IdChoice::Client(id))
    }

    /// What the server derives may be given too, and must then be right; what it
    /// alone can know may not be given.
    fn check_given(&self, header: &Header) -> Result<()> {
        // SAFETY: each datum is of its column's type.
        unsafe {
            if let Some(given) = self.given(column::CURRENT_HASH)
                && value::bytes_of(given) != header.current_hash.as_bytes()
            {
                return Err(Error::new(
                    sqlstate::HASH,
                    "current_hash is not the hash of payload and previous_hash",
                )
                .detail(json!({"current_hash": header.current_hash.to_string()}))
                .hint("leave current_hash out, or compute it as ets.event_hash does"));
            }
            let texts = [
                (column::KEY_ID, "key_id", header.key_id.to_string()),
                (column::DOMAIN, "domain", header.domain.as_str().to_owned()),
                (column::STREAM, "stream", header.stream.as_str().to_owned()),
            ];
            for (column, name, right) in texts {
                if self.given(column).is_some_and(|given| value::text_of(given) != right) {
                    return Err(wrong_field(name));
                }
            }
        }
        if self.given(column::SEQUENCE).is_some_and(|given| given.value() as u64 != header.sequence) {
            return Err(wrong_field("sequence"));
        }
        let reserved = [
            (column::TIMESTAMP, "timestamp"),
            (column::REGISTRY_VERSION, "registry_version"),
            (column::TRANSACTION_ID, "transaction_id"),
        ];
        for (column, name) in reserved {
            if self.given(column).is_some() {
                return Err(Error::new(sqlstate::FIELD, format!("{name} is not the caller's to set"))
                    .detail(json!({"field": name}))
                    .hint("leave it out: the server assigns it"));
            }
        }
        Ok(())
    }

    /// The row of `ets.append`, which has been through the gate: it must be the
    /// announced one to the last byte, or something changed it on the way.
    fn check(&self, expected: &Expected) -> Result<()> {
        let header = &expected.header;
        // SAFETY: each datum is of its column's type.
        let same = unsafe {
            let text =
                |column, right: &str| self.given(column).is_some_and(|given| value::text_of(given) == right);
            let bytes = |column, right: &[u8]| {
                self.given(column).is_some_and(|given| value::bytes_of(given) == right)
            };
            let number =
                |column, right: u64| self.given(column).is_some_and(|given| given.value() as u64 == right);
            self.given(column::EVENT_ID)
                .is_some_and(|given| value::uuid_of(given) == *header.event_id.as_uuid().as_bytes())
                && self.given(column::PAYLOAD).is_some_and(|given| same_varlena(given, expected.payload))
                && text(column::SCHEMA_VERSION, header.schema_version.as_str())
                && bytes(column::PUBLIC_KEY, &header.public_key)
                && bytes(column::PREVIOUS_HASH, header.previous_hash.as_bytes())
                && bytes(column::CURRENT_HASH, header.current_hash.as_bytes())
                && bytes(column::SIGNATURE, &header.signature.0)
                && text(column::DOMAIN, header.domain.as_str())
                && text(column::STREAM, header.stream.as_str())
                && text(column::KEY_ID, &header.key_id.to_string())
                && number(column::SEQUENCE, header.sequence)
                && number(column::REGISTRY_VERSION, header.registry_version)
                && number(column::TRANSACTION_ID, expected.transaction_id)
                && self.given(column::TIMESTAMP).is_some_and(|given| {
                    value::unix_micros(given.value() as i64) == header.timestamp.unix_micros()
                })
        };
        if !same {
            return Err(Error::new(sqlstate::FIELD, "a row changed between the gate and the table")
                .hint("there is a further trigger on ets.ledger_event: remove it"));
        }
        Ok(())
    }

    /// The tuple to store: every column from the event.
    fn tuple(&mut self, trigger: &Trigger, header: &Header, payload: Datum) -> Datum {
        // SAFETY: the transaction has an id from here on, as the INSERT needs it anyway. As
        // many datums as the table has columns, which new_row checked.
        unsafe {
            self.datums = row_of(header, payload, pg_sys::GetTopFullTransactionId().value);
            self.nulls = [false; column::COUNT];
            let (datums, nulls) = (self.datums.as_mut_ptr(), self.nulls.as_mut_ptr());
            Datum::from(pg_sys::heap_form_tuple(trigger.descriptor(), datums, nulls))
        }
    }
}

fn wrong_field(name: &str) -> Error {
    Error::new(sqlstate::FIELD, format!("{name} is not the one that the server derives"))
        .detail(json!({"field": name}))
        .hint("leave it out: the server assigns it")
}

/// ET010 for an id of another kind.
pub fn not_version_7(bytes: &[u8; 16]) -> Error {
    let text = uuid::Uuid::from_bytes(*bytes).to_string();
    Error::new(sqlstate::FIELD, format!("event_id {text} is not a UUID of version 7"))
        .detail(json!({"event_id": text}))
        .hint("leave event_id out, or make a UUID version 7 as ets.uuid_v7() does")
}

/// Whether two jsonb values are the same bytes.
unsafe fn same_varlena(left: Datum, right: Datum) -> bool {
    // SAFETY: per the callers, both are live jsonb values.
    left == right || unsafe { value::bytes_of(left) == value::bytes_of(right) }
}

/// What Postgres tells a trigger.
struct Trigger {
    data: *mut pg_sys::TriggerData,
}

impl Trigger {
    fn of(call: &Call) -> Result<Trigger> {
        // SAFETY: the context of a trigger call is a TriggerData, which its tag tells.
        unsafe {
            let context = (*call.info()).context;
            if context.is_null() || (*context).type_ != pg_sys::NodeTag::T_TriggerData {
                return Err(Error::new(c"39P01", "this function is a trigger of the ledger's tables")
                    .hint("it cannot be called by itself"));
            }
            Ok(Trigger { data: context.cast() })
        }
    }

    fn event(&self) -> u32 {
        // SAFETY: data is live for the call.
        unsafe { (*self.data).tg_event }
    }

    fn is_before(&self) -> bool {
        self.event() & pg_sys::TRIGGER_EVENT_TIMINGMASK == pg_sys::TRIGGER_EVENT_BEFORE
    }

    fn is_row(&self) -> bool {
        self.event() & pg_sys::TRIGGER_EVENT_ROW != 0
    }

    fn operation(&self) -> &'static str {
        match self.event() & pg_sys::TRIGGER_EVENT_OPMASK {
            pg_sys::TRIGGER_EVENT_INSERT => "INSERT",
            pg_sys::TRIGGER_EVENT_DELETE => "DELETE",
            pg_sys::TRIGGER_EVENT_UPDATE => "UPDATE",
            _ => "TRUNCATE",
        }
    }

    fn table_name(&self) -> String {
        // SAFETY: the relation is open for the call; its name is NUL-terminated.
        unsafe {
            let name = &(*(*(*self.data).tg_relation).rd_rel).relname;
            CStr::from_ptr(name.data.as_ptr()).to_string_lossy().into_owned()
        }
    }

    /// The name of a BEFORE INSERT row trigger that fires after this one. Postgres
    /// keeps them in the order in which they fire, by name.
    fn row_trigger_behind(&self) -> Option<String> {
        let kind =
            (pg_sys::TRIGGER_TYPE_ROW | pg_sys::TRIGGER_TYPE_BEFORE | pg_sys::TRIGGER_TYPE_INSERT) as i16;
        // SAFETY: the relation is open for the call, and this trigger is one of its own.
        unsafe {
            let all = (*(*self.data).tg_relation).trigdesc;
            if all.is_null() {
                return None;
            }
            let all = std::slice::from_raw_parts((*all).triggers, (*all).numtriggers as usize);
            let own = (*(*self.data).tg_trigger).tgoid;
            let behind = all.iter().skip_while(|trigger| trigger.tgoid != own).skip(1).find(|trigger| {
                trigger.tgtype & kind == kind && trigger.tgenabled != pg_sys::TRIGGER_DISABLED as c_char
            });
            behind.map(|trigger| CStr::from_ptr(trigger.tgname).to_string_lossy().into_owned())
        }
    }

    fn descriptor(&self) -> pg_sys::TupleDesc {
        // SAFETY: the relation is open for the call.
        unsafe { (*(*self.data).tg_relation).rd_att }
    }

    /// The row as it came, to be stored as it is.
    fn given_tuple(&self) -> Datum {
        // SAFETY: data is live for the call.
        unsafe {
            match self.event() & pg_sys::TRIGGER_EVENT_OPMASK {
                pg_sys::TRIGGER_EVENT_UPDATE => Datum::from((*self.data).tg_newtuple),
                _ => Datum::from((*self.data).tg_trigtuple),
            }
        }
    }

    fn new_row(&self) -> Result<NewRow> {
        let descriptor = self.descriptor();
        // SAFETY: the trigger tuple is of this descriptor; as many places as it has columns.
        unsafe {
            if (*descriptor).natts != column::COUNT as i32 {
                return Err(Error::new(
                    sqlstate::STATE,
                    "ets.ledger_event has other columns than this version of pg_ets",
                )
                .hint("SELECT ets.arm() after an update of the extension"));
            }
            let mut row = NewRow {
                datums: [Datum::null(); column::COUNT],
                nulls: [true; column::COUNT],
                payload: None,
            };
            pg_sys::heap_deform_tuple(
                (*self.data).tg_trigtuple,
                descriptor,
                row.datums.as_mut_ptr(),
                row.nulls.as_mut_ptr(),
            );
            Ok(row)
        }
    }

    /// Runs the gate's own statements as the table's owner: the sender needs rights
    /// on `ets.ledger_event` only.
    fn become_owner(&self) -> Owner {
        // SAFETY: the relation is open for the call.
        unsafe { Owner::of((*self.data).tg_relation) }
    }

    /// How many rows the statement stored, by its transition table.
    fn inserted(&self) -> u64 {
        // SAFETY: the trigger is declared with a transition table; its count needs no scan.
        unsafe {
            let table = (*self.data).tg_newtable;
            if table.is_null() { 0 } else { u64::try_from(tuplestore_tuple_count(table)).unwrap_or(0) }
        }
    }
}

crate::server_functions! {
    fn tuplestore_tuple_count(store: *mut pg_sys::Tuplestorestate) -> i64;
}
