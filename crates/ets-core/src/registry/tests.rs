//! Each test is named for a claim of the design's section 5, or for the attack
//! that the claim stops.

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

// The first event.

#[test]
fn the_first_event_registers_root_and_server() {
    let book = Book::new();
    let registry = &book.registry;
    assert_eq!((registry.version(), registry.head()), (1, first(ROOT, SERVER).header.current_hash));
    assert_eq!(registry.ledger().ledger_id, ledger_id());
    let root = registry.key(&id(ROOT)).expect("root");
    assert_eq!((root.owner.as_str(), root.custody), ("root", Custody::Actor));
    assert!(registry.is_root(&id(ROOT), 1) && !registry.is_root(&id(ROOT), 0));
    assert!(!registry.is_root(&id(SERVER), 1));
    assert_eq!(registry.grants_of(&id(ROOT), 1).len(), 1);
    assert_eq!(registry.server_key_at(1), Some(&id(SERVER)));
    assert!(book.asks(SERVER, 1, "ets.audit", "ets.verification/1.0.0", "main").is_ok());
    assert!(matches!(
        book.asks(ROOT, 1, "ets.audit", "ets.verification/1.0.0", "main"),
        Err(Denial::NotServerKey { .. })
    ));
    let local = Book::local();
    assert!(local.registry.is_root(&id(ROOT), 1));
    assert_eq!(local.registry.key(&id(ROOT)).map(|key| key.custody), Some(Custody::Server));
    assert!(local.asks(ROOT, 1, "ets.audit", "ets.verification/1.0.0", "main").is_ok());
}

#[test]
fn the_first_event_is_signed_by_the_root_key_that_it_names() {
    let mut forged = first(ROOT, SERVER);
    forged.header.key_id = id(SERVER);
    forged.header.public_key = *public(SERVER).as_bytes();
    assert_eq!(Registry::start(&forged).map_err(|error| error.sqlstate()), Err("ET004"));
    let mut forged = first(ROOT, SERVER);
    forged.header.public_key = *public(SERVER).as_bytes();
    assert_eq!(Registry::start(&forged).map_err(|error| error.sqlstate()), Err("ET004"));
}

#[test]
fn a_ledger_starts_once_from_its_own_genesis_with_nothing_else() {
    let mut book = Book::new();
    let again = first(ROOT, SERVER).payload.into_value();
    assert_eq!(book.refuse(ROOT, again), RegistryError::AlreadyStarted);
    let mut wrong = first(ROOT, SERVER);
    wrong.header.previous_hash = Digest([7; 32]);
    assert!(matches!(Registry::start(&wrong), Err(RegistryError::PreviousHash { .. })));
    let mut wrong = first(ROOT, SERVER);
    wrong.header.registry_version = 1;
    assert!(matches!(Registry::start(&wrong), Err(RegistryError::RegistryVersion { .. })));
    let mut wrong = first(ROOT, SERVER);
    wrong.header.sequence = 2;
    assert!(matches!(Registry::start(&wrong), Err(RegistryError::Sequence { .. })));
    let genesis = first(ROOT, SERVER).header.previous_hash;
    let other = sign(ROOT, key(5, "x"), genesis, 1, at(0));
    assert_eq!(Registry::start(&other).map_err(|error| error.sqlstate()), Err("ET013"));
    for (member, value) in [
        ("specification", json!("1.0")),
        ("algorithm", json!("rsa")),
        ("origin", json!("")),
        ("ledger_id", json!("X")),
        ("root_public_key", json!("00".repeat(32))),
        ("extra", json!(1)),
    ] {
        let payload = set(first(ROOT, SERVER).payload.into_value(), member, value);
        assert!(Registry::start(&sign(ROOT, payload, genesis, 1, at(0))).is_err(), "{member}");
    }
}

// Place and form of every event.

#[test]
fn a_registry_event_follows_the_one_before() {
    let mut book = Book::new();
    let good = book.next(ROOT, key(5, "x"));
    let altered = |change: &dyn Fn(&mut Header)| {
        let mut event = good.clone();
        change(&mut event.header);
        book.registry.check(&event).map_err(|error| error.sqlstate())
    };
    assert_eq!(altered(&|_| {}), Ok(()));
    assert_eq!(altered(&|header| header.sequence = 3), Err("ET010"));
    assert_eq!(altered(&|header| header.sequence = 1), Err("ET010"));
    assert_eq!(altered(&|header| header.registry_version = 0), Err("ET010"));
    assert_eq!(altered(&|header| header.registry_version = 2), Err("ET010"));
    assert_eq!(altered(&|header| header.previous_hash = Digest([0; 32])), Err("ET005"));
    assert_eq!(altered(&|header| header.domain = DomainName::audit()), Err("ET010"));
    assert_eq!(altered(&|header| header.stream = "side".parse().expect("a stream")), Err("ET010"));
    assert_eq!(altered(&|header| header.schema_version = version("ets.verification/1.0.0")), Err("ET006"));
    assert_eq!(altered(&|header| header.schema_version = version("order/1.0.0")), Err("ET006"));
    book.say(ROOT, key(5, "x"));
    assert_eq!(book.registry.check(&good).map_err(|error| error.sqlstate()), Err("ET010"));
}

#[test]
fn no_registry_event_is_read_as_another_kind() {
    let book = with_delegate();
    for payload in [grant(11, "sales", "*", "*"), key(5, "x"), revoke(11), rotate(ROOT, 6)] {
        let honest = book.next(ROOT, payload);
        assert_eq!(book.registry.check(&honest), Ok(()));
        for kind in Kind::ALL {
            let mut relabelled = honest.clone();
            relabelled.header.schema_version = version(kind.as_str());
            if relabelled != honest {
                let error = book.registry.check(&relabelled).map_err(|error| error.sqlstate());
                assert_eq!(error, Err("ET007"), "{}", kind.as_str());
            }
        }
    }
}

