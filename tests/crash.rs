//! A kill -9 at any moment loses nothing that was acknowledged, and leaves nothing half.
//!
//! `make torture` is the same with more rounds: ETS_TORTURE_ROUNDS and ETS_TORTURE_SEED.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use ets_tests::{Chance, Cluster, Ledger, SCHEMA, Signer, append, findings, hash_of, head, order, setting};
use postgres::Client;
use serde_json::Value;

use crate::append::batch_event;

/// How many events a batch or a COPY has: all of them are there, or none.
const TOGETHER: i64 = 20;
/// After so many rounds a new ledger is begun, so that verifying it stays short.
const ROUNDS_A_LEDGER: u64 = 20;

/// How a writer brings its events.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Append,
    Insert,
    Batch,
    Copy,
}

const WRITERS: [Way; 8] =
    [Way::Append, Way::Append, Way::Append, Way::Append, Way::Insert, Way::Insert, Way::Batch, Way::Copy];

impl Way {
    /// Brings one event, or [`TOGETHER`], onto `previous`: the hashes that the server acknowledged.
    fn bring(
        self,
        client: &mut Client,
        signer: &Signer,
        stream: &str,
        previous: &[u8],
    ) -> Result<Vec<Vec<u8>>, postgres::Error> {
        let payload = order(stream, 1);
        let next = |payload: &Value, previous: &[u8]| hash_of(payload, previous).0.to_vec();
        match self {
            Way::Append => append(client, signer, &payload, previous).map(|event| vec![event.current_hash]),
            Way::Insert => {
                let sql = "INSERT INTO ets.ledger_event (payload, schema_version, public_key, previous_hash, signature)
                           VALUES ($1, $2, $3, $4, $5)";
                let signature = signer.sign(&payload, previous);
                client.execute(sql, &[&payload, &SCHEMA, &signer.public_key(), &previous, &signature])?;
                Ok(vec![next(&payload, previous)])
            }
            Way::Batch | Way::Copy => {
                let mut hashes = vec![previous.to_vec()];
                let mut events = Vec::new();
                for amount in 0..TOGETHER {
                    let payload = order(stream, amount);
                    let before = hashes.last().expect("one").clone();
                    events.push(batch_event(signer, &payload, &before));
                    hashes.push(next(&payload, &before));
                }
                if self == Way::Batch {
                    let batch = Value::Array(events).to_string();
                    client.query("SELECT sequence FROM ets.append_batch($1::text::json)", &[&batch])?;
                } else {
                    let sql = "COPY ets.ledger_event (payload, schema_version, public_key, previous_hash, signature) FROM STDIN";
                    // The driver takes CommandComplete for the end of a COPY, which comes before the
                    // commit: a server that ends its backends flushes it to the client. So it is the
                    // COMMIT that acknowledges.
                    let mut transaction = client.transaction()?;
                    let mut writer = transaction.copy_in(sql)?;
                    for event in &events {
                        let text = |name: &str| event[name].as_str().expect("a text").to_owned();
                        let (key, before, signature) =
                            (text("public_key"), text("previous_hash"), text("signature"));
                        let payload = event["payload"].to_string();
                        let row =
                            format!("{payload}\t{SCHEMA}\t\\\\x{key}\t\\\\x{before}\t\\\\x{signature}\n");
                        // That the server is gone shows at the end.
                        let _ = writer.write_all(row.as_bytes());
                    }
                    writer.finish()?;
                    transaction.commit()?;
                }
                Ok(hashes.split_off(1))
            }
        }
    }
}

