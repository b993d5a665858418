//! The verifiers in other languages agree with the ledger, both ways: they verify
//! its bundles and refuse changed ones, and it takes the events that they sign.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ets_tests::{Ledger, SCHEMA, Signer, checkout, order, test_data};
use serde_json::{Value, json};
use uuid::Uuid;

/// A verifier: how it is called, and with which environment.
struct Verifier {
    name: &'static str,
    command: Vec<String>,
    packages: PathBuf,
}

impl Verifier {
    fn all() -> [Verifier; 2] {
        let program = |name: &str| checkout().join("examples").join(name).display().to_string();
        let packages = test_data(&["python", "examples/verify-python"]);
        [
            Verifier {
                name: "JavaScript",
                command: vec!["node".into(), "--no-warnings".into(), program("verify-js/main.js")],
                packages: packages.clone(),
            },
            Verifier {
                name: "Python",
                command: vec!["python3".into(), "-B".into(), program("verify-python/main.py")],
                packages,
            },
        ]
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).args(arguments).env("PYTHONPATH", &self.packages);
        command.output().unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// The verdict on each file.
    fn verdicts(&self, root_key: &str, files: &[PathBuf]) -> Vec<String> {
        let paths: Vec<&str> = files.iter().map(|file| file.to_str().expect("UTF-8")).collect();
        let output = self.run(&[&["verify", root_key], &paths[..]].concat());
        let printed = String::from_utf8_lossy(&output.stdout);
        let verdict = |path: &&str| {
            let line = printed.lines().find_map(|line| line.strip_prefix(path)?.strip_prefix(": "));
            let line = line.unwrap_or_else(|| {
                panic!("{}: {path}: {printed}{}", self.name, String::from_utf8_lossy(&output.stderr))
            });
            line.split(' ').next().unwrap_or_default().to_owned()
        };
        paths.iter().map(verdict).collect()
    }
}

/// A registry with grants, a rotation under way of its own, a revocation, a new
/// domain; the ids of events of several domains, all sealed, in two checkpoints.
fn eventful() -> (Ledger, Vec<Uuid>) {
    let mut ledger = Ledger::new();
    let mut events: Vec<Uuid> = (1..=5).map(|amount| ledger.append(&order("a", amount)).event_id).collect();
    ledger.seal();
    let bob = Signer::new(2);
    ledger.register(&bob, "bob");
    let (previous, _) = ledger.head("b");
    let payload = order("b", 1);
    let event = ets_tests::append(&mut ledger.client, &bob, &payload, &previous).expect("bob may");
    events.push(event.event_id);
    ledger.client.execute("SELECT ets.revoke_authority($1, 'orders')", &[&bob.key_id()]).expect("revoked");
    ledger
        .client
        .execute("SELECT ets.grant_authority($1, 'orders', 'order/*', 'c*')", &[&bob.key_id()])
        .expect("granted");
    let (previous, _) = ledger.head("c1");
    let payload = order("c1", 1);
    events.push(
        ets_tests::append(&mut ledger.client, &bob, &payload, &previous).expect("bob may again").event_id,
    );
    ledger.client.execute("SELECT ets.revoke_key($1, 'lost')", &[&bob.key_id()]).expect("revoked");
    ledger.client.batch_execute("SELECT ets.create_domain('later')").expect("domain");
    assert_eq!(ledger.findings(), Vec::<String>::new());
    ledger.seal();
    let reserved = "SELECT event_id FROM ets.ledger_event WHERE domain LIKE 'ets.%' ORDER BY event_id";
    events
        .extend(ledger.client.query(reserved, &[]).expect("events").iter().map(|row| row.get::<_, Uuid>(0)));
    (ledger, events)
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("pg_ets_{name}_{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn root_key(ledger: &mut Ledger) -> String {
    ledger.one("SELECT ets.trust_root() ->> 'root_public_key'", &[])
}

#[test]
fn verifiers_in_other_languages_accept_what_the_ledger_proves() {
    let (mut ledger, events) = eventful();
    let folder = folder("accepted");
    let key = root_key(&mut ledger);
    let files: Vec<PathBuf> = events
        .iter()
        .map(|event| {
            let file = folder.join(format!("{event}.json"));
            let bundle: String = ledger.one("SELECT ets.proof_bundle($1)::text", &[event]);
            fs::write(&file, bundle).expect("written");
            file
        })
        .collect();
    for verifier in Verifier::all() {
        assert_eq!(verifier.verdicts(&key, &files), vec!["MATCH"; files.len()], "{}", verifier.name);
        let other = verifier.verdicts(&"00".repeat(32), &files[..1]);
        assert_eq!(other, ["MISMATCH"], "{}: another root key", verifier.name);
    }
    fs::remove_dir_all(folder).expect("removed");
}

/// Every value below `value` that is no container, by its path.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| leaves(value, &format!("{path}/{name}"), found))
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(place, value)| leaves(value, &format!("{path}/{place}"), found));
        }
        _ => found.push(path.to_owned()),
    }
}