#[test]
fn payloads_are_closed_and_optional_members_are_absent_not_null() {
    let mut book = Book::new();
    for (member, value) in [
        ("extra", json!(1)),
        ("not_after", json!(null)),
        ("owner", json!(null)),
        ("owner", json!("")),
        ("custody", json!("nobody")),
        ("algorithm", json!("ecdsa")),
        ("public_key", json!(public(5).to_string().to_uppercase())),
        ("not_before", json!("2026-02-30T00:00:00.000000Z")),
        ("not_before", json!("2026-02-02T02:40:01Z")),
    ] {
        assert_eq!(book.refuse(ROOT, set(key(5, "x"), member, value)).sqlstate(), "ET007", "{member}");
    }
    for payload in [json!({"schema_version": "ets.key/1.0.0"}), json!(["ets.key/1.0.0"]), json!(null)] {
        assert_eq!(book.refuse(ROOT, payload).sqlstate(), "ET007");
    }
    assert_eq!(book.refuse(ROOT, set(key(5, "x"), "public_key", json!("00".repeat(32)))).sqlstate(), "ET003");
}

// Root.

#[test]
fn only_root_creates_domains_and_registers_and_revokes_keys() {
    let mut book = with_delegate();
    // Even a delegate whose patterns match everything there is, but are not `*`.
    book.key(12, "almost");
    book.say(ROOT, grant(12, "ets.registry", "ets*", "*"));
    assert!(!book.registry.is_root(&id(12), book.registry.version()));
    for seed in [10, 12, 11, SERVER] {
        for payload in [
            payload::domain(&domain("mine"), None, false),
            key(20, "mine"),
            revoke(ROOT),
            revoke(11),
            payload::server_key(&public(20), "mine", None),
        ] {
            let error = book.refuse(seed, payload);
            assert!(matches!(error, RegistryError::Denied(Denial::NotRoot { .. })), "{error}");
        }
    }
}

#[test]
fn a_second_root_key_is_as_good_as_the_first() {
    let mut book = Book::new();
    book.key(5, "second");
    book.say(ROOT, grant(5, "ets.registry", "*", "*"));
    assert_eq!(book.registry.root_keys(book.registry.version()).len(), 2);
    book.say(5, revoke(ROOT));
    book.say(5, key(6, "x"));
    assert!(matches!(book.refuse(ROOT, key(7, "x")), RegistryError::Denied(Denial::Revoked { .. })));
}

#[test]
fn the_last_root_key_cannot_go() {
    let mut book = Book::new();
    assert_eq!(book.refuse(ROOT, revoke(ROOT)), RegistryError::LastRoot);
    assert_eq!(book.refuse(ROOT, ungrant(ROOT, "ets.registry", "*", "*")), RegistryError::LastRoot);
    // A root key that ends some day, or starts some day, does not count.
    let later = payload::key(&public(5), "later", Custody::Actor, Some(at(1000)), None);
    let ending = payload::key(&public(6), "ending", Custody::Actor, None, Some(at(100_000)));
    book.say(ROOT, later);
    book.say(ROOT, ending);
    for seed in [5, 6] {
        book.say(ROOT, grant(seed, "ets.registry", "*", "*"));
        assert_eq!(book.refuse(ROOT, revoke(ROOT)), RegistryError::LastRoot);
    }
    assert_eq!(book.refuse(ROOT, rotate_until(ROOT, 7, Some(at(500)))), RegistryError::LastRoot);
    book.say(ROOT, rotate(ROOT, 7));
    assert_eq!(book.refuse(7, revoke(7)), RegistryError::LastRoot);
    book.now = at(1000);
    book.say(7, revoke(7));
    assert_eq!(book.refuse(5, revoke(5)), RegistryError::LastRoot);
}

#[test]
fn a_key_that_is_registered_is_not_root_by_its_owner() {
    let mut book = Book::new();
    book.key(5, "root");
    assert!(!book.registry.is_root(&id(5), book.registry.version()));
}

// Domains.

#[test]
fn a_domain_is_created_once_and_never_under_ets() {
    let mut book = Book::new();
    let payload = payload::domain(&domain("sales"), Some("orders"), true);
    let created = book.say(ROOT, payload.clone());
    let record = book.registry.domain("sales").expect("a domain");
    assert_eq!((record.keep_state, record.registered_at), (true, created));
    assert_eq!(record.description.as_deref(), Some("orders"));
    assert_eq!(book.refuse(ROOT, payload).sqlstate(), "ET010");
    for name in ["ets.mine", "ETS.mine", "ets.audit", "ets.registry", "Ets."] {
        assert!(matches!(
            book.refuse(ROOT, payload::domain(&domain(name), None, false)),
            RegistryError::DomainReserved { .. }
        ));
    }
    // Names are compared by bytes.
    book.domain("Sales");
    assert_eq!(
        book.refuse(ROOT, json!({"schema_version": "ets.domain/1.0.0", "domain": "a b"})).sqlstate(),
        "ET007"
    );
}

#[test]
fn domains_of_a_checkpoint_are_those_that_its_registry_tree_created() {
    let mut book = Book::new();
    let names = |at| book_names(&book.registry, at);
    assert_eq!(names(0), Vec::<String>::new());
    assert_eq!(names(1), ["ets.audit", "ets.registry"]);
    book.domain("a");
    book.key(5, "x");
    book.domain("Z");
    let names = |at| book_names(&book.registry, at);
    assert_eq!(names(1), ["ets.audit", "ets.registry"]);
    assert_eq!(names(3), ["a", "ets.audit", "ets.registry"]);
    assert_eq!(names(4), ["Z", "a", "ets.audit", "ets.registry"]);
}

