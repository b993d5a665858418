//! The gate: the one order of checks that every event passes, whichever way it
//! comes in.
//!
//! Cheap checks come first, the signature before any lock, the head's lock last.
//! `inspect` is steps 1 to 5 and touches no row; `place` is steps 6 to 8.

pub mod import;
pub mod semantics;

use std::cell::RefCell;
use std::sync::Arc;

use ets_core::canonical::Payload;
use ets_core::event::{Event, EventId, Header};
use ets_core::hash::{Digest, event_hash};
use ets_core::key::{self, KeyError, KnownKeys, Signature};
use ets_core::name::{DomainName, SchemaVersion, StreamName};
use ets_core::registry::{Registry, Request, SchemaRecord};
use ets_core::time::Timestamp;
use semantics::Subject;
use serde_json::{Value as Json, json};

use crate::db::View;
use crate::error::{Error, Result, sqlstate};
use crate::transaction::{self, Head};
use crate::{clock, events, heads, history, ledger, projections, receiver};

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

/// A candidate that has passed steps 1 to 5.
pub struct Inspected {
    candidate: Candidate,
    /// The registry that it was judged against; none for the ledger's first event.
    registry: Option<Arc<Registry>>,
    /// The domain that its schema names.
    pub domain: DomainName,
    /// The stream that its payload names.
    pub stream: StreamName,
    /// Its hash.
    pub current_hash: Digest,
    /// Whether its schema has rules that only step 7 can judge.
    needs_head: bool,
    judged_at: Timestamp,
}

/// Steps 2 to 5. Step 1, the canonical form, is in the type of the payload.
pub fn inspect(candidate: Candidate) -> Result<Inspected> {
    inspect_with(candidate, verify_signature)
}

/// As [`inspect`], with the signature's check replaced: a batch has verified its
/// signatures already, on several cores.
pub fn inspect_with(
    candidate: Candidate,
    verify: fn(&Candidate, &Digest) -> Result<()>,
) -> Result<Inspected> {
    let now = clock::now()?;
    receiver::refuse_own("append")?;
    let Some(mut registry) = ledger::known_registry()? else {
        return inspect_first(candidate, now);
    };
    let (domain, stream) = match route(&registry, &candidate, now) {
        Ok(found) => found,
        // What is known may be behind: ask once for the newest registry.
        Err(error) => {
            let newest = ledger::registry(View::Latest)?;
            if newest.version() == registry.version() {
                return Err(error);
            }
            registry = newest;
            route(&registry, &candidate, now)?
        }
    };
    let current_hash = event_hash(candidate.payload.canonical().as_bytes(), &candidate.previous_hash);
    verify(&candidate, &current_hash)?;
    let needs_head = {
        let subject = subject(&registry, &candidate, &domain, &stream)?;
        subject.check_without_head()?;
        subject.needs_head()
    };
    if candidate.schema_version.as_str() == history::REGISTRATION {
        history::check(&registry, candidate.payload.value())?;
    }
    Ok(Inspected {
        candidate,
        registry: Some(registry),
        domain,
        stream,
        current_hash,
        needs_head,
        judged_at: now,
    })
}