/// Another value of the same form.
fn other(value: &Value) -> Value {
    match value {
        Value::String(text) => {
            // Not the last character, which in base64 may carry no bits.
            let place = text.len().saturating_sub(4).min(text.len() / 2 + 1);
            let changed = |(at, c): (usize, char)| match c {
                c if at != place => c,
                '0' => '1',
                c if c.is_ascii_digit() => '0',
                'a' => 'b',
                c if c.is_ascii_lowercase() => 'a',
                'A' => 'B',
                _ => 'A',
            };
            json!(text.char_indices().map(changed).collect::<String>())
        }
        Value::Number(number) => json!(number.as_i64().expect("an integer") + 1),
        Value::Bool(value) => json!(!value),
        _ => json!("x"),
    }
}

#[test]
fn verifiers_in_other_languages_refuse_a_bundle_with_any_value_changed() {
    let (mut ledger, events) = eventful();
    let folder = folder("refused");
    let key = root_key(&mut ledger);
    let bundle: String = ledger.one("SELECT ets.proof_bundle($1)::text", &[&events[6]]);
    let bundle: Value = serde_json::from_str(&bundle).expect("JSON");
    let mut paths = Vec::new();
    leaves(&bundle, "", &mut paths);
    // A label, under no hash.
    paths.retain(|path| path != "/checkpoint/checkpoint_id");
    assert!(paths.len() > 150);
    let files: Vec<PathBuf> = paths
        .iter()
        .enumerate()
        .map(|(number, path)| {
            let mut changed = bundle.clone();
            let value = changed.pointer_mut(path).expect("it is there");
            *value = other(value);
            let file = folder.join(format!("{number}.json"));
            fs::write(&file, ets_tests::canonical(&changed)).expect("written");
            file
        })
        .collect();
    for verifier in Verifier::all() {
        let accepted: Vec<&String> = verifier
            .verdicts(&key, &files)
            .iter()
            .zip(&paths)
            .filter_map(|(verdict, path)| (verdict != "MISMATCH").then_some(path))
            .collect();
        assert_eq!(accepted, Vec::<&String>::new(), "{}", verifier.name);
    }
    fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn the_ledger_takes_what_other_languages_sign() {
    let mut ledger = Ledger::new();
    let folder = folder("signed");
    for (number, verifier) in Verifier::all().iter().enumerate() {
        let file = folder.join(format!("{number}.pem"));
        let made =
            Command::new("openssl").args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(&file).output();
        assert!(made.expect("openssl runs").status.success());
        let public_key = public_key(&file);
        let key_id: String = ledger.one("SELECT ets.key_id($1)", &[&public_key]);
        ledger
            .client
            .execute("SELECT ets.register_key($1, $2)", &[&public_key, &verifier.name])
            .expect("key");
        ledger.client.execute("SELECT ets.grant_authority($1, 'orders')", &[&key_id]).expect("grant");
        let stream = format!("é {}", verifier.name);
        for note in [json!({"ä": 1e21, "a": "\u{1F600} \"\n\u{7f}"}), json!([0.1, -0.0, 1e-7, null, true])] {
            let mut payload = order(&stream, 3);
            payload["note"] = note;
            let (previous, _) = ledger.head(&stream);
            let path = file.to_str().expect("UTF-8");
            let output =
                verifier.run(&["sign", path, &payload.to_string(), &ets_core::hash::to_hex(&previous)]);
            assert!(
                output.status.success(),
                "{}: {}",
                verifier.name,
                String::from_utf8_lossy(&output.stderr)
            );
            let signed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            let bytes = |name: &str| unhex(signed[name].as_str().expect("hex"));
            let sql = "SELECT current_hash, payload FROM ets.append($1::text::jsonb, $2, $3, $4, $5)";
            let text = signed["payload"].as_str().expect("the canonical payload");
            let row =
                ledger.client.query_one(sql, &[&text, &SCHEMA, &public_key, &previous, &bytes("signature")]);
            let row = row.unwrap_or_else(|error| panic!("{}: {error:?}", verifier.name));
            assert_eq!(row.get::<_, Vec<u8>>(0), bytes("current_hash"), "{}", verifier.name);
        }
    }
    assert_eq!(ledger.findings(), Vec::<String>::new());
    fs::remove_dir_all(folder).expect("removed");
}

/// The last 32 bytes of the DER form are the key (RFC 8410).
fn public_key(file: &Path) -> Vec<u8> {
    let output =
        Command::new("openssl").args(["pkey", "-pubout", "-outform", "DER", "-in"]).arg(file).output();
    let der = output.expect("openssl runs").stdout;
    der[der.len() - 32..].to_vec()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |place: usize| u8::from_str_radix(&text[place..place + 2], 16).expect("hex");
    (0..text.len()).step_by(2).map(digit).collect()
}