fn book_names(registry: &Registry, at: u64) -> Vec<String> {
    registry.domains_at(at).iter().map(ToString::to_string).collect()
}

#[test]
fn a_ledger_has_at_most_1024_domains() {
    let mut registry = Registry::start(&first(ROOT, SERVER)).expect("a first event");
    for number in 2..MAX_DOMAINS {
        let payload = payload::domain(&domain(&format!("d{number}")), None, false);
        let event = sign(ROOT, payload, registry.head(), registry.version() + 1, at(1));
        registry.apply(&event).expect("a domain");
    }
    let payload = payload::domain(&domain("one-more"), None, false);
    let event = sign(ROOT, payload, registry.head(), registry.version() + 1, at(1));
    assert_eq!(registry.apply(&event), Err(RegistryError::TooManyDomains { limit: MAX_DOMAINS }));
}

// Schemas.

#[test]
fn a_schema_version_never_changes() {
    let mut book = Book::new();
    book.domain("sales");
    book.domain("stock");
    let original = schema("order/1.0.0", "sales", json!({"type": "object"}));
    let registered = book.say(ROOT, original.clone());
    assert_eq!(book.refuse(ROOT, original.clone()).sqlstate(), "ET010");
    for (member, value) in [
        ("schema", json!({"type": "string"})),
        ("domain", json!("stock")),
        ("reducer", json!("none")),
        ("stream_pointer", json!("/a")),
        ("schema_pointer", json!("/v")),
    ] {
        let error = book.refuse(ROOT, set(original.clone(), member, value));
        assert_eq!(
            (error.sqlstate(), &error),
            ("ET006", &RegistryError::SchemaChanged { name: version("order/1.0.0") })
        );
    }
    let record = book.registry.schema(&version("order/1.0.0")).expect("a schema");
    assert_eq!((record.registered_at, record.engine.as_str()), (registered, "draft2020-12/1"));
    book.say(ROOT, schema("order/1.0.1", "sales", json!({"type": "object"})));
}

#[test]
fn a_schema_is_registered_only_if_it_can_be_evaluated() {
    let mut book = Book::new();
    book.domain("sales");
    let good = schema("order/1.0.0", "sales", json!(true));
    for (member, value) in [
        ("schema", json!({"type": "strin"})),
        ("schema", json!({"$ref": "http://example.com/"})),
        ("schema", json!({"pattern": "(?=a)"})),
        ("schema", json!({"$schema": "http://json-schema.org/draft-04/schema#"})),
        ("schema", json!({"$schema": "http://json-schema.org/draft-07/schema#"})),
        ("rules", json!([{"name": "a", "expr": "true", "message": "m"}])),
        ("reducer", json!("payload")),
        ("engine", json!("draft-07/1")),
        ("name", json!("ets.mine/1.0.0")),
        ("name", json!("ETS.key/1.0.0")),
    ] {
        assert_eq!(book.refuse(ROOT, set(good.clone(), member, value)).sqlstate(), "ET006", "{member}");
    }
    for (member, value) in [
        ("schema", json!("true")),
        ("stream_pointer", json!("a")),
        ("schema_pointer", json!("/~2")),
        ("rules", json!({})),
        ("name", json!("order/1.0")),
        ("name", json!("order/1.0.4294967296")),
    ] {
        assert_eq!(book.refuse(ROOT, set(good.clone(), member, value)).sqlstate(), "ET007", "{member}");
    }
    assert_eq!(book.refuse(ROOT, set(good.clone(), "domain", json!("absent"))).sqlstate(), "ET011");
    for reserved in ["ets.registry", "ets.audit"] {
        assert_eq!(book.refuse(ROOT, set(good.clone(), "domain", json!(reserved))).sqlstate(), "ET010");
    }
    book.say(ROOT, good);
}

#[test]
fn a_retired_schema_takes_no_new_events_but_old_ones_stand() {
    let mut book = Book::new();
    book.domain("sales");
    let name = version("order/1.0.0");
    let registered = book.say(ROOT, schema("order/1.0.0", "sales", json!(true)));
    let retired = book.say(ROOT, payload::schema_retirement(&name, "old"));
    let registry = &book.registry;
    assert!(matches!(registry.schema_at(&name, registered - 1), Err(RegistryError::UnknownSchema { .. })));
    assert!(registry.schema_at(&name, registered).is_ok() && registry.schema_at(&name, retired - 1).is_ok());
    assert!(matches!(registry.schema_at(&name, retired), Err(RegistryError::SchemaRetired { .. })));
    assert_eq!(registry.schema(&name).and_then(|schema| schema.retired_at), Some(retired));
    assert!(matches!(
        book.refuse(ROOT, payload::schema_retirement(&name, "again")),
        RegistryError::SchemaRetired { .. }
    ));
    let absent = payload::schema_retirement(&version("absent/1.0.0"), "?");
    assert!(matches!(book.refuse(ROOT, absent), RegistryError::UnknownSchema { .. }));
    let built_in = payload::schema_retirement(&version("ets.key/1.0.0"), "?");
    assert!(matches!(book.refuse(ROOT, built_in), RegistryError::SchemaReserved { .. }));
}

