//! `ets audit`: the real program against a real server, which is honest, or not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ets_core::anchor::AnchorStatement;
use ets_core::canonical::{Limits, Payload};
use ets_core::export::{ExportReader, ExportWriter, Leaves, Step};
use ets_tests::{Cluster, order, program};
use postgres::Client;
use serde_json::Value;
use uuid::Uuid;

use crate::tamper::DISARM;
use crate::tamper::scene::{Scene, append_onto, by_name};

/// What an audit of a scene's database keeps and compares.
struct Auditor {
    folder: PathBuf,
    database: String,
    root_key: String,
}

/// An audit's exit code and report.
struct Audit {
    code: i32,
    report: Value,
}

impl Audit {
    fn verdict(&self) -> &str {
        self.report["verdict"].as_str().unwrap_or_default()
    }

    /// `class check domain/stream#sequence` of each finding.
    fn findings(&self) -> Vec<String> {
        let findings = self.report["findings"].as_array().expect("findings");
        findings
            .iter()
            .map(|finding| {
                let text = |name: &str| finding[name].as_str().unwrap_or_default().to_owned();
                let mut line = format!("{} {} {}", text("class"), text("check"), text("domain"));
                if let Some(stream) = finding["stream"].as_str() {
                    line += &format!("/{stream}");
                }
                if let Some(sequence) = finding["sequence"].as_i64() {
                    line += &format!("#{sequence}");
                }
                line.trim_end().to_owned()
            })
            .collect()
    }

    #[track_caller]
    fn is_sound(&self, trust: &str) {
        assert_eq!(self.findings(), Vec::<String>::new());
        assert_eq!((self.code, self.verdict()), (0, "MATCH"));
        assert_eq!(self.report["trust"], trust);
    }

    #[track_caller]
    fn found(&self, expected: &[&str]) {
        assert_eq!(self.findings(), expected);
        assert_eq!((self.code, self.verdict(), &self.report["trust"]), (1, "MISMATCH", &Value::Null));
    }
}

impl Auditor {
    fn new(database: &str, client: &mut Client) -> Self {
        let folder = Cluster::shared().folder().join(format!("{database}.audit"));
        fs::create_dir(&folder).expect("a new folder");
        let row = client.query_one("SELECT ets.trust_root()->>'root_public_key'", &[]).expect("a root");
        Auditor { folder, database: database.to_owned(), root_key: row.get(0) }
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).to_str().expect("a path of ours is UTF-8").to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("ets"));
        command.env_clear().envs(Cluster::shared().environment(&self.database)).arg("audit").args(arguments);
        command
    }

    fn audit(&self, arguments: &[&str]) -> Audit {
        let output = self.command(&[&["--json", "--root-key", &self.root_key], arguments].concat()).output();
        let output = output.expect("ets runs");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let report = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{error}: {text} {}", String::from_utf8_lossy(&output.stderr)));
        Audit { code: output.status.code().expect("an exit code"), report }
    }

    /// Publishes the last checkpoint: a file that the server cannot take back.
    fn publish(&self, client: &mut Client) -> String {
        let statement = statement(client);
        let folder = self.folder.join("anchors").join(statement.ledger_id().to_string());
        fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join(format!("{}.json", statement.checkpoint_id()));
        fs::write(file, statement.to_jcs()).expect("a file");
        self.file("anchors")
    }
}

/// The last checkpoint as whoever publishes it states it.
fn statement(client: &mut Client) -> AnchorStatement {
    let last =
        client.query_one("SELECT max(checkpoint_id) FROM ets.checkpoint", &[]).expect("a checkpoint").get(0);
    ets_tests::statement(client, last)
}

fn scene() -> (Scene<'static>, Client, Auditor) {
    let scene = Scene::new(Cluster::shared(), false);
    let mut client = scene.connect();
    let database: String = client.query_one("SELECT current_database()::text", &[]).expect("a name").get(0);
    let auditor = Auditor::new(&database, &mut client);
    (scene, client, auditor)
}

fn verified_from_inside(client: &mut Client) -> usize {
    client.query("SELECT ets.verify_ledger()", &[]).expect("ets.verify_ledger").len()
}

fn next_order(scene: &Scene, client: &mut Client, amount: i64) {
    let previous: Vec<u8> =
        client.query_one("SELECT head_hash FROM ets.head('orders', 'a')", &[]).expect("a head").get(0);
    let _ = scene;
    append_onto(client, &by_name("alice"), "order/1.0.0", &order("a", amount), &previous).expect("an append");
}