/// Steps 6 to 8: the event as it will be stored. Its stream's head is locked,
/// compared and moved on; the row must follow in the same statement.
pub fn place(inspected: Inspected) -> Result<Event> {
    if let IdChoice::Client(id) = inspected.candidate.event_id {
        check_clock_skew(id)?;
    }
    let next = heads::Next {
        domain: &inspected.domain,
        stream: &inspected.stream,
        previous_hash: inspected.candidate.previous_hash,
        current_hash: inspected.current_hash,
        event_id: match inspected.candidate.event_id {
            IdChoice::Server(id) | IdChoice::Client(id) => id,
        },
        timestamp: inspected.judged_at,
        registry_version: inspected.registry.as_ref().map_or(0, |registry| registry.version()),
    };
    let at_once = if inspected.is_plain() && transaction::head(next.domain, next.stream).is_none() {
        heads::advance_at_once(&next)?
    } else {
        None
    };
    let (event, head) = match at_once {
        Some(head) => follow_registry(inspected, head)?,
        None => advance(inspected)?,
    };
    transaction::remember_head(&event.header.domain, &event.header.stream, head);
    Ok(event)
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

/// What makes a second append of the same event recognisable.
pub struct RetryKey {
    /// The event's domain.
    pub domain: DomainName,
    /// The event's stream.
    pub stream: StreamName,
    schema_version: SchemaVersion,
    public_key: [u8; 32],
    previous_hash: Digest,
    current_hash: Digest,
    signature: Signature,
}

impl RetryKey {
    /// Whether `stored` is the event that is being sent again.
    pub fn is(&self, stored: &Event) -> bool {
        let header = &stored.header;
        header.domain == self.domain
            && header.stream == self.stream
            && header.schema_version == self.schema_version
            && header.public_key == self.public_key
            && header.previous_hash == self.previous_hash
            && header.current_hash == self.current_hash
            && header.signature == self.signature
    }
}

impl Inspected {
    /// The key of a retry; none where the client chose the id, which is then the key.
    pub fn retry_key(&self) -> Option<RetryKey> {
        let candidate = &self.candidate;
        matches!(candidate.event_id, IdChoice::Server(_)).then(|| RetryKey {
            domain: self.domain.clone(),
            stream: self.stream.clone(),
            schema_version: candidate.schema_version.clone(),
            public_key: candidate.public_key,
            previous_hash: candidate.previous_hash,
            current_hash: self.current_hash,
            signature: candidate.signature,
        })
    }

    /// Whether the head can move on before the event is looked at again: not in
    /// the registry, whose next event depends on its last, nor where a state is
    /// kept, nor for the ledger's first event.
    fn is_plain(&self) -> bool {
        self.registry
            .as_ref()
            .is_some_and(|registry| !is_registry(&self.domain) && !registry.keeps_state(&self.domain))
    }

    /// The event as step 7 judges it, by a registry that may be newer than the one
    /// of step 5.
    fn subject<'a>(&'a self, registry: &'a Registry) -> Result<Subject<'a>> {
        subject(registry, &self.candidate, &self.domain, &self.stream)
    }

    fn event(self, sequence: u64, event_id: EventId, timestamp: Timestamp, registry_version: u64) -> Event {
        let candidate = self.candidate;
        Event {
            header: Header {
                event_id,
                domain: self.domain,
                stream: self.stream,
                sequence,
                schema_version: candidate.schema_version,
                key_id: key::key_id(&candidate.public_key),
                public_key: candidate.public_key,
                previous_hash: candidate.previous_hash,
                current_hash: self.current_hash,
                signature: candidate.signature,
                timestamp,
                registry_version,
            },
            payload: candidate.payload,
        }
    }
}

/// Steps 2 and 3: where the event belongs, and whether its signer may put it there.
fn route(registry: &Registry, candidate: &Candidate, now: Timestamp) -> Result<(DomainName, StreamName)> {
    let (domain, stream) = destination(registry, &candidate.payload, &candidate.schema_version)?;
    authorize(registry, candidate, &domain, &stream, now)?;
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
    domain: &DomainName,
    stream: &StreamName,
    timestamp: Timestamp,
) -> Result<()> {
    let request = Request {
        key_id: key::key_id(&candidate.public_key),
        public_key: &candidate.public_key,
        timestamp,
        domain,
        schema_version: &candidate.schema_version,
        stream,
    };
    Ok(registry.authorize(registry.version(), &request)?)
}

/// Step 4. Also what makes a retry of the same bytes recognisable as its signer's.
pub fn verify_signature(candidate: &Candidate, current_hash: &Digest) -> Result<()> {
    check_signature(&candidate.public_key, current_hash, &candidate.signature)
}

fn check_signature(public_key: &[u8; 32], current_hash: &Digest, signature: &Signature) -> Result<()> {
    if has_signed(public_key, current_hash, signature)? { Ok(()) } else { Err(bad_signature(current_hash)) }
}

/// Whether `signature` is the key's over `current_hash`. Calls nothing of Postgres: the
/// threads that check a batch call it, and each has keys of its own.
///
/// # Errors
/// The 32 bytes are no key that could be registered.
pub fn has_signed(
    public_key: &[u8; 32],
    current_hash: &Digest,
    signature: &Signature,
) -> std::result::Result<bool, KeyError> {
    thread_local! {
        static KEYS: RefCell<KnownKeys> = RefCell::default();
    }
    KEYS.with_borrow_mut(|keys| keys.verify(public_key, current_hash.as_bytes(), signature))
}

/// ET003.
pub fn bad_signature(current_hash: &Digest) -> Error {
    Error::new(
        sqlstate::SIGNATURE,
        "the signature is not valid for this payload, previous_hash and public_key",
    )
    .detail(json!({"current_hash": current_hash.to_string()}))
    .hint("sign the 32 bytes of current_hash = SHA256(JCS(payload) || previous_hash); ets.prepare shows them")
}

/// The event as steps 5 and 7 judge it.
fn subject<'a>(
    registry: &'a Registry,
    candidate: &'a Candidate,
    domain: &'a DomainName,
    stream: &'a StreamName,
) -> Result<Subject<'a>> {
    let schema = schema_of(registry, &candidate.schema_version)?;
    let key_id = key::key_id(&candidate.public_key);
    Subject::new(registry, schema, &candidate.payload, &key_id, domain, stream)
}

