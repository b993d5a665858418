//! The gate: the one order of checks that every event passes, whichever way it
//! comes in.
//!
//! Cheap checks come first, the signature before any lock, the head's lock last.
//! `inspect` is steps 1 to 5 and touches no row; `place` is steps 6 to 8. In a statement of
//! many rows, 4 and 5 of a row whose head is locked already may come later, on another
//! core ([`crate::checks`]): before the statement ends.

pub mod import;
mod placement;
pub mod semantics;

use std::cell::RefCell;
use std::sync::Arc;

use ets_core::canonical::Payload;
use ets_core::event::{Event, EventId, Header};
use ets_core::hash::{Digest, event_hash};
use ets_core::key::{Claim, KeyId, KnownKeys, Signature};
use ets_core::name::{DomainName, SchemaVersion, StreamName};
use ets_core::registry::{CompiledSchema, Registry, Request, SchemaRecord};
use ets_core::time::Timestamp;
pub use placement::place;
use semantics::Subject;
use serde_json::json;

use crate::db::View;
use crate::error::{Error, Result, sqlstate};
use crate::transaction::{self, Head};
use crate::{clock, history, ledger, projections, receiver};

/// What an application gives: the rest of an event is the server's to assign.
pub struct Candidate {
    /// The payload, canonical by its type: step 1 of the gate.
    pub payload: Payload,
    /// The schema that it claims.
    pub schema_version: SchemaVersion,
    /// The signer's key, 32 bytes.
    pub public_key: [u8; 32],
    /// The head that the signer saw.
    pub previous_hash: Digest,
    /// The signature of `current_hash`.
    pub signature: Signature,
    /// Who chose the event's id.
    pub event_id: IdChoice,
}

/// Who chose an event's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdChoice {
    /// The server made it; it may be raised.
    Server(EventId),
    /// The client chose it; it stands or the event is refused.
    Client(EventId),
}

/// A candidate that has passed steps 1 to 3; with [`Inspected::check`], 4 and 5 as well.
/// It holds nothing of Postgres.
pub struct Inspected {
    candidate: Candidate,
    /// The registry that it was judged against; none for the ledger's first event.
    judge: Option<Judge>,
    /// The domain that its schema names.
    pub domain: DomainName,
    /// The stream that its payload names.
    pub stream: StreamName,
    /// Its hash.
    pub current_hash: Digest,
    key_id: KeyId,
    judged_at: Timestamp,
    is_checked: bool,
}

/// What an event is judged by.
struct Judge {
    registry: Arc<Registry>,
    schema: Arc<CompiledSchema>,
}

/// Steps 2 to 5. Step 1, the canonical form, is in the type of the payload.
pub fn inspect(candidate: Candidate) -> Result<Inspected> {
    let mut inspected = arrive(candidate)?;
    inspected.check()?;
    Ok(inspected)
}

/// Steps 2 and 3, and the hash.
pub fn arrive(candidate: Candidate) -> Result<Inspected> {
    let now = clock::now()?;
    receiver::refuse_own("append")?;
    let key_id = known_keys(|keys| keys.id(&candidate.public_key));
    let Some(mut registry) = ledger::known_registry()? else {
        return arrive_first(candidate, key_id, now);
    };
    let (domain, stream) = match route(&registry, &candidate, key_id, now) {
        Ok(found) => found,
        // What is known may be behind: ask once for the newest registry.
        Err(error) => {
            let newest = ledger::registry(View::Latest)?;
            if newest.version() == registry.version() {
                return Err(error);
            }
            registry = newest;
            route(&registry, &candidate, key_id, now)?
        }
    };
    let schema = semantics::compiled(schema_of(&registry, &candidate.schema_version)?)?;
    Ok(Inspected {
        current_hash: event_hash(candidate.payload.canonical().as_bytes(), &candidate.previous_hash),
        candidate,
        judge: Some(Judge { registry, schema }),
        domain,
        stream,
        key_id,
        judged_at: now,
        is_checked: false,
    })
}

/// Steps 4 to 8 of an event in a statement of many. If the transaction has the stream's head
/// already, what needs nothing of Postgres is left: [`Inspected::is_checked`] says so.
pub fn admit(inspected: &mut Inspected) -> Result<Header> {
    if !(inspected.is_checked_apart() && transaction::has_head(&inspected.domain, &inspected.stream)) {
        inspected.check()?;
    }
    place(inspected).or_else(|error| inspected.or_refusal(error))
}

