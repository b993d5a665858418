//! Kill -9 at named points: a second session holds the lock of a table that an operation
//! writes, so that the operation stands still just there, with all it wrote before.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use ets_tests::{Cluster, Ledger, Signer, findings, hash_of, head, order};
use postgres::Client;
use serde_json::Value;

use crate::append::batch_event;

/// How many events a batch brings.
const TOGETHER: i64 = 20;

/// The points: an operation, and where it stands still when it is killed. A table that it
/// begins to write, or its own commit. The test finds them and compares.
const POINTS: [&str; 20] = [
    "append: stream_head",
    "append: ledger_event",
    "append: commit",
    "batch: stream_head",
    "batch: ledger_event",
    "batch: commit",
    "seal: merkle_leaf",
    "seal: merkle_tile",
    "seal: checkpoint",
    "seal: domain_root",
    "seal: seal_position",
    "seal: commit",
    "rebuild: stream_head",
    "rebuild: verification_run",
    "rebuild: ledger_event",
    "rebuild: commit",
    "registry: stream_head",
    "registry: signing_key",
    "registry: ledger_event",
    "registry: commit",
];

fn statement(client: &mut Client, operation: &str) -> String {
    match operation {
        "append" | "batch" => {
            let mut previous = head(client, "s").0;
            let count = if operation == "append" { 1 } else { TOGETHER };
            let events = (0..count).map(|amount| {
                let payload = order("s", amount);
                let event = batch_event(&Signer::new(1), &payload, &previous);
                previous = hash_of(&payload, &previous).0.to_vec();
                event
            });
            format!("SELECT ets.append_batch('{}')", Value::Array(events.collect()))
        }
        "seal" => "SELECT ets.seal()".to_owned(),
        "rebuild" => "SELECT ets.rebuild_merkle()".to_owned(),
        "registry" => format!("SELECT ets.revoke_key('{}', 'a test')", Signer::new(2).key_id()),
        other => unreachable!("{other}"),
    }
}

/// What a kill must leave as it was.
fn progress(client: &mut Client) -> Vec<i64> {
    let sql = "SELECT ARRAY[(SELECT count(*) FROM ets.ledger_event), (SELECT sum(sequence)::bigint FROM ets.stream_head),
        (SELECT count(*) FROM ets.merkle_leaf), (SELECT count(*) FROM ets.checkpoint),
        (SELECT count(*) FROM ets.verification_run), (SELECT count(*) FROM ets.signing_key WHERE revoked_at IS NOT NULL)]";
    client.query_one(sql, &[]).expect("progress").get(0)
}

/// Lets `sql` run in a transaction while another session holds `table`. True once it waits
/// for that; false if it is done without.
fn stands_still(cluster: &Cluster, database: &str, table: &str, sql: &str, whole_server: bool) -> bool {
    let mut holder = cluster.connect(database);
    if table != "commit" {
        holder.batch_execute(&format!("BEGIN; LOCK TABLE ets.{table} IN SHARE MODE")).expect("the lock");
    }
    let mut session = cluster.connect(database);
    let process: i32 = session.query_one("SELECT pg_backend_pid()", &[]).expect("pid").get(0);
    let mut watcher = cluster.connect(database);
    let holder_process: i32 = holder.query_one("SELECT pg_backend_pid()", &[]).expect("pid").get(0);
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            session.batch_execute("BEGIN")?;
            session.batch_execute(sql)
        });
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut waits = false;
        while !waits && !worker.is_finished() {
            let asks = "SELECT $1 = ANY (pg_blocking_pids($2))";
            waits = watcher.query_one(asks, &[&holder_process, &process]).expect("locks").get(0);
            assert!(Instant::now() < deadline, "neither done nor waiting for {table}");
            thread::sleep(Duration::from_millis(1));
        }
        if waits || table == "commit" {
            if table == "commit" {
                assert!(!waits, "nobody holds anything");
            }
            if whole_server {
                cluster.kill();
            } else {
                let killed = Command::new("kill").args(["-KILL", &process.to_string()]).status();
                assert!(killed.expect("kill runs").success());
            }
        }
        let result = worker.join().expect("no panic");
        assert_eq!(result.is_err(), waits, "{table}: {result:?}");
        waits || table == "commit"
    })
}

#[test]
fn a_kill_at_each_named_point_leaves_what_was_there() {
    let cluster = Cluster::start("points", &[]);
    let database = cluster.create_database();
    let mut client = cluster.connect(&database);
    Ledger::set_up(&mut client);
    let key = Signer::new(2).public_key();
    client.execute("SELECT ets.register_key($1, 'bob')", &[&key]).expect("key");
    let tables = include_str!("../sql/guarded_tables.txt").lines().chain(["ledger_event", "commit"]);
    let tables: Vec<&str> = tables.collect();
    let mut found = Vec::new();
    for operation in ["append", "batch", "seal", "rebuild", "registry"] {
        for table in &tables {
            // Something is there to seal, whatever the last one left.
            if operation == "seal" {
                let sql = statement(&mut client, "append");
                client.batch_execute(&sql).expect("an event");
            }
            let sql = statement(&mut client, operation);
            let before = progress(&mut client);
            let whole_server = found.len() % 3 == 2;
            if !stands_still(&cluster, &database, table, &sql, whole_server) {
                continue;
            }
            found.push(format!("{operation}: {table}"));
            drop(client);
            if whole_server {
                cluster.run();
            } else {
                thread::sleep(Duration::from_millis(50));
                cluster.wait();
            }
            client = cluster.connect(&database);
            assert_eq!(progress(&mut client), before, "{operation}, {table}");
        }
        assert_eq!(findings(&mut client), Vec::<String>::new(), "{operation}");
        // What was killed works now.
        let before = progress(&mut client);
        let sql = statement(&mut client, operation);
        client.batch_execute(&sql).unwrap_or_else(|error| panic!("{operation}: {error:?}"));
        assert_ne!(progress(&mut client), before, "{operation}");
        assert_eq!(findings(&mut client), Vec::<String>::new(), "after {operation}");
    }
    assert_eq!(found, POINTS);
}
