//! The explorer: what the page decides in Node, and the page itself in Chromium.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use ets_tests::{Ledger, checkout, order, program, tamper, test_data};
use serde_json::{Value, json};
use uuid::Uuid;

/// The stream that the browser looks at.
const STREAM: &str = "order 42/é";

/// The pictures of docs/screenshots, which UPDATE_GOLDEN=1 makes again.
const PICTURES: [&str; 5] =
    ["explorer-domains", "explorer-event", "explorer-phone", "explorer-dark", "explorer-tampered"];

#[test]
fn what_the_page_decides_is_right() {
    let output = Command::new("node")
        .args(["--test", "tests/explorer/verify.test.mjs"])
        .current_dir(checkout())
        .output()
        .expect("node runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Two checkpoints over several streams, and an event that is in neither.
fn eventful() -> (Ledger, Vec<Uuid>, Uuid) {
    let mut ledger = Ledger::new();
    let mut events: Vec<Uuid> =
        (1..=3).map(|amount| ledger.append(&order(STREAM, amount)).event_id).collect();
    for number in 1..=7 {
        ledger.append(&order(&format!("order {number}"), 10 * number));
    }
    ledger.seal();
    let mut payload = order(STREAM, 4);
    payload["note"] = json!({"by": "an agent", "<b>bold</b>": "<img src=x onerror=alert(1)>"});
    events.push(ledger.append(&payload).event_id);
    ledger.append(&order("order 8", 80));
    assert_eq!(ledger.findings(), Vec::<String>::new());
    ledger.seal();
    let unsealed = ledger.append(&order("order 9", 90)).event_id;
    (ledger, events, unsealed)
}

fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("pg_ets_explorer_{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// What tests/explorer/page.mjs wants to know.
fn given(ledger: &mut Ledger, events: &[Uuid], unsealed: Uuid, base: &str, folder: &Path) -> Value {
    let bundle = folder.join("kept.bundle.json");
    let proof: String = ledger.one("SELECT ets.proof_bundle($1)::text", &[&events[1]]);
    fs::write(&bundle, proof).expect("written");
    let examples = checkout().join("docs/examples");
    let trust = fs::read_to_string(examples.join("trust-file.json")).expect("the example");
    let trust: Value = serde_json::from_str(&trust).expect("JSON");
    let hash: String = ledger
        .one("SELECT encode(current_hash, 'hex') FROM ets.ledger_event WHERE event_id = $1", &[&events[1]]);
    let events: Vec<String> = events.iter().map(Uuid::to_string).collect();
    json!({
        "base": base, "stream": STREAM, "events": events, "unsealed": unsealed.to_string(), "hash": hash,
        "ledger": ledger.id.to_string(), "bundle": bundle,
        "foreign": examples.join("proof-bundle.json"), "foreign_key": trust["root_public_key"],
        "pictures": folder,
    })
}

/// Runs the browser's tests and does to the ledger what they ask for.
fn drive(ledger: &mut Ledger, events: &[Uuid], given: &Value) -> Output {
    let packages = test_data(&["npm", "tests/explorer"]);
    let mut browser = Command::new("node")
        .arg("browser.mjs")
        .current_dir(packages)
        .env("EXPLORER", given.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node runs");
    let mut answers = browser.stdin.take().expect("piped");
    let mut printed = Vec::new();
    for line in BufReader::new(browser.stdout.take().expect("piped")).lines() {
        let line = line.expect("UTF-8");
        let answer = match line.as_str() {
            "@append" => {
                let appended = ledger.append(&order(STREAM, 5));
                ledger.seal();
                appended.event_id.to_string()
            }
            "@tamper" => {
                let sql = "UPDATE ets.ledger_event SET payload = jsonb_set(payload, '{amount}', '987') WHERE event_id = ";
                tamper(&mut ledger.client, &format!("{sql}'{}'", events[1]));
                "done".to_owned()
            }
            _ => {
                printed.extend_from_slice(line.as_bytes());
                printed.push(b'\n');
                continue;
            }
        };
        writeln!(answers, "{answer}").expect("the browser listens");
    }
    let status = browser.wait().expect("it ends");
    Output { status, stdout: printed, stderr: Vec::new() }
}

/// `ets-http` on a port that it chose, until this is dropped.
struct Server {
    process: Child,
    base: String,
}

impl Server {
    fn start(ledger: &Ledger) -> Server {
        let mut process = Command::new(program("ets-http"))
            .args(["--listen", "127.0.0.1:0"])
            .envs(ledger.database.environment())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("ets-http starts");
        let mut base = String::new();
        let mut printed = BufReader::new(process.stdout.take().expect("piped"));
        printed.read_line(&mut base).expect("it says where it listens");
        Server { process, base: base.trim().to_owned() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_browser_verifies_and_a_tampered_event_turns_red() {
    let (mut ledger, events, unsealed) = eventful();
    let server = Server::start(&ledger);
    let folder = folder();
    let given = given(&mut ledger, &events, unsealed, &server.base, &folder);
    let output = drive(&mut ledger, &events, &given);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    for picture in PICTURES {
        let path = folder.join(format!("{picture}.png"));
        let bytes = fs::read(&path).expect("the browser made it");
        assert!(bytes.starts_with(b"\x89PNG"), "{picture}");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::copy(&path, checkout().join("docs/screenshots").join(format!("{picture}.png")))
                .expect("kept");
        }
    }
    fs::remove_dir_all(folder).expect("removed");
}
