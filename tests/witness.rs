//! Checkpoints cosigned by witnesses: litewitness, which is not ours, for what works
//! and for a fork; a listener of the test for answers that no witness should give.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use ets_core::anchor::cosignature::WitnessKey;
use ets_core::anchor::{AnchorStatement, WitnessedCheckpoint};
use ets_core::key::SecretKey;
use ets_tests::{Cluster, Ledger, Litewitness, append, head, order, program};
use postgres::Client;
use serde_json::Value;

/// The lines that `ets anchor` printed, its exit code, and what else it said.
struct Published {
    code: i32,
    lines: Vec<Value>,
    said: String,
}

impl Published {
    /// The state of the one place.
    fn state(&self) -> (i32, &str) {
        assert_eq!(self.lines.len(), 1, "{:?} {}", self.lines, self.said);
        (self.code, self.lines[0]["state"].as_str().expect("a state"))
    }

    /// Why it failed.
    fn reason(&self) -> &str {
        self.lines[0]["detail"].as_str().unwrap_or_default()
    }
}

/// `ets anchor` for a database with a witness for each URL and key.
fn publish(database: &str, witnesses: &[(String, String)], more: &[&str]) -> Published {
    let mut command = Command::new(program("ets"));
    command.env_clear().envs(Cluster::shared().environment(database)).args(["anchor", "--json"]);
    for (url, key) in witnesses {
        command.args(["--witness", url, "--witness-key", key]);
    }
    let output = command.args(more).output().expect("ets runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    Published {
        code: output.status.code().expect("an exit code"),
        lines: text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect(),
        said: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The key of a witness that does not run.
fn witness_key() -> String {
    let public_key = SecretKey::from_seed(&[5; 32]).public_key();
    WitnessKey { name: "nowhere.witness.test".parse().expect("a name"), public_key }.to_string()
}

fn named(witnesses: &[&Litewitness]) -> Vec<(String, String)> {
    witnesses.iter().map(|witness| (witness.url(), witness.key.clone())).collect()
}

/// The verifier key of each domain's log.
fn logs(client: &mut Client) -> Vec<String> {
    let rows = client.query("SELECT ets.verifier_key(domain) FROM ets.domain", &[]).expect("keys");
    rows.iter().map(|row| row.get(0)).collect()
}

/// A ledger with `events` orders in one checkpoint, and this many witnesses that know its logs.
fn scene<const N: usize>(name: &str, events: i64) -> (Ledger, [Litewitness; N]) {
    let mut ledger = Ledger::new();
    for amount in 1..=events {
        ledger.append(&order("a", amount));
    }
    ledger.seal();
    let witnesses = std::array::from_fn(|number| Litewitness::start(&format!("{name}-{number}")));
    let keys = logs(&mut ledger.client);
    witnesses.iter().for_each(|witness| witness.register(&keys));
    (ledger, witnesses)
}

/// The row of a checkpoint: its state, and how many witnesses have cosigned each domain.
fn recorded(client: &mut Client, checkpoint: i64) -> (String, Vec<usize>) {
    let sql =
        "SELECT state, convert_from(coalesce(evidence, ''), 'UTF8') FROM ets.anchor WHERE checkpoint_id = $1";
    let row = client.query_one(sql, &[&checkpoint]).expect("one row");
    let evidence = WitnessedCheckpoint::parse(row.get(1));
    let counts = evidence.map(|evidence| {
        let witnesses = evidence.policy.witnesses().to_vec();
        let count = |note| witnesses.iter().filter(|witness| witness.verify(note).is_ok()).count();
        evidence.notes.iter().map(count).collect()
    });
    (row.get(0), counts.unwrap_or_default())
}

fn one(client: &mut Client, sql: &str) -> String {
    client.query_one(sql, &[]).expect(sql).get(0)
}

/// A copy of the ledger's database as it is now; what it signs, it signs with the same key.
fn copy(ledger: &mut Ledger) -> String {
    let name = format!("{}_copy", ledger.database.name);
    // Nobody may be in a database while it is copied.
    ledger.client = Cluster::shared().connect("postgres");
    let sql = format!("CREATE DATABASE {name} TEMPLATE {}", ledger.database.name);
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = ledger.client.batch_execute(&sql) {
        assert!(Instant::now() < deadline, "{error:?}");
        thread::sleep(Duration::from_millis(50));
    }
    ledger.client = ledger.database.connect();
    name
}

#[test]
fn two_of_three_witnesses_cosign_a_ledger_as_it_grows() {
    let (mut ledger, mut witnesses) = scene::<3>("grow", 1);
    witnesses[2].stop();
    let database = ledger.database.name.clone();
    let quorum = ["--witness-quorum", "2"];
    // From sizes that are a power of two and from others: 1, 2, 4, 7.
    for orders in [0, 1, 2, 3] {
        for amount in 0..orders {
            ledger.append(&order("a", amount));
        }
        let checkpoint = ledger.seal();
        let published = publish(&database, &named(&witnesses.each_ref()), &quorum);
        assert_eq!(published.state(), (0, "confirmed"), "{:?} {}", published.lines, published.said);
        let (state, counts) = recorded(&mut ledger.client, checkpoint);
        assert_eq!(state, "confirmed");
        assert!(counts.len() >= 3 && counts.iter().all(|count| *count == 2), "{counts:?}");
    }
    // A witness that comes late begins with what there is then.
    witnesses[2].run();
    ledger.append(&order("b", 1));
    let checkpoint = ledger.seal();
    assert_eq!(publish(&database, &named(&witnesses.each_ref()), &quorum).state(), (0, "confirmed"));
    let (_, counts) = recorded(&mut ledger.client, checkpoint);
    assert!(counts.iter().all(|count| *count == 3), "{counts:?}");

    // What is kept verifies without any of them, and for nobody else's statement.
    witnesses.iter_mut().for_each(Litewitness::stop);
    assert_eq!(publish(&database, &named(&witnesses.each_ref()), &quorum).state(), (0, "confirmed"));
    let sql =
        "SELECT statement FROM ets.anchor WHERE checkpoint_id = (SELECT max(checkpoint_id) FROM ets.anchor)";
    let statement = AnchorStatement::parse(&one(&mut ledger.client, sql)).expect("a statement");
    let sql = sql.replace("statement FROM", "convert_from(evidence, 'UTF8') FROM");
    let evidence = WitnessedCheckpoint::parse(&one(&mut ledger.client, &sql)).expect("evidence");
    assert!(evidence.verify(&statement).expect("a quorum") > 1_700_000_000);
    let sql = "SELECT statement FROM ets.anchor WHERE checkpoint_id = 1";
    let other = AnchorStatement::parse(&one(&mut ledger.client, sql)).expect("a statement");
    assert!(evidence.verify(&other).is_err());
    let service = one(&mut ledger.client, "SELECT DISTINCT service FROM ets.anchor");
    assert!(service.starts_with("witness 2-of-3 ") && service.len() < 30, "{service}");

    // The database tells what is none; whether the keys are those that were meant, it cannot.
    let text = evidence.to_jcs().expect("canonical");
    let mut judged = |service: &str, evidence: &str| {
        let sql = "SELECT ets.record_anchor($1, $2, 'confirmed', $3, convert_to($4, 'UTF8'))";
        let anchor: i64 = ledger.one(sql, &[&checkpoint, &service, &statement.to_jcs(), &evidence]);
        let sql = "SELECT passed FROM ets.verify_anchor($1) WHERE check_name = 'anchor_evidence'";
        ledger.one::<Option<bool>>(sql, &[&anchor])
    };
    assert_eq!(judged(&service, &text), None);
    assert_eq!(judged("witness 1-of-3 00000000", &text), Some(false));
    assert_eq!(judged("witness 1-of-1 00000000", "{}"), Some(false));
    ledger.seal();
    let findings = ledger.findings();
    assert!(
        findings.len() == 2 && findings.iter().all(|finding| finding.contains("anchor_evidence")),
        "{findings:?}"
    );
}

#[test]
fn a_witness_that_is_down_is_waited_for() {
    let (mut ledger, mut witnesses) = scene::<2>("down", 2);
    let database = ledger.database.name.clone();
    witnesses[1].stop();
    let both = named(&witnesses.each_ref());
    let published = publish(&database, &both, &[]);
    assert_eq!(published.state(), (0, "pending"), "{}", published.said);
    assert!(published.said.contains("refused"), "it says why: {}", published.said);
    let evidence = "SELECT encode(evidence, 'hex') FROM ets.anchor";
    let first = one(&mut ledger.client, evidence);
    let (_, counts) = recorded(&mut ledger.client, 1);
    assert!(counts.iter().all(|count| *count == 1), "{counts:?}");

    // With nothing new it is a failure, and what there was stays.
    witnesses[0].stop();
    let published = publish(&database, &both, &[]);
    assert_eq!(published.state(), (1, "failed"));
    assert!(published.reason().contains("add-checkpoint"), "{}", published.reason());
    assert_eq!(one(&mut ledger.client, evidence), first);
    let due = "SELECT (next_attempt IS NOT NULL)::text FROM ets.anchor";
    assert_eq!(one(&mut ledger.client, due), "true");

    // The one that has cosigned is not needed again: its cosignatures are kept.
    witnesses[1].run();
    let published = publish(&database, &both, &[]);
    assert_eq!(published.state(), (0, "confirmed"), "{:?} {}", published.lines, published.said);
    let (_, counts) = recorded(&mut ledger.client, 1);
    assert!(counts.iter().all(|count| *count == 2), "{counts:?}");
    let declared = "SELECT count(*)::text FROM ets.ledger_event WHERE schema_version = 'ets.anchoring/1.0.0'";
    assert_eq!(one(&mut ledger.client, declared), "1");
}

#[test]
fn a_witness_refuses_a_fork_and_the_alarm_names_it() {
    let (mut ledger, witnesses) = scene::<1>("fork", 3);
    let witness = named(&witnesses.each_ref());
    assert_eq!(publish(&ledger.database.name, &witness, &[]).state(), (0, "confirmed"));
    ledger.append(&order("a", 4));
    ledger.seal();
    let yesterday = copy(&mut ledger);
    ledger.append(&order("a", 5));
    ledger.append(&order("a", 6));
    ledger.seal();
    assert_eq!(publish(&ledger.database.name, &witness, &[]).state(), (0, "confirmed"));

    // The copy is what it was: the witness has seen more.
    let mut client = Cluster::shared().connect(&yesterday);
    let alarm = |client: &mut Client, expected: &str| {
        let published = publish(&yesterday, &witness, &[]);
        assert_eq!(published.state(), (1, "failed"), "{:?}", published.lines);
        let reason = published.reason();
        for part in ["fork-0.witness.test", "domain orders", expected] {
            assert!(reason.contains(part), "{part}: {reason}");
        }
        let sql = "SELECT state || ' ' || (next_attempt IS NULL) || ' ' || (evidence IS NULL) FROM ets.anchor
            WHERE checkpoint_id = (SELECT max(checkpoint_id) FROM ets.checkpoint)";
        assert_eq!(one(client, sql), "failed true true");
    };
    alarm(&mut client, "has cosigned 6 events of domain orders, and this ledger has sealed only 4");
    // As many events, and others.
    let append_other = |client: &mut Client, amount: i64| {
        let previous = head(client, "a").0;
        append(client, &ledger.alice, &order("a", amount), &previous).expect("appended");
    };
    append_other(&mut client, 40);
    append_other(&mut client, 50);
    client.batch_execute("SELECT ets.seal()").expect("sealed");
    alarm(&mut client, "its 6 events are not the first of the 6 here");
    // More events after those.
    append_other(&mut client, 60);
    client.batch_execute("SELECT ets.seal()").expect("sealed");
    alarm(&mut client, "its 6 events are not the first of the 7 here");

    // The right ledger goes on.
    ledger.append(&order("a", 7));
    ledger.seal();
    assert_eq!(publish(&ledger.database.name, &witness, &[]).state(), (0, "confirmed"));
}

/// A listener that gives every request this answer, after a while.
fn listener(answer: String, delay: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), answer) = (stream, answer.clone()) else { continue };
            thread::spawn(move || {
                let mut request = [0; 16 << 10];
                let _ = stream.read(&mut request);
                thread::sleep(delay);
                let _ = stream.write_all(answer.as_bytes());
            });
        }
    });
    url
}

