//! Bad input gets a clear error and changes nothing.

use std::io::Write as _;

use ets_tests::{DOMAIN, Ledger, SCHEMA, Signer, append, canonical, error_of, head, order, refused};
use postgres::types::ToSql;
use serde_json::{Value, json};

use crate::append::{batch_event, hex};

const APPEND: &str = "SELECT sequence FROM ets.append($1, $2, $3, $4, $5)";

/// The five arguments of a valid append to the stream `bad`.
struct Arguments {
    payload: Option<Value>,
    schema_version: Option<String>,
    public_key: Option<Vec<u8>>,
    previous_hash: Option<Vec<u8>>,
    signature: Option<Vec<u8>>,
}

impl Arguments {
    fn valid(ledger: &mut Ledger) -> Self {
        let payload = order("bad", 1);
        let previous = ledger.head("bad").0;
        Arguments {
            signature: Some(ledger.alice.sign(&payload, &previous)),
            payload: Some(payload),
            schema_version: Some(SCHEMA.to_owned()),
            public_key: Some(ledger.alice.public_key()),
            previous_hash: Some(previous),
        }
    }

    fn list(&self) -> [&(dyn ToSql + Sync); 5] {
        [&self.payload, &self.schema_version, &self.public_key, &self.previous_hash, &self.signature]
    }
}

/// Runs `attempt`, which must leave the ledger as it was and appendable.
fn changing_nothing(ledger: &mut Ledger, attempt: impl FnOnce(&mut Ledger)) {
    let before = ledger.contents();
    attempt(ledger);
    assert_eq!(ledger.contents(), before, "a refused statement changes nothing");
    assert!(ledger.append(&order("still works", 1)).sequence >= 1);
}

#[test]
fn nulls() {
    let mut ledger = Ledger::new();
    changing_nothing(&mut ledger, |ledger| {
        for which in 0..5 {
            let mut arguments = Arguments::valid(ledger);
            match which {
                0 => arguments.payload = None,
                1 => arguments.schema_version = None,
                2 => arguments.public_key = None,
                3 => arguments.previous_hash = None,
                _ => arguments.signature = None,
            }
            refused(ledger.client.query_one(APPEND, &arguments.list()), "22004");
        }
    });
}

#[test]
fn wrong_lengths() {
    let mut ledger = Ledger::new();
    changing_nothing(&mut ledger, |ledger| {
        for length in [0, 1, 31, 33, 63, 65, 100_000] {
            for which in 0..3 {
                let mut arguments = Arguments::valid(ledger);
                let (field, codes) = match which {
                    0 => (&mut arguments.public_key, ["ET003", "22023"]),
                    1 => (&mut arguments.previous_hash, ["ET005", "22023"]),
                    _ => (&mut arguments.signature, ["ET003", "22023"]),
                };
                *field = Some(vec![7; length]);
                let error = error_of(ledger.client.query_one(APPEND, &arguments.list()));
                assert!(codes.contains(&error.code().code()), "{which} {length}: {error:?}");
            }
        }
    });
}

#[test]
fn keys_that_may_not() {
    let mut ledger = Ledger::new();
    let (unknown, granted_nothing, revoked) = (Signer::new(2), Signer::new(3), Signer::new(4));
    let register = "SELECT ets.register_key($1, 'bob')";
    ledger.client.execute(register, &[&granted_nothing.public_key()]).expect("key");
    ledger.register(&revoked, "carol");
    ledger.client.execute("SELECT ets.revoke_key($1, 'left')", &[&revoked.key_id()]).expect("revocation");
    changing_nothing(&mut ledger, |ledger| {
        let genesis = ledger.head("bad").0;
        for signer in [&unknown, &granted_nothing, &revoked] {
            refused(append(&mut ledger.client, signer, &order("bad", 1), &genesis), "ET004");
        }
    });
}

#[test]
fn a_grant_ends_where_it_says() {
    let mut ledger = Ledger::new();
    let bob = Signer::new(5);
    ledger.client.execute("SELECT ets.register_key($1, 'bob')", &[&bob.public_key()]).expect("key");
    let grant = "SELECT ets.grant_authority($1, $2, 'order/*', 'eu-*')";
    ledger.client.execute(grant, &[&bob.key_id(), &DOMAIN]).expect("grant");
    let genesis = ledger.head("eu-1").0;
    append(&mut ledger.client, &bob, &order("eu-1", 1), &genesis).expect("inside the grant");
    changing_nothing(&mut ledger, |ledger| {
        let genesis = ledger.head("us-1").0;
        refused(append(&mut ledger.client, &bob, &order("us-1", 1), &genesis), "ET004");
    });
    let revoke = "SELECT ets.revoke_authority($1, $2, 'order/*', 'eu-*')";
    ledger.client.execute(revoke, &[&bob.key_id(), &DOMAIN]).expect("revocation");
    changing_nothing(&mut ledger, |ledger| {
        let head = ledger.head("eu-1").0;
        refused(append(&mut ledger.client, &bob, &order("eu-1", 2), &head), "ET004");
    });
}