#[test]
fn a_schema_says_where_its_events_go() {
    let mut book = Book::new();
    book.domain("sales");
    let plain = schema("order/1.0.0", "sales", json!(true));
    book.say(ROOT, plain.clone());
    let routed = set(set(plain, "name", json!("order/2.0.0")), "stream_pointer", json!("/to/0"));
    book.say(ROOT, set(routed, "schema_pointer", json!("/v")));
    let plain = book.registry.schema(&version("order/1.0.0")).expect("a schema");
    assert_eq!(plain.stream_of(&json!(null)), Ok(StreamName::main()));
    assert_eq!(plain.check_pointer(&json!(null)), Ok(()));
    let routed = book.registry.schema(&version("order/2.0.0")).expect("a schema");
    assert_eq!(routed.stream_of(&json!({"to": ["é"]})).map(|stream| stream.to_string()), Ok("é".to_owned()));
    for bad in [json!({}), json!({"to": "x"}), json!({"to": [7]}), json!({"to": [null]}), json!(7)] {
        assert!(matches!(routed.stream_of(&bad), Err(RouteError::NoStream { .. })), "{bad}");
    }
    for bad in ["", "a*", "a\nb"] {
        let bad = json!({ "to": [bad] });
        assert!(matches!(routed.stream_of(&bad), Err(RouteError::NotAStream { .. })), "{bad}");
    }
    assert_eq!(routed.check_pointer(&json!({"v": "order/2.0.0"})), Ok(()));
    assert!(matches!(
        routed.check_pointer(&json!({"v": "order/1.0.0"})),
        Err(RouteError::OtherSchema { .. })
    ));
    assert!(matches!(routed.check_pointer(&json!({"v": 2})), Err(RouteError::NoSchema { .. })));
    assert!(matches!(routed.check_pointer(&json!([])), Err(RouteError::NoSchema { .. })));
}

#[test]
fn rule_functions_are_refused_by_this_version() {
    let mut book = Book::new();
    book.domain("sales");
    book.say(ROOT, schema("order/1.0.0", "sales", json!(true)));
    let payload = payload::rule_function(&version("order/1.0.0"), "app.check(jsonb)", &Digest([1; 32]));
    assert!(matches!(book.refuse(ROOT, payload), RegistryError::RuleFunctionsNotSupported { .. }));
}

// Grants and delegates.

#[test]
fn a_grant_covers_domain_schema_and_stream() {
    let mut book = with_delegate();
    book.say(ROOT, grant(11, "sales", "order/1.*", "eu-*"));
    let now = book.registry.version();
    let ask = |place, schema, stream| book.asks(11, now, place, schema, stream).is_ok();
    assert!(ask("sales", "order/1.0.0", "eu-1") && ask("sales", "order/1.20.3", "eu-"));
    assert!(!ask("sales", "order/2.0.0", "eu-1") && !ask("sales", "order/1.0.0", "us-1"));
    assert!(!ask("stock", "order/1.0.0", "eu-1") && !ask("ets.registry", "ets.grant/1.0.0", "main"));
    assert!(matches!(book.asks(11, now, "sales", "order/1.0.0", "us-1"), Err(Denial::NoGrant { .. })));
    // Root has authority over the registry, not over what others append.
    assert!(book.asks(ROOT, now, "sales", "order/1.0.0", "eu-1").is_err());
}

#[test]
fn a_grant_names_a_domain_and_a_live_key_that_exist() {
    let mut book = with_delegate();
    assert!(matches!(book.refuse(ROOT, grant(11, "absent", "*", "*")), RegistryError::UnknownDomain { .. }));
    assert!(matches!(book.refuse(ROOT, grant(99, "sales", "*", "*")), RegistryError::UnknownKey { .. }));
    book.say(ROOT, revoke(11));
    assert!(matches!(book.refuse(ROOT, grant(11, "sales", "*", "*")), RegistryError::DeadKey { .. }));
    for (member, value) in [("schemas", "or*der"), ("schemas", "order"), ("streams", "a**"), ("streams", "")]
    {
        let payload = set(grant(10, "sales", "*", "*"), member, json!(value));
        assert_eq!(book.refuse(ROOT, payload).sqlstate(), "ET007", "{value}");
    }
    let payload = set(grant(10, "ets.registry", "*", "*"), "streams", json!("not a domain"));
    assert_eq!(book.refuse(ROOT, payload).sqlstate(), "ET007");
}

#[test]
fn audit_is_never_granted_and_the_server_key_is_granted_nothing() {
    let mut book = with_delegate();
    assert_eq!(book.refuse(ROOT, grant(11, "ets.audit", "*", "*")), RegistryError::GrantOverAudit);
    for place in ["sales", "ets.registry"] {
        let error = book.refuse(ROOT, grant(SERVER, place, "*", "*"));
        assert!(matches!(error, RegistryError::GrantToServerKey { .. }), "{error}");
    }
}

#[test]
fn a_delegate_registers_retires_grants_and_revokes_inside_its_scope() {
    let mut book = with_delegate();
    book.say(10, schema("order/1.0.0", "sales", json!(true)));
    book.say(10, grant(11, "sales", "*", "*"));
    assert!(book.may(11));
    book.say(10, ungrant(11, "sales", "*", "*"));
    assert!(!book.may(11));
    book.say(10, payload::schema_retirement(&version("order/1.0.0"), "old"));
    book.say(ROOT, schema("part/1.0.0", "stock", json!(true)));
    book.say(ROOT, grant(11, "stock", "*", "*"));
    for payload in [
        schema("item/1.0.0", "stock", json!(true)),
        payload::schema_retirement(&version("part/1.0.0"), "mine"),
        grant(11, "stock", "*", "*"),
        ungrant(11, "stock", "*", "*"),
    ] {
        let error = book.refuse(10, payload);
        assert!(matches!(error, RegistryError::Denied(Denial::OutsideScope { .. })), "{error}");
    }
}

