//! The C2SP forms of the trees: other people's clients read them (the Go module
//! in tests/go), and nothing is served that no checkpoint covers or that was
//! changed.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use ets_tests::{DOMAIN, Ledger, checkout, hash_of, order, program, refused, tamper};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::append::batch_event;
use crate::http::client::Server;

/// Each size from 0 to this has a checkpoint (`small` in tests/go).
const SMALL: i64 = 600;
/// The size of the greatest tree (`large` in tests/go).
const LARGE: i64 = 100_000;

#[test]
fn third_party_clients_verify_trees_from_0_to_100000_leaves() {
    let mut ledger = Ledger::new();
    ledger.seal();
    for amount in 1..=SMALL {
        ledger.append(&order("a", amount));
        ledger.seal();
    }
    append_many(&mut ledger, LARGE - SMALL);
    ledger.seal();

    let files = std::env::temp_dir().join(format!("ets-log-{}", std::process::id()));
    publish(&ledger, &files);
    let server = Server::start(&ledger.database.environment(), &["--read-only"]);
    let output = Command::new("go")
        .args(["test", "-mod=readonly", "-count=1", "-v", "./..."])
        .current_dir(checkout().join("tests/go"))
        .envs(ledger.database.environment())
        .env("ETS_STATIC_LOG", &files)
        .env("ETS_HTTP", server.base())
        .env("GOWORK", "off")
        .output()
        .unwrap_or_else(|error| match error.kind() {
            ErrorKind::NotFound => panic!("Go is not installed: scripts/setup installs it (golang-go)"),
            _ => panic!("go test: {error}"),
        });
    fs::remove_dir_all(&files).expect("the files can be removed");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let count = |verdict| said.lines().filter(|line| line.starts_with(verdict)).count();
    assert_eq!((count("--- PASS: "), count("--- SKIP: ")), (14, 0), "{said}");
}