fn http(status: &str, content_type: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

#[test]
fn an_answer_that_no_witness_should_give_confirms_nothing() {
    let (mut ledger, [witness, other]) = scene::<2>("hostile", 3);
    let database = ledger.database.name.clone();
    assert_eq!(publish(&database, &named(&[&witness]), &[]).state(), (0, "confirmed"));
    let sql = "SELECT convert_from(evidence, 'UTF8') FROM ets.anchor";
    let evidence = WitnessedCheckpoint::parse(&one(&mut ledger.client, sql)).expect("evidence");
    let note = evidence.notes[0].to_string();
    let replayed = format!("{}\n", note.trim_end().lines().last().expect("a cosignature"));
    ledger.append(&order("a", 4));
    let checkpoint = ledger.seal();

    let text = "text/plain";
    let size = "text/x.tlog.size";
    for (answer, says) in [
        (http("200 OK", text, &replayed), "is no cosignature: the note's signature is not valid"),
        (http("200 OK", text, "<html>welcome</html>\n"), "is no cosignature"),
        (http("200 OK", text, &format!("\n{replayed}")), "is no cosignature"),
        (http("200 OK", text, ""), "is no cosignature"),
        (http("200 OK", text, &"x".repeat(1 << 20)), "add-checkpoint"),
        (http("409 Conflict", size, "0\n"), "answered 409"),
        (http("409 Conflict", size, "-3\n"), "answered 409"),
        (http("409 Conflict", size, "03\n"), "answered 409"),
        (http("409 Conflict", text, "3\n"), "answered 409"),
        (http("422 Unprocessable Entity", text, "no"), "answered 422"),
        (http("403 Forbidden", text, "no"), "does not know the ledger's key"),
        (http("404 Not Found", text, "no"), "does not know the domain's log"),
        (http("500 Internal Server Error", text, "\u{1b}[31mno"), "answered 500"),
        (http("302 Found\r\nLocation: http://127.0.0.1:1/", text, ""), "answered 302"),
        ("garbage".to_owned(), "add-checkpoint"),
        (String::new(), "add-checkpoint"),
    ] {
        let liar = [(listener(answer.clone(), Duration::ZERO), witness.key.clone())];
        let published = publish(&database, &liar, &["--time-out", "10"]);
        assert_eq!(published.state(), (1, "failed"), "{answer}: {:?}", published.lines);
        assert!(published.reason().contains(says), "{answer}: {}", published.reason());
        assert!(!published.reason().contains('\u{1b}'));
    }
    // One that is slow is left alone in time.
    let slow = [(listener(http("200 OK", text, &replayed), Duration::from_secs(60)), witness.key.clone())];
    let begin = Instant::now();
    assert_eq!(publish(&database, &slow, &["--time-out", "1"]).state(), (1, "failed"));
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    // A real witness under another's key, and one that never heard of the ledger.
    let wrong = [(witness.url(), other.key.clone())];
    let published = publish(&database, &wrong, &[]);
    assert_eq!(published.state(), (1, "failed"));
    assert!(published.reason().contains("is no cosignature"), "{}", published.reason());
    let stranger = Litewitness::start("hostile-stranger");
    let published = publish(&database, &named(&[&stranger]), &[]);
    assert_eq!(published.state(), (1, "failed"));
    assert!(published.reason().contains("does not know the domain's log"), "{}", published.reason());

    // All of it may pass, and none of it left anything behind.
    let sql = format!(
        "SELECT bool_and(next_attempt > now() AND evidence IS NULL)::text FROM ets.anchor WHERE checkpoint_id = {checkpoint}"
    );
    assert_eq!(one(&mut ledger.client, &sql), "true");
    assert_eq!(publish(&database, &named(&[&witness]), &[]).state(), (0, "confirmed"));
}

#[test]
fn witnesses_are_named_as_they_must_be() {
    let ledger = Ledger::new();
    let key = witness_key();
    for (arguments, says) in [
        (vec!["--witness", "http://127.0.0.1:1"], "--witness-key"),
        (vec!["--witness", "ftp://127.0.0.1", "--witness-key", &key], "https://"),
        (vec!["--witness", "http://user:secret@127.0.0.1", "--witness-key", &key], "no user"),
        (vec!["--witness", "http://127.0.0.1:1", "--witness-key", "nonsense"], "no Ed25519 key of a witness"),
        (vec!["--witness-quorum", "1"], "--witness"),
        (vec!["--ledger", "dbname=other"], "--ledger-key"),
    ] {
        let published = publish(&ledger.database.name, &[], &arguments);
        assert_eq!(published.code, 2, "{arguments:?}");
        assert!(published.said.contains(says), "{arguments:?}: {}", published.said);
    }
}

#[test]
fn a_witness_with_a_certificate_of_nobody_is_not_talked_to() {
    let mut ledger = Ledger::new();
    ledger.append(&order("a", 1));
    ledger.seal();
    let folder = Cluster::shared().folder().join(format!("{}.tls", ledger.database.name));
    fs::create_dir(&folder).expect("a new folder");
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = port.expect("a free port").to_string();
    let make = |name: &str| {
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "2", "-subj", "/CN=w", "-addext"])
            .args([
                "subjectAltName=IP:127.0.0.1",
                "-keyout",
                &format!("{name}.key"),
                "-out",
                &format!("{name}.pem"),
            ])
            .current_dir(&folder)
            .output()
            .expect("openssl runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        folder.join(format!("{name}.pem")).to_str().expect("UTF-8").to_owned()
    };
    let (_, other) = (make("own"), make("other"));
    let mut server = Command::new("openssl")
        .args(["s_server", "-accept", &address, "-cert", "own.pem", "-key", "own.key", "-www", "-quiet"])
        .current_dir(&folder)
        .spawn()
        .expect("openssl runs");
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(&address).is_err() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(50));
    }
    let witness = [(format!("https://{address}"), witness_key())];
    let came = [&["--time-out", "10"][..], &["--time-out", "10", "--ca-file", &other]]
        .map(|more| publish(&ledger.database.name, &witness, more));
    let _ = server.kill();
    let _ = server.wait();
    for published in came {
        assert_eq!(published.state(), (1, "failed"));
        assert!(published.reason().contains("certificate"), "{}", published.reason());
    }
}
