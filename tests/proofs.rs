//! Proofs from SQL, verified by ets-core and by `ets` without a database.

use std::fs;
use std::process::Command;

use ets_core::event::Event;
use ets_core::hash::Digest;
use ets_core::merkle::{verify_consistency, verify_inclusion};
use ets_tests::{DOMAIN, Ledger, digest, order, program, refused};
use serde_json::Value;
use uuid::Uuid;

/// Root and size of the orders at the checkpoint.
fn root(ledger: &mut Ledger, checkpoint: i64) -> (Digest, u64) {
    let sql = "SELECT root_hash, tree_size FROM ets.domain_root WHERE checkpoint_id = $1 AND domain = $2";
    let row = ledger.client.query_one(sql, &[&checkpoint, &DOMAIN]).expect("a root");
    (digest(row.get(0)), row.get::<_, i64>(1) as u64)
}

#[test]
fn inclusion_is_proved_for_every_event_at_every_checkpoint() {
    let mut ledger = Ledger::new();
    let mut events: Vec<Uuid> = Vec::new();
    let mut checkpoints = Vec::new();
    for seal in 1..=4 {
        for amount in 0..seal * 2 - 1 {
            events.push(ledger.append(&order(&format!("o{}", amount % 3), amount)).event_id);
        }
        checkpoints.push((ledger.seal(), events.len()));
    }
    for (checkpoint, size) in checkpoints {
        let (root, tree_size) = root(&mut ledger, checkpoint);
        assert_eq!(tree_size, size as u64);
        for (number, event) in events.iter().enumerate() {
            let sql = "SELECT step, side, hash FROM ets.merkle_proof($1, $2) ORDER BY step";
            let rows = ledger.client.query(sql, &[event, &checkpoint]);
            if number >= size {
                refused(rows, "ET012");
                continue;
            }
            let rows = rows.expect("a proof");
            let proof: Vec<Digest> = rows.iter().map(|row| digest(row.get(2))).collect();
            let document: String = ledger.one("SELECT ets.event_document($1)::text", &[event]);
            let leaf: Vec<u8> = ledger.one("SELECT ets.leaf_hash($1::text::json)", &[&document]);
            assert_eq!(digest(&leaf), Event::parse(&document).expect("a document").header.leaf_hash());
            let index: i64 =
                ledger.one("SELECT leaf_index FROM ets.merkle_leaf WHERE event_id = $1", &[event]);
            assert!(verify_inclusion(&digest(&leaf), index as u64, tree_size, &proof, &root).is_ok());
            let hashes: Vec<Vec<u8>> = proof.iter().map(|hash| hash.0.to_vec()).collect();
            let sql = "SELECT ets.verify_inclusion($1, $2, $3, $4, $5)";
            let size = tree_size as i64;
            assert!(ledger.one::<bool>(sql, &[&leaf, &index, &size, &hashes, &root.0.as_slice()]));
            let other = ets_core::hash::EMPTY_ROOT.0.as_slice();
            assert!(!ledger.one::<bool>(sql, &[&leaf, &index, &size, &hashes, &other]));
        }
    }
}

#[test]
fn every_checkpoint_extends_the_one_before() {
    let mut ledger = Ledger::new();
    let mut roots = Vec::new();
    for amount in 0..12 {
        ledger.append(&order("c", amount));
        let checkpoint = ledger.seal();
        roots.push(root(&mut ledger, checkpoint));
    }
    for (from_root, from) in &roots {
        for (to_root, to) in roots.iter().filter(|(_, to)| to >= from) {
            let sql = "SELECT hash FROM ets.consistency_proof($1, $2, $3) ORDER BY step";
            let rows = ledger.client.query(sql, &[&DOMAIN, &(*from as i64), &(*to as i64)]).expect("a proof");
            let proof: Vec<Digest> = rows.iter().map(|row| digest(row.get(0))).collect();
            assert!(verify_consistency(*from, *to, &proof, from_root, to_root).is_ok(), "{from} to {to}");
        }
    }
}

#[test]
fn the_meta_root_is_computed_from_what_is_stored() {
    let mut ledger = Ledger::new();
    ledger.append(&order("m", 1));
    let checkpoint = ledger.seal();
    let sql = "SELECT c.meta_root = ets.meta_root(c.version, c.checkpoint_event_id, (SELECT jsonb_agg(
            jsonb_build_object('domain', domain, 'tree_size', tree_size, 'root', encode(root_hash, 'hex')))
            FROM ets.domain_root r WHERE r.checkpoint_id = c.checkpoint_id))
        FROM ets.checkpoint c WHERE checkpoint_id = $1";
    assert!(ledger.one::<bool>(sql, &[&checkpoint]));
    let domains: Vec<String> = ledger.one(
        "SELECT array_agg(domain ORDER BY domain) FROM ets.domain_root WHERE checkpoint_id = $1",
        &[&checkpoint],
    );
    assert_eq!(domains, ["ets.audit", "ets.registry", "orders"], "the reserved ones too");
}