#[test]
fn a_delegate_signs_the_kinds_of_its_grant_only() {
    let mut book = with_delegate();
    book.key(12, "schemer");
    book.say(ROOT, grant(12, "ets.registry", "ets.schema/*", "*"));
    book.say(12, schema("order/1.0.0", "sales", json!(true)));
    for payload in [grant(11, "sales", "*", "*"), payload::schema_retirement(&version("order/1.0.0"), "x")] {
        assert!(matches!(book.refuse(12, payload), RegistryError::Denied(Denial::NoGrant { .. })));
    }
    // Kind of one grant and domain of another do not add up.
    book.say(ROOT, grant(12, "ets.registry", "ets.grant/*", "stock"));
    assert!(matches!(
        book.refuse(12, grant(11, "sales", "*", "*")),
        RegistryError::Denied(Denial::OutsideScope { .. })
    ));
    book.say(12, grant(11, "stock", "*", "*"));
}

#[test]
fn a_delegate_cannot_widen_itself_through_a_second_key_of_its_owner() {
    let mut book = with_delegate();
    book.key(12, "dora");
    for seed in [10, 12] {
        let error = book.refuse(10, grant(seed, "sales", "*", "*"));
        assert_eq!(
            (error.sqlstate(), matches!(error, RegistryError::GrantToOwnOwner { .. })),
            ("ET016", true)
        );
    }
    // Nor through a key that it rotates to.
    book.say(10, rotate(10, 13));
    assert!(matches!(book.refuse(13, grant(12, "sales", "*", "*")), RegistryError::GrantToOwnOwner { .. }));
    book.say(13, grant(11, "sales", "*", "*"));
}

#[test]
fn a_delegate_cannot_grant_or_revoke_anything_over_the_registry() {
    let mut book = with_delegate();
    // Not even one that may act for every domain.
    book.key(12, "everywhere");
    book.say(ROOT, grant(12, "ets.registry", "ets.*", "*"));
    for seed in [10, 12] {
        for payload in [
            grant(11, "ets.registry", "*", "*"),
            grant(11, "ets.registry", "ets.grant/*", "sales"),
            ungrant(ROOT, "ets.registry", "*", "*"),
            ungrant(10, "ets.registry", "*", "*"),
        ] {
            let error = book.refuse(seed, payload);
            assert!(matches!(error, RegistryError::Denied(Denial::NotRoot { .. })), "{error}");
        }
    }
}

#[test]
fn a_grant_revocation_ends_every_live_grant_that_it_covers() {
    let mut book = with_delegate();
    book.say(ROOT, grant(11, "sales", "order/1.*", "*"));
    book.say(ROOT, grant(11, "sales", "order/2.0.0", "eu-*"));
    book.say(ROOT, grant(11, "sales", "item/*", "*"));
    book.say(ROOT, grant(11, "stock", "order/1.*", "*"));
    let before = book.registry.version();
    book.say(ROOT, ungrant(11, "sales", "order/*", "*"));
    let now = book.registry.version();
    assert!(book.asks(11, before, "sales", "order/1.0.0", "main").is_ok());
    assert!(book.asks(11, now, "sales", "order/1.0.0", "main").is_err());
    assert!(book.asks(11, now, "sales", "order/2.0.0", "eu-1").is_err());
    assert!(book.asks(11, now, "sales", "item/1.0.0", "main").is_ok());
    assert!(book.asks(11, now, "stock", "order/1.0.0", "main").is_ok());
    // An ended grant is not there to be revoked.
    assert!(matches!(
        book.refuse(ROOT, ungrant(11, "sales", "order/*", "*")),
        RegistryError::NoSuchGrant { .. }
    ));
    book.say(ROOT, ungrant(11, "sales", "*", "*"));
    book.say(ROOT, grant(11, "sales", "order/1.*", "*"));
    assert!(book.may(11));
}

#[test]
fn a_revocation_of_nothing_or_of_a_part_is_refused() {
    let mut book = with_delegate();
    book.say(ROOT, grant(11, "sales", "order/*", "eu-*"));
    book.say(ROOT, grant(11, "sales", "item/*", "eu-*"));
    for (schemas, streams) in [("part/*", "*"), ("*", "us-*"), ("order/*", "us"), ("orde/1.0.0", "*")] {
        let error = book.refuse(ROOT, ungrant(11, "sales", schemas, streams));
        assert_eq!((error.sqlstate(), matches!(error, RegistryError::NoSuchGrant { .. })), ("ET011", true));
    }
    for (schemas, streams) in
        [("order/1.*", "*"), ("order/*", "eu-1"), ("*", "eu-1*"), ("order/1.0.0", "eu-1")]
    {
        let error = book.refuse(ROOT, ungrant(11, "sales", schemas, streams));
        assert_eq!((error.sqlstate(), matches!(error, RegistryError::PartOfGrant { .. })), ("ET016", true));
    }
    // One covered, another in part: nothing ends.
    book.say(ROOT, grant(11, "sales", "*", "main"));
    assert!(matches!(
        book.refuse(ROOT, ungrant(11, "sales", "item/*", "*")),
        RegistryError::PartOfGrant { .. }
    ));
    assert!(matches!(book.refuse(ROOT, ungrant(99, "sales", "*", "*")), RegistryError::UnknownKey { .. }));
    book.say(ROOT, ungrant(11, "sales", "*", "*"));
}

// Keys.

#[test]
fn a_public_key_is_registered_once_for_ever() {
    let mut book = with_delegate();
    let taken = |book: &mut Book, payload: Value| {
        let error = book.refuse(ROOT, payload);
        assert_eq!((error.sqlstate(), matches!(error, RegistryError::KeyTaken { .. })), ("ET010", true));
    };
    // Two owners never share a key; nor does one register it again.
    taken(&mut book, key(11, "another"));
    taken(&mut book, key(11, "clerk"));
    taken(&mut book, key(ROOT, "x"));
    taken(&mut book, key(SERVER, "x"));
    taken(&mut book, payload::server_key(&public(11), "x", None));
    taken(&mut book, rotate(ROOT, 11));
    book.say(ROOT, revoke(11));
    taken(&mut book, key(11, "clerk"));
    // An owner may hold several.
    book.key(14, "dora");
}

