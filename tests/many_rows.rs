//! Statements of many rows, whose signatures and schemas are checked beside them: however
//! many threads there are, the first row that is refused ends the statement, and nothing of
//! it is there.

use std::io::Write as _;

use ets_tests::{DOMAIN, Ledger, SCHEMA, Signer, hash_of, order, refused};
use postgres::Client;
use serde_json::{Value, json};

use crate::append::batch_event;

/// More than are checked together.
const ROWS: usize = 200;
const COLUMNS: &str = "payload, schema_version, public_key, previous_hash, signature";
const WAYS: [&str; 3] = ["batch", "copy", "insert"];

/// What is wrong with one of the rows.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Signature,
    Schema,
    Head,
    Key,
}

impl Fault {
    fn sqlstate(self) -> &'static str {
        match self {
            Fault::Signature => "ET003",
            Fault::Key => "ET004",
            Fault::Head => "ET005",
            Fault::Schema => "ET007",
        }
    }
}

/// As many events as [`ROWS`] onto the head, one for each of so many streams in turn, with these
/// faults at these places.
fn events(ledger: &mut Ledger, streams: usize, faults: &[(usize, Fault)]) -> Vec<Value> {
    let mut heads: Vec<Vec<u8>> =
        (0..streams).map(|stream| ledger.head(&format!("many-{stream}")).0).collect();
    (0..ROWS)
        .map(|row| {
            let stream = row % streams;
            let mut payload = order(&format!("many-{stream}"), row as i64);
            let fault = faults.iter().find(|(place, _)| *place == row).map(|(_, fault)| *fault);
            if fault == Some(Fault::Schema) {
                payload["amount"] = json!("much");
            }
            let before = if fault == Some(Fault::Head) { vec![7; 32] } else { heads[stream].clone() };
            let stranger = Signer::new(9);
            let signer = if fault == Some(Fault::Key) { &stranger } else { &ledger.alice };
            let mut event = batch_event(signer, &payload, &before);
            if fault == Some(Fault::Signature) {
                event["signature"] = json!("ab".repeat(64));
            }
            heads[stream] = hash_of(&payload, &before).0.to_vec();
            event
        })
        .collect()
}

/// Brings them all in one statement.
fn bring(client: &mut Client, way: &str, events: &[Value]) -> Result<i64, postgres::Error> {
    let text = Value::Array(events.to_vec()).to_string();
    match way {
        "batch" => client
            .query_one("SELECT count(*) FROM ets.append_batch($1::text::json)", &[&text])
            .map(|row| row.get(0)),
        "insert" => {
            let sql = format!(
                "WITH stored AS (INSERT INTO ets.ledger_event ({COLUMNS})
                 SELECT event->'payload', event->>'schema_version', decode(event->>'public_key', 'hex'),
                        decode(event->>'previous_hash', 'hex'), decode(event->>'signature', 'hex')
                   FROM jsonb_array_elements($1::text::jsonb) WITH ORDINALITY AS events (event, number)
                  ORDER BY number RETURNING event_id)
                 SELECT count(*) FROM stored"
            );
            client.query_one(sql.as_str(), &[&text]).map(|row| row.get(0))
        }
        _ => {
            let mut transaction = client.transaction()?;
            let copy = format!("COPY ets.ledger_event ({COLUMNS}) FROM STDIN");
            let mut writer = transaction.copy_in(copy.as_str())?;
            for event in events {
                let bytes = |name: &str| format!("\\\\x{}", event[name].as_str().expect("a text"));
                let row = [
                    event["payload"].to_string(),
                    SCHEMA.to_owned(),
                    bytes("public_key"),
                    bytes("previous_hash"),
                    bytes("signature"),
                ];
                // That it was refused shows at the end.
                let _ = writer.write_all(format!("{}\n", row.join("\t")).as_bytes());
            }
            let rows = writer.finish()?;
            transaction.commit()?;
            Ok(rows as i64)
        }
    }
}