/// Steps 7 and 8 after a head that moved at once: nothing of it is kept if one of
/// them refuses.
fn follow_registry(inspected: Inspected, mut head: Head) -> Result<(Event, Head)> {
    let timestamp = head.last_timestamp;
    let registry = judge_again(&inspected, timestamp)?;
    if let (true, Some(registry)) = (inspected.needs_head, &registry) {
        inspected.subject(registry)?.check_with_head(head.sequence, &Json::Null)?;
    }
    let version = version_of(registry.as_deref());
    if version != head.registry_version {
        head.registry_version = version;
        head.dirty = true;
    }
    let event_id = head.last_event_id.ok_or_else(ledger::not_initialised)?;
    check_still_free(&inspected, event_id)?;
    Ok((inspected.event(head.sequence, event_id, timestamp, version), head))
}

/// Steps 6 to 8 under the head's lock.
fn advance(inspected: Inspected) -> Result<(Event, Head)> {
    let mut head = heads::lock(&inspected.domain, &inspected.stream)?;
    if head.hash != inspected.candidate.previous_hash {
        return Err(head_moved(&inspected.domain, &inspected.stream, &head));
    }
    let event_id = next_id(inspected.candidate.event_id, head.last_event_id)?;
    check_still_free(&inspected, event_id)?;
    let timestamp = inspected.judged_at.max(head.last_timestamp);
    let registry = judge_again(&inspected, timestamp)?;
    let sequence = head.sequence + 1;
    if let Some(registry) = &registry {
        judge_on_state(&inspected, registry, sequence, &mut head)?;
    }
    let version = version_of(registry.as_deref());
    let event = inspected.event(sequence, event_id, timestamp, version);
    if is_registry(&event.header.domain) {
        register(&event)?;
    }
    head.sequence = event.header.sequence;
    head.hash = event.header.current_hash;
    head.last_event_id = Some(event_id);
    head.last_timestamp = timestamp;
    head.registry_version = version;
    head.dirty = true;
    Ok((event, head))
}