#[test]
fn a_weak_key_is_not_registered() {
    let mut book = Book::new();
    // The identity (small order), and a y that is no coordinate of a point.
    for bytes in [format!("01{}", "00".repeat(31)), format!("02{}", "00".repeat(31)), "ff".repeat(32)] {
        let payload = set(key(5, "x"), "public_key", json!(bytes));
        assert_eq!(book.refuse(ROOT, payload).sqlstate(), "ET003");
    }
}

#[test]
fn a_key_is_valid_from_its_first_moment_to_its_last() {
    let mut book = Book::new();
    book.domain("sales");
    book.say(ROOT, payload::key(&public(5), "x", Custody::Actor, Some(at(100)), Some(at(200))));
    book.say(ROOT, grant(5, "sales", "*", "*"));
    for (moment, valid) in [(99, false), (100, true), (200, true), (201, false)] {
        book.now = at(moment);
        assert_eq!(book.may(5), valid, "{moment}");
    }
    let backwards = payload::key(&public(6), "x", Custody::Actor, Some(at(200)), Some(at(100)));
    assert!(matches!(book.refuse(ROOT, backwards), RegistryError::NeverValid { .. }));
}

#[test]
fn revocation_is_final_and_history_stands() {
    let mut book = with_delegate();
    book.say(ROOT, grant(11, "sales", "*", "*"));
    let before = book.registry.version();
    let revoked = book.say(ROOT, payload::key_revocation(&id(11), "lost", Some(at(-5))));
    let ask = |at| book.asks(11, at, "sales", "order/1.0.0", "main");
    // Judged at the version that an event names, however late.
    assert!(ask(before).is_ok());
    assert!(matches!(ask(before - 1), Err(Denial::NoGrant { .. })));
    assert!(matches!(ask(1), Err(Denial::NotYetRegistered { .. })));
    assert!(matches!(ask(revoked), Err(Denial::Revoked { .. })));
    assert!(matches!(ask(u64::MAX), Err(Denial::Revoked { .. })));
    assert!(book.registry.grants_of(&id(11), revoked).is_empty());
    assert_eq!(book.registry.grants_of(&id(11), before).len(), 1);
    assert_eq!(book.registry.key(&id(11)).and_then(|key| key.compromised_since), Some(at(-5)));
    assert!(matches!(book.refuse(ROOT, revoke(11)), RegistryError::DeadKey { .. }));
    assert!(matches!(book.refuse(ROOT, revoke(99)), RegistryError::UnknownKey { .. }));
    assert!(matches!(book.refuse(11, rotate(11, 20)), RegistryError::Denied(Denial::Revoked { .. })));
}

#[test]
fn the_given_public_key_is_the_registered_one() {
    let book = with_delegate();
    let other = public(10);
    let request = Request {
        key_id: id(11),
        public_key: other.as_bytes(),
        timestamp: book.now,
        domain: &domain("sales"),
        schema_version: &version("order/1.0.0"),
        stream: &StreamName::main(),
    };
    assert_eq!(book.registry.authorize(6, &request), Err(Denial::OtherPublicKey { key_id: id(11) }));
    assert!(matches!(book.asks(99, 6, "sales", "a/1.0.0", "main"), Err(Denial::UnknownKey { .. })));
}

#[test]
fn a_rotation_hands_owner_and_grants_to_the_new_key() {
    let mut book = with_delegate();
    book.say(ROOT, grant(11, "sales", "*", "*"));
    let rotated = book.say(11, rotate(11, 20));
    assert!(book.may(20) && !book.may(11));
    assert!(book.asks(11, rotated - 1, "sales", "order/1.0.0", "main").is_ok());
    let (old, new) = (book.registry.key(&id(11)).expect("old"), book.registry.key(&id(20)).expect("new"));
    assert_eq!((new.owner.as_str(), new.rotated_from), ("clerk", Some(id(11))));
    assert_eq!((old.superseded_at, old.superseded_by, old.revoked_at), (Some(rotated), Some(id(20)), None));
    assert!(matches!(book.refuse(11, rotate(11, 21)), RegistryError::Denied(Denial::Superseded { .. })));
    // A key without any grant may rotate itself too.
    book.key(12, "bare");
    book.say(12, rotate(12, 22));
    // And root stays root.
    book.say(ROOT, rotate(ROOT, 23));
    assert!(book.registry.is_root(&id(23), book.registry.version()));
    assert!(!book.registry.is_root(&id(ROOT), book.registry.version()));
}

#[test]
fn a_key_rotates_itself_only_with_the_new_keys_consent() {
    let mut book = with_delegate();
    for seed in [10, ROOT] {
        let error = book.refuse(seed, rotate(11, 20));
        assert!(matches!(error, RegistryError::Denied(Denial::NotItself { .. })), "{error}");
    }
    for wrong in [proof(10, 20, ledger_id()), proof(11, 21, ledger_id()), proof(11, 20, Uuid::nil())] {
        let payload = payload::key_rotation(&id(11), &public(20), &wrong, None);
        assert!(matches!(book.refuse(11, payload), RegistryError::BadProof { .. }));
    }
}

#[test]
fn a_rotation_never_outlives_the_old_key() {
    let mut book = Book::new();
    book.say(ROOT, payload::key(&public(5), "x", Custody::Server, None, Some(at(100))));
    assert!(matches!(
        book.refuse(5, rotate_until(5, 6, Some(at(101)))),
        RegistryError::OutlivesOldKey { .. }
    ));
    book.say(5, rotate(5, 6));
    let new = book.registry.key(&id(6)).expect("new");
    assert_eq!((new.not_after, new.custody), (Some(at(100)), Custody::Server));
    book.say(6, rotate_until(6, 7, Some(at(50))));
    assert_eq!(book.registry.key(&id(7)).and_then(|key| key.not_after), Some(at(50)));
    book.now = at(51);
    assert!(matches!(book.refuse(7, rotate(7, 8)), RegistryError::Denied(Denial::Expired { .. })));
}

