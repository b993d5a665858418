//! Checkpoints published outside: what `ets.anchor` takes, and what verification
//! says of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ets_tests::{Cluster, Ledger, order, program, refused, tamper};
use postgres::Client;

const RECORD: &str = "SELECT ets.record_anchor($1, $2, $3, $4, $5, $6)";

/// A ledger with one checkpoint.
fn sealed() -> (Ledger, i64) {
    let mut ledger = Ledger::new();
    ledger.append(&order("a", 1));
    let checkpoint = ledger.seal();
    (ledger, checkpoint)
}

/// The statement of a checkpoint as text.
fn statement(client: &mut Client, checkpoint: i64) -> String {
    ets_tests::statement(client, checkpoint).to_jcs().to_owned()
}

fn record(
    client: &mut Client,
    checkpoint: i64,
    state: &str,
    statement: &str,
    evidence: Option<&[u8]>,
    reason: Option<&str>,
) -> Result<i64, postgres::Error> {
    client
        .query_one(RECORD, &[&checkpoint, &"test here", &state, &statement, &evidence, &reason])
        .map(|row| row.get(0))
}

/// The checks of an anchor: name and whether it passed.
fn checks(client: &mut Client, anchor: i64) -> Vec<(String, Option<bool>)> {
    let rows = client.query("SELECT check_name, passed FROM ets.verify_anchor($1)", &[&anchor]);
    rows.expect("verify_anchor").iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn status(ledger: &mut Ledger, item: &str) -> String {
    ledger.one("SELECT state || ': ' || value FROM ets.status WHERE item = $1", &[&item])
}

#[test]
fn an_anchor_goes_from_pending_to_confirmed_and_stays_so() {
    let (mut ledger, checkpoint) = sealed();
    let client = &mut ledger.client;
    let text = statement(client, checkpoint);
    let anchor = record(client, checkpoint, "pending", &text, Some(b"asked"), None).expect("pending");
    assert_eq!(anchor, 1);
    let open = [
        ("anchor_statement", Some(true)),
        ("anchor_state", None),
        ("anchor_declaration", None),
        ("anchor_evidence", None),
    ];
    let named = |open: &[(&str, Option<bool>)]| -> Vec<(String, Option<bool>)> {
        open.iter().map(|(name, passed)| ((*name).to_owned(), *passed)).collect()
    };
    assert_eq!(checks(client, anchor), named(&open));
    // An attempt that failed loses nothing of what is waited for.
    assert_eq!(record(client, checkpoint, "failed", &text, None, Some("timed out")).expect("failed"), anchor);
    let row = client
        .query_one("SELECT state, reason, evidence, attempts, next_attempt > updated_at FROM ets.anchor", &[])
        .expect("one row");
    assert_eq!((row.get(0), row.get(1)), ("failed", Some("timed out")));
    assert_eq!((row.get::<_, &[u8]>(2), row.get::<_, i32>(3), row.get(4)), (&b"asked"[..], 2, true));
    assert_eq!(status(&mut ledger, "failed anchors"), "warning: 1");
    assert_eq!(status(&mut ledger, "unanchored checkpoints"), "warning: 1");
    let client = &mut ledger.client;
    assert_eq!(
        record(client, checkpoint, "confirmed", &text, Some(b"proof"), None).expect("confirmed"),
        anchor
    );
    let closed = [
        ("anchor_statement", Some(true)),
        ("anchor_state", Some(true)),
        ("anchor_declaration", Some(true)),
        ("anchor_evidence", None),
    ];
    assert_eq!(checks(client, anchor), named(&closed));
    // The same again declares nothing more; anything else is refused.
    assert_eq!(record(client, checkpoint, "confirmed", &text, Some(b"proof"), None).expect("again"), anchor);
    refused(record(client, checkpoint, "confirmed", &text, Some(b"other"), None), "ET010");
    refused(record(client, checkpoint, "failed", &text, None, Some("late")), "ET010");
    let declared = "SELECT count(*) FROM ets.ledger_event WHERE schema_version = 'ets.anchoring/1.0.0'";
    assert_eq!(ledger.one::<i64>(declared, &[]), 1);
    assert_eq!(status(&mut ledger, "failed anchors"), "ok: 0");
    assert_eq!(status(&mut ledger, "unanchored checkpoints"), "ok: 0");
    assert_eq!(status(&mut ledger, "anchor lag"), "ok: 00:00:00");
    ledger.seal();
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

#[test]
fn only_the_ledgers_own_checkpoint_is_recorded() {
    let (mut ledger, checkpoint) = sealed();
    let text = statement(&mut ledger.client, checkpoint);
    ledger.append(&order("a", 2));
    let later = ledger.seal();
    let other = statement(&mut ledger.client, later);
    let (mut stranger, _) = sealed();
    let foreign = statement(&mut stranger.client, 1);
    let client = &mut ledger.client;
    refused(record(client, checkpoint, "confirmed", &other, Some(b"x"), None), "ET002");
    refused(record(client, checkpoint, "confirmed", &foreign, Some(b"x"), None), "ET002");
    refused(record(client, 99, "confirmed", &text, Some(b"x"), None), "ET011");
    refused(record(client, -1, "confirmed", &text, Some(b"x"), None), "22023");
    refused(record(client, checkpoint, "sure", &text, Some(b"x"), None), "22023");
    refused(record(client, checkpoint, "confirmed", "{}", Some(b"x"), None), "22023");
    refused(record(client, checkpoint, "confirmed", &text, None, None), "22004");
    refused(record(client, checkpoint, "failed", &text, None, None), "22004");
    refused(record(client, checkpoint, "pending", &text, None, Some("no")), "22023");
    let long = "x".repeat(256);
    for service in ["", "a\nb", &long] {
        let sql = "SELECT ets.record_anchor($1, $2, 'confirmed', $3, 'x')";
        refused(client.query_one(sql, &[&checkpoint, &service, &text]), "22023");
    }
    refused(client.query("SELECT * FROM ets.verify_anchor(1)", &[]), "ET011");
    refused(client.execute("INSERT INTO ets.anchor SELECT FROM ets.ledger", &[]), "ET009");
    assert_eq!(ledger.one::<i64>("SELECT count(*) FROM ets.anchor", &[]), 0);
}

#[test]
fn only_an_admin_records_and_an_auditor_reads() {
    let (mut ledger, checkpoint) = sealed();
    let text = statement(&mut ledger.client, checkpoint);
    let name = &ledger.database.name.clone();
    ledger
        .client
        .batch_execute(&format!(
            "CREATE ROLE {name}_admin LOGIN; CREATE ROLE {name}_auditor LOGIN;
             SELECT ets.grant_access('{name}_admin', 'admin'), ets.grant_access('{name}_auditor', 'auditor')"
        ))
        .expect("roles");
    let mut admin = ets_tests::Cluster::shared().connect_as(name, &format!("{name}_admin"));
    let mut auditor = ets_tests::Cluster::shared().connect_as(name, &format!("{name}_auditor"));
    refused(record(&mut auditor, checkpoint, "confirmed", &text, Some(b"proof"), None), "42501");
    let anchor =
        record(&mut admin, checkpoint, "confirmed", &text, Some(b"proof"), None).expect("admin records");
    assert_eq!(checks(&mut auditor, anchor).len(), 4);
    assert_eq!(auditor.query("SELECT * FROM ets.anchor", &[]).expect("reads").len(), 1);
    refused(admin.execute("DELETE FROM ets.anchor", &[]), "42501");
}

#[test]
fn whatever_is_changed_in_an_anchor_is_found() {
    for (sql, check) in [
        (
            "UPDATE ets.anchor SET statement = replace(statement, '\"checkpoint_id\":1', '\"checkpoint_id\":2')",
            "anchor_statement",
        ),
        ("UPDATE ets.anchor SET statement = 'x'", "anchor_statement"),
        ("UPDATE ets.anchor SET checkpoint_id = 7", "anchor_statement"),
        ("UPDATE ets.anchor SET service = 'other place'", "anchor_declaration"),
        ("UPDATE ets.anchor SET evidence = 'other'", "anchor_declaration"),
        ("UPDATE ets.anchor SET reference = 'there'", "anchor_declaration"),
        ("UPDATE ets.anchor SET state = 'failed'", "anchor_declaration"),
        ("UPDATE ets.anchor SET state = 'sure'", "anchor_state"),
        ("UPDATE ets.anchor SET evidence = NULL", "anchor_state"),
        ("UPDATE ets.anchor SET declaration_id = ets.uuid_v7()", "anchor_declaration"),
        ("DELETE FROM ets.anchor", "anchor_declaration"),
    ] {
        let (mut ledger, checkpoint) = sealed();
        let text = statement(&mut ledger.client, checkpoint);
        record(&mut ledger.client, checkpoint, "confirmed", &text, Some(b"proof"), None).expect("recorded");
        assert_eq!(ledger.findings(), Vec::<String>::new());
        tamper(&mut ledger.client, sql);
        let rows =
            ledger.client.query("SELECT class, check_name FROM ets.verify_ledger()", &[]).expect("findings");
        let found: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        assert!(found.contains(&("seal".to_owned(), check.to_owned())), "{sql}: {found:?}");
    }
}

/// `ets anchor` with these arguments: its exit code and its lines.
fn publish(ledger: &Ledger, arguments: &[&str]) -> (i32, Vec<serde_json::Value>, String) {
    let (code, lines, said) = ets_tests::publish(ledger, arguments);
    (code.expect("an exit code"), lines, said)
}

/// A new folder; with `git`, a repository.
fn folder(ledger: &Ledger, name: &str, is_git: bool) -> PathBuf {
    let path = ets_tests::Cluster::shared().folder().join(format!("{}.{name}", ledger.database.name));
    fs::create_dir(&path).expect("a new folder");
    if is_git {
        for arguments in [
            &["init", "--quiet", "-b", "main"][..],
            &["config", "user.name", "Anchors"],
            &["config", "user.email", "anchors@test.example"],
            &["commit", "--quiet", "--allow-empty", "-m", "Begin"],
        ] {
            git(&path, arguments);
        }
    }
    path
}

fn git(path: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git").arg("-C").arg(path).args(arguments).output().expect("git runs");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn text_of(path: &Path) -> &str {
    path.to_str().expect("a path of ours is UTF-8")
}

#[test]
fn the_program_publishes_to_a_folder_and_a_repository_and_an_audit_compares() {
    let mut ledger = Ledger::new();
    let (files, repository) = (folder(&ledger, "files", false), folder(&ledger, "git", true));
    let upstream = folder(&ledger, "upstream", false);
    git(&upstream, &["init", "--quiet", "--bare", "-b", "main"]);
    git(&repository, &["remote", "add", "origin", text_of(&upstream)]);
    git(&repository, &["push", "--quiet", "-u", "origin", "main"]);
    let places = ["--file", text_of(&files), "--git", text_of(&repository), "--push"];
    assert_eq!(publish(&ledger, &places).0, 0, "nothing is sealed yet, and nothing is wrong");
    ledger.append(&order("a", 1));
    let checkpoint = ledger.seal();
    let (code, lines, _) = publish(&ledger, &places);
    let states: Vec<_> = lines.iter().map(|line| line["state"].as_str().expect("a state")).collect();
    assert_eq!((code, states), (0, vec!["confirmed", "confirmed"]));

    let text = statement(&mut ledger.client, checkpoint);
    let file = format!("{}/{checkpoint}.json", ledger.id);
    assert_eq!(fs::read_to_string(files.join(&file)).expect("the statement"), text);
    assert_eq!(git(&upstream, &["show", &format!("main:{file}")]), text, "it was pushed");
    let commit = git(&repository, &["rev-parse", "HEAD"]);
    let sql = "SELECT convert_from(evidence, 'UTF8') FROM ets.anchor WHERE service LIKE 'git %'";
    assert_eq!(ledger.one::<String>(sql, &[]), commit.trim());
    let declared = "SELECT count(*) FROM ets.ledger_event WHERE schema_version = 'ets.anchoring/1.0.0'";
    assert_eq!(ledger.one::<i64>(declared, &[]), 2);
    // Once more changes nothing: no commit, no declaration.
    assert_eq!(publish(&ledger, &places).0, 0);
    assert_eq!(git(&repository, &["rev-parse", "HEAD"]), commit);
    assert_eq!(ledger.one::<i64>(declared, &[]), 2);
    ledger.seal();
    assert_eq!(ledger.findings(), Vec::<String>::new());

    let root: String = ledger.one("SELECT ets.trust_root()->>'root_public_key'", &[]);
    let audit = |option: &str, anchors: &str| {
        let mut command = Command::new(program("ets"));
        command.env_clear().envs(ledger.database.environment());
        command.env("PATH", std::env::var_os("PATH").expect("a PATH"));
        command.args(["audit", "--json", "--root-key", &root, option, anchors]);
        let output = command.output().expect("ets runs");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code(), report["trust"].as_str().map(str::to_owned))
    };
    for anchors in [&files, &repository] {
        assert_eq!(audit("--anchors", text_of(anchors)), (Some(0), Some("ANCHORED".to_owned())));
    }
    // Or as it was pushed, wherever that is.
    let url = format!("file://{}", text_of(&upstream));
    assert_eq!(audit("--anchors-git", &url), (Some(0), Some("ANCHORED".to_owned())));
    assert_eq!(audit("--anchors-git", "file:///nowhere"), (Some(2), None));
    assert_eq!(audit("--anchors-git", "--upload-pack=false"), (Some(2), None));
    // A bundle of what was published has a line for it; of another checkpoint it cannot.
    let bundle = Cluster::shared().folder().join(format!("{}.bundle.json", ledger.database.name));
    let verified = |ledger: &mut Ledger, published: &Path| {
        let sql =
            "SELECT ets.proof_bundle(event_id)::text FROM ets.ledger_event WHERE domain = 'orders' LIMIT 1";
        fs::write(&bundle, ledger.one::<String>(sql, &[])).expect("a file");
        let mut command = Command::new(program("ets"));
        command.args([
            "verify",
            "--json",
            "--root-key",
            &root,
            "--anchors",
            text_of(published),
            text_of(&bundle),
        ]);
        let output = command.output().expect("ets runs");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
        let check = report["checks"].as_array().and_then(|checks| checks.last()).expect("checks").clone();
        assert_eq!(check["check"], "anchor", "{report}");
        (output.status.code(), check["passed"].as_bool())
    };
    assert_eq!(verified(&mut ledger, &files), (Some(0), Some(true)));
    ledger.append(&order("a", 9));
    let last = ledger.seal();
    let later = statement(&mut ledger.client, last);
    let fork = Cluster::shared().folder().join(format!("{}.fork.json", ledger.database.name));
    fs::write(&fork, &later).expect("a file");
    assert_eq!(verified(&mut ledger, &files), (Some(2), None));
    assert_eq!(verified(&mut ledger, &fork), (Some(0), Some(true)));
    let number = |checkpoint: i64| format!("\"checkpoint_id\":{checkpoint},");
    assert!(text.contains(&number(checkpoint)), "{text}");
    fs::write(&fork, text.replacen(&number(checkpoint), &number(last), 1)).expect("a file");
    assert_eq!(verified(&mut ledger, &fork), (Some(1), Some(false)));
    // All that is recorded is verified by whoever names the places.
    let verify = |places: &[&str]| {
        let (code, lines, _) = publish(&ledger, &[&["--verify"], places].concat());
        (
            code,
            lines.iter().map(|line| line["state"].as_str().expect("a state").to_owned()).collect::<Vec<_>>(),
        )
    };
    let both = ["--file", text_of(&files), "--git", text_of(&repository)];
    assert_eq!(verify(&both), (0, vec!["holds".to_owned(), "holds".to_owned()]));
    assert_eq!(verify(&both[..2]), (2, vec!["holds".to_owned(), "unknown".to_owned()]));
    let original = fs::read(files.join(&file)).expect("the statement");
    fs::remove_file(files.join(&file)).expect("removed");
    assert_eq!(verify(&both), (1, vec!["broken".to_owned(), "holds".to_owned()]));
    fs::write(files.join(&file), original).expect("put back");
    // What was published is gone, or another: said, and the record stays.
    fs::write(files.join(&file), text.replacen("\"tree_size\":1", "\"tree_size\":2", 1)).expect("a file");
    let (code, lines, _) =
        publish(&ledger, &["--file", text_of(&files), "--checkpoint", &checkpoint.to_string()]);
    assert_eq!((code, lines[0]["state"].as_str()), (1, Some("gone")), "{lines:?}");
    let state = "SELECT state FROM ets.anchor WHERE service LIKE 'file %'";
    assert_eq!(ledger.one::<String>(state, &[]), "confirmed");
}

#[test]
fn what_fails_is_recorded_and_tried_again() {
    let (mut ledger, checkpoint) = sealed();
    let repository = folder(&ledger, "git", true);
    let place = ["--git", text_of(&repository), "--push"];
    // There is no upstream.
    let (code, lines, _) = publish(&ledger, &place);
    assert_eq!((code, lines[0]["state"].as_str()), (1, Some("failed")), "{lines:?}");
    let sql = "SELECT state || ' ' || attempts || ' ' || (reason LIKE 'git push failed%') FROM ets.anchor";
    assert_eq!(ledger.one::<String>(sql, &[]), "failed 1 true");
    let (code, lines, _) = publish(&ledger, &["--git", text_of(&repository)]);
    assert_eq!((code, lines[0]["state"].as_str()), (0, Some("confirmed")), "{lines:?}");
    assert_eq!(ledger.one::<String>("SELECT state || ' ' || attempts FROM ets.anchor", &[]), "confirmed 2");
    // Another statement lies there already: never overwritten.
    let files = folder(&ledger, "files", false);
    let file = files.join(ledger.id.to_string()).join(format!("{checkpoint}.json"));
    fs::create_dir(file.parent().expect("a folder")).expect("a folder");
    fs::write(&file, "{}").expect("a file");
    let (code, lines, _) = publish(&ledger, &["--file", text_of(&files)]);
    assert_eq!((code, lines[0]["state"].as_str()), (1, Some("failed")));
    assert_eq!(fs::read_to_string(&file).expect("the file"), "{}");
    let next = "SELECT next_attempt IS NULL FROM ets.anchor WHERE service LIKE 'file %'";
    assert!(ledger.one::<bool>(next, &[]), "trying again cannot help");
    // Wrong usage, and a checkpoint that does not hash.
    for (arguments, says) in [
        (vec![], "say where to publish"),
        (vec!["--file", "/nowhere"], "/nowhere"),
        (vec!["--git", text_of(&files)], "git rev-parse failed"),
        (vec!["--file", text_of(&files), "--checkpoint", "99"], "no checkpoint 99"),
    ] {
        let (code, lines, message) = publish(&ledger, &arguments);
        assert_eq!((code, lines.len()), (2, 0), "{arguments:?}");
        assert!(message.contains(says), "{message}");
    }
    tamper(
        &mut ledger.client,
        "UPDATE ets.domain_root SET tree_size = tree_size + 1 WHERE domain = 'orders'",
    );
    let (code, _, message) = publish(&ledger, &["--file", text_of(&files)]);
    assert_eq!(code, 2);
    assert!(message.contains("another MetaRoot"), "{message}");
}

#[test]
fn a_receiver_has_no_rows_of_anchors_and_no_findings_for_it() {
    let (mut ledger, checkpoint) = sealed();
    let text = statement(&mut ledger.client, checkpoint);
    record(&mut ledger.client, checkpoint, "confirmed", &text, Some(b"proof"), None).expect("recorded");
    ledger.append(&order("a", 2));
    ledger.seal();
    let first: String = ledger.one(
        "SELECT ets.event_document(event_id)::text FROM ets.ledger_event WHERE domain = 'ets.registry' AND sequence = 1",
        &[],
    );
    let export: String =
        ledger.one("SELECT string_agg(line, E'\\n' ORDER BY line_number) FROM ets.export()", &[]);
    let database = ets_tests::Cluster::shared().database();
    let mut replica = database.connect();
    replica.execute("SELECT ets.join($1::text::json)", &[&first]).expect("join");
    replica.execute("SELECT ets.import($1)", &[&export]).expect("import");
    assert_eq!(ets_tests::findings(&mut replica), Vec::<String>::new());
    refused(record(&mut replica, checkpoint, "confirmed", &text, Some(b"proof"), None), "ET013");
}

#[test]
fn a_bundle_that_vouches_for_itself_is_no_pass() {
    let (mut ledger, checkpoint) = sealed();
    let text = statement(&mut ledger.client, checkpoint);
    let mut other = Ledger::new();
    other
        .client
        .batch_execute(
            "SELECT ets.create_domain('anchors'); SELECT ets.register_schema('anchored/1.0.0', 'anchors', '{}');
             SELECT ets.create_local_key('anchors', 'anchors', 'postgres');
             SELECT ets.grant_authority((SELECT key_id FROM ets.local_key WHERE name = 'anchors'), 'anchors')",
        )
        .expect("another ledger takes statements");
    let mut bundle_of = |payload: &str| -> String {
        let id: uuid::Uuid = other.one(
            "SELECT event_id FROM ets.append_signed($1::text::jsonb, 'anchored/1.0.0', 'anchors')",
            &[&payload],
        );
        other.seal();
        other.one("SELECT ets.proof_bundle($1)::text", &[&id])
    };
    let sql = "SELECT ets.record_anchor($1, $2, 'confirmed', $3, convert_to($4, 'UTF8'))";
    let evidence = "SELECT passed FROM ets.verify_anchor($1) WHERE check_name = 'anchor_evidence'";
    let (right, wrong) = (bundle_of(&text), bundle_of("{}"));
    for (service, bundle, passed) in [
        ("ledger right", right.as_str(), None),
        ("ledger wrong", wrong.as_str(), Some(false)),
        ("ledger none", "{}", Some(false)),
    ] {
        let anchor: i64 = ledger.one(sql, &[&checkpoint, &service, &text, &bundle]);
        assert_eq!(ledger.one::<Option<bool>>(evidence, &[&anchor]), passed, "{service}");
    }
}

#[test]
fn a_watch_publishes_what_is_sealed_and_leaves_to_people_what_needs_them() {
    let (mut ledger, first) = sealed();
    let files = folder(&ledger, "watched", false);
    let path = |checkpoint: i64| files.join(ledger.id.to_string()).join(format!("{checkpoint}.json"));
    let (taken, later) = (path(first), path(first + 1));
    fs::create_dir(taken.parent().expect("a folder")).expect("a folder");
    fs::write(&taken, "{}").expect("a file");
    assert_eq!(publish(&ledger, &["--file", text_of(&files)]).0, 1);
    let mut command = Command::new(program("ets"));
    command.env_clear().envs(ledger.database.environment());
    command.args(["anchor", "--file", text_of(&files), "--watch", "1"]).stdout(Stdio::null());
    let mut watch = command.spawn().expect("ets runs");
    sleep(Duration::from_millis(2500));
    let attempts = "SELECT attempts FROM ets.anchor WHERE checkpoint_id = $1";
    let left_alone: i32 = ledger.one(attempts, &[&first]);
    ledger.append(&order("a", 2));
    let checkpoint = ledger.seal();
    let deadline = Instant::now() + Duration::from_secs(20);
    let confirmed = "SELECT count(*) FROM ets.anchor WHERE checkpoint_id = $1 AND state = 'confirmed'";
    let mut found = 0;
    while found == 0 && Instant::now() < deadline {
        sleep(Duration::from_millis(100));
        found = ledger.one::<i64>(confirmed, &[&checkpoint]);
    }
    watch.kill().expect("it watches still");
    watch.wait().expect("it ended");
    assert_eq!((found, left_alone, later.exists()), (1, 1, true));
}
