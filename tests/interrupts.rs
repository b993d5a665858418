//! Statements that are stopped at any moment: by a timeout, a cancel, the end of their
//! session, or because their process gets no more memory. All of each is there, or nothing.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use ets_tests::{Chance, Cluster, Ledger, SCHEMA, Signer, findings, hash_of, head, order, setting};
use postgres::Client;
use serde_json::{Value, json};

use crate::append::batch_event;

/// How many events a batch or a COPY brings.
const TOGETHER: i64 = 300;
/// A step that takes long asks so often whether it shall end; this machine may be busy.
const SOON: Duration = Duration::from_secs(2);

const OPERATIONS: [&str; 7] = ["append", "batch", "copy", "seal", "rebuild", "verify", "replay"];
const STOPS: [&str; 3] = ["statement_timeout", "pg_cancel_backend", "pg_terminate_backend"];

/// `count` events onto `previous`.
fn events(stream: &str, count: i64, previous: &[u8], note: &str) -> Vec<Value> {
    let mut previous = previous.to_vec();
    (0..count)
        .map(|amount| {
            let mut payload = order(stream, amount);
            if !note.is_empty() {
                payload["note"] = json!(note);
            }
            let event = batch_event(&Signer::new(1), &payload, &previous);
            previous = hash_of(&payload, &previous).0.to_vec();
            event
        })
        .collect()
}

/// Does one operation in a transaction of its own; what it brings is made beforehand.
fn perform(client: &mut Client, operation: &str, events: &[Value]) -> Result<(), postgres::Error> {
    match operation {
        "append" | "batch" => {
            let events = if operation == "append" { &events[..1] } else { events };
            let batch = Value::Array(events.to_vec()).to_string();
            client.execute("SELECT count(*) FROM ets.append_batch($1::text::json)", &[&batch]).map(drop)
        }
        "copy" => {
            let sql = "COPY ets.ledger_event (payload, schema_version, public_key, previous_hash, signature) FROM STDIN";
            let mut transaction = client.transaction()?;
            let mut writer = transaction.copy_in(sql)?;
            for event in events {
                let text = |name: &str| event[name].as_str().expect("a text").to_owned();
                let (key, before, signature) = (text("public_key"), text("previous_hash"), text("signature"));
                let row =
                    format!("{}\t{SCHEMA}\t\\\\x{key}\t\\\\x{before}\t\\\\x{signature}\n", event["payload"]);
                // That it was stopped shows at the end.
                let _ = writer.write_all(row.as_bytes());
            }
            writer.finish()?;
            transaction.commit()
        }
        "seal" => client.batch_execute("SELECT ets.seal()"),
        "rebuild" => client.batch_execute("SELECT count(*) FROM ets.rebuild_merkle()"),
        "verify" => client.batch_execute("SELECT count(*) FROM ets.verify_ledger()"),
        "replay" => client.batch_execute("SELECT count(*) FROM ets.replay('orders')"),
        other => unreachable!("{other}"),
    }
}

/// How far each operation has got: events of the stream, checkpoints, runs of a check.
fn progress(client: &mut Client, operation: &str) -> i64 {
    let sql = match operation {
        "append" | "batch" | "copy" => return head(client, "written").1,
        "seal" => "SELECT coalesce(max(checkpoint_id), 0) FROM ets.checkpoint",
        "rebuild" | "verify" => "SELECT count(*) FROM ets.verification_run WHERE verdict IS NOT NULL",
        _ => "SELECT 0::bigint",
    };
    client.query_one(sql, &[]).expect("a number").get(0)
}