#[test]
fn a_revoked_key_does_not_live_on_in_an_old_snapshot() {
    let mut ledger = Ledger::new();
    let genesis = ledger.head("bad").0;
    for isolation in ["REPEATABLE READ", "SERIALIZABLE"] {
        let bob = Signer::new(if isolation == "SERIALIZABLE" { 6 } else { 7 });
        ledger.register(&bob, "bob");
        let mut old = ledger.database.connect();
        old.batch_execute(&format!("BEGIN ISOLATION LEVEL {isolation}")).expect("begin");
        old.query_one("SELECT count(*) FROM ets.ledger_event", &[]).expect("a snapshot is taken");
        ledger.client.execute("SELECT ets.revoke_key($1, 'stolen')", &[&bob.key_id()]).expect("revocation");
        refused(append(&mut old, &bob, &order("bad", 1), &genesis), "ET004");
    }
    assert_eq!(ledger.head("bad").1, 0);
}

#[test]
fn numbers_without_a_canonical_form() {
    let mut ledger = Ledger::new();
    let genesis = ledger.head("bad").0;
    changing_nothing(&mut ledger, |ledger| {
        let numbers = [
            "9007199254740993",
            "1e400",
            "1e-400",
            "0.10000000000000000001",
            "18446744073709551616",
            "-1e309",
        ];
        for number in numbers {
            let sql = format!(
                "SELECT ets.append('{{\"schema\": \"{SCHEMA}\", \"order\": \"bad\", \"amount\": {number}}}', $1, $2, $3, $4)"
            );
            let signature = vec![0_u8; 64];
            let result = ledger
                .client
                .query_one(sql.as_str(), &[&SCHEMA, &ledger.alice.public_key(), &genesis, &signature]);
            let error = refused(result, "ET001");
            assert!(!error.detail.to_string().contains(number), "no payload values: {:?}", error.detail);
        }
    });
}

#[test]
fn text_that_is_no_json() {
    let mut ledger = Ledger::new();
    for text in
        ["", "{", "{\"a\":1,\"a\":2}", "\"\\ud800\"", "\"\\u0000\"", "1e999", "01", "NaN", "[1,]", "{} {}"]
    {
        refused(ledger.client.query_one("SELECT ets.canonicalize_text($1)", &[&text]), "ET001");
    }
    // Postgres itself refuses these before any function of ours.
    for (sql, code) in [
        ("SELECT ets.canonicalize('{\"a\": \"\\u0000\"}')", "22P05"),
        ("SELECT ets.canonicalize('\"\\ud800\"')", "22P02"),
        ("SELECT ets.canonicalize_text(convert_from('\\xff22', 'UTF8'))", "22021"),
    ] {
        refused(ledger.client.query_one(sql, &[]), code);
    }
}

#[test]
fn huge_and_deep_payloads() {
    let mut ledger = Ledger::new();
    let genesis = ledger.head("bad").0;
    let nested = |depth: usize| {
        let text = "[".repeat(depth) + &"]".repeat(depth);
        json!({"schema": SCHEMA, "order": "bad", "amount": 1, "note": serde_json::from_str::<Value>(&text).expect("JSON")})
    };
    let long =
        |bytes: usize| json!({"schema": SCHEMA, "order": "bad", "amount": 1, "note": "x".repeat(bytes)});
    changing_nothing(&mut ledger, |ledger| {
        // The payload itself is the first level.
        for payload in [nested(64), nested(100), long(1 << 20), long(5 << 20)] {
            refused(ledger.try_append(&payload, &genesis), "ET001");
        }
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        refused(ledger.client.query_one("SELECT ets.canonicalize_text($1)", &[&deep]), "ET001");
        let deep = "[".repeat(3000) + &"]".repeat(3000);
        refused(ledger.client.query_one("SELECT ets.canonicalize($1::text::jsonb)", &[&deep]), "ET001");
    });
    let fitting = long((1 << 20) - canonical(&long(0)).len());
    let event = ledger.append(&fitting);
    assert_eq!(event.sequence, 1, "exactly 1 MiB fits");
    assert_eq!(ledger.append(&nested(63)).sequence, 2);
}

