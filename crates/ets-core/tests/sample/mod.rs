//! A small ledger from fixed seeds: what the examples in `docs/` are made of,
//! the same bytes on every machine.

#![allow(dead_code)] // Each test binary uses its own part.

use ets_core::bundle::{
    Checkpoint, Evidence, Inclusion, ProofBundle, RegistryEntry, RegistryPart, StreamBundle,
};
use ets_core::canonical::{Limits, Payload};
use ets_core::checkpoint::{DomainRoot, meta_root};
use ets_core::event::{Event, EventId, Header};
use ets_core::hash::{Digest, SPECIFICATION_VERSION, genesis_hash, sha256};
use ets_core::key::SecretKey;
use ets_core::merkle;
use ets_core::name::{REGISTRY, SchemaVersion};
use ets_core::registry::{Registry, engine_for};
use ets_core::time::Timestamp;
use ets_core::trust::TrustRoot;
use serde_json::{Value, json};
use uuid::Uuid;

/// The registry version that the events of `decisions` were judged against.
pub const REGISTRY_VERSION: u64 = 7;

/// All events of a ledger, in the order in which they were appended.
pub struct Ledger {
    pub trust_root: TrustRoot,
    pub events: Vec<Event>,
}

/// The key of an actor, from its name.
pub fn secret_key(name: &str) -> SecretKey {
    SecretKey::from_seed(sha256(&[b"pg_ets example: ", name.as_bytes()]).as_bytes())
}

/// A ledger of one event, which says that there is one.
pub fn started() -> Ledger {
    let (root, server) = (secret_key("root"), secret_key("server"));
    let trust_root = TrustRoot {
        ledger_id: Uuid::from_u128(0x019c1c38_a400_74bf_b446_25e5fce4240b),
        origin: "acme.example/prod".parse().unwrap(),
        root_public_key: root.public_key(),
        server_public_key: server.public_key(),
    };
    let mut ledger = Ledger { trust_root: trust_root.clone(), events: Vec::new() };
    ledger.register(json!({
        "schema_version": "ets.ledger/1.0.0", "ledger_id": trust_root.ledger_id.to_string(),
        "origin": trust_root.origin.as_str(), "specification": "1.1", "algorithm": "ed25519",
        "root_public_key": root.public_key().to_string(),
        "server_public_key": server.public_key().to_string(),
    }));
    ledger
}

/// The sample: a registry of nine events, two domains, three streams.
pub fn ledger() -> Ledger {
    let agent = secret_key("agent-7");
    let mut ledger = started();
    let hex = |key: &SecretKey| key.public_key().to_string();
    ledger.register(json!({
        "schema_version": "ets.domain/1.0.0", "domain": "decisions",
        "description": "What the agents decided",
    }));
    ledger.register(json!({
        "schema_version": "ets.schema/1.0.0", "name": "decision/1.0.0", "domain": "decisions",
        "schema": {
            "type": "object",
            "required": ["schema_version", "order", "verdict"],
            "additionalProperties": false,
            "properties": {
                "schema_version": {"const": "decision/1.0.0"},
                "order": {"type": "string"},
                "verdict": {"enum": ["approve", "refuse"]},
                "amount": {"type": "number", "minimum": 0},
                "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
            },
        },
        "stream_pointer": "/order", "schema_pointer": "/schema_version",
        "rules": [], "reducer": "merge", "engine": "draft2020-12/1",
    }));
    ledger.register(json!({
        "schema_version": "ets.key/1.0.0", "public_key": hex(&agent), "algorithm": "ed25519",
        "owner": "agent-7", "custody": "actor",
    }));
    ledger.register(json!({
        "schema_version": "ets.grant/1.0.0", "key_id": agent.public_key().key_id().to_string(),
        "domain": "decisions", "schemas": "decision/*", "streams": "order-*",
    }));
    ledger.register(json!({"schema_version": "ets.domain/1.0.0", "domain": "agents"}));
    ledger.register(json!({
        "schema_version": "ets.schema/1.0.0", "name": "agent-report/1.0.0", "domain": "agents",
        "schema": {"type": "object"}, "rules": [], "reducer": "none", "engine": "draft2020-12/1",
    }));
    for (order, verdict, amount) in [
        ("order-42", "approve", json!(12.5)),
        ("order-43", "refuse", json!(980)),
        ("order-42", "refuse", json!(12.5)),
        ("order-42", "approve", json!(11)),
        ("order-43", "approve", json!(450.25)),
    ] {
        ledger.append(
            &agent,
            "decisions",
            order,
            json!({
                "schema_version": "decision/1.0.0", "order": order, "verdict": verdict,
                "amount": amount, "currency": "EUR",
            }),
        );
    }
    let other = secret_key("agent-8");
    ledger.register(json!({
        "schema_version": "ets.key/1.0.0", "public_key": hex(&other), "algorithm": "ed25519",
        "owner": "agent-8", "custody": "actor",
    }));
    ledger.register(json!({
        "schema_version": "ets.grant/1.0.0", "key_id": other.public_key().key_id().to_string(),
        "domain": "agents", "schemas": "*", "streams": "*",
    }));
    ledger
}