/// Writes the log as static files.
fn publish(ledger: &Ledger, folder: &Path) {
    let output = Command::new(checkout().join("examples/static-log/publish"))
        .arg(DOMAIN)
        .arg(folder)
        .envs(ledger.database.environment())
        .output()
        .expect("examples/static-log/publish runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "publish: {said}");
}

/// Appends `count` orders, in batches over 50 streams.
fn append_many(ledger: &mut Ledger, count: i64) {
    const BATCH: i64 = 5_000;
    const STREAMS: i64 = 50;
    let mut heads: Vec<Vec<u8>> =
        (0..STREAMS).map(|stream| ledger.head(&format!("stream-{stream}")).0).collect();
    for first in (0..count).step_by(BATCH as usize) {
        let mut batch = Vec::new();
        for amount in first..count.min(first + BATCH) {
            let stream = amount % STREAMS;
            let head = &mut heads[stream as usize];
            let payload = order(&format!("stream-{stream}"), amount);
            batch.push(batch_event(&ledger.alice, &payload, head));
            *head = hash_of(&payload, head).0.to_vec();
        }
        let expected = batch.len() as i64;
        let sql = "SELECT count(*) FROM ets.append_batch($1::text::json)";
        assert_eq!(ledger.one::<i64>(sql, &[&Value::Array(batch).to_string()]), expected);
    }
}

/// A ledger with five orders, sealed, and their ids.
fn sealed() -> (Ledger, Vec<Uuid>) {
    let mut ledger = Ledger::new();
    let events = (1..=5).map(|amount| ledger.append(&order("t", amount)).event_id).collect();
    ledger.seal();
    (ledger, events)
}

const OF_A_DOMAIN: [&str; 3] =
    ["SELECT ets.checkpoint_note($1)", "SELECT ets.tile($1, 0, 0, 1)", "SELECT ets.entry_bundle($1, 0, 1)"];

#[test]
fn before_the_first_checkpoint_there_is_only_the_key() {
    let mut ledger = Ledger::new();
    let event = ledger.append(&order("t", 1)).event_id;
    for sql in OF_A_DOMAIN {
        let refusal = refused(ledger.client.query(sql, &[&DOMAIN]), "ET012");
        assert_eq!(refusal.detail, json!({"domain": DOMAIN}));
        refused(ledger.client.query(sql, &[&"nowhere"]), "ET011");
    }
    refused(ledger.client.query("SELECT ets.verifier_key('nowhere')", &[]), "ET011");
    refused(ledger.client.query("SELECT ets.tlog_proof($1)", &[&event]), "ET012");
    refused(ledger.client.query("SELECT ets.tlog_proof($1)", &[&Uuid::nil()]), "ET011");
    let before: String = ledger.one("SELECT ets.verifier_key($1)", &[&DOMAIN]);
    ledger.seal();
    assert_eq!(ledger.one::<String>("SELECT ets.verifier_key($1)", &[&DOMAIN]), before);
    ledger.client.execute("SELECT ets.create_domain('late')", &[]).expect("domain");
    for sql in OF_A_DOMAIN {
        refused(ledger.client.query(sql, &[&"late"]), "ET012");
    }
}

#[test]
fn only_what_the_last_checkpoint_covers_is_served() {
    let (mut ledger, _) = sealed();
    let late = ledger.append(&order("t", 6)).event_id;
    refused(ledger.client.query("SELECT ets.tlog_proof($1)", &[&late]), "ET012");
    for (sql, argument) in [
        ("SELECT octet_length(ets.tile($1, 0, $2, $3))", "tile_index"),
        ("SELECT octet_length(ets.entry_bundle($1, $2, $3))", "bundle_index"),
    ] {
        for width in 1..=5 {
            assert!(ledger.one::<i32>(sql, &[&DOMAIN, &0_i64, &width]) >= 32 * width);
        }
        for (index, width, available) in [(0_i64, 6, 5), (0, 256, 5), (1, 1, 0), (i64::MAX, 256, 0)] {
            let refusal = refused(ledger.client.query(sql, &[&DOMAIN, &index, &width]), "ET011");
            let detail = json!({
                "domain": DOMAIN, "level": 0, argument: index, "width": width,
                "available_width": available, "tree_size": 5,
            });
            assert_eq!(refusal.detail, detail);
        }
        for (index, width) in [(-1_i64, 1), (0, 0), (0, -1), (0, 257)] {
            refused(ledger.client.query(sql, &[&DOMAIN, &index, &width]), "22023");
        }
    }
    refused(ledger.client.query("SELECT ets.tile($1, 0, 0)", &[&DOMAIN]), "ET011");
    for (level, code) in [(1, "ET011"), (63, "ET011"), (64, "22023"), (-1, "22023")] {
        refused(ledger.client.query("SELECT ets.tile($1, $2, 0, 1)", &[&DOMAIN, &level]), code);
    }
    // A domain without events is a log of size 0: it has a note, and no tiles.
    let note: String = ledger.one("SELECT ets.checkpoint_note('ets.audit')", &[]);
    assert!(
        note.starts_with("test.example/ets/ets.audit\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n")
    );
    refused(ledger.client.query("SELECT ets.tile('ets.audit', 0, 0, 1)", &[]), "ET011");
}

#[test]
fn a_log_is_read_where_nothing_can_be_written() {
    let (mut ledger, events) = sealed();
    let mut reader = ledger.client.transaction().expect("a transaction");
    reader.batch_execute("SET TRANSACTION READ ONLY").expect("read only");
    let sql = "SELECT ets.checkpoint_note($1), ets.verifier_key($1), ets.tlog_proof($2),
        ets.tile($1, 0, 0, 5), ets.entry_bundle($1, 0, 5)";
    let row = reader.query_one(sql, &[&DOMAIN, &events[0]]).expect("all can be read");
    let (note, proof): (String, String) = (row.get(0), row.get(2));
    assert!(
        proof.starts_with("c2sp.org/tlog-proof@v1\nindex 0\n") && proof.ends_with(&format!("\n\n{note}"))
    );
}

#[test]
fn a_checkpoint_sealed_without_the_key_has_no_note() {
    let (mut ledger, events) = sealed();
    tamper(&mut ledger.client, "UPDATE ets.domain_root SET note = NULL");
    refused(ledger.client.query("SELECT ets.checkpoint_note($1)", &[&DOMAIN]), "ET015");
    refused(ledger.client.query("SELECT ets.tlog_proof($1)", &[&events[0]]), "ET015");
    assert_eq!(ledger.one::<i32>("SELECT octet_length(ets.tile($1, 0, 0, 5))", &[&DOMAIN]), 160);
}

#[test]
fn what_was_changed_past_the_guards_is_not_served() {
    const NOTE: &str = "SELECT ets.checkpoint_note('orders')";
    const TILE: &str = "SELECT ets.tile('orders', 0, 0, 5)";
    const ENTRIES: &str = "SELECT ets.entry_bundle('orders', 0, 5)";
    for (change, query, code) in [
        ("ets.domain_root SET note = replace(note, E'\\n5\\n', E'\\n6\\n')", NOTE, "ET003"),
        ("ets.domain_root SET note = replace(note, '—', '-')", NOTE, "ET002"),
        ("ets.domain_root SET root_hash = sha256('')", NOTE, "ET002"),
        ("ets.checkpoint SET meta_root = sha256('')", NOTE, "ET002"),
        ("ets.merkle_tile SET hashes = substr(hashes, 1, 128)", TILE, "ET002"),
        ("ets.merkle_tile SET hashes = substr(hashes, 1, 100)", TILE, "ET002"),
        ("ets.ledger_event SET stream = 'u' WHERE domain = 'orders' AND sequence = 3", ENTRIES, "ET002"),
        ("ets.merkle_leaf SET leaf_index = 9 WHERE domain = 'orders' AND leaf_index = 2", ENTRIES, "ET002"),
    ] {
        let (mut ledger, _) = sealed();
        tamper(&mut ledger.client, &format!("UPDATE {change}"));
        let refusal = refused(ledger.client.query(query, &[]), code);
        if query == ENTRIES {
            assert_eq!(refusal.detail, json!({"domain": DOMAIN, "leaf_index": 2}), "{change}");
        }
    }
}

#[test]
fn a_changed_event_gets_no_proof() {
    let (mut ledger, events) = sealed();
    tamper(
        &mut ledger.client,
        &format!("UPDATE ets.ledger_event SET sequence = 9 WHERE event_id = '{}'", events[1]),
    );
    refused(ledger.client.query("SELECT ets.tlog_proof($1)", &[&events[1]]), "ET002");
    ledger.one::<String>("SELECT ets.tlog_proof($1)", &[&events[2]]);
}

/// Exit status and output of `ets verify` over a proof in a file.
fn verify(proof: &str, key: Option<&str>, document: Option<&str>) -> (i32, String) {
    static FOLDERS: AtomicU32 = AtomicU32::new(0);
    let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("ets-tlog-{}-{number}", std::process::id()));
    fs::create_dir(&folder).expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).expect("written");
        path
    };
    let mut command = Command::new(program("ets"));
    command.env_clear().arg("verify").arg(file("proof", proof));
    if let Some(key) = key {
        command.args(["--verifier-key", key]);
    }
    if let Some(document) = document {
        command.arg("--event").arg(file("event", document));
    }
    let output = command.output().expect("ets runs");
    fs::remove_dir_all(&folder).expect("removed");
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn the_program_verifies_what_other_logs_would() {
    let (mut ledger, events) = sealed();
    let key: String = ledger.one("SELECT ets.verifier_key($1)", &[&DOMAIN]);
    let mut proven = Vec::new();
    for event in &events {
        let proof: String = ledger.one("SELECT ets.tlog_proof($1)", &[event]);
        let document: String = ledger.one("SELECT ets.event_document($1)::text", &[event]);
        let (code, said) = verify(&proof, Some(&key), Some(&document));
        assert_eq!(code, 0, "{said}");
        assert_eq!(said.matches("passed").count(), 8, "{said}");
        proven.push((proof, document));
    }
    let (proof, document) = &proven[1];
    // What is not given cannot be checked.
    assert_eq!(verify(proof, Some(&key), None).0, 2);
    assert_eq!(verify(proof, None, Some(document)).0, 2);
    // Another event, another domain's key, another server's.
    assert_eq!(verify(proof, Some(&key), Some(&proven[2].1)).0, 1);
    let audit: String = ledger.one("SELECT ets.verifier_key('ets.audit')", &[]);
    assert_eq!(verify(proof, Some(&audit), Some(document)).0, 1);
    ledger.client.batch_execute("SELECT ets.rotate_server_key('another')").expect("rotated");
    ledger.append(&order("t", 7));
    ledger.seal();
    let later: String = ledger.one("SELECT ets.verifier_key($1)", &[&DOMAIN]);
    assert_eq!(verify(proof, Some(&later), Some(document)).0, 1);
    // Every character changed in turn, and lines added, removed and swapped.
    let lines: Vec<&str> = proof.lines().collect();
    let mut changed: Vec<String> = (0..proof.len())
        .filter(|at| proof.is_char_boundary(*at))
        .step_by(3)
        .map(|at| {
            let character = proof[at..].chars().next().expect("a character");
            let other = if character == 'A' { 'B' } else { 'A' };
            format!("{}{other}{}", &proof[..at], &proof[at + character.len_utf8()..])
        })
        .collect();
    for at in 0..lines.len() {
        let mut fewer = lines.clone();
        fewer.remove(at);
        changed.push(fewer.join("\n") + "\n");
        // A note may be signed twice.
        if at + 1 < lines.len() {
            let mut more = lines.clone();
            more.insert(at, lines[at]);
            changed.push(more.join("\n") + "\n");
        }
    }
    changed.push(proof.replace("index 1", "index 01"));
    changed.push(proof.replace("index 1", "extra AAAA\nindex 1"));
    changed.push(proof.trim_end().to_owned());
    for text in changed {
        // The signature line's name is what tells whose it is: without it, nobody signed.
        let (code, said) = verify(&text, Some(&key), Some(document));
        assert_eq!(code, 1, "{text}\n{said}");
    }
}