#[test]
fn a_stale_head() {
    let mut ledger = Ledger::new();
    let genesis = ledger.head("bad").0;
    let first = ledger.append(&order("bad", 1));
    changing_nothing(&mut ledger, |ledger| {
        let error = refused(ledger.try_append(&order("bad", 2), &genesis), "ET005");
        assert_eq!(error.detail["head_hash"], hex(&first.current_hash));
        assert_eq!(error.detail["sequence"], 1);
    });
}

#[test]
fn events_of_another_stream_or_ledger() {
    let mut ledger = Ledger::new();
    let elsewhere = ledger.append(&order("elsewhere", 1)).current_hash;
    let foreign: Vec<u8> =
        ledger.one("SELECT ets.genesis_hash($1, 'bad', '0190a5a0-0000-7000-8000-000000000001')", &[&DOMAIN]);
    changing_nothing(&mut ledger, |ledger| {
        for previous in [elsewhere, foreign] {
            refused(ledger.try_append(&order("bad", 1), &previous), "ET005");
        }
    });
}

#[test]
fn forged_signatures_and_keys() {
    let mut ledger = Ledger::new();
    changing_nothing(&mut ledger, |ledger| {
        let mut cases = Vec::new();
        for bit in [0, 255, 256, 511] {
            let mut arguments = Arguments::valid(ledger);
            if let Some(signature) = &mut arguments.signature {
                signature[bit / 8] ^= 1 << (bit % 8);
            }
            cases.push((arguments, "ET003"));
        }
        let mut arguments = Arguments::valid(ledger);
        arguments.payload = Some(order("bad", 2));
        cases.push((arguments, "ET003"));
        let mut arguments = Arguments::valid(ledger);
        // Of small order: everybody could sign for it. Nobody can have registered it.
        arguments.public_key = Some([vec![1], vec![0; 31]].concat());
        cases.push((arguments, "ET004"));
        for (arguments, code) in cases {
            refused(ledger.client.query_one(APPEND, &arguments.list()), code);
        }
    });
    for weak in [vec![0_u8; 32], [vec![1], vec![0; 31]].concat(), vec![0xff; 32]] {
        refused(ledger.client.query_one("SELECT ets.register_key($1, 'eve')", &[&weak]), "ET003");
    }
}

#[test]
fn forged_columns() {
    let mut ledger = Ledger::new();
    changing_nothing(&mut ledger, |ledger| {
        for (column, value, code) in [
            ("current_hash", "decode(repeat('00', 32), 'hex')", "ET002"),
            ("key_id", "repeat('0', 64)", "ET010"),
            ("domain", "'ets.audit'", "ET010"),
            ("stream", "'other'", "ET010"),
            ("sequence", "7", "ET010"),
            ("sequence", "0", "ET010"),
            ("\"timestamp\"", "now()", "ET010"),
            ("\"timestamp\"", "'infinity'", "ET010"),
            ("registry_version", "1", "ET010"),
            ("event_id", "'00000000-0000-4000-8000-000000000000'", "ET010"),
            ("transaction_id", "1", "ET010"),
        ] {
            let arguments = Arguments::valid(ledger);
            let sql = format!(
                "INSERT INTO ets.ledger_event (payload, schema_version, public_key, previous_hash, signature, {column})
                 VALUES ($1, $2, $3, $4, $5, {value})"
            );
            let error = error_of(ledger.client.execute(sql.as_str(), &arguments.list()));
            assert_eq!(error.code().code(), code, "{column} = {value}: {error:?}");
        }
    });
}

#[test]
fn payloads_that_their_schema_forbids() {
    let mut ledger = Ledger::new();
    let genesis = ledger.head("bad").0;
    changing_nothing(&mut ledger, |ledger| {
        let secret = "hunter2";
        let payload = json!({"schema": SCHEMA, "order": "bad", "amount": -1, "password": secret});
        let error = refused(ledger.try_append(&payload, &genesis), "ET007");
        let detail = error.detail.to_string();
        assert!(detail.contains("/amount"), "every violation, with pointers: {detail}");
        assert!(!detail.contains(secret), "never payload values: {detail}");
        for payload in [
            json!({"schema": SCHEMA, "amount": 1}),
            json!({"schema": SCHEMA, "order": "", "amount": 1}),
            json!({"schema": SCHEMA, "order": "a*", "amount": 1}),
            json!({"schema": SCHEMA, "order": 3, "amount": 1}),
            json!({"schema": "order/2.0.0", "order": "bad", "amount": 1}),
            json!({"order": "bad", "amount": 1}),
            json!([]),
            json!("order"),
            Value::Null,
        ] {
            refused(ledger.try_append(&payload, &genesis), "ET007");
        }
    });
}