/// Steps 4 and 5 of each, as far as they need nothing of Postgres: threads may call it.
/// The first that is refused, and why.
pub fn check_apart(events: &[&Inspected]) -> std::result::Result<(), (usize, Error)> {
    let claims: Vec<Claim> = events.iter().map(|event| event.claim()).collect();
    let signatures = known_keys(|keys| keys.verify_each(&claims));
    for (index, (event, has_signed)) in events.iter().zip(signatures).enumerate() {
        let checked = match has_signed {
            Ok(true) => event.check_schema(),
            Ok(false) => Err(bad_signature(&event.current_hash)),
            Err(error) => Err(error.into()),
        };
        checked.map_err(|error| (index, error))?;
    }
    Ok(())
}

impl Inspected {
    /// Steps 4 and 5.
    pub fn check(&mut self) -> Result<()> {
        if self.is_checked {
            return Ok(());
        }
        check_apart(&[self]).map_err(|(_, error)| error)?;
        if let Some(judge) = &self.judge {
            self.subject(&judge.registry)?.check_functions()?;
            if self.candidate.schema_version.as_str() == history::REGISTRATION {
                history::check(&judge.registry, self.payload().value())?;
            }
        }
        self.is_checked = true;
        Ok(())
    }

    /// Whether [`check_apart`] is all of [`Inspected::check`].
    pub fn is_checked_apart(&self) -> bool {
        !is_registry(&self.domain)
            && self.judge.as_ref().is_some_and(|judge| {
                let schema = judge.registry.schema(&self.candidate.schema_version);
                schema
                    .is_some_and(|schema| schema.rule_functions_at(judge.registry.version()).next().is_none())
            })
    }

    /// Whether [`Inspected::check`] has been done.
    pub fn is_checked(&self) -> bool {
        self.is_checked
    }

    /// What the steps that were left refuse, or else `error` of a later one.
    pub fn or_refusal<T>(&mut self, error: Error) -> Result<T> {
        if !matches!(error, Error::Postgres) {
            self.check()?;
        }
        Err(error)
    }

    /// The payload.
    pub fn payload(&self) -> &Payload {
        &self.candidate.payload
    }

    /// The payload, without a copy.
    pub fn into_payload(self) -> Payload {
        self.candidate.payload
    }

    /// Whether `stored` is this event, sent before. Only where the server chose the id: an
    /// id that the client chose is what a retry is known by.
    pub fn was_stored_as(&self, stored: &Event) -> bool {
        let (header, candidate) = (&stored.header, &self.candidate);
        matches!(candidate.event_id, IdChoice::Server(_))
            && header.domain == self.domain
            && header.stream == self.stream
            && header.schema_version == candidate.schema_version
            && header.public_key == candidate.public_key
            && header.previous_hash == candidate.previous_hash
            && header.current_hash == self.current_hash
            && header.signature == candidate.signature
    }

    fn claim(&self) -> Claim<'_> {
        Claim {
            public_key: &self.candidate.public_key,
            message: self.current_hash.as_bytes(),
            signature: &self.candidate.signature,
        }
    }

    /// Step 5 without the SQL functions.
    fn check_schema(&self) -> Result<()> {
        match &self.judge {
            Some(judge) => self.subject(&judge.registry)?.check_offline(),
            None => Ok(()),
        }
    }

    /// The event as steps 5 and 7 judge it: the latter by a registry that may be newer. A
    /// version of a schema never changes, so its compiled form is the same.
    fn subject<'a>(&'a self, registry: &'a Registry) -> Result<Subject<'a>> {
        let judge = self.judge.as_ref().ok_or_else(ledger::not_initialised)?;
        let schema = schema_of(registry, &self.candidate.schema_version)?;
        let compiled = Arc::clone(&judge.schema);
        Ok(Subject::new(registry, schema, compiled, self.payload(), &self.key_id, &self.domain, &self.stream))
    }
}

/// ET005, with the head as it is, so that the client can sign again.
pub fn head_moved(domain: &DomainName, stream: &StreamName, head: &Head) -> Error {
    Error::new(sqlstate::HEAD, format!("previous_hash is not the head of stream {stream:?} in domain {domain}"))
        .detail(json!({
            "domain": domain.as_str(),
            "stream": stream.as_str(),
            "head_hash": head.hash.to_string(),
            "sequence": head.sequence,
        }))
        .hint("another event came first: sign again onto the head, or ask ets.head(…, for_append => true) before signing")
}

/// Steps 2 and 3: where the event belongs, and whether its signer may put it there.
fn route(
    registry: &Registry,
    candidate: &Candidate,
    key_id: KeyId,
    now: Timestamp,
) -> Result<(DomainName, StreamName)> {
    let (domain, stream) = destination(registry, &candidate.payload, &candidate.schema_version)?;
    authorize(registry, candidate, key_id, &domain, &stream, now)?;
    Ok((domain, stream))
}

