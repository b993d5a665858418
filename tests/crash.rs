//! A kill -9 at any moment loses nothing that was acknowledged.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ets_tests::{Cluster, Ledger, Signer, append, findings, head, order};
use uuid::Uuid;

/// Several rounds of appends and seals, each ended by SIGKILL of every process
/// of the server. fsync is on: an acknowledgement means the disk has it.
#[test]
fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let cluster = Cluster::start("crash", &["restart_after_crash=off"]);
    let database = cluster.create_database();
    Ledger::set_up(&mut cluster.connect(&database));
    let acknowledged: Mutex<Vec<(Uuid, i64)>> = Mutex::new(Vec::new());
    for round in 0..4_u64 {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for session in 0..6 {
                let mut client = cluster.connect(&database);
                let (stop, acknowledged) = (&stop, &acknowledged);
                scope.spawn(move || {
                    let alice = Signer::new(1);
                    let stream = format!("stream {session}");
                    let (mut previous, _) = head(&mut client, &stream);
                    for amount in 0.. {
                        // An error is the server's death, or a head whose answer it cut off.
                        let Ok(event) = append(&mut client, &alice, &order(&stream, amount), &previous)
                        else {
                            break;
                        };
                        acknowledged.lock().expect("no panic").push((event.event_id, event.sequence));
                        previous = event.current_hash;
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                    }
                });
            }
            let mut sealer = cluster.connect(&database);
            scope.spawn(move || while sealer.query_one("SELECT ets.seal()", &[]).is_ok() {});
            thread::sleep(Duration::from_millis(400 + 130 * round));
            cluster.kill();
            stop.store(true, Ordering::Relaxed);
        });
        cluster.run();

        let mut client = cluster.connect(&database);
        let ids: Vec<Uuid> = acknowledged.lock().expect("no panic").iter().map(|(id, _)| *id).collect();
        assert!(!ids.is_empty(), "the server was killed amid appends");
        let sql = "SELECT count(*) FROM ets.ledger_event WHERE event_id = ANY ($1)";
        let found: i64 = client.query_one(sql, &[&ids]).expect("count").get(0);
        assert_eq!(found, ids.len() as i64, "everything acknowledged is there");
        assert_eq!(findings(&mut client), Vec::<String>::new(), "round {round}");

        let (previous, sequence) = head(&mut client, "stream 0");
        let next =
            append(&mut client, &Signer::new(1), &order("stream 0", 0), &previous).expect("the next append");
        assert_eq!(next.sequence, sequence + 1);
        client.query_one("SELECT ets.seal()", &[]).expect("the next seal");
        let unsealed = "SELECT count(*) FROM ets.ledger_event e WHERE domain = 'orders' AND NOT EXISTS
            (SELECT FROM ets.merkle_leaf l WHERE l.event_id = e.event_id AND l.domain = e.domain)";
        assert_eq!(client.query_one(unsealed, &[]).expect("count").get::<_, i64>(0), 0);
        assert_eq!(findings(&mut client), Vec::<String>::new(), "after the seal of round {round}");
    }
}
