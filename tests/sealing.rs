//! Seals beside everything else that goes on: open and prepared transactions,
//! appends, other seals, cancellation.

use std::thread;
use std::time::{Duration, Instant};

use ets_tests::{Ledger, Signer, append, error_of, head, order, refused};
use postgres::Client;
use uuid::Uuid;

/// Each leaf's stream and sequence, in the order of the leaves.
fn leaves(ledger: &mut Ledger) -> Vec<(String, i64)> {
    let sql = "SELECT event.stream, event.sequence FROM ets.merkle_leaf leaf JOIN ets.ledger_event event USING (event_id, domain)
        WHERE leaf.domain = 'orders' ORDER BY leaf.leaf_index";
    ledger.client.query(sql, &[]).expect("leaves").iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn sealed(ledger: &mut Ledger, event: Uuid) -> bool {
    ledger.one("SELECT count(*) > 0 FROM ets.merkle_leaf WHERE event_id = $1", &[&event])
}

fn named(leaves: &[(&str, i64)]) -> Vec<(String, i64)> {
    leaves.iter().map(|(stream, sequence)| ((*stream).to_owned(), *sequence)).collect()
}

/// Appends as many events as are asked for, in one transaction, to one stream.
fn append_many(ledger: &mut Ledger, stream: &str, events: i64) {
    let (mut previous, _) = ledger.head(stream);
    let mut batch = Vec::new();
    for amount in 0..events {
        let payload = order(stream, amount);
        let signature = ledger.alice.sign(&payload, &previous);
        let next = ets_tests::hash_of(&payload, &previous).as_bytes().to_vec();
        batch.push(serde_json::json!({
            "payload": payload, "schema_version": ets_tests::SCHEMA,
            "public_key": ets_core::hash::to_hex(&ledger.alice.public_key()),
            "previous_hash": ets_core::hash::to_hex(&previous),
            "signature": ets_core::hash::to_hex(&signature),
        }));
        previous = next;
    }
    let sql = "SELECT count(*) FROM ets.append_batch($1)";
    assert_eq!(ledger.one::<i64>(sql, &[&serde_json::Value::Array(batch)]), events);
}

#[test]
fn an_open_transaction_delays_neither_the_others_nor_the_seal() {
    let mut ledger = Ledger::new();
    ledger.append(&order("a", 1));
    let mut open = ledger.database.connect();
    let mut open = open.transaction().expect("a transaction");
    let previous = head(&mut open, "late").0;
    let late = append(&mut open, &Signer::new(1), &order("late", 1), &previous).expect("append").event_id;
    // One that has an id and does nothing, one that only has a snapshot.
    let mut idle = ledger.database.connect();
    idle.batch_execute("BEGIN; SELECT pg_current_xact_id()").expect("an open transaction");
    let mut reader = ledger.database.connect();
    reader
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM ets.ledger_event")
        .expect("a snapshot");

    let after = ledger.append(&order("b", 1)).event_id;
    assert!(late < after, "the open one has the smaller id");
    assert_eq!(ledger.seal(), 1);
    assert_eq!(leaves(&mut ledger), named(&[("a", 1), ("b", 1)]));
    assert!(!sealed(&mut ledger, late));
    assert_eq!(ledger.findings(), Vec::<String>::new());
    ledger.append(&order("a", 2));
    assert_eq!(ledger.seal(), 2);

    open.commit().expect("commit");
    assert_eq!(ledger.seal(), 3);
    assert_eq!(leaves(&mut ledger), named(&[("a", 1), ("b", 1), ("a", 2), ("late", 1)]));
    idle.batch_execute("COMMIT").expect("commit");
    reader.batch_execute("COMMIT").expect("commit");
    assert_eq!(ledger.seal(), 3, "nothing is new");
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

#[test]
fn a_prepared_transaction_joins_the_seal_after_its_commit() {
    let mut ledger = Ledger::new();
    let mut other = ledger.database.connect();
    let name = format!("'{}'", ledger.database.name);
    other.batch_execute("BEGIN").expect("begin");
    let previous = head(&mut other, "prepared").0;
    let event = append(&mut other, &Signer::new(1), &order("prepared", 1), &previous).expect("append");
    other.batch_execute(&format!("PREPARE TRANSACTION {name}")).expect("prepared");
    drop(other);
    ledger.append(&order("a", 1));
    assert_eq!(ledger.seal(), 1);
    assert!(!sealed(&mut ledger, event.event_id));
    // Its stream waits for it, the others do not.
    ledger.client.batch_execute("SET lock_timeout = '100ms'").expect("set");
    let waits = ledger.try_append(&order("prepared", 2), &event.current_hash);
    assert_eq!(error_of(waits).code().code(), "55P03");
    ledger.append(&order("a", 2));
    assert_eq!(ledger.seal(), 2);
    ledger.client.batch_execute(&format!("COMMIT PREPARED {name}")).expect("committed");
    assert_eq!(ledger.seal(), 3);
    assert_eq!(leaves(&mut ledger), named(&[("a", 1), ("a", 2), ("prepared", 1)]));
    assert_eq!(ledger.append(&order("prepared", 2)).sequence, 2);

    // One that is rolled back never was.
    let mut other = ledger.database.connect();
    other.batch_execute("BEGIN").expect("begin");
    let previous = head(&mut other, "prepared").0;
    append(&mut other, &Signer::new(1), &order("prepared", 3), &previous).expect("append");
    other.batch_execute(&format!("PREPARE TRANSACTION {name}")).expect("prepared");
    ledger.seal();
    ledger.client.batch_execute(&format!("ROLLBACK PREPARED {name}")).expect("rolled back");
    assert_eq!(ledger.append(&order("prepared", 4)).sequence, 3);
    ledger.seal();
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

/// A seal holds no lock that an append or a reader asks for, however long it takes.
#[test]
fn appends_and_readers_go_on_while_a_seal_is_open() {
    let mut ledger = Ledger::new();
    let first = ledger.append(&order("a", 1)).event_id;
    ledger.seal();
    ledger.append(&order("a", 2));
    let mut sealing = ledger.database.connect();
    let mut sealing = sealing.transaction().expect("a transaction");
    let checkpoint: i64 =
        sealing.query_one("SELECT checkpoint_id FROM ets.seal()", &[]).expect("seal").get(0);
    assert_eq!(checkpoint, 2);

    ledger.client.batch_execute("SET lock_timeout = '2s'").expect("set");
    let during = ledger.append(&order("a", 3)).event_id;
    append_many(&mut ledger, "b", 300);
    let proof: i64 = ledger.one("SELECT count(*) FROM ets.merkle_proof($1, 1)", &[&first]);
    assert_eq!(proof, 0, "one leaf of its domain is the tree");
    assert_eq!(ledger.findings(), Vec::<String>::new());
    ledger.client.batch_execute("SELECT ets.create_domain('meanwhile')").expect("the registry goes on");
    // Another seal waits.
    refused(ledger.client.query_one("SELECT ets.seal()", &[]), "55P03");
    sealing.commit().expect("commit");
    assert!(!sealed(&mut ledger, during));
    assert_eq!(ledger.seal(), 3);
    assert!(sealed(&mut ledger, during));
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

#[test]
fn a_seal_that_is_rolled_back_or_cancelled_leaves_the_last_checkpoint() {
    let mut ledger = Ledger::new();
    ledger.append(&order("a", 1));
    ledger.seal();
    append_many(&mut ledger, "b", 3000);
    let before = ledger.contents();
    ledger.client.batch_execute("BEGIN; SELECT ets.seal(); ROLLBACK").expect("rolled back");
    assert_eq!(ledger.contents(), before);

    // Cancelled, then ended, somewhere in the middle; a seal of this size takes longer.
    for (stop, code) in [("pg_cancel_backend", "57014"), ("pg_terminate_backend", "57P01")] {
        let mut interrupted = 0;
        for delay in [1, 2, 4, 6, 8, 12, 16, 24, 32] {
            let mut sealing = ledger.database.connect();
            let process: i32 = sealing.query_one("SELECT pg_backend_pid()", &[]).expect("pid").get(0);
            let killer = ledger.database.connect();
            let delay = Duration::from_millis(delay);
            let stopper = thread::spawn(move || interrupt(killer, process, delay, stop));
            let result = sealing.batch_execute("BEGIN; SELECT ets.seal(); SELECT pg_sleep(5); COMMIT");
            stopper.join().expect("the stop is sent");
            let error = result.expect_err("the seal does not get to its end");
            // The session that is ended may be gone before it says so.
            let said = error.as_db_error().map_or(code, |error| error.code().code());
            assert!(said == code && (error.as_db_error().is_some() || error.is_closed()), "{error:?}");
            interrupted += 1;
            drop(sealing);
            let left: i64 = ledger.one("SELECT max(checkpoint_id) FROM ets.checkpoint", &[]);
            assert_eq!(left, 1, "{stop} after {delay:?}");
        }
        assert_eq!(interrupted, 9);
        wait_for_quiet(&mut ledger);
        assert_eq!(ledger.contents(), before, "{stop}");
    }
    assert_eq!(ledger.findings(), Vec::<String>::new());
    assert_eq!(ledger.seal(), 2);
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

/// Cancels or ends a session, a while after its statement has begun: what comes
/// before is lost.
fn interrupt(mut client: Client, process: i32, delay: Duration, stop: &str) {
    let is_active = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND state = 'active'";
    let deadline = Instant::now() + Duration::from_secs(20);
    while client.query_one(is_active, &[&process]).expect("activity").get::<_, i64>(0) == 0 {
        assert!(Instant::now() < deadline, "the statement does not begin");
    }
    thread::sleep(delay);
    client.batch_execute(&format!("SELECT {stop}({process})")).expect("a superuser can");
}

/// Until the sessions that were ended are gone.
fn wait_for_quiet(ledger: &mut Ledger) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let others = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    while ledger.one::<i64>(others, &[]) > 0 {
        assert!(Instant::now() < deadline, "a session does not end");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The order inside a stream is the stream's, whatever commits when.
#[test]
fn leaves_of_a_stream_are_in_its_order() {
    let mut ledger = Ledger::new();
    let streams = ["p", "q", "r", "s"];
    thread::scope(|scope| {
        for stream in streams {
            let mut client = ledger.database.connect();
            scope.spawn(move || {
                let alice = Signer::new(1);
                for round in 0..25_u64 {
                    let mut transaction = client.transaction().expect("a transaction");
                    let (mut previous, sequence) = head(&mut transaction, stream);
                    for amount in sequence..sequence + 1 + round as i64 % 3 {
                        let payload = order(stream, amount);
                        previous = append(&mut transaction, &alice, &payload, &previous)
                            .expect("append")
                            .current_hash;
                    }
                    // Some transactions stay open for a while, some are taken back.
                    thread::sleep(Duration::from_millis(round * 7 % 5));
                    if round % 6 == 5 { transaction.rollback() } else { transaction.commit() }.expect("ends");
                }
            });
        }
        let mut sealer = ledger.database.connect();
        scope.spawn(move || {
            for _ in 0..40 {
                sealer.query_one("SELECT ets.seal()", &[]).expect("seal");
                thread::sleep(Duration::from_millis(3));
            }
        });
    });
    ledger.seal();
    let leaves = leaves(&mut ledger);
    for stream in streams {
        let sequences: Vec<i64> = leaves.iter().filter(|leaf| leaf.0 == stream).map(|leaf| leaf.1).collect();
        assert_eq!(sequences, (1..=sequences.len() as i64).collect::<Vec<_>>(), "{stream}");
        assert!(sequences.len() > 20);
    }
    assert_eq!(ledger.findings(), Vec::<String>::new());
}
