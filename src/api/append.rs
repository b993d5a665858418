//! Appending: one event, one event with a key of this server, a batch.

use std::collections::BTreeSet;
use std::sync::Arc;

use ets_core::canonical::{Limits, Payload, for_each_item};
use ets_core::event::{Event, EventId, Header};
use ets_core::hash::{Digest, event_hash, from_hex, genesis_hash};
use ets_core::key::{self, Signature};
use ets_core::name::{DomainName, SchemaVersion, StreamName};
use serde_json::{Map, Value as Json, json};

use crate::api::canonical::payload_argument;
use crate::checks::Checks;
use crate::db::View;
use crate::error::{Error, Result, sqlstate};
use crate::events::Statement;
use crate::function::{Call, Record, Rows, event_columns};
use crate::gate::{self, Candidate, IdChoice, Inspected};
use crate::owner::Owner;
use crate::triggers::not_version_7;
use crate::{clock, events, gucs, heads, keys, ledger, transaction};

crate::sql_functions! {
    ets_append pg_finfo_ets_append => append;
    ets_append_signed pg_finfo_ets_append_signed => append_signed;
    ets_append_batch pg_finfo_ets_append_batch => append_batch;
    ets_head pg_finfo_ets_head => head;
    ets_prepare pg_finfo_ets_prepare => prepare;
}

fn append(call: &Call) -> Result<Record> {
    // What SECURITY DEFINER would do, for a fraction of what it costs a call: every
    // statement from here on is qualified, so the search_path may stay the caller's.
    let _owner = Owner::of_events();
    let payload = call.required_payload(0, &gucs::payload_limits())?;
    let given = payload.is_stored_form().then(|| call.datum(0)).flatten();
    let schema_version = call.required_text(1, "schema_version")?.parse()?;
    let public_key = call.required_bytes(2, "public_key", sqlstate::SIGNATURE)?;
    let previous_hash = call.required_digest(3, "previous_hash")?;
    let signature = Signature(call.required_bytes(4, "signature", sqlstate::SIGNATURE)?);
    let event_id = call.uuid(5).map(|bytes| EventId::from_slice(&bytes).ok_or_else(|| not_version_7(&bytes)));
    let offered = Offered {
        payload,
        schema_version,
        public_key,
        previous_hash,
        signature,
        event_id: event_id.transpose()?,
    };
    let mut inspected = match offered.arrive()? {
        Admission::New(inspected) => inspected,
        Admission::Stored(event) => return Ok(Record(event_columns(&event))),
    };
    inspected.check()?;
    Ok(Record(match place_or_find(&inspected)? {
        Placed::New(header) => events::insert(&header, inspected.payload(), given)?,
        Placed::Stored(event) => event_columns(&event),
    }))
}

/// What the caller of `ets.append` offers.
struct Offered {
    payload: Payload,
    schema_version: SchemaVersion,
    public_key: [u8; 32],
    previous_hash: Digest,
    signature: Signature,
    event_id: Option<EventId>,
}

enum Admission {
    New(Inspected),
    /// A retry: the event is there already.
    Stored(Event),
}

enum Placed {
    New(Header),
    Stored(Event),
}

impl Offered {
    /// Steps 2 and 3; before them, an id that the client chose is looked up.
    fn arrive(self) -> Result<Admission> {
        let choice = match self.event_id {
            None => IdChoice::Server(clock::new_id()?),
            // Made by ets.uuid_v7() in this transaction: as good as none given.
            Some(id) if transaction::take_id(id) => IdChoice::Server(id),
            Some(id) => {
                ledger::id()?;
                events::lock_id(id)?;
                if let Some(stored) = events::find(View::Latest, id)? {
                    return self.same_as(stored).map(Admission::Stored);
                }
                IdChoice::Client(id)
            }
        };
        Ok(Admission::New(gate::arrive(self.candidate(choice))?))
    }

    fn candidate(self, event_id: IdChoice) -> Candidate {
        Candidate {
            payload: self.payload,
            schema_version: self.schema_version,
            public_key: self.public_key,
            previous_hash: self.previous_hash,
            signature: self.signature,
            event_id,
        }
    }

