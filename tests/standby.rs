//! A hot standby verifies and proves; after promotion it goes on.

use std::thread;
use std::time::{Duration, Instant};

use ets_tests::{Cluster, Ledger, Signer, append, error_of, findings, head, order, refused, tamper};
use postgres::Client;

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not happen within a minute");
        thread::sleep(Duration::from_millis(20));
    }
}

fn caught_up(primary: &mut Client, standby: &mut Client) {
    let position: String =
        primary.query_one("SELECT pg_current_wal_flush_lsn()::text", &[]).expect("lsn").get(0);
    let sql = "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn";
    wait("replay", || standby.query_one(sql, &[&position]).expect("lsn").get(0));
}

/// Every function that only reads, with arguments that reach its heart, and the views.
fn reads(event: uuid::Uuid) -> Vec<String> {
    vec![
        format!("SELECT ets.event_document('{event}')::text"),
        format!("SELECT string_agg(check_name || passed, ',') FROM ets.verify_event('{event}')"),
        format!("SELECT string_agg(check_name || passed, ',') FROM ets.verify_document(ets.event_document('{event}'))"),
        format!("SELECT string_agg(check_name || passed, ',') FROM ets.verify_bundle(ets.proof_bundle('{event}'))"),
        format!("SELECT string_agg(step || side || hash::text, ',') FROM ets.merkle_proof('{event}')"),
        format!("SELECT ets.tlog_proof('{event}')"),
        "SELECT string_agg(f::text, ',') FROM ets.verify_chain('orders', 'a') f".into(),
        "SELECT string_agg(f::text, ',') FROM ets.verify_ledger() f".into(),
        "SELECT string_agg(f::text, ',') FROM ets.verify_ledger('orders') f".into(),
        "SELECT string_agg(f::text, ',') FROM ets.verify_ledger(incremental => true) f".into(),
        "SELECT string_agg(f::text, ',') FROM ets.verify_replay() f".into(),
        "SELECT string_agg(r::text, ',') FROM ets.rebuild_merkle() r".into(),
        "SELECT string_agg(r::text, ',') FROM ets.replay('orders') r".into(),
        "SELECT ets.state_root('orders')::text".into(),
        "SELECT ets.state('orders', 'a')::text".into(),
        "SELECT ets.head('orders', 'a')::text".into(),
        "SELECT ets.prepare('{\"schema\": \"order/1.0.0\", \"order\": \"a\", \"amount\": 1}', 'order/1.0.0')::text".into(),
        "SELECT ets.genesis_hash('orders', 'a')::text".into(),
        "SELECT ets.checkpoint_note('orders') || ets.verifier_key('orders')".into(),
        "SELECT string_agg(check_name || passed, ',') FROM ets.verify_checkpoint(ets.checkpoint_note('orders'))".into(),
        "SELECT ets.tile('orders', 0, 0, 2)::text || ets.entry_bundle('orders', 0, 2)::text".into(),
        "SELECT string_agg(c::text, ',') FROM ets.consistency_proof('orders', 2, 4) c".into(),
        "SELECT ets.stream_bundle('orders', 'a')::text".into(),
        "SELECT string_agg(e::text, ',') FROM ets.read_stream('orders', 'a') e".into(),
        "SELECT string_agg(e::text, ',') FROM ets.read_domain('orders') e".into(),
        "SELECT ets.trust_root()::text".into(),
        "SELECT string_agg(s::text, ',') FROM ets.streams s".into(),
        "SELECT string_agg(f::text, ',') FROM ets.open_findings f".into(),
    ]
}

fn answer(client: &mut Client, sql: &str) -> Option<String> {
    client.query_one(sql, &[]).unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
}