#[test]
fn trust_goes_as_far_as_what_was_kept_outside() {
    let (scene, mut client, auditor) = scene();
    // Nobody said whose ledger it should be.
    let output = auditor.command(&["--json"]).output().expect("ets runs");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((output.status.code(), report["verdict"].as_str()), (Some(2), Some("UNVERIFIABLE")));
    assert_eq!(report["root_key_named"], false);

    let first = auditor.audit(&[]);
    first.is_sound("SELF-CONSISTENT");
    let sql = "SELECT count(*), count(DISTINCT (domain, stream)) FROM ets.ledger_event";
    let row = client.query_one(sql, &[]).expect("counts");
    assert_eq!(first.report["events"], row.get::<_, i64>(0));
    assert_eq!(first.report["streams"], row.get::<_, i64>(1));
    let state = auditor.file("state");
    auditor.audit(&["--state", &state]).is_sound("SELF-CONSISTENT");
    auditor.audit(&["--state", &state, "--threads", "1"]).is_sound("WITNESSED");
    let note: String = client.query_one("SELECT ets.checkpoint_note('orders')", &[]).expect("a note").get(0);
    fs::write(auditor.file("note"), note).expect("a file");
    auditor.audit(&["--checkpoint", &auditor.file("note")]).is_sound("WITNESSED");

    let anchors = auditor.publish(&mut client);
    next_order(&scene, &mut client, 6);
    client.query("SELECT ets.seal()", &[]).expect("a seal");
    let anchored = auditor.audit(&["--state", &state, "--anchors", &anchors]);
    anchored.is_sound("ANCHORED");
    let (covered, leaves) =
        (&anchored.report["covered"]["anchored"], scene.kept.values().map(|kept| kept.0).sum::<u64>());
    assert_eq!(covered, leaves, "what came after the anchor is not covered by it");
    // A folder without anything of this ledger anchors nothing.
    let empty = auditor.file("empty");
    fs::create_dir(&empty).expect("a folder");
    auditor.audit(&["--anchors", &empty]).is_sound("SELF-CONSISTENT");
    let other = Auditor {
        root_key: "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c".into(),
        ..auditor
    };
    other.audit(&[]).found(&["tampering root_key ets.registry#1"]);
}

/// The server rewrites its whole history, with its key and an actor's in hand: every
/// event, tree and checkpoint fits. Inside nothing can be found; outside everything is.
#[test]
fn a_history_rewritten_with_the_servers_key_is_found_by_the_timer() {
    let (_scene, mut client, auditor) = scene();
    let (state, anchors) = (auditor.file("state"), auditor.publish(&mut client));
    auditor.audit(&["--state", &state, "--anchors", &anchors]).is_sound("ANCHORED");
    let kept = fs::read(&state).expect("the state");
    let alice = by_name("alice");
    client.batch_execute("BEGIN").expect("a transaction");
    client.batch_execute(DISARM).expect("a superuser can");
    client
        .batch_execute(
            "UPDATE ets.ledger_event SET payload = jsonb_set(payload, '{amount}', '7')
              WHERE domain = 'orders' AND stream = 'a' AND sequence = 2",
        )
        .expect("a superuser can");
    let sql = "SELECT attack.rechain('orders', 'a', 2, $1, $2)";
    client.query(sql, &[&alice.public_key(), &vec![1_u8; 32]]).expect("with alice's key");
    client.query("SELECT attack.reseal()", &[]).expect("with the server's key");
    client.batch_execute("SELECT ets.arm(); COMMIT").expect("as if nothing had been");
    assert_eq!(verified_from_inside(&mut client), 0, "it is consistent in itself");
    auditor.audit(&[]).is_sound("SELF-CONSISTENT");

    let timer = auditor.audit(&["--state", &state]);
    assert!(timer.findings().contains(&"seal kept_checkpoint orders".to_owned()), "{:?}", timer.findings());
    assert_eq!(timer.code, 1);
    assert_eq!(fs::read(&state).expect("the state"), kept, "what was kept is not overwritten by a lie");
    let published = auditor.audit(&["--anchors", &anchors]);
    assert!(published.findings().contains(&"seal kept_checkpoint orders".to_owned()));
    assert_eq!((published.code, &published.report["evidence"][0]["holds"]), (1, &Value::Bool(false)));
    // What was kept since holds, though the ledger does not match.
    let since = auditor.file("since");
    fs::write(&since, statement(&mut client).to_jcs()).expect("a file");
    let both = auditor.audit(&["--anchors", &since, "--anchors", &anchors]);
    let holds: Vec<_> =
        both.report["evidence"].as_array().expect("evidence").iter().map(|one| &one["holds"]).collect();
    assert_eq!((both.code, holds), (1, vec![&Value::Bool(true), &Value::Bool(false)]));
}