fn schema_version(event: &Event) -> SchemaVersion {
    event.header.schema_version.clone()
}

impl Ledger {
    /// Registers an actor's key and grants it all of a domain.
    pub fn admit(&mut self, name: &str, domain: &str) {
        let key = secret_key(name).public_key();
        self.register(json!({
            "schema_version": "ets.key/1.0.0", "public_key": key.to_string(), "algorithm": "ed25519",
            "owner": name, "custody": "actor",
        }));
        self.register(json!({
            "schema_version": "ets.grant/1.0.0", "key_id": key.key_id().to_string(),
            "domain": domain, "schemas": "*", "streams": "*",
        }));
    }

    /// Registers a schema of which `members` says what is not as usual.
    pub fn register_schema(&mut self, name: &str, domain: &str, members: Value) {
        let member = |name: &str, usual: Value| members.get(name).cloned().unwrap_or(usual);
        let (schema, rules) = (member("schema", json!(true)), member("rules", json!([])));
        let reducer = member("reducer", json!("merge"));
        let engine = engine_for(&schema, &rules, reducer.as_str().unwrap()).unwrap();
        let mut payload = json!({
            "schema_version": "ets.schema/1.0.0", "name": name, "domain": domain,
            "schema_pointer": "/schema_version", "schema": schema, "rules": rules, "reducer": reducer,
            "engine": member("engine", json!(engine)),
        });
        if let Some(pointer) = members.get("stream_pointer") {
            payload["stream_pointer"] = pointer.clone();
        }
        self.register(payload);
    }

    /// Appends a registry event, signed by root.
    pub fn register(&mut self, payload: Value) {
        self.append(&secret_key("root"), REGISTRY, "main", payload);
    }

    /// Appends an event as a gate would that checks nothing.
    pub fn append(&mut self, key: &SecretKey, domain: &str, stream: &str, payload: Value) {
        let count = u64::try_from(self.events.len()).unwrap();
        let version = u64::try_from(self.registry().len()).unwrap();
        let before = self
            .stream(domain, stream)
            .last()
            .map(|event| (event.header.sequence, event.header.current_hash));
        let (domain, stream) = (domain.parse().unwrap(), stream.parse().unwrap());
        let genesis = genesis_hash(&self.trust_root.ledger_id, &domain, &stream);
        let (sequence, previous_hash) = before.unwrap_or((0, genesis));
        let schema_version: SchemaVersion = payload["schema_version"].as_str().unwrap().parse().unwrap();
        let payload = Payload::from_value(payload, &Limits::CEILING).unwrap();
        let current_hash = ets_core::hash::event_hash(payload.canonical().as_bytes(), &previous_hash);
        // From 2026-02-02T02:40:00Z on, a second and a bit apart.
        let micros = 1_770_000_000_000_000 + i64::try_from(count).unwrap() * 1_234_567;
        let header = Header {
            event_id: event_id(u64::try_from(micros).unwrap() / 1000, count),
            domain,
            stream,
            sequence: sequence + 1,
            schema_version,
            key_id: key.public_key().key_id(),
            public_key: *key.public_key().as_bytes(),
            previous_hash,
            current_hash,
            signature: key.sign(&current_hash),
            timestamp: Timestamp::from_unix_micros(micros).unwrap(),
            registry_version: version,
        };
        self.events.push(Event { header, payload });
    }

    /// The events of one stream.
    pub fn stream(&self, domain: &str, stream: &str) -> Vec<Event> {
        let is_of =
            |event: &&Event| event.header.domain.as_str() == domain && event.header.stream.as_str() == stream;
        self.events.iter().filter(is_of).cloned().collect()
    }

    /// The registry's events.
    pub fn registry(&self) -> Vec<Event> {
        self.stream(REGISTRY, "main")
    }

    /// The registry that its events make.
    pub fn folded(&self) -> Registry {
        let events = self.registry();
        let mut registry = Registry::start(&events[0]).unwrap();
        events[1..].iter().for_each(|event| registry.apply(event).unwrap());
        registry
    }

    /// The leaves of a domain's tree, sealed in the order of event ids.
    fn leaves(&self, domain: &str) -> Vec<Digest> {
        self.domain(domain).iter().map(|event| event.header.leaf_hash()).collect()
    }

    fn domain(&self, domain: &str) -> Vec<&Event> {
        self.events.iter().filter(|event| event.header.domain.as_str() == domain).collect()
    }