    /// A retry by id gets the stored event if it is the same and its sender
    /// shows a valid signature; whoever only knows the id learns nothing.
    fn same_as(self, stored: Event) -> Result<Event> {
        let hash = event_hash(self.payload.canonical().as_bytes(), &self.previous_hash);
        let same = stored.header.current_hash == hash
            && stored.header.schema_version == self.schema_version
            && stored.header.public_key == self.public_key
            && key::verify_strict(&self.public_key, hash.as_bytes(), &self.signature.0)
            && self.names_stream_of(&stored)?;
        if same { Ok(stored) } else { Err(events::taken(stored.header.event_id)) }
    }

    fn names_stream_of(&self, stored: &Event) -> Result<bool> {
        let registry = ledger::registry(View::Latest)?;
        Ok(registry.schema(&self.schema_version).is_some_and(|schema| {
            schema.domain == stored.header.domain
                && schema.stream_of(self.payload.value()).is_ok_and(|stream| stream == stored.header.stream)
        }))
    }
}

/// Steps 6 to 8. A retry without an id, whose event is the head already, gets
/// that event instead of ET005.
fn place_or_find(inspected: &Inspected) -> Result<Placed> {
    let error = match gate::place(inspected) {
        Ok(header) => return Ok(Placed::New(header)),
        Err(error) => error,
    };
    if error.sqlstate() == Some(sqlstate::HEAD)
        && let Some(head) = transaction::head(&inspected.domain, &inspected.stream)
        && let Some(id) = head.last_event_id
        && let Some(stored) = events::find(View::Latest, id)?
        && inspected.was_stored_as(&stored)
    {
        return Ok(Placed::Stored(stored));
    }
    Err(error)
}

fn append_signed(call: &Call) -> Result<Record> {
    let payload = call.required_payload(0, &gucs::payload_limits())?;
    let schema_version: SchemaVersion = call.required_text(1, "schema_version")?.parse()?;
    let secret_key = keys::local_key(call.text(2).as_deref())?;
    let event = sign_and_append(payload, schema_version, &secret_key)?;
    Ok(Record(event_columns(&event)))
}

/// Signs onto the head of the payload's stream, which is locked until the
/// transaction ends, and appends.
pub fn sign_and_append(
    payload: Payload,
    schema_version: SchemaVersion,
    secret_key: &key::SecretKey,
) -> Result<Event> {
    append_at_head(payload, schema_version, &secret_key.public_key(), |hash| secret_key.sign(hash))
}

/// Appends onto the head of the payload's stream, which is locked until the
/// transaction ends, with the signature that `sign` gives for the event's hash.
pub fn append_at_head(
    payload: Payload,
    schema_version: SchemaVersion,
    public_key: &key::PublicKey,
    sign: impl FnOnce(&Digest) -> Signature,
) -> Result<Event> {
    let (domain, stream) = destination(&payload, &schema_version)?;
    let head = heads::lock(&domain, &stream)?;
    let hash = event_hash(payload.canonical().as_bytes(), &head.hash);
    let inspected = gate::inspect(Candidate {
        payload,
        schema_version,
        public_key: *public_key.as_bytes(),
        previous_hash: head.hash,
        signature: sign(&hash),
        event_id: IdChoice::Server(clock::new_id()?),
    })?;
    let header = gate::place(&inspected)?;
    events::insert(&header, inspected.payload(), None)?;
    Ok(Event { header, payload: inspected.into_payload() })
}

/// Where a payload of this schema belongs: domain and stream.
pub fn destination(payload: &Payload, schema_version: &SchemaVersion) -> Result<(DomainName, StreamName)> {
    match ledger::registry_if_begun(View::Latest)? {
        None => Ok((DomainName::registry(), StreamName::main())),
        Some(registry) => gate::destination(&registry, payload, schema_version),
    }
}

