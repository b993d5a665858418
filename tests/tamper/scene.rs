//! The ledger that is attacked: several domains and checkpoints, keys with and
//! without authority, events that are sealed and others that are not.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use ets_core::hash::Digest;
use ets_tests::{Cluster, Ledger, Signer, anchored, digest, order};
use postgres::Client;
use serde_json::{Value, json};
use uuid::Uuid;

use super::DISARM;

/// What attacks need: `attack.forge` and the like.
const ATTACKER: &str = include_str!("attacker.sql");

/// Who signs, by the seed of the key. All but carol may append everywhere; eve's
/// key was revoked between the checkpoints.
const SIGNERS: [(&str, u8); 4] = [("alice", 1), ("bob", 2), ("carol", 3), ("eve", 4)];
const DOMAINS: [&str; 3] = ["orders", "notes", "accounts"];

/// The ledger, and what its users remember of it from before the attack.
pub struct Scene<'c> {
    cluster: &'c Cluster,
    database: String,
    /// The ids of all events by their places, such as `orders/a#2`.
    pub events: BTreeMap<String, Uuid>,
    /// The head of each stream.
    pub heads: BTreeMap<(String, String), Vec<u8>>,
    /// Size and root of each domain's tree at the last checkpoint.
    pub kept: BTreeMap<String, (u64, Digest)>,
}

impl<'c> Scene<'c> {
    /// Makes it in a new database of `cluster`, the first checkpoint anchored or not.
    pub fn new(cluster: &'c Cluster, has_anchor: bool) -> Self {
        let database = cluster.create_database();
        let mut client = cluster.connect(&database);
        Ledger::set_up(&mut client);
        client.batch_execute(ATTACKER).expect("the attacker's functions");
        register(&mut client);
        for (schema, payload, signer) in [
            ("order/1.0.0", order("a", 1), "alice"),
            ("order/1.0.0", order("b", 1), "alice"),
            ("order/1.0.0", order("a", 2), "alice"),
            ("order/1.0.0", order("b", 2), "eve"),
            ("order/1.0.0", order("a", 3), "alice"),
            ("note/1.0.0", json!({"text": "first"}), "alice"),
            ("note/1.0.0", json!({"text": "second"}), "bob"),
            ("account/1.0.0", json!({"account": "x", "total": 1}), "alice"),
            ("account/1.0.0", json!({"account": "x", "total": 2}), "alice"),
        ] {
            append(&mut client, &by_name(signer), schema, &payload);
        }
        seal(&mut client);
        if has_anchor {
            anchored(&mut client, 1);
        }
        client
            .execute("SELECT ets.revoke_key($1, 'left')", &[&by_name("eve").key_id()])
            .expect("a revocation");
        for (schema, payload) in [
            ("order/1.0.0", order("a", 4)),
            ("order/1.0.0", order("b", 3)),
            ("account/1.0.0", json!({"account": "x", "total": 3})),
        ] {
            append(&mut client, &by_name("alice"), schema, &payload);
        }
        for check in ["ets.verify_ledger()", "ets.verify_replay()"] {
            assert_eq!(client.query(&format!("SELECT * FROM {check}"), &[]).expect(check).len(), 0);
        }
        client.query("SELECT ets.rebuild_merkle()", &[]).expect("rebuild");
        seal(&mut client);
        let (kept, trust) = checkpoint(&mut client);
        for (schema, payload) in [
            ("order/1.0.0", order("a", 5)),
            ("order/1.0.0", order("b", 4)),
            ("note/1.0.0", json!({"text": "third"})),
        ] {
            append(&mut client, &by_name("alice"), schema, &payload);
        }
        let mut scene = Scene { cluster, database, events: BTreeMap::new(), heads: BTreeMap::new(), kept };
        fs::write(scene.trust_file(), trust).expect("a trust file");
        scene.look(&mut client);
        scene
    }

    /// Remembers the events and heads as they are now.
    pub fn look(&mut self, client: &mut Client) {
        let sql = "SELECT concat(domain, '/', stream, '#', sequence), event_id FROM ets.ledger_event";
        let rows = client.query(sql, &[]).expect("events");
        self.events = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let rows = client.query("SELECT domain, stream, head_hash FROM ets.stream_head", &[]).expect("heads");
        self.heads = rows.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect();
    }

    /// The last checkpoint and the trust root, as `ets verify --trust` takes them.
    pub fn trust_file(&self) -> PathBuf {
        self.cluster.folder().join(format!("{}.trust.json", self.database))
    }

    /// A superuser's session that has seen nothing yet.
    pub fn connect(&self) -> Client {
        self.cluster.connect(&self.database)
    }

