//! States: the same from the events as the gate keeps them, and none from a
//! changed row.

use ets_core::name::StreamName;
use ets_core::state::{StreamState, state_hash, state_root};
use ets_tests::{DOMAIN, Ledger, order, refused};
use serde_json::{Value, json};
use uuid::Uuid;

type State = (String, i64, Value, Vec<u8>);

fn states(ledger: &mut Ledger, sql: &str, until: Option<Uuid>) -> Vec<State> {
    let rows = match until {
        Some(id) => ledger.client.query(sql, &[&id]),
        None => ledger.client.query(sql, &[]),
    };
    let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect()
}

fn with(order_name: &str, amount: i64, note: Value) -> Value {
    let mut payload = order(order_name, amount);
    payload["note"] = note;
    payload
}

/// A second domain, whose states the gate keeps.
fn keep_states(ledger: &mut Ledger) {
    ledger
        .client
        .batch_execute(
            r#"SELECT ets.create_domain('kept', NULL, true);
               SELECT ets.register_schema('kept/1.0.0', 'kept', '{"type": "object"}', '/stream');
               SELECT ets.register_schema('whole/1.0.0', 'kept', '{"type": "object"}', '/stream',
                 NULL, '[]', 'replace');
               SELECT ets.register_schema('remark/1.0.0', 'kept', '{"type": "object"}', '/stream',
                 NULL, '[]', 'none');
               SELECT ets.create_local_key('keeper', 'keeper', 'postgres');
               SELECT ets.grant_authority(key_id, 'kept') FROM ets.local_key WHERE name = 'keeper'"#,
        )
        .expect("a domain that keeps states");
}

fn keep(ledger: &mut Ledger, payload: Value, schema: &str) {
    let sql = "SELECT ets.append_signed($1, $2, 'keeper')";
    ledger.client.execute(sql, &[&payload, &schema]).expect("the append is valid");
}

#[test]
fn states_come_a_stream_a_row_in_the_order_of_bytes() {
    let mut ledger = Ledger::new();
    for payload in [order("é", 1), order("b", 2), order("Z", 3), with("b", 4, json!({"x": 1, "y": [2]}))] {
        ledger.append(&payload);
    }
    ledger.append(&with("b", 5, json!({"x": null, "z": "1"})));
    let found = states(&mut ledger, "SELECT * FROM ets.replay('orders')", None);
    let expected = [
        ("Z", 1, order("Z", 3)),
        ("b", 3, with("b", 5, json!({"y": [2], "z": "1"}))),
        ("é", 1, order("é", 1)),
    ];
    assert_eq!(found.len(), expected.len());
    let mut leaves = Vec::new();
    for ((stream, sequence, state, hash), expected) in found.iter().zip(expected) {
        assert_eq!((stream.as_str(), *sequence, state), (expected.0, expected.1, &expected.2));
        assert_eq!(hash, state_hash(state).as_bytes());
        leaves.push(StreamState {
            stream: stream.parse::<StreamName>().expect("a stream name"),
            sequence: *sequence as u64,
            state_hash: state_hash(state),
        });
    }
    assert_eq!(states(&mut ledger, "SELECT * FROM ets.replay('orders', 'b')", None), found[1..2]);
    let row = ledger.client.query_one("SELECT * FROM ets.state('orders', 'b')", &[]).expect("a state");
    assert_eq!((row.get::<_, i64>(0), row.get::<_, Value>(1)), (3, found[1].2.clone()));
    let root: Vec<u8> = ledger.one("SELECT ets.state_root('orders')", &[]);
    assert_eq!(root, state_root(&leaves).expect("no stream twice").as_bytes());
    // The registry's events reduce to nothing.
    let registry = states(&mut ledger, "SELECT * FROM ets.replay('ets.registry')", None);
    assert_eq!(registry[0].2, Value::Null);
}

#[test]
fn a_replay_ends_at_the_event_that_it_is_asked_for() {
    let mut ledger = Ledger::new();
    ledger.append(&order("a", 1));
    let until = ledger.append(&order("b", 1));
    ledger.append(&order("a", 2));
    ledger.append(&order("b", 2));
    ledger.append(&order("c", 1));
    let found = states(&mut ledger, "SELECT * FROM ets.replay('orders', NULL, $1)", Some(until.event_id));
    let found: Vec<_> =
        found.into_iter().map(|(stream, sequence, state, _)| (stream, sequence, state)).collect();
    assert_eq!(found, [("a".to_owned(), 1, order("a", 1)), ("b".to_owned(), 1, order("b", 1))]);
    // A stream that had not begun by then has no state.
    let none = states(&mut ledger, "SELECT * FROM ets.replay('orders', 'c', $1)", Some(until.event_id));
    assert_eq!(none, []);
}