fn append_batch(call: &Call) -> Result<Rows> {
    let mut rows = Rows::open(call)?;
    let text = call.required_text(0, "events")?;
    let limit = Limits { max_bytes: 256 << 20, max_depth: Limits::CEILING.max_depth + 2 };
    let mut batch = Batch::default();
    let is_array = for_each_item(&text, &limit, |item| {
        pgrx::check_for_interrupts!();
        batch.take(item)
    })?;
    if !is_array {
        return Err(Error::parameter("events", "must be a JSON array")
            .hint("[{payload, schema_version, public_key, previous_hash, signature, event_id?}, …]"));
    }
    batch.lock_heads()?;
    events::together(|statement| {
        for (index, arrival) in std::mem::take(&mut batch.arrivals).into_iter().enumerate() {
            pgrx::check_for_interrupts!();
            crate::db::in_scratch(|| append_one(statement, arrival, &mut rows))
                .map_err(|error| batch.first_refusal(in_batch(error, index)))?;
        }
        batch.finish_checks()
    })?;
    Ok(rows)
}

/// Events that arrive together. Their signatures and schemas are checked while the next are
/// read and the last are stored.
#[derive(Default)]
struct Batch {
    arrivals: Vec<Arrival>,
    streams: BTreeSet<(DomainName, StreamName)>,
    checks: Checks,
}

enum Arrival {
    New(Arc<Inspected>),
    /// A retry: the event is there already.
    Stored(Box<Event>),
}

impl Batch {
    /// Steps 1 to 3 of one more event. 4 and 5 follow at once where they need Postgres, and for
    /// the first, so that no stream is locked before a signature for it was checked.
    fn take(&mut self, item: Json) -> Result<()> {
        let index = self.arrivals.len();
        let is_first = self.streams.is_empty();
        let arrived = offered_from(item).and_then(Offered::arrive).and_then(|admission| match admission {
            Admission::New(mut inspected) if is_first || !inspected.is_checked_apart() => {
                inspected.check().map(|()| Admission::New(inspected))
            }
            other => Ok(other),
        });
        let arrival = match arrived.map_err(|error| self.first_refusal(in_batch(error, index)))? {
            Admission::Stored(event) => Arrival::Stored(Box::new(event)),
            Admission::New(inspected) => {
                self.streams.insert((inspected.domain.clone(), inspected.stream.clone()));
                let inspected = Arc::new(inspected);
                if !inspected.is_checked() {
                    self.checks.push(index as u64, Arc::clone(&inspected)).map_err(refused)?;
                }
                Arrival::New(inspected)
            }
        };
        self.arrivals.push(arrival);
        Ok(())
    }

    /// In sorted order: batches over the same streams queue, and never deadlock.
    fn lock_heads(&mut self) -> Result<()> {
        if self.streams.len() > 1 {
            self.finish_checks()?;
        }
        for (domain, stream) in &self.streams {
            heads::lock(domain, stream)?;
        }
        Ok(())
    }

    fn finish_checks(&mut self) -> Result<()> {
        self.checks.finish().map_err(refused)
    }

    /// `error` of an event, or the refusal of one before it.
    fn first_refusal(&mut self, error: Error) -> Error {
        match error {
            Error::Postgres => error,
            refusal => self.finish_checks().err().unwrap_or(refusal),
        }
    }
}

fn refused((index, error): (u64, Error)) -> Error {
    in_batch(error, index as usize)
}

fn append_one(statement: &mut Statement, arrival: Arrival, rows: &mut Rows) -> Result<()> {
    let inspected = match arrival {
        Arrival::Stored(event) => return rows.put(&event_columns(&event)),
        Arrival::New(inspected) => inspected,
    };
    match place_or_find(&inspected)? {
        Placed::Stored(event) => rows.put(&event_columns(&event)),
        Placed::New(header) => rows.put(&statement.insert(&header, inspected.payload(), None)?),
    }
}