#[test]
fn schemas_that_are_not_there() {
    let mut ledger = Ledger::new();
    changing_nothing(&mut ledger, |ledger| {
        for name in ["order/9.0.0", "", "order", "order/1.0", "ets.order/1.0.0", "order/1.0.0 "] {
            let mut arguments = Arguments::valid(ledger);
            arguments.schema_version = Some(name.to_owned());
            refused(ledger.client.query_one(APPEND, &arguments.list()), "ET006");
        }
    });
    ledger.client.execute("SELECT ets.retire_schema($1, 'over')", &[&SCHEMA]).expect("retired");
    let arguments = Arguments::valid(&mut ledger);
    refused(ledger.client.query_one(APPEND, &arguments.list()), "ET006");
}

#[test]
fn batches_of_garbage() {
    let mut ledger = Ledger::new();
    changing_nothing(&mut ledger, |ledger| {
        let genesis = ledger.head("bad").0;
        let good = batch_event(&ledger.alice, &order("bad", 1), &genesis);
        let mut cases = vec![json!(null), json!({}), json!("x"), json!([null]), json!([[]]), json!([1])];
        for member in ["payload", "schema_version", "public_key", "previous_hash", "signature"] {
            let mut without = good.clone();
            without.as_object_mut().expect("an object").remove(member);
            cases.push(json!([without]));
            if member != "payload" {
                for value in
                    [json!(null), json!(1), json!(""), json!("é"), json!("ABCDEF"), json!("zz".repeat(32))]
                {
                    let mut wrong = good.clone();
                    wrong[member] = value;
                    cases.push(json!([wrong]));
                }
            }
        }
        for (member, value) in [("event_id", json!("no")), ("sequence", json!(1)), ("unknown", json!(1))] {
            let mut wrong = good.clone();
            wrong[member] = value;
            cases.push(json!([wrong]));
        }
        let sql = "SELECT count(*) FROM ets.append_batch($1::text::json)";
        for case in cases {
            let result = ledger.client.query_one(sql, &[&case.to_string()]);
            assert!(result.is_err(), "accepted: {case}");
            let error = error_of(result);
            let code = error.code().code();
            assert!(code.starts_with("ET") || code.starts_with("22"), "{case}: {error:?}");
        }
        let twice = format!("[{{\"payload\": 1, {}", &good.to_string()[1..]) + "]";
        refused(ledger.client.query_one(sql, &[&twice]), "ET001");
        let count: i64 = ledger.one(sql, &[&"[]"]);
        assert_eq!(count, 0, "an empty batch is no error");
    });
}

#[test]
fn copies_of_garbage() {
    let mut ledger = Ledger::new();
    changing_nothing(&mut ledger, |ledger| {
        let columns = "payload, schema_version, public_key, previous_hash, signature";
        for (columns, row) in [
            (columns, "{}\torder/1.0.0\t\\\\x00\t\\\\x00\t\\\\x00\n"),
            (columns, "garbage\n"),
            (columns, "{}\n"),
            (columns, "\\N\t\\N\t\\N\t\\N\t\\N\n"),
            ("event_id, domain", "00000000-0000-0000-0000-000000000000\tets.registry\n"),
            ("payload", "{\"a\": 1}\n"),
        ] {
            let copy = format!("COPY ets.ledger_event ({columns}) FROM STDIN");
            let mut client = ledger.database.connect();
            let mut writer = client.copy_in(copy.as_str()).expect("COPY begins");
            let _ = writer.write_all(row.as_bytes());
            let error = error_of(writer.finish());
            assert!(!error.code().code().starts_with("XX"), "{row:?}: {error:?}");
        }
    });
}

#[test]
fn a_database_without_a_ledger_says_so() {
    let database = ets_tests::Cluster::shared().database();
    let mut client = database.connect();
    for sql in ["SELECT ets.seal()", "SELECT ets.head('orders')", "SELECT ets.create_domain('orders')"] {
        refused(client.query(sql, &[]), "ET013");
    }
    for origin in ["", "a b", "é", &"x".repeat(256)] {
        let error = error_of(client.query_one("SELECT ets.init($1)", &[&origin]));
        assert!(matches!(error.code().code(), "22023" | "ET010"), "{error:?}");
    }
    let alice = Ledger::set_up(&mut client).1;
    refused(client.query_one("SELECT ets.init('test.example/again')", &[]), "ET013");
    let genesis = head(&mut client, "o").0;
    append(&mut client, &alice, &order("o", 1), &genesis).expect("append");
}