#[test]
fn a_thiefs_rotation_falls_with_the_stolen_key() {
    let mut book = with_delegate();
    book.say(ROOT, grant(11, "sales", "*", "*"));
    book.say(11, rotate(11, 20));
    book.say(20, rotate(20, 21));
    assert!(book.may(21));
    // The stolen key is retired, and can be revoked all the same.
    let revoked = book.say(ROOT, revoke(11));
    assert!(!book.may(21) && !book.may(20));
    for seed in [11, 20, 21] {
        assert_eq!(book.registry.key(&id(seed)).and_then(|key| key.revoked_at), Some(revoked));
    }
    assert!(matches!(book.refuse(21, rotate(21, 22)), RegistryError::Denied(Denial::Revoked { .. })));
    assert!(matches!(book.refuse(ROOT, grant(21, "sales", "*", "*")), RegistryError::DeadKey { .. }));
}

#[test]
fn revoking_a_rotated_key_leaves_what_it_was_rotated_out_of() {
    let mut book = with_delegate();
    book.say(11, rotate(11, 20));
    book.say(ROOT, revoke(20));
    assert_eq!(book.registry.key(&id(11)).and_then(|key| key.revoked_at), None);
    // But not alive.
    assert!(matches!(book.refuse(11, rotate(11, 21)), RegistryError::Denied(Denial::Superseded { .. })));
}

#[test]
fn a_lock_out_by_revoking_roots_ancestor_is_refused() {
    let mut book = Book::new();
    book.say(ROOT, rotate(ROOT, 5));
    assert_eq!(book.refuse(5, revoke(ROOT)), RegistryError::LastRoot);
    book.key_by(5, 6, "second");
    book.say(5, grant(6, "ets.registry", "*", "*"));
    book.say(6, revoke(ROOT));
    assert!(!book.registry.is_root(&id(5), book.registry.version()));
}

// The server's key.

#[test]
fn the_server_key_has_authority_over_audit_alone() {
    let mut book = with_delegate();
    assert!(book.asks(SERVER, 1, "ets.audit", "ets.restore/1.0.0", "main").is_ok());
    assert!(!book.may(SERVER));
    assert!(matches!(
        book.refuse(SERVER, schema("order/1.0.0", "sales", json!(true))),
        RegistryError::Denied(Denial::NoGrant { .. })
    ));
    assert!(matches!(book.refuse(SERVER, rotate(SERVER, 20)), RegistryError::RotatesServerKey { .. }));
}

#[test]
fn statements_are_signed_by_the_server_key_of_their_version() {
    let mut book = Book::new();
    let replaced = book.say(ROOT, payload::server_key(&public(20), "yearly", None));
    let ask = |seed, at| book.asks(seed, at, "ets.audit", "ets.verification/1.0.0", "main");
    assert!(ask(SERVER, replaced - 1).is_ok() && ask(SERVER, replaced).is_err());
    assert!(ask(20, replaced).is_ok() && ask(20, replaced - 1).is_err());
    assert_eq!(book.registry.key(&id(20)).map(|key| key.rotated_from), Some(None));
    assert!(!book.registry.is_root(&id(20), replaced));
}

#[test]
fn rotating_the_server_key_under_local_authority_hands_root_on() {
    let mut book = Book::local();
    book.say(ROOT, payload::server_key(&public(20), "yearly", Some(at(0))));
    assert!(book.registry.is_root(&id(20), book.registry.version()));
    assert!(matches!(book.refuse(ROOT, key(5, "x")), RegistryError::Denied(Denial::Superseded { .. })));
    let old = book.registry.key(&id(ROOT)).expect("old");
    assert_eq!(old.compromised_since, Some(at(0)));
    book.key_by(20, 6, "second");
    book.say(20, grant(6, "ets.registry", "*", "*"));
    // What the old key signed away falls with it; without a server key, another
    // root makes a new one, which does not.
    book.say(6, revoke(ROOT));
    let now = book.registry.version();
    assert!(matches!(
        book.asks(20, now, "ets.audit", "ets.restore/1.0.0", "main"),
        Err(Denial::Revoked { .. })
    ));
    book.say(6, payload::server_key(&public(21), "stolen", None));
    let now = book.registry.version();
    assert!(book.asks(21, now, "ets.audit", "ets.restore/1.0.0", "main").is_ok());
    assert!(!book.registry.is_root(&id(21), now));
}

#[test]
fn a_server_key_replaced_by_another_root_does_not_fall_with_the_stolen_one() {
    let mut book = Book::local();
    book.key(6, "second");
    book.say(ROOT, grant(6, "ets.registry", "*", "*"));
    book.say(6, payload::server_key(&public(21), "stolen", None));
    book.say(6, revoke(ROOT));
    let now = book.registry.version();
    assert!(book.asks(21, now, "ets.audit", "ets.restore/1.0.0", "main").is_ok());
    assert!(book.registry.is_root(&id(21), now));
}

impl Book {
    fn key_by(&mut self, signer: u8, seed: u8, owner: &str) -> u64 {
        self.say(signer, key(seed, owner))
    }
}

// The fold.