#[test]
fn kept_states_are_those_that_a_replay_computes() {
    let mut ledger = Ledger::new();
    keep_states(&mut ledger);
    keep(&mut ledger, json!({"stream": "s", "a": 1, "b": {"c": 1}}), "kept/1.0.0");
    keep(&mut ledger, json!({"stream": "s", "b": {"c": null, "d": 2}}), "kept/1.0.0");
    keep(&mut ledger, json!({"stream": "s", "x": 1}), "remark/1.0.0");
    keep(&mut ledger, json!({"stream": "t", "a": 1}), "remark/1.0.0");
    keep(&mut ledger, json!({"stream": "u", "a": 1}), "kept/1.0.0");
    keep(&mut ledger, json!({"stream": "u", "b": 1}), "whole/1.0.0");
    let replayed = states(&mut ledger, "SELECT * FROM ets.replay('kept')", None);
    let kept = states(&mut ledger, "SELECT * FROM ets.replay('kept', from_kept => true)", None);
    assert_eq!(replayed, kept);
    let found: Vec<Value> = replayed.into_iter().map(|state| state.2).collect();
    let expected =
        [json!({"stream": "s", "a": 1, "b": {"d": 2}}), Value::Null, json!({"stream": "u", "b": 1})];
    assert_eq!(found, expected);
    // Where none is kept, from_kept replays.
    ledger.append(&order("a", 1));
    let found = states(&mut ledger, "SELECT * FROM ets.replay('orders', from_kept => true)", None);
    assert_eq!(found[0].2, order("a", 1));
}

#[test]
fn a_replay_stops_at_a_changed_row_and_names_it() {
    let mut ledger = Ledger::new();
    let first = ledger.append(&order("a", 1));
    ledger.append(&order("a", 2));
    for (change, code) in [
        (
            "UPDATE ets.ledger_event SET payload = jsonb_set(payload, '{amount}', '7') WHERE event_id = $1",
            "ET002",
        ),
        (
            "UPDATE ets.ledger_event SET payload = jsonb_set(payload, '{amount}', '1.0') WHERE event_id = $1",
            "ET002",
        ),
        (
            "UPDATE ets.ledger_event SET signature = set_byte(signature, 0, 255 - get_byte(signature, 0)) WHERE event_id = $1",
            "ET003",
        ),
        ("UPDATE ets.ledger_event SET sequence = 5 WHERE event_id = $1", "ET002"),
        ("UPDATE ets.ledger_event SET stream = 'b' WHERE event_id = $1", "ET002"),
        ("DELETE FROM ets.ledger_event WHERE event_id = $1", "ET002"),
    ] {
        // A superuser gets this far, by way of the event triggers.
        let mut transaction = ledger.client.transaction().expect("a transaction");
        transaction
            .batch_execute(
                "ALTER EVENT TRIGGER ets_ddl_start DISABLE;
                 ALTER EVENT TRIGGER ets_ddl_end DISABLE;
                 ALTER TABLE ets.ledger_event DISABLE TRIGGER ALL",
            )
            .expect("a superuser can");
        assert_eq!(transaction.execute(change, &[&first.event_id]).expect("no guard is left"), 1, "{change}");
        let refusal = refused(transaction.query("SELECT * FROM ets.replay('orders')", &[]), code);
        // By its id, or by its place if there is no row any more.
        let named = refusal.detail["event_id"] == json!(first.event_id.to_string())
            || (refusal.detail["stream"] == "a" && refusal.detail["sequence"] == 1);
        assert!(named, "{change}: {refusal:?}");
        transaction.rollback().expect("and back");
    }
    assert_eq!(states(&mut ledger, "SELECT * FROM ets.replay('orders')", None)[0].1, 2);
}

#[test]
fn what_is_not_there_is_not_found() {
    let mut ledger = Ledger::new();
    ledger.append(&order("a", 1));
    for (sql, code) in [
        ("SELECT * FROM ets.replay('none')", "ET011"),
        ("SELECT * FROM ets.replay('orders', 'none')", "ET011"),
        ("SELECT * FROM ets.replay('orders', NULL, '01900000-0000-7000-8000-000000000000')", "ET011"),
        ("SELECT * FROM ets.replay('orders', NULL, '00000000-0000-0000-0000-000000000000')", "ET011"),
        ("SELECT * FROM ets.state('orders')", "ET011"),
        ("SELECT * FROM ets.state('none')", "ET011"),
        ("SELECT ets.state_root('none')", "ET011"),
        ("SELECT * FROM ets.replay(NULL)", "22004"),
        ("SELECT * FROM ets.replay('orders', from_kept => NULL)", "22004"),
        ("SELECT * FROM ets.state('orders', NULL)", "22004"),
        ("SELECT ets.state_root(NULL)", "22004"),
    ] {
        refused(ledger.client.query(sql, &[]), code);
    }
    let id = ledger.append(&order("a", 2)).event_id;
    let sql = "SELECT * FROM ets.replay($1, 'a', $2, true)";
    refused(ledger.client.query(sql, &[&DOMAIN, &id]), "22023");
}
