//! Sixteen sessions at once: no fork, no lost event, no deadlock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ets_tests::{DOMAIN, Ledger, Signer, append, error_of, head, order};
use postgres::Client;
use serde_json::Value;

const SESSIONS: u8 = 16;
const EVENTS: i64 = 40;

/// Runs `session` sixteen times at once, with seals going on until all are done.
fn with_seals(ledger: &Ledger, session: impl Fn(u8, Client) + Sync) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            let mut client = ledger.database.connect();
            let done = &done;
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    client.query_one("SELECT ets.seal()", &[]).expect("a seal waits or returns");
                }
            });
        }
        let sessions: Vec<_> = (0..SESSIONS)
            .map(|number| {
                let client = ledger.database.connect();
                let session = &session;
                scope.spawn(move || session(number, client))
            })
            .collect();
        // Sealing ends even if a session panics.
        let results: Vec<_> = sessions.into_iter().map(thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        for result in results {
            result.expect("every session ends well");
        }
    });
}

/// Nothing is forked, lost or unsealed.
fn check(ledger: &mut Ledger, events: i64) {
    ledger.seal();
    let stored: i64 = ledger.one("SELECT count(*) FROM ets.ledger_event WHERE domain = $1", &[&DOMAIN]);
    assert_eq!(stored, events);
    let forks: i64 = ledger.one(
        "SELECT count(*) FROM (SELECT 1 FROM ets.ledger_event GROUP BY domain, previous_hash HAVING count(*) > 1) f",
        &[],
    );
    assert_eq!(forks, 0);
    let leaves: i64 = ledger.one("SELECT count(*) FROM ets.merkle_leaf WHERE domain = $1", &[&DOMAIN]);
    assert_eq!(leaves, events);
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

#[test]
fn sixteen_sessions_on_one_stream_sign_again_when_they_lose() {
    let mut ledger = Ledger::new();
    with_seals(&ledger, |number, mut client| {
        let alice = Signer::new(1);
        let mut previous = head(&mut client, "hot").0;
        for event in 0..EVENTS {
            let payload = order("hot", i64::from(number) * EVENTS + event);
            loop {
                match append(&mut client, &alice, &payload, &previous) {
                    Ok(appended) => break previous = appended.current_hash,
                    Err(error) => {
                        let error = error_of::<()>(Err(error));
                        assert_eq!(error.code().code(), "ET005", "{error:?}");
                        let detail: Value =
                            serde_json::from_str(error.detail().expect("a detail")).expect("JSON");
                        let hash = detail["head_hash"].as_str().expect("the actual head");
                        previous = ets_core::hash::from_hex::<32>(hash).expect("a hash").to_vec();
                    }
                }
            }
        }
    });
    check(&mut ledger, i64::from(SESSIONS) * EVENTS);
}

#[test]
fn sixteen_sessions_on_one_stream_queue_for_its_head() {
    let mut ledger = Ledger::new();
    with_seals(&ledger, |number, mut client| {
        let alice = Signer::new(1);
        for event in 0..EVENTS {
            let mut transaction = client.transaction().expect("a transaction");
            let sql = "SELECT head_hash FROM ets.head($1, 'hot', for_append => true)";
            let previous: Vec<u8> = transaction.query_one(sql, &[&DOMAIN]).expect("the head").get(0);
            let payload = order("hot", i64::from(number) * EVENTS + event);
            append(&mut transaction, &alice, &payload, &previous).expect("nobody is between");
            transaction.commit().expect("commit");
        }
    });
    check(&mut ledger, i64::from(SESSIONS) * EVENTS);
}

#[test]
fn sixteen_sessions_on_sixteen_streams_never_meet() {
    let mut ledger = Ledger::new();
    with_seals(&ledger, |number, mut client| {
        let alice = Signer::new(1);
        let stream = format!("stream {number}");
        let mut previous = head(&mut client, &stream).0;
        for event in 0..EVENTS {
            previous = append(&mut client, &alice, &order(&stream, event), &previous)
                .expect("no other session appends here")
                .current_hash;
        }
    });
    check(&mut ledger, i64::from(SESSIONS) * EVENTS);
    let streams: i64 =
        ledger.one("SELECT count(*) FROM ets.streams WHERE domain = $1 AND events = $2", &[&DOMAIN, &EVENTS]);
    assert_eq!(streams, i64::from(SESSIONS));
}

#[test]
fn an_append_to_one_stream_does_not_wait_for_another() {
    let mut ledger = Ledger::new();
    let mut open = ledger.database.connect();
    let mut transaction = open.transaction().expect("a transaction");
    let genesis = head(&mut transaction, "slow").0;
    append(&mut transaction, &Signer::new(1), &order("slow", 1), &genesis).expect("append");
    ledger.client.batch_execute("SET lock_timeout = '2s'; SET statement_timeout = '20s'").expect("settings");
    assert_eq!(ledger.append(&order("fast", 1)).sequence, 1);
    // A seal does not wait for it either; it takes the event next time.
    ledger.seal();
    transaction.commit().expect("commit");
    check(&mut ledger, 2);
}

#[test]
fn two_seals_at_once_make_one_tree() {
    let mut ledger = Ledger::new();
    for round in 0..10 {
        ledger.append(&order("s", round));
        let ids: Vec<i64> = thread::scope(|scope| {
            let seals: Vec<_> = (0..4)
                .map(|_| {
                    let mut client = ledger.database.connect();
                    scope.spawn(move || -> i64 {
                        client.query_one("SELECT checkpoint_id FROM ets.seal()", &[]).expect("seal").get(0)
                    })
                })
                .collect();
            seals.into_iter().map(|seal| seal.join().expect("no panic")).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "one checkpoint for one event: {ids:?}");
    }
    let gaps: i64 = ledger.one("SELECT max(checkpoint_id) - count(*) FROM ets.checkpoint", &[]);
    assert_eq!(gaps, 0);
    check(&mut ledger, 10);
}

#[test]
fn registry_and_appends_at_once() {
    let mut ledger = Ledger::new();
    with_seals(&ledger, |number, mut client| {
        let signer = Signer::new(100 + number);
        let owner = format!("owner {number}");
        client.execute("SELECT ets.register_key($1, $2)", &[&signer.public_key(), &owner]).expect("key");
        client.execute("SELECT ets.grant_authority($1, $2)", &[&signer.key_id(), &DOMAIN]).expect("grant");
        let stream = format!("of {number}");
        let mut previous = head(&mut client, &stream).0;
        for event in 0..10 {
            previous =
                append(&mut client, &signer, &order(&stream, event), &previous).expect("append").current_hash;
        }
    });
    check(&mut ledger, i64::from(SESSIONS) * 10);
}