fn offered_from(item: Json) -> Result<Offered> {
    let Json::Object(mut members) = item else {
        return Err(Error::parameter("events", "must hold objects"));
    };
    let payload = members.remove("payload").ok_or_else(|| Error::null("payload"))?;
    let payload = Payload::from_value(payload, &gucs::payload_limits())?;
    let schema_version = text_member(&mut members, "schema_version")?.parse()?;
    let public_key = hex_member(&mut members, "public_key", sqlstate::SIGNATURE)?;
    let previous_hash = Digest(hex_member(&mut members, "previous_hash", sqlstate::PARAMETER)?);
    let signature = Signature(hex_member(&mut members, "signature", sqlstate::SIGNATURE)?);
    let event_id = match members.remove("event_id") {
        None => None,
        Some(Json::String(text)) => Some(text.parse().map_err(|_| {
            Error::new(sqlstate::FIELD, "event_id is not a UUID of version 7 in lowercase")
                .detail(json!({"argument": "event_id"}))
        })?),
        Some(_) => return Err(Error::parameter("event_id", "must be text")),
    };
    if let Some(name) = members.keys().next() {
        return Err(Error::parameter("events", format_args!("has an unknown member {name:?}")));
    }
    Ok(Offered { payload, schema_version, public_key, previous_hash, signature, event_id })
}

fn text_member(members: &mut Map<String, Json>, name: &str) -> Result<String> {
    match members.remove(name) {
        Some(Json::String(text)) => Ok(text),
        Some(Json::Null) | None => Err(Error::null(name)),
        Some(_) => Err(Error::parameter(name, "must be text")),
    }
}

fn hex_member<const N: usize>(
    members: &mut Map<String, Json>,
    name: &str,
    code: &'static std::ffi::CStr,
) -> Result<[u8; N]> {
    from_hex(&text_member(members, name)?)
        .map_err(|error| Error::new(code, format!("{name} is {error}")).detail(json!({"argument": name})))
}

/// Says which event of a batch was refused.
fn in_batch(error: Error, index: usize) -> Error {
    error.with_detail_member("index", json!(index))
}

fn head(call: &Call) -> Result<Record> {
    let domain: DomainName = call.required_text(0, "domain")?.parse()?;
    let stream: StreamName = call.required_text(1, "stream")?.parse()?;
    let for_append = call.bool(2).ok_or_else(|| Error::null("for_append"))?;
    let view = if for_append { View::Latest } else { View::Query };
    let registry = ledger::registry(view)?;
    if registry.domain(domain.as_str()).is_none() {
        return Err(no_domain(&domain));
    }
    let (hash, sequence) = if for_append {
        // SAFETY: reads a static.
        if unsafe { pgrx::pg_sys::RecoveryInProgress() } {
            return Err(Error::new(sqlstate::READ_ONLY, "a head cannot be locked during recovery")
                .hint("append on the primary; for_append => false reads the head here"));
        }
        let head = heads::lock(&domain, &stream)?;
        (head.hash, head.sequence)
    } else {
        heads::peek(view, &domain, &stream)?
            .unwrap_or_else(|| (genesis_hash(&registry.ledger().ledger_id, &domain, &stream), 0))
    };
    Ok(Record(vec![hash.into(), sequence.into()]))
}

/// `ET011` for a domain that the registry does not have.
pub fn no_domain(domain: &DomainName) -> Error {
    Error::new(sqlstate::NOT_FOUND, format!("no domain {domain}"))
        .detail(json!({"domain": domain.as_str()}))
        .hint("ets.create_domain makes it; ets.domain lists those there are")
}

fn prepare(call: &Call) -> Result<Record> {
    let payload = payload_argument(call, 0)?;
    let schema_version = call.required_text(1, "schema_version")?.parse()?;
    let (domain, stream) = destination(&payload, &schema_version)?;
    let previous_hash = match heads::peek(View::Query, &domain, &stream)? {
        Some((hash, _)) => hash,
        None => genesis_hash(&ledger::id()?, &domain, &stream),
    };
    let current_hash = event_hash(payload.canonical().as_bytes(), &previous_hash);
    Ok(Record(vec![
        domain.as_str().into(),
        stream.as_str().into(),
        payload.canonical().into(),
        previous_hash.into(),
        current_hash.into(),
    ]))
}