#[test]
fn what_cannot_be_proved_yet_says_so() {
    let mut ledger = Ledger::new();
    let sealed = ledger.append(&order("n", 1)).event_id;
    ledger.seal();
    let late = ledger.append(&order("n", 2)).event_id;
    for sql in ["SELECT ets.merkle_proof($1)", "SELECT ets.proof_bundle($1)"] {
        refused(ledger.client.query(sql, &[&late]), "ET012");
        refused(ledger.client.query(sql, &[&Uuid::nil()]), "ET011");
    }
    refused(ledger.client.query("SELECT ets.consistency_proof('nowhere', 0, 1)", &[]), "ET011");
    let checkpoint = 99_i64;
    refused(ledger.client.query("SELECT ets.merkle_proof($1, $2)", &[&sealed, &checkpoint]), "ET011");
}

#[test]
fn a_bundle_verifies_without_a_database_and_a_changed_one_does_not() {
    let mut ledger = Ledger::new();
    let event = ledger.append(&order("b", 1)).event_id;
    ledger.append(&order("b", 2));
    ledger.seal();
    let bundle: String = ledger.one("SELECT ets.proof_bundle($1)::text", &[&event]);
    let stream: String = ledger.one("SELECT ets.stream_bundle($1, 'b')::text", &[&DOMAIN]);
    let root_key: String = ledger.one("SELECT ets.trust_root() ->> 'root_public_key'", &[]);
    for (name, text) in [("event", &bundle), ("stream", &stream)] {
        let (status, output) = verify(&ledger, name, text, &root_key);
        assert_eq!(status, 0, "{name}: {output}");
        let changed = text.replacen("\"amount\":1", "\"amount\":9", 1);
        assert_ne!(&changed, text);
        let (status, output) = verify(&ledger, name, &changed, &root_key);
        assert_eq!(status, 1, "{name}, changed: {output}");
        let (status, output) = verify(&ledger, name, text, &"11".repeat(32));
        assert_ne!(status, 0, "{name}, another root key: {output}");
    }
    // A pure function knows no root to compare with the bundle's own.
    let failed = "SELECT count(*) FROM ets.verify_bundle($1::text::json)
        WHERE passed IS NOT TRUE AND check_name <> 'trust_root'";
    assert_eq!(ledger.one::<i64>(failed, &[&bundle]), 0);
    let changed = bundle.replacen("\"amount\":1", "\"amount\":9", 1);
    assert!(ledger.one::<i64>(failed, &[&changed]) > 0);
}

#[test]
fn an_event_and_its_document_verify_in_sql() {
    let mut ledger = Ledger::new();
    let event = ledger.append(&order("v", 1)).event_id;
    ledger.seal();
    let failed = "SELECT count(*) FROM ets.verify_event($1) WHERE passed IS FALSE";
    assert_eq!(ledger.one::<i64>(failed, &[&event]), 0);
    let document: String = ledger.one("SELECT ets.event_document($1)::text", &[&event]);
    let failed = "SELECT count(*) FROM ets.verify_document($1::text::json) WHERE passed IS FALSE";
    assert_eq!(ledger.one::<i64>(failed, &[&document]), 0);
    assert!(ledger.one::<i64>(failed, &[&document.replace("\"amount\":1", "\"amount\":2")]) > 0);
}

#[test]
fn replay_gives_the_state_of_every_stream() {
    let mut ledger = Ledger::new();
    for amount in 1..=3 {
        ledger.append(&order("x", amount));
    }
    ledger.append(
        &serde_json::json!({"schema": ets_tests::SCHEMA, "order": "x", "amount": 4, "note": {"a": 1}}),
    );
    ledger.append(&order("y", 9));
    let sql = "SELECT stream, sequence, state, state_hash FROM ets.replay($1) ORDER BY stream";
    let rows = ledger.client.query(sql, &[&DOMAIN]).expect("replay");
    let states: Vec<(String, i64, Value)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    assert_eq!(states.len(), 2);
    assert_eq!((states[0].1, &states[0].2["amount"], &states[0].2["note"]["a"]), (4, &4.into(), &1.into()));
    assert_eq!((states[1].0.as_str(), states[1].1), ("y", 1));
    for row in rows {
        let state: Value = row.get(2);
        let hash = ets_core::hash::sha256(&[ets_tests::canonical(&state).as_bytes()]);
        assert_eq!(digest(row.get(3)), hash);
    }
}

/// Exit status and output of `ets verify`, with nothing in its environment.
fn verify(ledger: &Ledger, name: &str, text: &str, root_key: &str) -> (i32, String) {
    let file =
        std::env::temp_dir().join(format!("ets-{}-{}-{name}.json", std::process::id(), ledger.database.name));
    fs::write(&file, text).expect("the bundle can be written");
    let output = Command::new(program("ets"))
        .env_clear()
        .args(["verify", "--root-key", root_key])
        .arg(&file)
        .output()
        .expect("ets runs");
    fs::remove_file(&file).expect("the bundle can be removed");
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
}