#[test]
fn a_standby_reads_and_verifies_and_goes_on_after_promotion() {
    let primary = Cluster::bare("primary", &["fsync=off", "synchronous_standby_names=standby"]);
    let mut client = primary.connect("postgres");
    client.batch_execute("SET synchronous_commit = local").expect("set");
    client.batch_execute("CREATE DATABASE ledger").expect("database");
    let mut client = primary.connect("ledger");
    client.batch_execute("SET synchronous_commit = local; CREATE EXTENSION pg_ets").expect("extension");
    Ledger::set_up(&mut client);
    let add = |client: &mut Client, stream: &str, amount: i64| {
        let (previous, _) = head(client, stream);
        append(client, &Signer::new(1), &order(stream, amount), &previous).expect("append")
    };
    let event = add(&mut client, "a", 1).event_id;
    add(&mut client, "a", 2);
    client.query_one("SELECT ets.seal()", &[]).expect("seal");
    add(&mut client, "b", 1);
    add(&mut client, "a", 3);
    client.query_one("SELECT ets.seal()", &[]).expect("seal");

    let standby = primary.standby("standby", &["fsync=off"]);
    let mut reader = standby.connect("ledger");
    caught_up(&mut client, &mut reader);
    let parallel = format!(
        "SET {} = on; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0",
        Cluster::parallel_setting()
    );
    let settings = ["SELECT 1", &parallel];
    for setting in settings {
        reader.batch_execute(setting).expect("set");
        client.batch_execute(setting).expect("set");
        for sql in reads(event) {
            // The server's own statements come and go with runs on the primary: ask the standby alone twice.
            let here = answer(&mut reader, &sql);
            assert_eq!(answer(&mut reader, &sql), here, "{sql}");
            client.batch_execute("BEGIN READ ONLY").expect("begin");
            assert_eq!(answer(&mut client, &sql), here, "{sql}: as on the primary");
            client.batch_execute("COMMIT").expect("commit");
        }
        let states = "SELECT string_agg(item, ',') FROM ets.status WHERE state = 'failed'";
        assert_eq!(answer(&mut reader, states), None);
    }
    // What would write says so.
    let head_for_append = reader.query_one("SELECT ets.head('orders', 'a', for_append => true)", &[]);
    assert_eq!(error_of(head_for_append).code().code(), "25006");
    assert_eq!(error_of(reader.query_one("SELECT ets.seal()", &[])).code().code(), "25006");
    let previous = head(&mut reader, "a").0;
    let refusal = append(&mut reader, &Signer::new(1), &order("a", 9), &previous);
    assert_eq!(error_of(refusal).code().code(), "25006");
    // What would record a run does it, and records nothing.
    for call in ["CALL ets.run_verification()", "CALL ets.run_rebuild()"] {
        reader.batch_execute(call).expect("a run on a standby");
    }
    assert!(!standby.log().contains("cannot assign TransactionIds"));

    // What was changed on the primary is found on the standby.
    client.batch_execute(&format!("RESET {}", Cluster::parallel_setting())).expect("reset");
    tamper(
        &mut client,
        &format!(
            "UPDATE ets.ledger_event SET payload = payload || '{{\"amount\": 77}}' WHERE event_id = '{event}'"
        ),
    );
    caught_up(&mut client, &mut reader);
    assert!(findings(&mut reader).iter().any(|finding| finding.contains(&event.to_string())));
    refused(reader.query_one(&format!("SELECT ets.event_document('{event}')"), &[]), "ET002");
    tamper(
        &mut client,
        &format!(
            "UPDATE ets.ledger_event SET payload = payload || '{{\"amount\": 1}}' WHERE event_id = '{event}'"
        ),
    );

    // Writers under synchronous replication; the primary dies amid them.
    let acknowledged = thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|number| {
                let mut writer = primary.connect("ledger");
                scope.spawn(move || {
                    let stream = format!("writer {number}");
                    let (mut previous, mut written) = (head(&mut writer, &stream).0, Vec::new());
                    for amount in 0.. {
                        let Ok(event) =
                            append(&mut writer, &Signer::new(1), &order(&stream, amount), &previous)
                        else {
                            break;
                        };
                        previous = event.current_hash;
                        written.push(event.event_id);
                    }
                    written
                })
            })
            .collect();
        let mut sealer = primary.connect("ledger");
        scope.spawn(move || while sealer.query_one("SELECT ets.seal()", &[]).is_ok() {});
        thread::sleep(Duration::from_millis(700));
        primary.kill();
        writers.into_iter().flat_map(|writer| writer.join().expect("a writer ends")).collect::<Vec<_>>()
    });
    assert!(acknowledged.len() > 20, "{} events were acknowledged", acknowledged.len());
    reader.batch_execute("SELECT pg_promote()").expect("promoted");
    let mut promoted = standby.connect("ledger");
    let sql = "SELECT count(*) FROM ets.ledger_event WHERE event_id = ANY ($1)";
    let found: i64 = promoted.query_one(sql, &[&acknowledged]).expect("count").get(0);
    assert_eq!(found, acknowledged.len() as i64, "nothing acknowledged is lost");
    assert_eq!(findings(&mut promoted), Vec::<String>::new());
    // The key file did not come along: the seal goes on without notes.
    for amount in 4..6 {
        add(&mut promoted, "a", amount);
        promoted.query_one("SELECT ets.seal()", &[]).expect("seal");
    }
    let unsealed = "SELECT value FROM ets.status WHERE item = 'unsealed events'";
    assert_eq!(answer(&mut promoted, unsealed), Some("0".to_owned()));
    assert_eq!(findings(&mut promoted), Vec::<String>::new());
}