#[test]
fn a_statement_that_is_stopped_at_any_moment_soon_ends_and_leaves_nothing_half() {
    let (rounds, seed) = (setting("ETS_TORTURE_ROUNDS", 2), setting("ETS_TORTURE_SEED", 1));
    let mut chance = Chance::new(seed);
    let mut ledger = Ledger::new();
    let (mut stopped, mut slowest) = (0, Duration::ZERO);
    let mut streams = 0;
    for operation in OPERATIONS {
        let mut interrupted = 0;
        let mut usual = None;
        ledger.seal();
        for round in 0..=rounds * STOPS.len() as u64 {
            // Something new to seal; the first rounds make the ledger larger for what follows.
            if operation == "seal" {
                streams += 1;
                let new = events(
                    &format!("s{streams}"),
                    1000,
                    &head(&mut ledger.client, &format!("s{streams}")).0,
                    "",
                );
                perform(&mut ledger.client, "batch", &new).expect("a batch");
            }
            let (previous, _) = head(&mut ledger.client, "written");
            let new = events("written", TOGETHER, &previous, "");
            let before = progress(&mut ledger.client, operation);
            let mut client = ledger.database.connect();
            client.batch_execute("SELECT ets.uuid_v7()").expect("the library is loaded");
            // The first one runs to its end, and tells how long it takes.
            let Some(usual_time) = usual else {
                let begun = Instant::now();
                perform(&mut client, operation, &new).expect("nothing stops it");
                usual = Some(begun.elapsed());
                continue;
            };
            let stop = STOPS[usize::try_from(round).expect("small") % STOPS.len()];
            let moment = Duration::from_micros(chance.below(usual_time.as_micros() as u64));
            let process: i32 = client.query_one("SELECT pg_backend_pid()", &[]).expect("pid").get(0);
            if stop == "statement_timeout" {
                let timeout = moment.as_millis().max(1);
                client.batch_execute(&format!("SET statement_timeout = {timeout}")).expect("set");
            }
            let watcher = &mut ledger.client;
            let (result, took) = thread::scope(|scope| {
                let worker = scope.spawn(|| (perform(&mut client, operation, &new), Instant::now()));
                thread::sleep(moment);
                let asked = Instant::now();
                if stop != "statement_timeout" {
                    watcher.query_one(&format!("SELECT {stop}($1)"), &[&process]).expect("a superuser can");
                }
                let (result, ended) = worker.join().expect("no panic");
                (result, ended.saturating_duration_since(asked))
            });
            let gone = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1";
            let deadline = Instant::now() + SOON;
            while stop == "pg_terminate_backend" && ledger.one::<i64>(gone, &[&process]) > 0 {
                assert!(Instant::now() < deadline, "{operation}: its session does not end");
                thread::sleep(Duration::from_millis(5));
            }
            let after = progress(&mut ledger.client, operation);
            let whole = match operation {
                "batch" | "copy" => TOGETHER,
                "replay" => 0,
                _ => 1,
            };
            let case = format!("seed {seed}: {operation}, {stop} after {moment:?}");
            match result {
                Ok(()) => assert_eq!(after - before, whole, "{case}: it said that it is done"),
                Err(error) => {
                    let code = error.as_db_error().map(|said| said.code().code().to_owned());
                    match code.as_deref() {
                        Some("57014") => assert_eq!(after, before, "{case}: it was cancelled"),
                        // It may have ended between its commit and its answer.
                        Some("57P01") => {
                            assert!([before, before + whole].contains(&after), "{case}: {after}")
                        }
                        // The connection is closed or reset, as its end is noticed.
                        None if stop == "pg_terminate_backend" => {
                            assert!([before, before + whole].contains(&after), "{case}: {after}");
                        }
                        _ => panic!("{case}: {error:?}"),
                    }
                    assert!(took < SOON, "{case}: it went on for {took:?}");
                    slowest = slowest.max(took);
                    interrupted += 1;
                }
            }
        }
        assert!(operation == "append" || interrupted > 0, "seed {seed}: {operation} was never stopped");
        stopped += interrupted;
        assert_eq!(ledger.findings(), Vec::<String>::new(), "seed {seed}: {operation}");
    }
    ledger.append(&order("written", 0));
    ledger.seal();
    assert_eq!(ledger.findings(), Vec::<String>::new());
    println!("seed {seed}: {stopped} statements stopped, the slowest ended after {slowest:?}");
}

/// Gives the process of a session so many more MiB than it has already.
fn limit_memory(client: &mut Client, room: u64) {
    let process: i32 = client.query_one("SELECT pg_backend_pid()", &[]).expect("pid").get(0);
    let pages = std::fs::read_to_string(format!("/proc/{process}/statm")).expect("the process is there");
    let pages: u64 = pages.split(' ').next().and_then(|text| text.parse().ok()).expect("its size");
    let limit = format!("--as={}", pages * 4096 + room * 1024 * 1024);
    // Even root may need to be the process's user for this.
    let user = std::fs::metadata(format!("/proc/{process}")).expect("the process is there");
    let mut prlimit = Command::new("prlimit");
    prlimit.args(["--pid", &process.to_string(), &limit]).current_dir("/");
    if std::fs::metadata("/proc/self").expect("we are here").uid() != user.uid() {
        prlimit.uid(user.uid()).gid(user.gid());
    }
    assert!(prlimit.status().expect("prlimit runs").success());
}

/// The batch has 20 MiB of JSON; its process may have so much more than it has already.
#[test]
fn a_process_without_memory_says_so_and_the_server_lives_on() {
    let cluster = Cluster::start("memory", &["fsync=off"]);
    let database = cluster.create_database();
    let mut client = cluster.connect(&database);
    Ledger::set_up(&mut client);
    let mut refusals = 0;
    for room in [4_u64, 16, 32, 48, 64, 96, 128, 256, 1024] {
        let (previous, before) = head(&mut client, "large");
        let batch = Value::Array(events("large", 40, &previous, &"x".repeat(500_000))).to_string();
        let mut poor = cluster.connect(&database);
        poor.batch_execute("SELECT ets.uuid_v7()").expect("the library is loaded");
        limit_memory(&mut poor, room);
        let sql = "SELECT count(*) FROM ets.append_batch($1::text::json)";
        let expected = match poor.query_one(sql, &[&batch]) {
            Ok(_) => before + 40,
            Err(error) => {
                let said =
                    error.as_db_error().unwrap_or_else(|| panic!("{room} MiB: {error}\n{}", cluster.log()));
                assert_eq!(said.code().code(), "53200", "{room} MiB: {said:?}");
                refusals += 1;
                // The session goes on.
                assert_eq!(poor.query_one("SELECT 1", &[]).expect("it lives").get::<_, i32>(0), 1);
                before
            }
        };
        assert_eq!(head(&mut client, "large").1, expected, "{room} MiB");
    }
    assert!((1..9).contains(&refusals), "some had too little, some enough: {refusals} refusals");
    assert_eq!(findings(&mut client), Vec::<String>::new());
}