#[test]
fn a_copy_of_yesterday_is_found_by_what_was_kept_today() {
    let (scene, mut client, auditor) = scene();
    let copy = format!("{}_yesterday", auditor.database);
    drop(client);
    let sql = format!("CREATE DATABASE {copy} TEMPLATE {}", auditor.database);
    Cluster::shared().connect("postgres").batch_execute(&sql).expect("nobody is in it");
    client = scene.connect();
    next_order(&scene, &mut client, 6);
    client.query("SELECT ets.seal()", &[]).expect("a seal");
    let (state, anchors) = (auditor.file("state"), auditor.publish(&mut client));
    auditor.audit(&["--state", &state, "--anchors", &anchors]).is_sound("ANCHORED");
    let yesterday =
        Auditor { database: copy, folder: auditor.folder.clone(), root_key: auditor.root_key.clone() };
    yesterday.audit(&[]).is_sound("SELF-CONSISTENT");
    for evidence in [["--state", &state], ["--anchors", &anchors]] {
        let findings = yesterday.audit(&evidence).findings();
        for expected in ["seal kept_checkpoint orders", "seal kept_checkpoint"] {
            assert!(findings.contains(&expected.to_owned()), "{evidence:?} {findings:?}");
        }
    }
}

#[test]
fn an_unsealed_end_that_was_seen_is_missed() {
    let (_scene, mut client, auditor) = scene();
    let state = auditor.file("state");
    auditor.audit(&["--state", &state]).is_sound("SELF-CONSISTENT");
    client.batch_execute("BEGIN").expect("a transaction");
    client.batch_execute(DISARM).expect("a superuser can");
    client
        .batch_execute(
            "DELETE FROM ets.ledger_event WHERE domain = 'orders' AND stream = 'a' AND sequence = 5;
             SELECT attack.move_head('orders', 'a'); SELECT ets.arm(); COMMIT",
        )
        .expect("a superuser can");
    auditor.audit(&[]).is_sound("SELF-CONSISTENT");
    auditor.audit(&["--state", &state]).found(&["seal kept_head orders/a#5"]);
}

#[test]
fn an_auditor_needs_no_more_than_to_read_and_hears_when_he_cannot_see_all() {
    let (_scene, mut client, auditor) = scene();
    let role = format!("{}_auditor", auditor.database);
    client.batch_execute(&format!("CREATE ROLE {role} LOGIN")).expect("a role");
    let dsn = format!("user={role}");
    let refused = auditor.command(&["--dsn", &dsn]).output().expect("ets runs");
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
    client.batch_execute(&format!("SELECT ets.grant_access('{role}', 'auditor')")).expect("a grant");
    auditor.audit(&["--dsn", &dsn]).is_sound("SELF-CONSISTENT");
    client
        .batch_execute("ALTER TABLE ets.ledger_event ENABLE ROW LEVEL SECURITY")
        .expect("row-level security");
    let hidden = auditor.command(&["--dsn", &dsn]).output().expect("ets runs");
    let message = String::from_utf8_lossy(&hidden.stderr).into_owned();
    assert_eq!(hidden.status.code(), Some(2));
    assert!(message.contains("row-level security"), "{message}");
}