fn stored(ledger: &mut Ledger) -> i64 {
    ledger.one("SELECT count(*) FROM ets.ledger_event WHERE domain = $1", &[&DOMAIN])
}

#[test]
fn all_are_stored_in_their_order() {
    let mut ledger = Ledger::new();
    let mut expected = 0;
    for streams in [1, 3, ROWS] {
        for threads in [1, 2, 4] {
            ledger.client.execute(&format!("SET ets.worker_threads = {threads}"), &[]).expect("SET");
            for way in WAYS {
                let events = events(&mut ledger, streams, &[]);
                let brought = bring(&mut ledger.client, way, &events);
                assert_eq!(brought.expect("stored"), ROWS as i64, "{way} {streams} {threads}");
                expected += ROWS as i64;
                assert_eq!(stored(&mut ledger), expected);
            }
        }
    }
    ledger.seal();
    assert_eq!(ledger.findings(), [""; 0]);
}

#[test]
fn the_first_row_that_is_refused_ends_the_statement() {
    use Fault::{Head, Key, Schema, Signature};
    let cases: [&[(usize, Fault)]; 12] = [
        &[(0, Signature)],
        &[(1, Signature)],
        &[(ROWS - 1, Signature)],
        &[(ROWS - 1, Schema)],
        &[(90, Signature), (91, Schema)],
        &[(90, Schema), (91, Signature)],
        &[(40, Signature), (150, Head)],
        &[(150, Signature), (151, Head)],
        &[(150, Schema), (151, Key)],
        &[(40, Head), (41, Signature)],
        &[(40, Head)],
        &[(30, Signature), (130, Schema), (ROWS - 1, Key)],
    ];
    let mut ledger = Ledger::new();
    for faults in cases {
        for threads in [1, 3] {
            ledger.client.execute(&format!("SET ets.worker_threads = {threads}"), &[]).expect("SET");
            for way in WAYS {
                let events = events(&mut ledger, 1, faults);
                // A batch is judged whole before the first head is looked at.
                let is_early = |(_, fault): &&(usize, Fault)| way != "batch" || *fault != Head;
                let (place, fault) = *faults.iter().find(is_early).unwrap_or(&faults[0]);
                let refusal = refused(bring(&mut ledger.client, way, &events), fault.sqlstate());
                let what = format!("{way} {faults:?} {threads}: {refusal:?}");
                if way == "batch" {
                    assert_eq!(refusal.detail["index"], json!(place), "{what}");
                } else if let Some(row) = refusal.detail.get("row") {
                    // Told where the server's own context may name a later line.
                    assert_eq!(*row, json!(place + 1), "{what}");
                    assert!(matches!(fault, Signature | Schema), "{what}");
                } else {
                    assert!(place == 0 || !matches!(fault, Signature | Schema), "{what}");
                }
                assert_eq!(stored(&mut ledger), 0, "{what}");
                assert_eq!(ledger.head("many-0").1, 0, "{what}");
            }
        }
    }
    let good = events(&mut ledger, 1, &[]);
    assert_eq!(bring(&mut ledger.client, "copy", &good).expect("stored"), ROWS as i64);
}

/// A signature is checked before the head of its stream is locked: whoever has none cannot
/// make others wait.
#[test]
fn no_stream_is_locked_for_a_row_without_a_signature() {
    let mut ledger = Ledger::new();
    let mut other = ledger.database.connect();
    other.batch_execute("SET lock_timeout = '200ms'").expect("SET");
    // The second stream's first row is refused: its head is free while the statement's
    // transaction, which goes on, still holds the first stream's.
    for way in ["batch", "insert"] {
        let events = events(&mut ledger, 2, &[(1, Fault::Signature)]);
        let mut transaction = ledger.client.transaction().expect("BEGIN");
        let good = &events[..1];
        let sql = "SELECT count(*) FROM ets.append_batch($1::text::json)";
        transaction
            .execute(sql, &[&Value::Array(good.to_vec()).to_string()])
            .expect("the first stream is locked");
        let bad = Value::Array(vec![events[1].clone()]).to_string();
        let mut savepoint = transaction.transaction().expect("SAVEPOINT");
        refused(savepoint.execute(sql, &[&bad]), "ET003");
        savepoint.rollback().expect("ROLLBACK TO");
        let locked = |client: &mut Client, stream: &str| {
            client
                .query_one("SELECT * FROM ets.head($1, $2, for_append => true)", &[&DOMAIN, &stream])
                .is_err()
        };
        assert!(locked(&mut other, "many-0"), "{way}");
        assert!(!locked(&mut other, "many-1"), "{way}");
        transaction.rollback().expect("ROLLBACK");
    }
}