/// Step 7: the rules that need the head, and the state after this event where the
/// domain keeps one.
fn judge_on_state(inspected: &Inspected, registry: &Registry, sequence: u64, head: &mut Head) -> Result<()> {
    let keeps_state = registry.keeps_state(&inspected.domain);
    if !keeps_state && !inspected.needs_head {
        return Ok(());
    }
    let subject = inspected.subject(registry)?;
    let before = if keeps_state {
        semantics::state_before(registry, &inspected.domain, &inspected.stream, head)?
    } else {
        Json::Null
    };
    subject.check_with_head(sequence, &before)?;
    if keeps_state {
        head.state = Some(subject.next_state(sequence, &before)?);
    }
    Ok(())
}

/// Step 3 again, if the registry has moved since or the time is another one: the
/// registry that the event is judged against; none for the ledger's first event.
fn judge_again(inspected: &Inspected, timestamp: Timestamp) -> Result<Option<Arc<Registry>>> {
    let Some(judged) = &inspected.registry else { return Ok(None) };
    let registry = ledger::registry(View::Latest)?;
    if registry.version() != judged.version() || timestamp != inspected.judged_at {
        schema_of(&registry, &inspected.candidate.schema_version)?;
        authorize(&registry, &inspected.candidate, &inspected.domain, &inspected.stream, timestamp)?;
    }
    Ok(Some(registry))
}

fn version_of(registry: Option<&Registry>) -> u64 {
    registry.map_or(0, Registry::version)
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
    ledger::remember_uncommitted(Arc::new(registry));
    Ok(())
}

/// The ledger's first event has nothing to be judged against but itself and what
/// `ets.init` wrote down.
fn inspect_first(candidate: Candidate, now: Timestamp) -> Result<Inspected> {
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
    let current_hash = event_hash(candidate.payload.canonical().as_bytes(), &candidate.previous_hash);
    verify_signature(&candidate, &current_hash)?;
    Ok(Inspected {
        candidate,
        registry: None,
        domain: DomainName::registry(),
        stream: StreamName::main(),
        current_hash,
        needs_head: false,
        judged_at: now,
    })
}

fn next_id(choice: IdChoice, last: Option<EventId>) -> Result<EventId> {
    match (choice, last) {
        (IdChoice::Server(id), Some(last)) if id <= last => last
            .successor()
            .ok_or_else(|| Error::new(sqlstate::FIELD, "the stream has used up all event ids")),
        (IdChoice::Client(id), Some(last)) if id <= last => {
            Err(Error::new(sqlstate::FIELD, format!("event_id {id} is not greater than the stream's last"))
                .detail(json!({"event_id": id.to_string()}))
                .hint("leave event_id out, or make a new UUID version 7"))
        }
        (IdChoice::Server(id) | IdChoice::Client(id), _) => Ok(id),
    }
}

fn check_clock_skew(id: EventId) -> Result<()> {
    let now = clock::unix_millis();
    let skew = crate::gucs::max_clock_skew_millis();
    if id.unix_millis().abs_diff(now) <= skew {
        return Ok(());
    }
    Err(Error::new(sqlstate::FIELD, format!("event_id {id} states a time too far from now"))
        .detail(json!({"event_id": id.to_string(), "max_clock_skew_seconds": skew / 1000}))
        .hint("make the id when the event happens, or leave it out; ets.max_clock_skew is the limit"))
}

/// An id that a client chose is looked up again under the head's lock.
fn check_still_free(inspected: &Inspected, id: EventId) -> Result<()> {
    match inspected.candidate.event_id {
        IdChoice::Client(_) if events::exists(id)? => Err(events::taken(id)),
        _ => Ok(()),
    }
}

fn is_registry(domain: &DomainName) -> bool {
    *domain == DomainName::registry()
}

fn route_error(error: ets_core::registry::RouteError) -> Error {
    Error::new(sqlstate::VIOLATION, error.to_string())
        .detail(json!({"violations": [{"instance_pointer": error.pointer()}]}))
        .hint(error.hint())
}