/// Step 2: the domain that the schema names, the stream that the payload names.
pub fn destination(
    registry: &Registry,
    payload: &Payload,
    schema_version: &SchemaVersion,
) -> Result<(DomainName, StreamName)> {
    let schema = schema_of(registry, schema_version)?;
    schema.check_pointer(payload.value()).map_err(route_error)?;
    let stream = schema.stream_of(payload.value()).map_err(route_error)?;
    Ok((schema.domain.clone(), stream))
}

fn schema_of<'a>(registry: &'a Registry, name: &SchemaVersion) -> Result<&'a SchemaRecord> {
    let schema = registry.schema(name).ok_or_else(|| {
        Error::new(sqlstate::SCHEMA, format!("schema {name} is not registered"))
            .detail(json!({"schema_version": name.as_str()}))
            .hint("ets.register_schema registers it; ets.schema_version lists those there are")
    })?;
    if schema.retired_at.is_some() {
        return Err(Error::new(sqlstate::SCHEMA, format!("schema {name} is retired"))
            .detail(json!({"schema_version": name.as_str()}))
            .hint("use a later version of it"));
    }
    Ok(schema)
}

fn authorize(
    registry: &Registry,
    candidate: &Candidate,
    key_id: KeyId,
    domain: &DomainName,
    stream: &StreamName,
    timestamp: Timestamp,
) -> Result<()> {
    let request = Request {
        key_id,
        public_key: &candidate.public_key,
        timestamp,
        domain,
        schema_version: &candidate.schema_version,
        stream,
    };
    Ok(registry.authorize(registry.version(), &request)?)
}

/// Step 4.
fn check_signature(public_key: &[u8; 32], current_hash: &Digest, signature: &Signature) -> Result<()> {
    if known_keys(|keys| keys.verify(public_key, current_hash.as_bytes(), signature))? {
        Ok(())
    } else {
        Err(bad_signature(current_hash))
    }
}

/// The keys that this thread has met. Threads beside the backend's own have theirs.
fn known_keys<T>(body: impl FnOnce(&mut KnownKeys) -> T) -> T {
    thread_local! {
        static KEYS: RefCell<KnownKeys> = RefCell::default();
    }
    KEYS.with_borrow_mut(body)
}

/// ET003.
fn bad_signature(current_hash: &Digest) -> Error {
    Error::new(
        sqlstate::SIGNATURE,
        "the signature is not valid for this payload, previous_hash and public_key",
    )
    .detail(json!({"current_hash": current_hash.to_string()}))
    .hint("sign the 32 bytes of current_hash = SHA256(JCS(payload) || previous_hash); ets.prepare shows them")
}

/// A registry event takes effect: on the fold that the gate judges by, and on
/// the tables that people read.
fn register(event: &Event) -> Result<()> {
    let registry = match ledger::registry_if_begun(View::Latest)? {
        None => Registry::start(event)?,
        Some(registry) => {
            let mut registry = Arc::unwrap_or_clone(registry);
            registry.apply(event)?;
            registry
        }
    };
    projections::write(&registry.rows_touched_at(registry.version()))?;
    ledger::tell()?;
    ledger::remember_uncommitted(Arc::new(registry));
    Ok(())
}

/// The ledger's first event has nothing to be judged against but itself and what
/// `ets.init` wrote down.
fn arrive_first(candidate: Candidate, key_id: KeyId, now: Timestamp) -> Result<Inspected> {
    let announced = ledger::announced()?;
    if candidate.schema_version.as_str() != "ets.ledger/1.0.0" {
        return Err(ledger::not_initialised());
    }
    if *candidate.payload.value() != announced.payload()
        || candidate.public_key != *announced.root_public_key.as_bytes()
    {
        return Err(Error::new(sqlstate::FIELD, "the first event does not say what ets.init was told")
            .hint("its members are those of ets.trust_root(), signed with the root key"));
    }
    Ok(Inspected {
        current_hash: event_hash(candidate.payload.canonical().as_bytes(), &candidate.previous_hash),
        candidate,
        judge: None,
        domain: DomainName::registry(),
        stream: StreamName::main(),
        key_id,
        judged_at: now,
        is_checked: false,
    })
}

fn is_registry(domain: &DomainName) -> bool {
    *domain == DomainName::registry()
}

fn route_error(error: ets_core::registry::RouteError) -> Error {
    Error::new(sqlstate::VIOLATION, error.to_string())
        .detail(json!({"violations": [{"instance_pointer": error.pointer()}]}))
        .hint(error.hint())
}