/// Rounds of eight writers, a sealer, rebuilds and changes of the registry, each ended by
/// SIGKILL of every process of the server, or of one of its backends, which makes the
/// others end and the server recover. fsync is on: an acknowledgement means the disk has it.
#[test]
fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let (rounds, seed) = (setting("ETS_TORTURE_ROUNDS", 6), setting("ETS_TORTURE_SEED", 1));
    let mut chance = Chance::new(seed);
    let cluster = Cluster::start("crash", &[]);
    let mut database = String::new();
    let acknowledged: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
    let (mut total, mut kills) = (0, BTreeMap::<&str, u64>::new());
    for round in 0..rounds {
        if round % ROUNDS_A_LEDGER == 0 {
            total += acknowledged.lock().expect("no panic").drain(..).len();
            if !database.is_empty() {
                let drop = format!("DROP DATABASE {database} (FORCE)");
                cluster.connect("postgres").batch_execute(&drop).expect("it may go");
            }
            database = cluster.create_database();
            Ledger::set_up(&mut cluster.connect(&database));
        }
        let moment = Duration::from_millis(100 + chance.below(700));
        let victim = chance.below(3);
        thread::scope(|scope| {
            for (number, way) in WRITERS.into_iter().enumerate() {
                let mut client = cluster.connect(&database);
                let acknowledged = &acknowledged;
                scope.spawn(move || {
                    let alice = Signer::new(1);
                    let stream = format!("stream {number}");
                    let sql = "SELECT head_hash FROM ets.head('orders', $1)";
                    let Ok(row) = client.query_one(sql, &[&stream]) else { return };
                    let mut previous: Vec<u8> = row.get(0);
                    // An error is the server's death, or a head whose answer it cut off.
                    while let Ok(hashes) = way.bring(&mut client, &alice, &stream, &previous) {
                        previous.clone_from(hashes.last().expect("at least one"));
                        acknowledged.lock().expect("no panic").extend(hashes);
                    }
                });
            }
            for sql in ["SELECT ets.seal()", "SELECT count(*) FROM ets.rebuild_merkle()"] {
                let mut client = cluster.connect(&database);
                scope.spawn(move || while client.query_one(sql, &[]).is_ok() {});
            }
            let mut registrar = cluster.connect(&database);
            scope.spawn(move || {
                for number in 0_u64.. {
                    // Any 32 bytes that are a point will do; each key once.
                    let key = registrar.query_one("SELECT public_key FROM ets.generate_key()", &[]);
                    let Ok(key) = key.map(|row| row.get::<_, Vec<u8>>(0)) else { break };
                    let owner = format!("round {round}, key {number}");
                    if registrar.execute("SELECT ets.register_key($1, $2)", &[&key, &owner]).is_err() {
                        break;
                    }
                    thread::sleep(Duration::from_millis(20));
                }
            });
            thread::sleep(moment);
            if victim == 0 {
                *kills.entry("the whole server").or_default() += 1;
                cluster.kill();
            } else {
                // Whoever it is: a client's backend, or one of the server's own.
                let sql = "SELECT pid, backend_type FROM pg_stat_activity WHERE pid <> pg_backend_pid()
                              AND (backend_type = 'client backend') = $1";
                let mut watcher = cluster.connect("postgres");
                let found = watcher.query(sql, &[&(victim == 1)]).expect("processes");
                let process = &found[usize::try_from(chance.below(found.len() as u64)).expect("small")];
                *kills
                    .entry(if victim == 1 { "a client's backend" } else { "a process of the server's own" })
                    .or_default() += 1;
                let process: i32 = process.get(0);
                let killed = Command::new("kill").args(["-KILL", &process.to_string()]).status();
                assert!(killed.expect("kill runs").success());
            }
        });
        if victim == 0 {
            cluster.run();
        } else {
            cluster.wait();
        }

        let mut client = cluster.connect(&database);
        let hashes = acknowledged.lock().expect("no panic").clone();
        let sql = "SELECT count(*) FROM ets.ledger_event WHERE domain = 'orders' AND current_hash = ANY ($1)";
        let found: i64 = client.query_one(sql, &[&hashes]).expect("count").get(0);
        assert_eq!(found, hashes.len() as i64, "round {round}: everything acknowledged is there");
        for (number, way) in WRITERS.into_iter().enumerate() {
            if matches!(way, Way::Batch | Way::Copy) {
                let (_, sequence) = head(&mut client, &format!("stream {number}"));
                assert_eq!(sequence % TOGETHER, 0, "round {round}: part of a statement is there");
            }
        }
        assert_eq!(findings(&mut client), Vec::<String>::new(), "round {round}");

        let (previous, sequence) = head(&mut client, "stream 0");
        let next =
            append(&mut client, &Signer::new(1), &order("stream 0", 0), &previous).expect("the next append");
        assert_eq!(next.sequence, sequence + 1);
        client.query_one("SELECT ets.seal()", &[]).expect("the next seal");
        let unsealed = "SELECT count(*) FROM ets.ledger_event e WHERE domain = 'orders' AND NOT EXISTS
            (SELECT FROM ets.merkle_leaf l WHERE l.event_id = e.event_id AND l.domain = e.domain)";
        assert_eq!(client.query_one(unsealed, &[]).expect("count").get::<_, i64>(0), 0);
    }
    let begun = Instant::now();
    let mut client = cluster.connect(&database);
    assert_eq!(findings(&mut client), Vec::<String>::new(), "after the last seal");
    total += acknowledged.lock().expect("no panic").len();
    assert!(total as u64 > rounds, "the server was killed amid appends: {total}");
    println!(
        "seed {seed}: {rounds} rounds, killed {kills:?}; {total} events acknowledged, none lost, none half; last verification {:.1} s",
        begun.elapsed().as_secs_f64()
    );
}