#[test]
fn a_later_registry_answers_for_every_earlier_version() {
    let mut book = with_delegate();
    let mut past = vec![book.registry.clone()];
    let steps: Vec<(u8, Value)> = vec![
        (10, grant(11, "sales", "order/*", "*")),
        (11, rotate(11, 20)),
        (10, grant(20, "sales", "item/*", "*")),
        (10, ungrant(20, "sales", "order/*", "*")),
        (ROOT, key(12, "x")),
        (10, rotate(10, 13)),
        (13, grant(12, "sales", "*", "eu-*")),
        (ROOT, revoke(11)),
        (ROOT, payload::server_key(&public(30), "r", None)),
        (ROOT, rotate(ROOT, 31)),
        (31, revoke(10)),
    ];
    for (seed, payload) in steps {
        book.say(seed, payload);
        past.push(book.registry.clone());
    }
    for then in past {
        let at_version = then.version();
        let book_then = Book { registry: then, now: book.now };
        for seed in [ROOT, SERVER, 10, 11, 12, 13, 20, 30, 31] {
            for (place, schema, stream) in [
                ("sales", "order/1.0.0", "main"),
                ("sales", "item/1.0.0", "eu-1"),
                ("ets.audit", "ets.restore/1.0.0", "main"),
                ("ets.registry", "ets.key/1.0.0", "main"),
                ("ets.registry", "ets.grant/1.0.0", "main"),
                ("ets.registry", "ets.key_rotation/1.0.0", "main"),
            ] {
                let judged_then = book_then.asks(seed, at_version, place, schema, stream).is_ok();
                let judged_now = book.asks(seed, at_version, place, schema, stream).is_ok();
                assert_eq!(judged_then, judged_now, "{seed} {at_version} {place} {schema}");
            }
            assert_eq!(
                book_then.registry.grants_of(&id(seed), at_version).len(),
                book.registry.grants_of(&id(seed), at_version).len()
            );
            assert_eq!(
                book_then.registry.is_root(&id(seed), at_version),
                book.registry.is_root(&id(seed), at_version)
            );
        }
    }
}

#[test]
fn rows_are_those_of_the_tables() {
    let mut book = with_delegate();
    book.say(10, schema("order/1.0.0", "sales", json!({"type": "object"})));
    let rotated = book.say(11, rotate(11, 20));
    let rows = book.registry.rows();
    let names: Vec<&str> = rows.domains.iter().map(|row| row.domain.as_str()).collect();
    assert_eq!(names, ["ets.audit", "ets.registry", "sales", "stock"]);
    assert_eq!(rows.domains[0].registered_at, 1);
    assert_eq!(rows.schema_versions.len(), 1);
    assert_eq!(rows.signing_keys.len(), 5);
    let old = rows.signing_keys.iter().find(|row| row.key_id == id(11)).expect("a row");
    assert_eq!((old.revoked_at, old.superseded_by, old.algorithm), (Some(rotated), Some(id(20)), "ed25519"));
    let touched = book.registry.rows_touched_at(rotated);
    assert_eq!((touched.signing_keys.len(), touched.domains.len()), (2, 0));
    assert_eq!(book.registry.rows_touched_at(1).domains.len(), 2);
}

/// Whatever a payload says, judging it ends in an answer.
#[test]
fn mutated_payloads_never_panic() {
    let mut book = with_delegate();
    book.say(10, schema("order/1.0.0", "sales", json!({"type": "object"})));
    book.say(ROOT, grant(11, "sales", "*", "*"));
    let origin: Origin = "a".parse().expect("an origin");
    let payloads = [
        payload::ledger(&ledger_id(), &origin, &public(ROOT), &public(SERVER)),
        payload::domain(&domain("new"), Some("text"), true),
        schema("order/1.1.0", "sales", json!({"type": "object", "$ref": "#/$defs/a", "$defs": {"a": true}})),
        payload::schema_retirement(&version("order/1.0.0"), "x"),
        payload::key(&public(40), "x", Custody::Actor, Some(at(0)), Some(at(9))),
        rotate_until(11, 41, Some(at(9))),
        payload::key_revocation(&id(11), "x", Some(at(0))),
        payload::server_key(&public(42), "x", Some(at(0))),
        grant(11, "sales", "order/*", "eu-*"),
        ungrant(11, "sales", "*", "*"),
        payload::rule_function(&version("order/1.0.0"), "f(jsonb)", &Digest([1; 32])),
    ];
    let values = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1.5),
        json!(""),
        json!("*"),
        json!("ets.registry"),
        json!("ets.audit"),
        json!("\u{0}"),
        json!("é".repeat(300)),
        json!("0".repeat(64)),
        json!("f".repeat(64)),
        json!("f".repeat(128)),
        json!(id(ROOT).to_string()),
        json!("9999-99-99T99:99:99.999999Z"),
        json!([]),
        json!({}),
        json!({"$ref": "#"}),
        json!([[[]]]),
    ];
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % below as u64).expect("small")
    };
    for round in 0..6_000 {
        let mut payload = payloads[next(payloads.len())].clone();
        for _ in 0..=next(2) {
            let Some(object) = payload.as_object_mut() else { break };
            let names: Vec<String> = object.keys().cloned().collect();
            let name = names.get(next(names.len().max(1))).cloned().unwrap_or_default();
            match next(10) {
                0 => drop(object.remove(&name)),
                1 => drop(object.insert("extra".to_owned(), values[next(values.len())].clone())),
                2 => payload = values[next(values.len())].clone(),
                _ => drop(object.insert(name, values[next(values.len())].clone())),
            }
        }
        let Ok(canonical) = Payload::from_value(payload, &Limits::CEILING) else { continue };
        let seed = [ROOT, SERVER, 10, 11][next(4)];
        let mut event = book.next(seed, canonical.into_value());
        if round % 3 == 0 {
            event.header.schema_version = version(Kind::ALL[next(Kind::ALL.len())].as_str());
        }
        if let Err(error) = book.registry.check(&event) {
            let _ = (error.to_string(), error.detail(), error.hint());
        }
        event.header.sequence = 1;
        event.header.registry_version = 0;
        let _ = Registry::start(&event);
    }
}
