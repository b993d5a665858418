//! What an append does: the chain it makes, the ways in, and retries.

use std::io::Write as _;

use ets_core::event::Event;
use ets_tests::{Appended, DOMAIN, Ledger, SCHEMA, Signer, append, digest, hash_of, order, refused};
use postgres::Client;
use serde_json::{Value, json};
use uuid::Uuid;

#[test]
fn a_stream_is_a_chain_from_its_genesis() {
    let mut ledger = Ledger::new();
    let genesis: Vec<u8> = ledger.one("SELECT ets.genesis_hash($1, 'o-1')", &[&DOMAIN]);
    assert_eq!(ledger.head("o-1"), (genesis.clone(), 0));
    let mut previous = Appended {
        event_id: Uuid::nil(),
        stream: "o-1".to_owned(),
        sequence: 0,
        previous_hash: Vec::new(),
        current_hash: genesis,
        registry_version: 0,
    };
    for amount in 1..=5 {
        let payload = order("o-1", amount);
        let event = ledger.append(&payload);
        assert_eq!((event.stream.as_str(), event.sequence), ("o-1", amount));
        assert_eq!(event.previous_hash, previous.current_hash);
        assert_eq!(digest(&event.current_hash), hash_of(&payload, &event.previous_hash));
        assert!(event.event_id > previous.event_id, "ids increase in a stream");
        assert_eq!(event.event_id.get_version_num(), 7);
        assert!(event.registry_version >= previous.registry_version);
        previous = event;
    }
    assert_eq!(ledger.head("o-1"), (previous.current_hash, 5));
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

#[test]
fn a_document_says_what_was_appended() {
    let mut ledger = Ledger::new();
    let payload =
        json!({"schema": SCHEMA, "order": "ö/1", "amount": 3, "note": [1.10, "\u{1f600}", null, {}]});
    let appended = ledger.append(&payload);
    let text: String = ledger.one("SELECT ets.event_document($1)::text", &[&appended.event_id]);
    let event = Event::parse(&text).expect("a document of thirteen members");
    assert_eq!(event.document(), text, "documents are canonical");
    assert!(event.check_hash());
    assert_eq!(*event.payload.value(), payload);
    assert_eq!(event.header.schema_version.as_str(), SCHEMA);
    assert_eq!(event.header.key_id.to_string(), ledger.alice.key_id());
    let stored: String =
        ledger.one("SELECT payload::text FROM ets.ledger_event WHERE domain = $1", &[&DOMAIN]);
    assert!(stored.contains("1.1,"), "the canonical value is stored: {stored}");
}

#[test]
fn every_way_in_gives_the_same_event() {
    let mut ledger = Ledger::new();
    let signer = Signer::new(1);
    let genesis = ledger.head("ways").0;
    let mut previous = genesis;
    let mut next = |payload: &Value| {
        let signature = signer.sign(payload, &previous);
        let hash = hash_of(payload, &previous).0.to_vec();
        let before = std::mem::replace(&mut previous, hash);
        (before, signature)
    };
    let insert =
        "INSERT INTO ets.ledger_event (payload, schema_version, public_key, previous_hash, signature)
        VALUES ($1, $2, $3, $4, $5) RETURNING sequence";
    let payload = order("ways", 1);
    let (before, signature) = next(&payload);
    let sequence: i64 = ledger.one(insert, &[&payload, &SCHEMA, &signer.public_key(), &before, &signature]);
    assert_eq!(sequence, 1);

    let payload = order("ways", 2);
    let (before, signature) = next(&payload);
    let row = format!(
        "{payload}\t{SCHEMA}\t\\\\x{}\t\\\\x{}\t\\\\x{}\n",
        hex(&signer.public_key()),
        hex(&before),
        hex(&signature)
    );
    let copy =
        "COPY ets.ledger_event (payload, schema_version, public_key, previous_hash, signature) FROM STDIN";
    let mut writer = ledger.client.copy_in(copy).expect("COPY begins");
    writer.write_all(row.as_bytes()).expect("COPY takes a row");
    assert_eq!(writer.finish().expect("COPY ends"), 1);

    let payload = order("ways", 3);
    let (before, signature) = next(&payload);
    let batch = json!([{
        "payload": payload, "schema_version": SCHEMA, "public_key": hex(&signer.public_key()),
        "previous_hash": hex(&before), "signature": hex(&signature)
    }]);
    let sequence: i64 =
        ledger.one("SELECT sequence FROM ets.append_batch($1::text::json)", &[&batch.to_string()]);
    assert_eq!(sequence, 3);
    assert_eq!(ledger.append(&order("ways", 4)).sequence, 4);
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

#[test]
fn a_batch_is_linear_in_every_stream_and_all_or_nothing() {
    let mut ledger = Ledger::new();
    let streams = ["b-1", "b-2", "b-3"];
    let mut heads: Vec<Vec<u8>> = streams.iter().map(|stream| ledger.head(stream).0).collect();
    let mut events: Vec<Value> = (0..600)
        .map(|number| {
            let which = number % streams.len();
            let payload = order(streams[which], number as i64);
            let event = batch_event(&ledger.alice, &payload, &heads[which]);
            heads[which] = hash_of(&payload, &heads[which]).0.to_vec();
            event
        })
        .collect();
    let sql = "SELECT stream, sequence FROM ets.append_batch($1::text::json)";
    let good = Value::Array(events.clone()).to_string();
    let before = ledger.contents();
    // One wrong bit in the last of 600.
    events[599]["signature"] = json!("00".repeat(64));
    let bad = Value::Array(events).to_string();
    refused(ledger.client.query(sql, &[&bad]), "ET003");
    assert_eq!(ledger.contents(), before);

    let rows = ledger.client.query(sql, &[&good]).expect("the batch is valid");
    let got: Vec<(String, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let expected: Vec<(String, i64)> =
        (0..600).map(|number| (streams[number % 3].to_owned(), number as i64 / 3 + 1)).collect();
    assert_eq!(got, expected, "in the order of the array");
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

#[test]
fn many_events_of_one_stream_in_one_transaction() {
    let ledger = Ledger::new();
    let mut client = ledger.database.connect();
    let mut transaction = client.transaction().expect("a transaction");
    let mut previous = ets_tests::head(&mut transaction, "t").0;
    for amount in 0..200 {
        let event = append(&mut transaction, &ledger.alice, &order("t", amount), &previous).expect("append");
        assert_eq!(event.sequence, amount + 1);
        previous = event.current_hash;
    }
    transaction.rollback().expect("rollback");
    assert_eq!(ets_tests::head(&mut client, "t").1, 0, "a rolled-back transaction leaves nothing");
}

#[test]
fn a_savepoint_takes_back_its_events_only() {
    let ledger = Ledger::new();
    let mut client = ledger.database.connect();
    let mut transaction = client.transaction().expect("a transaction");
    let genesis = ets_tests::head(&mut transaction, "s").0;
    let first = append(&mut transaction, &ledger.alice, &order("s", 1), &genesis).expect("append");
    let mut inner = transaction.savepoint("taken_back").expect("a savepoint");
    append(&mut inner, &ledger.alice, &order("s", 2), &first.current_hash).expect("append");
    inner.rollback().expect("rollback");
    let third = append(&mut transaction, &ledger.alice, &order("s", 3), &first.current_hash).expect("append");
    assert_eq!(third.sequence, 2);
    transaction.commit().expect("commit");
    assert_eq!(ets_tests::findings(&mut client), Vec::<String>::new());
}

/// A function that catches an exception rolls a savepoint back in the middle of the
/// INSERT; the heads that the INSERT has moved by then must not be forgotten.
#[test]
fn an_insert_around_a_caught_exception_keeps_its_heads() {
    let mut ledger = Ledger::new();
    ledger
        .client
        .batch_execute(
            "CREATE FUNCTION public.boom() RETURNS integer LANGUAGE plpgsql AS
               'BEGIN PERFORM 1 / 0; RETURN 1; EXCEPTION WHEN others THEN RETURN 2; END';
             CREATE TEMP TABLE signed (n integer, payload jsonb, public_key bytea, previous bytea, signature bytea)",
        )
        .expect("set up");
    let mut previous = ledger.head("x").0;
    for amount in 1..=6 {
        let payload = order("x", amount);
        let signature = ledger.alice.sign(&payload, &previous);
        let values: [&(dyn postgres::types::ToSql + Sync); 5] =
            [&(amount as i32), &payload, &ledger.alice.public_key(), &previous, &signature];
        ledger.client.execute("INSERT INTO signed VALUES ($1, $2, $3, $4, $5)", &values).expect("signed");
        previous = hash_of(&payload, &previous).as_bytes().to_vec();
    }
    let insert = |rows: &str, returning: &str| {
        format!(
            "INSERT INTO ets.ledger_event (payload, schema_version, public_key, previous_hash, signature)
             SELECT payload, '{SCHEMA}', public_key, previous, signature FROM signed WHERE n {rows} ORDER BY n
             RETURNING {returning}"
        )
    };
    ledger
        .client
        .query(&insert("<= 3", "CASE WHEN sequence = 3 THEN public.boom() END"), &[])
        .expect("stored");
    assert_eq!(ledger.head("x").1, 3);
    ledger.client.query(&insert("> 3", "public.boom()"), &[]).expect("stored");
    assert_eq!(ledger.head("x").1, 6);
    assert_eq!(ledger.append(&order("x", 7)).sequence, 7);
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

#[test]
fn an_id_that_the_server_made_may_be_raised() {
    let mut ledger = Ledger::new();
    let mut client = ledger.database.connect();
    let mut transaction = client.transaction().expect("a transaction");
    let early: Uuid = transaction.query_one("SELECT ets.uuid_v7()", &[]).expect("an id").get(0);
    // Ids of two sessions are ordered by the millisecond.
    std::thread::sleep(std::time::Duration::from_millis(3));
    let first = ledger.append(&order("u", 1));
    assert!(first.event_id > early);
    let payload = order("u", 2);
    let signature = ledger.alice.sign(&payload, &first.current_hash);
    let row = transaction
        .query_one(
            "SELECT event_id FROM ets.append($1, $2, $3, $4, $5, $6)",
            &[&payload, &SCHEMA, &ledger.alice.public_key(), &first.current_hash, &signature, &early],
        )
        .expect("as good as no id");
    assert!(row.get::<_, Uuid>(0) > first.event_id);
    transaction.commit().expect("commit");
}

#[test]
fn a_retry_of_the_head_returns_it() {
    let mut ledger = Ledger::new();
    let genesis = ledger.head("r").0;
    let payload = order("r", 1);
    let first = ledger.try_append(&payload, &genesis).expect("append");
    assert_eq!(ledger.try_append(&payload, &genesis).expect("a retry is no error"), first);
    assert_eq!(ledger.head("r").1, 1);
    ledger.append(&order("r", 2));
    let error = refused(ledger.try_append(&payload, &genesis), "ET005");
    assert_eq!(error.detail["sequence"], 2);
}

#[test]
fn a_retry_by_event_id_returns_the_event_for_ever() {
    let mut ledger = Ledger::new();
    let genesis = ledger.head("r").0;
    let payload = order("r", 1);
    // Made in another transaction, so that it is a client's id.
    let id: Uuid = ledger.one("SELECT ets.uuid_v7()", &[]);
    let alice = Signer::new(1);
    let first = append_as(&mut ledger.client, &alice, &payload, &genesis, id).expect("append");
    assert_eq!(first.event_id, id);
    let second = ledger.append(&order("r", 2));
    assert_eq!(append_as(&mut ledger.client, &alice, &payload, &genesis, id).expect("a retry"), first);

    // Everything else learns nothing of the stored event.
    let other = order("r", 3);
    for (payload, previous) in [(&other, &genesis), (&other, &second.current_hash)] {
        let error = refused(append_as(&mut ledger.client, &alice, payload, previous, id), "ET010");
        assert!(!error.detail.to_string().contains(&hex(&first.current_hash)), "{:?}", error.detail);
    }
    let insert = "INSERT INTO ets.ledger_event
        (payload, schema_version, public_key, previous_hash, signature, event_id) VALUES ($1, $2, $3, $4, $5, $6)";
    let signature = alice.sign(&payload, &genesis);
    let again =
        ledger.client.execute(insert, &[&payload, &SCHEMA, &alice.public_key(), &genesis, &signature, &id]);
    refused(again, "ET010");
    assert_eq!(ledger.head("r").1, 2);
}

#[test]
fn an_event_id_is_version_seven_recent_and_greater_than_the_last() {
    let mut ledger = Ledger::new();
    let alice = Signer::new(1);
    let early: Uuid = ledger.one("SELECT ets.uuid_v7()", &[]);
    let head = ledger.append(&order("i", 1)).current_hash;
    let before = ledger.contents();
    let next_year = "0199f000-0000-7000-8000-000000000000".parse::<Uuid>().expect("a UUID");
    let next_year = Uuid::from_u128(next_year.as_u128() + ((400_u128 * 86_400_000) << 80));
    for id in [Uuid::nil(), Uuid::max(), Uuid::from_u128(0x4000_8000_0000_0000_0000_u128), early, next_year] {
        refused(append_as(&mut ledger.client, &alice, &order("i", 2), &head, id), "ET010");
    }
    assert_eq!(ledger.contents(), before);
}

#[test]
fn prepare_tells_what_to_sign() {
    let mut ledger = Ledger::new();
    let payload = order("p", 7);
    let sql =
        "SELECT domain, stream, canonical_payload, previous_hash, current_hash FROM ets.prepare($1, $2)";
    let row = ledger.client.query_one(sql, &[&payload, &SCHEMA]).expect("prepare");
    let (previous, current): (Vec<u8>, Vec<u8>) = (row.get(3), row.get(4));
    assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), (DOMAIN, "p"));
    assert_eq!(row.get::<_, &str>(2), ets_tests::canonical(&payload));
    assert_eq!(digest(&current), hash_of(&payload, &previous));
    assert_eq!(ledger.try_append(&payload, &previous).expect("append").current_hash, current);
}

#[test]
fn a_local_key_signs_for_its_role_only() {
    let mut ledger = Ledger::new();
    let role = format!("job_{}", ledger.database.name);
    ledger
        .client
        .batch_execute(&format!("CREATE ROLE {role} LOGIN; CREATE ROLE {role}_other LOGIN"))
        .expect("roles");
    let sql =
        "SELECT payload ->> 'public_key' FROM ets.create_local_key('job', 'nightly job', $1::text::regrole)";
    let key: String = ledger.one(sql, &[&role]);
    let sql = "SELECT ets.grant_authority(ets.key_id(decode($1, 'hex')), $2)";
    ledger.client.execute(sql, &[&key, &DOMAIN]).expect("grant");
    for role in [role.clone(), format!("{role}_other")] {
        let grant = format!(
            "GRANT USAGE ON SCHEMA ets TO {role};
             GRANT EXECUTE ON FUNCTION ets.append_signed(jsonb, text, text) TO {role}"
        );
        ledger.client.batch_execute(&grant).expect("grants");
    }
    let sql = "SELECT sequence FROM ets.append_signed($1, $2)";
    for expected in 1..=3_i64 {
        let mut job = ledger.database.connect_as(&role);
        let row = job.query_one(sql, &[&order("job", expected), &SCHEMA]).expect("append_signed");
        assert_eq!(row.get::<_, i64>(0), expected);
    }
    let mut other = ledger.database.connect_as(&format!("{role}_other"));
    let named = "SELECT sequence FROM ets.append_signed($1, $2, 'job')";
    for sql in [sql, named] {
        let error = ets_tests::error_of(other.query_one(sql, &[&order("job", 4), &SCHEMA]));
        assert!(matches!(error.code().code(), "42501" | "ET004" | "ET011" | "ET015"), "{error:?}");
    }
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

#[test]
fn streams_are_read_in_pages() {
    let mut ledger = Ledger::new();
    for amount in 1..=5 {
        ledger.append(&order("read", amount));
    }
    let sql = "SELECT array_agg(sequence) FROM ets.read_stream($1, 'read', $2, 2)";
    assert_eq!(ledger.one::<Vec<i64>>(sql, &[&DOMAIN, &0_i64]), [1, 2]);
    assert_eq!(ledger.one::<Vec<i64>>(sql, &[&DOMAIN, &4_i64]), [5]);
    ledger.seal();
    let sql = "SELECT array_agg(leaf_index) FROM ets.read_domain($1, 1)";
    assert_eq!(ledger.one::<Vec<i64>>(sql, &[&DOMAIN]), [2, 3, 4]);
    let streams: i64 = ledger.one("SELECT count(*) FROM ets.streams WHERE domain = $1", &[&DOMAIN]);
    assert_eq!(streams, 1);
}

/// An element of what `ets.append_batch` takes.
pub fn batch_event(signer: &Signer, payload: &Value, previous: &[u8]) -> Value {
    json!({
        "payload": payload,
        "schema_version": SCHEMA,
        "public_key": hex(&signer.public_key()),
        "previous_hash": hex(previous),
        "signature": hex(&signer.sign(payload, previous)),
    })
}

/// `ets.append` with an id that the client chose.
pub fn append_as(
    client: &mut Client,
    signer: &Signer,
    payload: &Value,
    previous: &[u8],
    id: Uuid,
) -> Result<Appended, postgres::Error> {
    let sql = format!("SELECT {} FROM ets.append($1, $2, $3, $4, $5, $6)", Appended::COLUMNS);
    let signature = signer.sign(payload, previous);
    client
        .query_one(sql.as_str(), &[payload, &SCHEMA, &signer.public_key(), &previous, &signature, &id])
        .map(|row| Appended::from_row(&row))
}

/// Lowercase hexadecimal text.
pub fn hex(bytes: &[u8]) -> String {
    ets_core::hash::to_hex(bytes)
}