/// What a statement of many rows leaves to the threads is ended with its savepoint, and the
/// statement around it ends as if it had not been.
#[test]
fn statements_inside_statements_have_checks_of_their_own() {
    let mut ledger = Ledger::new();
    let events = events(&mut ledger, 2, &[(150, Fault::Schema)]);
    let (outer, inner): (Vec<_>, Vec<_>) =
        events.into_iter().enumerate().partition(|(place, _)| place % 2 == 1);
    let only =
        |events: Vec<(usize, Value)>| Value::Array(events.into_iter().map(|(_, event)| event).collect());
    ledger
        .client
        .batch_execute(&format!(
            "CREATE TABLE inner_rows AS SELECT '{}'::jsonb AS events;
             CREATE FUNCTION try_inner(event jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
             BEGIN
               IF (event->'payload'->>'amount')::integer = 101 THEN
                 BEGIN
                   INSERT INTO ets.ledger_event ({COLUMNS})
                   SELECT inside->'payload', inside->>'schema_version', decode(inside->>'public_key', 'hex'),
                          decode(inside->>'previous_hash', 'hex'), decode(inside->>'signature', 'hex')
                     FROM inner_rows, jsonb_array_elements(events) AS inside;
                   RAISE 'the inner statement was not refused';
                 EXCEPTION WHEN SQLSTATE 'ET007' THEN NULL;
                 END;
               END IF;
               RETURN event;
             END $$",
            only(inner)
        ))
        .expect("a function");
    let sql = format!(
        "INSERT INTO ets.ledger_event ({COLUMNS})
         SELECT event->'payload', event->>'schema_version', decode(event->>'public_key', 'hex'),
                decode(event->>'previous_hash', 'hex'), decode(event->>'signature', 'hex')
           FROM jsonb_array_elements($1::text::jsonb) AS events (given), try_inner(given) AS event"
    );
    let count =
        ledger.client.execute(sql.as_str(), &[&only(outer).to_string()]).expect("the outer statement");
    assert_eq!(count, ROWS as u64 / 2);
    assert_eq!(ledger.head("many-1").1, ROWS as i64 / 2);
    assert_eq!(ledger.head("many-0").1, 0);
    assert_eq!(ledger.findings(), [""; 0]);
}

/// The end of a statement is a trigger's. Where a superuser has switched it off, what was left
/// to the threads does not commit unchecked.
#[test]
fn a_statement_without_its_end_does_not_commit() {
    let mut ledger = Ledger::new();
    let events = events(&mut ledger, 1, &[(100, Fault::Signature)]);
    ledger
        .client
        .batch_execute(
            "ALTER EVENT TRIGGER ets_ddl_start DISABLE; ALTER EVENT TRIGGER ets_ddl_end DISABLE;
             ALTER TABLE ets.ledger_event DISABLE TRIGGER zz_ets_settle; SET ets.worker_threads = 1",
        )
        .expect("a superuser can");
    for rows in [&events[..40], &events[..]] {
        for way in ["copy", "insert"] {
            refused(bring(&mut ledger.client, way, rows), if rows.len() == 40 { "ET013" } else { "ET003" });
            assert_eq!(stored(&mut ledger), 0);
        }
    }
    ledger.client.batch_execute("RESET ets.worker_threads; SELECT ets.arm()").expect("armed again");
    assert_eq!(bring(&mut ledger.client, "copy", &events[..100]).expect("stored"), 100);
}