#[test]
fn files_that_are_no_evidence_are_refused() {
    let (_scene, mut client, auditor) = scene();
    let file = auditor.file("evidence");
    let message = |arguments: &[&str]| {
        let output = auditor.command(arguments).output().expect("ets runs");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    let text = statement(&mut client).to_jcs().to_owned();
    let other =
        text.replace("\"checkpoint_id\":2", "\"checkpoint_id\":3").replace("test.example", "other.example");
    let wrong_root = text.replacen("\"tree_size\":", "\"tree_size\":1", 1);
    for garbage in ["", "{}", "[]", "\u{0}", &text[1..], &wrong_root, &format!("{text} ")] {
        fs::write(&file, garbage).expect("a file");
        for option in ["--anchors", "--checkpoint", "--state", "--trust"] {
            assert!(message(&[option, &file]).contains(&file), "{option} {garbage}");
        }
    }
    // Another name is under no hash of the ledger: what it states holds.
    fs::write(&file, other).expect("a file");
    auditor.audit(&["--anchors", &file]).is_sound("ANCHORED");
    let id = Uuid::from_u128(7).to_string();
    let foreign = text.replace(statement(&mut client).ledger_id().to_string().as_str(), &id);
    fs::write(&file, foreign).expect("a file");
    assert!(message(&["--anchors", &file]).contains("another ledger"));
    // A note by somebody who is not the server.
    let note: String = client.query_one("SELECT ets.checkpoint_note('orders')", &[]).expect("a note").get(0);
    let broken =
        note.replacen("AAAA", "AAAB", 1).replace("— test.example/ets/orders ", "— test.example/ets/orders A");
    fs::write(&file, broken).expect("a file");
    message(&["--checkpoint", &file]);
    assert!(message(&["--anchors", "/nowhere"]).contains("/nowhere"));
    assert!(message(&["--dsn", "host=/nowhere"]).contains("cannot connect"));
    assert!(message(&["--root-key", "00"]).contains("--root-key"));
}

#[test]
fn the_page_needs_nothing_else_and_shows_nothing_as_markup() {
    let (_scene, mut client, auditor) = scene();
    let page = |arguments: &[&str]| {
        let file = auditor.file("report.html");
        auditor.audit(&[&["--html", &file], arguments].concat());
        fs::read_to_string(Path::new(&file)).expect("a page")
    };
    let sound = page(&[]);
    assert!(sound.contains("MATCH SELF-CONSISTENT") && sound.contains("<polyline"), "{sound}");
    client.batch_execute(DISARM).expect("a superuser can");
    client
        .batch_execute("UPDATE ets.ledger_event SET stream = '<script>alert(1)</script>' WHERE domain = 'orders' AND sequence = 2")
        .expect("a superuser can");
    let broken = page(&[]);
    assert!(
        broken.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && broken.contains("MISMATCH"),
        "{broken}"
    );
    for text in [sound, broken] {
        for outside in ["<script", "src=", "href=", "http://", "https://", "@import", "url("] {
            assert!(!text.contains(outside), "{outside}");
        }
    }
    let told = auditor.command(&["--root-key", &auditor.root_key]).output().expect("ets runs");
    let told = String::from_utf8(told.stdout).expect("UTF-8");
    assert!(told.contains("tampering: orders/a #2") && told.trim_end().ends_with("MISMATCH"), "{told}");
    assert!(!told.contains('\u{1b}'), "no colours where nobody sees them");
}

/// `ets export` of the scene, to a file of the auditor's.
fn export(auditor: &Auditor, name: &str, arguments: &[&str]) -> String {
    let file = auditor.file(name);
    let mut command = Command::new(program("ets"));
    command.env_clear().envs(Cluster::shared().environment(&auditor.database));
    let output = command.args(["export", "--output", &file]).args(arguments).output().expect("ets runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    file
}

#[test]
fn an_export_is_audited_like_the_server_that_wrote_it() {
    let (_scene, mut client, auditor) = scene();
    let (state, anchors) = (auditor.file("state"), auditor.publish(&mut client));
    let of_server = auditor.audit(&["--state", &state]);
    let file = export(&auditor, "ledger", &[]);
    let of_export = auditor.audit(&["--export", &file]);
    of_export.is_sound("SELF-CONSISTENT");
    for name in
        ["checkpoints", "domains", "events", "last_checkpoint", "ledger_id", "origin", "streams", "unsealed"]
    {
        assert_eq!(of_export.report[name], of_server.report[name], "{name}");
    }
    let checked = |audit: &Audit| audit.report["checked"].as_array().map_or(0, Vec::len);
    assert!(checked(&of_export) < checked(&of_server));
    auditor.audit(&["--export", &file, "--state", &state]).is_sound("WITNESSED");
    auditor.audit(&["--export", &file, "--anchors", &anchors]).is_sound("ANCHORED");

    // One domain, whose other roots are taken as the checkpoints state them.
    let orders = export(&auditor, "orders", &["--domain", "orders"]);
    let of_orders = auditor.audit(&["--export", &orders]);
    of_orders.is_sound("SELF-CONSISTENT");
    let not_checked = of_orders.report["not_checked"].to_string();
    assert!(not_checked.contains("accounts") && !not_checked.contains("orders"), "{not_checked}");
    // What only continues a checkpoint proves nothing alone.
    let later = export(&auditor, "later", &["--from-checkpoint", "1"]);
    let output = auditor.command(&["--export", &later]).output().expect("ets runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("continues checkpoint 1"));

    // The server rewrites its unsealed end with alice's key, and exports that.
    client.batch_execute("BEGIN").expect("a transaction");
    client.batch_execute(DISARM).expect("a superuser can");
    client
        .batch_execute(
            "DELETE FROM ets.ledger_event WHERE domain = 'orders' AND stream = 'a' AND sequence = 5;
             SELECT attack.move_head('orders', 'a'); SELECT ets.arm(); COMMIT",
        )
        .expect("a superuser can");
    let cut = export(&auditor, "cut", &[]);
    auditor.audit(&["--export", &cut]).is_sound("SELF-CONSISTENT");
    auditor.audit(&["--export", &cut, "--state", &state]).found(&["seal kept_head orders/a#5"]);
}

#[test]
fn an_export_that_was_edited_is_found() {
    let (_scene, _client, auditor) = scene();
    let file = export(&auditor, "ledger", &[]);
    let text = fs::read_to_string(&file).expect("the export");
    let edited = auditor.file("edited");
    let audit = |text: &str| {
        fs::write(&edited, text).expect("a file");
        auditor.audit(&["--export", &edited])
    };
    let lines: Vec<&str> = text.lines().collect();
    let without = |index: usize| {
        let kept = lines.iter().enumerate().filter(|(number, _)| *number != index);
        kept.map(|(_, line)| format!("{line}\n")).collect::<String>()
    };
    // Any line but the first: what is before it is examined, and nothing else is said to be.
    for index in [3, lines.len() / 2, lines.len() - 2, lines.len() - 1] {
        let audited = audit(&without(index));
        assert!(
            audited.findings().contains(&"tampering export".to_owned()),
            "{index} {:?}",
            audited.findings()
        );
        assert_eq!(audited.code, 1);
    }
    for (from, to) in [
        ("\"amount\":3", "\"amount\":4"),
        ("\"tree_size\":", "\"tree_size\":1"),
        ("\"notes\":{", "\"notes\":{ "),
    ] {
        let audited = audit(&text.replacen(from, to, 1));
        assert!(
            audited.findings().contains(&"tampering export".to_owned()),
            "{from} {:?}",
            audited.findings()
        );
    }

    // Somebody writes an export of his own: the last event changed, every hash in the
    // file made again, and a manifest that he signs.
    let stranger = ets_core::key::SecretKey::from_seed(&[9; 32]);
    let mut reader = ExportReader::new();
    let mut writer = None;
    let mut out = String::new();
    let mut put = |line: String| out += &format!("{}\n", line.trim_end());
    for line in &lines {
        match (reader.push(line).expect("a line"), &mut writer) {
            (Step::Header(header), _) => {
                let (begun, line) = ExportWriter::begin(header, None);
                writer = Some(begun);
                put(line);
            }
            (Step::Leaves, Some(writer)) => {
                let value: Value = serde_json::from_str(line).expect("JSON");
                let hashes = value["leaves"]["hashes"].as_array().expect("hashes");
                let hashes = hashes.iter().map(|hash| hash.as_str().expect("hex").parse().expect("a hash"));
                put(writer.leaves(&Leaves {
                    domain: value["leaves"]["domain"].as_str().expect("a name").parse().expect("a domain"),
                    first: value["leaves"]["first"].as_u64().expect("a number"),
                    hashes: hashes.collect(),
                }));
            }
            (Step::Event(mut event, leaf), Some(writer)) => {
                if leaf.is_none() && event.header.stream.as_str() == "a" {
                    let payload = event.payload.canonical().replace("\"amount\":5", "\"amount\":6");
                    event.payload = Payload::parse(&payload, &Limits::CEILING).expect("a payload");
                    event.header.current_hash = event.computed_hash();
                }
                put(writer.event(&event));
            }
            (Step::Checkpoint(checkpoint), Some(writer)) => put(writer.checkpoint(&checkpoint)),
            _ => {}
        }
    }
    put(writer.expect("a header").finish(&stranger));
    let audited = audit(&out);
    audited.found(&["tampering manifest", "tampering signature orders/a#5"]);
}