    /// A checkpoint over everything, with the note of `domain`.
    pub fn checkpoint(&self, domain: &str) -> Checkpoint {
        let domain_roots: Vec<DomainRoot> = self
            .folded()
            .domains_at(u64::MAX)
            .into_iter()
            .map(|domain| {
                let leaves = self.leaves(domain.as_str());
                DomainRoot {
                    domain,
                    tree_size: u64::try_from(leaves.len()).unwrap(),
                    root: merkle::root_of(&leaves),
                }
            })
            .collect();
        let checkpoint_event_id = self.events.iter().map(|event| event.header.event_id).max().unwrap();
        let meta_root = meta_root(SPECIFICATION_VERSION, &checkpoint_event_id, &domain_roots).unwrap();
        let note = self.note(domain, &domain_roots, &meta_root);
        Checkpoint { checkpoint_id: 1, checkpoint_event_id, meta_root, domain_roots, note: Some(note) }
    }

    /// What proves `event`, with the registry's events 1 to `registry_size`.
    pub fn evidence(&self, event: &Event, registry_size: usize) -> Evidence {
        let domain = event.header.domain.as_str();
        let events = self.domain(domain);
        let leaf_index = events.iter().position(|other| *other == event).unwrap();
        let registry = self.registry();
        let needed: Vec<SchemaVersion> =
            self.stream(domain, event.header.stream.as_str()).iter().map(schema_version).collect();
        Evidence {
            trust_root: self.trust_root.clone(),
            inclusion: Inclusion {
                leaf_index: u64::try_from(leaf_index).unwrap(),
                path: path(leaf_index, &self.leaves(domain)),
            },
            checkpoint: self.checkpoint(domain),
            registry: RegistryPart {
                events: registry
                    .iter()
                    .take(registry_size)
                    .map(|event| RegistryEntry::for_bundle(event.clone(), &needed))
                    .collect(),
                consistency: subproof(registry_size, &self.leaves(REGISTRY), true),
            },
        }
    }

    /// The bundle of an event, with as little registry as proves it.
    pub fn proof_bundle(&self, event: &Event) -> ProofBundle {
        let size = match event.header.domain.as_str() {
            REGISTRY => event.header.sequence,
            _ => event.header.registry_version,
        };
        ProofBundle { event: event.clone(), evidence: self.evidence(event, usize::try_from(size).unwrap()) }
    }

    /// The bundle of a stream.
    pub fn stream_bundle(&self, domain: &str, stream: &str) -> StreamBundle {
        let events = self.stream(domain, stream);
        let last = events.last().unwrap();
        let size = usize::try_from(last.header.registry_version).unwrap();
        StreamBundle { evidence: self.evidence(last, size), events }
    }
}

/// A UUID version 7 of a moment and a number.
fn event_id(millis: u64, number: u64) -> EventId {
    let random = sha256(&[b"pg_ets example event ", &number.to_be_bytes()]);
    let mut bytes: [u8; 16] = random.as_bytes()[..16].try_into().unwrap();
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    bytes[6] = bytes[6] & 0x0f | 0x70;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    EventId::from_slice(&bytes).unwrap()
}

/// `PATH(m, D_n)`, transcribed from RFC 9162, section 2.1.3.1.
fn path(m: usize, leaves: &[Digest]) -> Vec<Digest> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    if m < left.len() {
        [path(m, left), vec![merkle::root_of(right)]].concat()
    } else {
        [path(m - left.len(), right), vec![merkle::root_of(left)]].concat()
    }
}

/// `SUBPROOF(m, D_n, b)`, transcribed from RFC 9162, section 2.1.4.1.
fn subproof(m: usize, leaves: &[Digest], b: bool) -> Vec<Digest> {
    if m == 0 {
        return Vec::new();
    }
    if m == leaves.len() {
        return if b { Vec::new() } else { vec![merkle::root_of(leaves)] };
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    if m <= left.len() {
        [subproof(m, left, b), vec![merkle::root_of(right)]].concat()
    } else {
        [subproof(m - left.len(), right, false), vec![merkle::root_of(left)]].concat()
    }
}

impl Ledger {
    /// The signed note of a domain, written from C2SP's text.
    fn note(&self, domain: &str, roots: &[DomainRoot], meta_root: &Digest) -> String {
        let root = roots.iter().find(|root| root.domain.as_str() == domain).unwrap();
        let name = format!("{}/{domain}", self.trust_root.origin);
        let text = format!(
            "{name}\n{}\n{}\nets-metaroot {}\n",
            root.tree_size,
            base64(root.root.as_bytes()),
            base64(meta_root.as_bytes())
        );
        let server = secret_key("server");
        let key_hash = sha256(&[name.as_bytes(), b"\n\x01", server.public_key().as_bytes()]);
        let signature = server.sign_message(text.as_bytes());
        let signed = [&key_hash.as_bytes()[..4], &signature.0[..]].concat();
        format!("{text}\n— {name} {}\n", base64(&signed))
    }
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = 0;
        for at in 0..3 {
            group = group << 8 | u32::from(chunk.get(at).copied().unwrap_or(0));
        }
        for at in 0..4 {
            let digit = ALPHABET[usize::try_from(group >> (18 - 6 * at) & 63).unwrap()];
            text.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}
