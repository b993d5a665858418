//! Each test is named for a claim of the design's section 5, or for the attack
//! that the claim stops.

mod domains;
mod fold;
mod form;
mod grants;
mod keys;
mod root;
mod schemas;
mod server_key;

use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::canonical::{Limits, Payload};
use crate::event::Header;
use crate::hash::{event_hash, genesis_hash};
use crate::key::{PublicKey, SecretKey, Signature, key_possession_hash};
use crate::name::{MAX_DOMAINS, Origin};
use crate::schema::engine_of;

const ROOT: u8 = 1;
const SERVER: u8 = 2;
/// 2026-01-01T00:00:00Z, when tests start.
const NOW: i64 = 1_767_225_600_000_000;

fn secret(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

fn public(seed: u8) -> PublicKey {
    secret(seed).public_key()
}

fn id(seed: u8) -> KeyId {
    public(seed).key_id()
}

fn domain(name: &str) -> DomainName {
    name.parse().expect(name)
}

fn version(name: &str) -> SchemaVersion {
    name.parse().expect(name)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_micros(NOW + seconds * 1_000_000).expect("a moment")
}

fn ledger_id() -> Uuid {
    Uuid::from_u128(0x1234)
}

/// Signs an event; what it says may be nonsense.
fn sign(seed: u8, payload: Value, previous_hash: Digest, sequence: u64, timestamp: Timestamp) -> Event {
    let payload = Payload::from_value(payload, &Limits::CEILING).expect("a canonical payload");
    let named = payload.value().get("schema_version").and_then(Value::as_str).unwrap_or("ets.key/1.0.0");
    let current_hash = event_hash(payload.canonical().as_bytes(), &previous_hash);
    Event {
        header: Header {
            event_id: "01890a5d-ac96-7774-bcce-b302099a8057".parse().expect("an id"),
            domain: DomainName::registry(),
            stream: StreamName::main(),
            sequence,
            schema_version: named.parse().unwrap_or_else(|_| version("ets.key/1.0.0")),
            key_id: id(seed),
            public_key: *public(seed).as_bytes(),
            previous_hash,
            current_hash,
            signature: secret(seed).sign(&current_hash),
            timestamp,
            registry_version: sequence - 1,
        },
        payload,
    }
}

fn first(root: u8, server: u8) -> Event {
    let origin: Origin = "acme.example/test".parse().expect("an origin");
    let payload = payload::ledger(&ledger_id(), &origin, &public(root), &public(server));
    let genesis = genesis_hash(&ledger_id(), &DomainName::registry(), &StreamName::main());
    sign(root, payload, genesis, 1, at(0))
}

/// A registry under test: signs the next event, applies it, and checks on the
/// way that a refusal changes nothing and that rows touched are rows changed.
struct Book {
    registry: Registry,
    now: Timestamp,
}

impl Book {
    /// External authority: root and server are two keys.
    fn new() -> Self {
        Book { registry: Registry::start(&first(ROOT, SERVER)).expect("a first event"), now: at(1) }
    }

    /// Local authority: the server's key is root.
    fn local() -> Self {
        Book { registry: Registry::start(&first(ROOT, ROOT)).expect("a first event"), now: at(1) }
    }

    fn next(&self, seed: u8, payload: Value) -> Event {
        sign(seed, payload, self.registry.head(), self.registry.version() + 1, self.now)
    }

    fn try_say(&mut self, seed: u8, payload: Value) -> Result<u64, RegistryError> {
        let event = self.next(seed, payload);
        let before = self.registry.clone();
        let result = self.registry.check(&event);
        assert_eq!(self.registry.apply(&event), result);
        if let Err(error) = result {
            assert_eq!(self.registry, before);
            let (message, detail) = (error.to_string(), error.detail());
            assert!(message.starts_with(char::is_lowercase) && !message.ends_with('.'), "{message}");
            assert!(!message.contains('\n') && detail.is_object() && !error.hint().is_empty());
            assert!(error.sqlstate().starts_with("ET0"));
            return Err(error);
        }
        self.check_rows(&before);
        Ok(self.registry.version())
    }

    fn check_rows(&self, before: &Registry) {
        let (old, new) = (before.rows(), self.registry.rows());
        let touched = self.registry.rows_touched_at(self.registry.version());
        for row in &new.signing_keys {
            assert!(old.signing_keys.contains(row) || touched.signing_keys.contains(row), "{row:?}");
        }
        for row in &new.authority_grants {
            assert!(old.authority_grants.contains(row) || touched.authority_grants.contains(row), "{row:?}");
        }
        for row in &new.schema_versions {
            assert!(old.schema_versions.contains(row) || touched.schema_versions.contains(row), "{row:?}");
        }
        for row in &new.domains {
            assert!(old.domains.contains(row) || touched.domains.contains(row), "{row:?}");
        }
        let mut identities: Vec<_> = new
            .authority_grants
            .iter()
            .map(|row| (row.key_id, &row.domain, &row.schemas, &row.streams, row.granted_at))
            .collect();
        identities.sort();
        identities.dedup();
        assert_eq!(identities.len(), new.authority_grants.len());
    }

    fn say(&mut self, seed: u8, payload: Value) -> u64 {
        self.try_say(seed, payload).unwrap_or_else(|error| panic!("{error}"))
    }

    fn refuse(&mut self, seed: u8, payload: Value) -> RegistryError {
        match self.try_say(seed, payload) {
            Err(error) => error,
            Ok(_) => panic!("accepted"),
        }
    }

    fn domain(&mut self, name: &str) -> u64 {
        self.say(ROOT, payload::domain(&domain(name), None, false))
    }

    fn key(&mut self, seed: u8, owner: &str) -> u64 {
        self.say(ROOT, key(seed, owner))
    }

    fn key_by(&mut self, signer: u8, seed: u8, owner: &str) -> u64 {
        self.say(signer, key(seed, owner))
    }

    /// May this key append this schema to this domain and stream, at a version?
    fn asks(&self, seed: u8, at_version: u64, place: &str, schema: &str, stream: &str) -> Result<(), Denial> {
        self.registry.authorize(
            at_version,
            &Request {
                key_id: id(seed),
                public_key: public(seed).as_bytes(),
                timestamp: self.now,
                domain: &domain(place),
                schema_version: &version(schema),
                stream: &stream.parse().expect(stream),
            },
        )
    }

    fn may(&self, seed: u8) -> bool {
        self.asks(seed, self.registry.version(), "sales", "order/1.0.0", "main").is_ok()
    }
}

fn key(seed: u8, owner: &str) -> Value {
    payload::key(&public(seed), owner, Custody::Actor, None, None)
}

fn grant(seed: u8, place: &str, schemas: &str, streams: &str) -> Value {
    let place = domain(place);
    payload::grant(
        &id(seed),
        &place,
        &Pattern::of_schemas(schemas).expect(schemas),
        &Pattern::of_streams(streams, &place).expect(streams),
    )
}

fn ungrant(seed: u8, place: &str, schemas: &str, streams: &str) -> Value {
    let place = domain(place);
    payload::grant_revocation(
        &id(seed),
        &place,
        &Pattern::of_schemas(schemas).expect(schemas),
        &Pattern::of_streams(streams, &place).expect(streams),
        None,
    )
}

fn revoke(seed: u8) -> Value {
    payload::key_revocation(&id(seed), "lost", None)
}

fn rotate(old: u8, new: u8) -> Value {
    rotate_until(old, new, None)
}

fn rotate_until(old: u8, new: u8, not_after: Option<Timestamp>) -> Value {
    payload::key_rotation(&id(old), &public(new), &proof(old, new, ledger_id()), not_after)
}

fn proof(old: u8, new: u8, ledger_id: Uuid) -> Signature {
    secret(new).sign(&key_possession_hash(&ledger_id, public(old).as_bytes(), public(new).as_bytes()))
}

fn schema(name: &str, place: &str, body: Value) -> Value {
    payload::schema(payload::NewSchema {
        name: &version(name),
        domain: &domain(place),
        engine: engine_of(&body).unwrap_or("draft2020-12/1"),
        schema: body,
        stream_pointer: None,
        schema_pointer: None,
        rules: json!([]),
        reducer: "merge",
    })
}

fn set(mut payload: Value, member: &str, value: Value) -> Value {
    payload.as_object_mut().expect("an object").insert(member.to_owned(), value);
    payload
}

/// A delegate (seed 10, owner `dora`) for the domain `sales`, and a clerk (11).
fn with_delegate() -> Book {
    let mut book = Book::new();
    book.domain("sales");
    book.domain("stock");
    book.key(10, "dora");
    book.key(11, "clerk");
    book.say(ROOT, grant(10, "ets.registry", "*", "sales"));
    book
}
