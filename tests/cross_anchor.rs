//! Checkpoints anchored as events of another ledger (`ets anchor --ledger`).

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use ets_tests::{Cluster, Ledger, order, program, tamper};
use serde_json::Value;

/// What the other ledger has for statements.
const SCHEMA: &str = "anchored/1.0.0";

/// A ledger, and another that takes its statements, signed by the key in a file.
struct Scene {
    ledger: Ledger,
    other: Ledger,
    key: String,
    root: String,
}

fn scene() -> Scene {
    let mut ledger = Ledger::new();
    ledger.append(&order("a", 1));
    ledger.seal();
    let mut other = Ledger::new();
    let key = Cluster::shared().folder().join(format!("{}.anchors.pem", other.database.name));
    let made = Command::new(program("ets")).arg("keygen").arg(&key).output().expect("ets runs");
    let made: Value = serde_json::from_slice(&made.stdout).expect("a key");
    let public_key = made["public_key"].as_str().expect("a public key");
    other
        .client
        .batch_execute(&format!(
            "SELECT ets.create_domain('anchors');
             SELECT ets.register_schema('{SCHEMA}', 'anchors', '{{}}', '/ledger_id');
             SELECT ets.register_key(decode('{public_key}', 'hex'), 'anchors');
             SELECT ets.grant_authority(ets.key_id(decode('{public_key}', 'hex')), 'anchors')"
        ))
        .expect("the other ledger takes statements");
    let root = other.one("SELECT ets.trust_root()->>'root_public_key'", &[]);
    Scene { ledger, other, key: key.to_str().expect("UTF-8").to_owned(), root }
}

impl Scene {
    fn dsn(&self) -> String {
        let folder = Cluster::shared().folder().display().to_string();
        format!("host={folder} user=postgres dbname={}", self.other.database.name)
    }

    /// `ets anchor` into the other ledger: exit code, state, and what it said.
    fn publish(&self, dsn: &str, root: &str) -> (i32, String, String) {
        let output = Command::new(program("ets"))
            .env_clear()
            .envs(self.ledger.database.environment())
            .args(["anchor", "--json", "--ledger", dsn, "--ledger-key", &self.key, "--ledger-schema", SCHEMA])
            .args(["--ledger-root-key", root, "--time-out", "5"])
            .output()
            .expect("ets runs");
        let line: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let said = format!("{} {}", text("detail"), String::from_utf8_lossy(&output.stderr));
        (output.status.code().expect("an exit code"), text("state"), said)
    }

    /// Its exit code and state, where all is well with the other ledger.
    fn publish_right(&self) -> (i32, String) {
        let (code, state, _) = self.publish(&self.dsn(), &self.root);
        (code, state)
    }

    /// How many statements the other ledger has.
    fn entries(&mut self) -> i64 {
        self.other.one("SELECT count(*) FROM ets.ledger_event WHERE domain = 'anchors'", &[])
    }
}

fn came(code: i32, state: &str) -> (i32, String) {
    (code, state.to_owned())
}

#[test]
fn a_statement_is_an_event_of_another_ledger_and_its_bundle_the_evidence() {
    let mut scene = scene();
    assert_eq!(scene.publish_right(), came(0, "pending"));
    let id: String = scene.ledger.one("SELECT convert_from(evidence, 'UTF8') FROM ets.anchor", &[]);
    let sql = "SELECT event_id::text FROM ets.ledger_event WHERE domain = 'anchors'";
    assert_eq!(scene.other.one::<String>(sql, &[]), id);
    // Not sealed there yet: asked again, not appended again.
    assert_eq!(scene.publish_right(), came(0, "pending"));
    assert_eq!(scene.entries(), 1);
    scene.other.seal();
    assert_eq!(scene.publish_right(), came(0, "confirmed"));
    // Verified again, without the other ledger.
    let (code, state, _) = scene.publish("host=/nowhere", &scene.root);
    assert_eq!((code, state), came(0, "confirmed"));
    let sql = "SELECT passed FROM ets.verify_anchor(1) WHERE check_name = 'anchor_evidence'";
    assert_eq!(scene.ledger.one::<Option<bool>>(sql, &[]), None, "the bundle names its own ledger");

    // The next checkpoint is one more event in the same stream.
    scene.ledger.append(&order("a", 2));
    scene.ledger.seal();
    assert_eq!(scene.publish_right(), came(0, "pending"));
    scene.other.seal();
    assert_eq!(scene.publish_right(), came(0, "confirmed"));
    assert_eq!(scene.entries(), 2);
    assert_eq!(scene.ledger.findings(), Vec::<String>::new());
    assert_eq!(scene.other.findings(), Vec::<String>::new());
    let _ = fs::remove_file(&scene.key);
}