    /// The variables by which programs find `database`.
    pub fn environment(&self, database: &str) -> [(&'static str, String); 5] {
        self.cluster.environment(database)
    }

    /// The name of its database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// A copy that takes itself for the original, for an attack that is committed;
    /// [`Scene::drop_copy`] ends it. Nobody may be connected to the scene.
    pub fn copy(&self) -> (String, Client) {
        let copy = format!("{}_attacked", self.database);
        let sql = format!("CREATE DATABASE {copy} TEMPLATE {}", self.database);
        let mut server = self.cluster.connect("postgres");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        // A session that has just ended may be there for a moment still.
        while let Err(error) = server.batch_execute(&sql) {
            assert!(std::time::Instant::now() < deadline, "{error:?}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let mut client = self.cluster.connect(&copy);
        client
            .batch_execute(&format!(
                "{DISARM}; UPDATE ets.seal_position SET database_oid = (SELECT oid FROM pg_database WHERE datname = '{copy}');
                 UPDATE ets.ledger SET database_oid = (SELECT oid FROM pg_database WHERE datname = '{copy}'); SELECT ets.arm()"
            ))
            .expect("a superuser can");
        (copy, client)
    }

    /// Removes a copy, to which nobody is connected any more but whom the server throws out.
    pub fn drop_copy(&self, copy: &str) {
        let sql = format!("DROP DATABASE {copy} WITH (FORCE)");
        self.cluster.connect("postgres").batch_execute(&sql).expect("the copy is ours");
    }

    /// What the server was told of the events, by id.
    pub fn place_of(&self, id: Uuid) -> Option<&str> {
        self.events.iter().find(|(_, event)| **event == id).map(|(place, _)| place.as_str())
    }

    /// `text` with the names in braces replaced: `{orders/a#2}` by the event's id,
    /// `{key bob}`, `{public bob}` and `{secret bob}` by what belongs to bob. What
    /// stands in quotes already gets none.
    pub fn fill(&self, text: &str, quoted: bool) -> String {
        let quote = |value: String, kind: &str| if quoted { format!("'{value}'::{kind}") } else { value };
        let mut out = text.to_owned();
        for (place, id) in &self.events {
            out = out.replace(&format!("{{{place}}}"), &quote(id.to_string(), "uuid"));
        }
        for (name, seed) in SIGNERS {
            let signer = Signer::new(seed);
            out = out.replace(&format!("{{key {name}}}"), &quote(signer.key_id(), "text"));
            let public: String = signer.public_key().iter().map(|byte| format!("{byte:02x}")).collect();
            out = out.replace(&format!("{{public {name}}}"), &format!("'\\x{public}'::bytea"));
            let secret = format!("{seed:02x}").repeat(32);
            out = out.replace(&format!("{{secret {name}}}"), &format!("'\\x{secret}'::bytea"));
        }
        out
    }
}

/// The keys and grants, the domains, and their schemas.
fn register(client: &mut Client) {
    client
        .batch_execute(
            r#"SELECT ets.create_domain('notes');
               SELECT ets.create_domain('accounts', NULL, true);
               SELECT ets.create_domain('empty', 'no event yet');
               SELECT ets.register_schema('order/1.0.1', 'orders',
                 (SELECT jsonb_set(schema, '{properties,schema,const}', '"order/1.0.1"') FROM ets.schema_version
                   WHERE name = 'order/1.0.0') || '{"$comment": "another name"}', '/order', '/schema');
               SELECT ets.register_schema('note/1.0.0', 'notes', '{"type": "object"}');
               SELECT ets.register_schema('note/1.1.0', 'notes', '{"type": "object"}');
               SELECT ets.register_schema('account/1.0.0', 'accounts', '{"type": "object"}', '/account', NULL,
                 '[{"name": "rising", "expr": "state == null || payload.total > state.total", "message": "it falls"}]',
                 'replace');
               SELECT ets.create_local_key('clerk', 'clerk', 'postgres')"#,
        )
        .expect("domains and schemas");
    for (name, seed) in SIGNERS {
        let signer = Signer::new(seed);
        if name != "alice" {
            client.execute("SELECT ets.register_key($1, $2)", &[&signer.public_key(), &name]).expect("a key");
        }
        for domain in
            DOMAINS.iter().filter(|domain| name != "carol" && (name != "alice" || **domain != "orders"))
        {
            client
                .execute("SELECT ets.grant_authority($1, $2)", &[&signer.key_id(), domain])
                .expect("a grant");
        }
    }
}

/// The signer of this name.
pub fn by_name(name: &str) -> Signer {
    let (_, seed) = SIGNERS.iter().find(|(known, _)| *known == name).expect("a signer");
    Signer::new(*seed)
}

fn append(client: &mut Client, signer: &Signer, schema: &str, payload: &Value) {
    let sql = "SELECT previous_hash FROM ets.prepare($1, $2)";
    let previous: Vec<u8> = client.query_one(sql, &[payload, &schema]).expect("prepare").get(0);
    append_onto(client, signer, schema, payload, &previous).expect("the append is valid");
}

/// Appends what is signed for `previous`.
///
/// # Errors
/// What the gate said.
pub fn append_onto(
    client: &mut Client,
    signer: &Signer,
    schema: &str,
    payload: &Value,
    previous: &[u8],
) -> Result<(), postgres::Error> {
    let signature = signer.sign(payload, previous);
    let sql = "SELECT event_id FROM ets.append($1, $2, $3, $4, $5)";
    client.query_one(sql, &[payload, &schema, &signer.public_key(), &previous, &signature]).map(|_| ())
}

fn seal(client: &mut Client) {
    client.query_one("SELECT ets.seal()", &[]).expect("ets.seal");
}

/// What somebody outside keeps of the last checkpoint.
fn checkpoint(client: &mut Client) -> (BTreeMap<String, (u64, Digest)>, String) {
    let sql = "SELECT ets.trust_root()::text, ets.proof_bundle((SELECT event_id FROM ets.merkle_leaf
        WHERE domain = 'orders' AND leaf_index = 0))::text";
    let row = client.query_one(sql, &[]).expect("a trust root and a bundle");
    let parsed = |column| serde_json::from_str::<Value>(row.get(column)).expect("JSON");
    let (mut trust, bundle) = (parsed(0), parsed(1));
    trust["checkpoints"] = json!([bundle["checkpoint"]]);
    let sql = "SELECT domain, tree_size, root_hash FROM ets.domain_root
        WHERE checkpoint_id = (SELECT max(checkpoint_id) FROM ets.checkpoint)";
    let rows = client.query(sql, &[]).expect("roots");
    let kept =
        rows.iter().map(|row| (row.get(0), (row.get::<_, i64>(1) as u64, digest(row.get(2))))).collect();
    (kept, trust.to_string())
}