#[test]
fn an_answer_that_was_lost_appends_nothing_twice() {
    let mut scene = scene();
    assert_eq!(scene.publish_right(), came(0, "pending"));
    // As if the program had died before it recorded anything.
    tamper(&mut scene.ledger.client, "DELETE FROM ets.anchor");
    assert_eq!(scene.publish_right(), came(0, "pending"));
    assert_eq!(scene.entries(), 1);
    // Also behind many events of the same stream.
    let (id, mut previous) = (
        scene.ledger.id,
        scene.other.one::<Vec<u8>>("SELECT current_hash FROM ets.ledger_event WHERE domain = 'anchors'", &[]),
    );
    let alice = "SELECT ets.grant_authority($1, 'anchors')";
    let alices = scene.other.alice.key_id();
    scene.other.client.execute(alice, &[&alices]).expect("granted");
    for number in 0..120 {
        let payload = serde_json::json!({"ledger_id": id.to_string(), "number": number});
        let signature = scene.other.alice.sign(&payload, &previous);
        let key = scene.other.alice.public_key();
        let sql = "SELECT current_hash FROM ets.append(($1::text)::jsonb, $2, $3, $4, $5)";
        previous = scene.other.one(sql, &[&payload.to_string(), &SCHEMA, &key, &previous, &signature]);
    }
    tamper(&mut scene.ledger.client, "DELETE FROM ets.anchor");
    scene.other.seal();
    assert_eq!(scene.publish_right(), came(0, "confirmed"));
    assert_eq!(scene.entries(), 121);
    let _ = fs::remove_file(&scene.key);
}

#[test]
fn another_ledger_that_cannot_be_believed_or_reached_confirms_nothing() {
    let mut scene = scene();
    let state =
        "SELECT state || ' ' || (next_attempt IS NOT NULL) FROM ets.anchor ORDER BY updated_at DESC LIMIT 1";
    // Nobody there; one that accepts and says nothing; a database without a ledger.
    let deaf = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = deaf.local_addr().expect("an address").port();
    let folder = Cluster::shared().folder().display().to_string();
    for dsn in [
        "host=/nowhere user=postgres".to_owned(),
        format!("host=127.0.0.1 port={port} user=postgres dbname=postgres sslmode=disable"),
        format!("host={folder} user=postgres dbname=postgres"),
    ] {
        let begin = Instant::now();
        let (code, came, said) = scene.publish(&dsn, &scene.root);
        assert_eq!((code, came.as_str()), (1, "failed"), "{dsn}: {said}");
        assert!(begin.elapsed() < Duration::from_secs(30), "{dsn}");
        assert_eq!(scene.ledger.one::<String>(state, &[]), "failed true", "{dsn}: {said}");
    }
    assert_eq!(scene.entries(), 0);
    // Another root key than the one that was named.
    scene.publish_right();
    scene.other.seal();
    let stranger: String = Ledger::new().one("SELECT ets.trust_root()->>'root_public_key'", &[]);
    let (code, came, said) = scene.publish(&scene.dsn(), &stranger);
    assert_eq!((code, came.as_str()), (1, "failed"), "{said}");
    assert!(said.contains("proof of event"), "{said}");
    assert_eq!(scene.ledger.one::<String>(state, &[]), "failed false");
    assert_eq!(scene.publish_right().1, "confirmed");
    let _ = fs::remove_file(&scene.key);
}
