//! What the profile decides itself: JSON in, JSON out, names, order.

use ets_core::canonical::{Limits, Payload};
use ets_core::expression::{EvaluationError, Expression, Scope, Type};
use serde_json::{Value, json};

use super::{EVENT, compiled, evaluate, run_table};

#[test]
fn the_scope() {
    let payload = json!({"amount": 250, "items": [{"sku": "a", "n": 2}, {"sku": "b", "n": 3}],
        "note": null, "rate": 0.5, "ok": true, "a-b": 1, "in": 2, "wide": {"x": {"y": {"z": [10, 20]}}}});
    let state = json!({"balance": 100, "seen": ["x"]});
    run_table(
        r#"
        payload.amount => 250
        payload['amount'] => 250
        payload["a-b"] => 1
        payload['in'] => 2
        payload.wide.x.y.z[1] => 20
        payload.items[1].sku => "b"
        payload.items.map(i, i.n) => [2, 3]
        payload.items.exists(i, i.sku == 'b' && i.n == 3) => true
        payload.items.filter(i, i.n > 2) => [{"sku": "b", "n": 3}]
        payload.items.map(i, i.n > 2, i.sku) => ["b"]
        payload.note => null
        payload.missing => !no_such_member
        payload.amount.x => !type_mismatch
        has(payload.note) => true
        has(payload.missing) => false
        has(payload.wide.x) && payload.wide.x.y.z.size() == 2 => true
        has(event.owner) => true
        'amount' in payload => true
        event.schema_version => "order.placed/1.2.0"
        event.owner => "agent-7"
        event.domain + '/' + event.stream => "Orders/order-1"
        event.sequence => 3
        event.key_id.size() => 64
        event.key_id.startsWith('9f86') => true
        state.balance + payload.amount => 350
        state == null ? 0 : state.balance => 100
        {'balance': state.balance + payload.amount, 'seen': state.seen + ['y']} => {"balance": 350, "seen": ["x", "y"]}
        payload == payload => true
        payload == state => false
        payload => {"amount":250,"items":[{"sku":"a","n":2},{"sku":"b","n":3}],"note":null,"rate":0.5,"ok":true,"a-b":1,"in":2,"wide":{"x":{"y":{"z":[10,20]}}}}
        payload.items == [{'n': 2, 'sku': 'a'}, {'sku': 'b', 'n': 3.0}] => true
        payload.items.map(int, int.n) => [2, 3]
        payload.items.map(size, size(size)) => [2, 2]
        "#,
        &payload,
        &state,
    );
}

/// The rule of `docs/rules.md`: an `int` if integral and at most 2^53 - 1 in size.
#[test]
fn numbers_of_json() {
    let payload = json!({
        "one": 1, "one_double": 1.0, "half": 0.5, "greatest": 9_007_199_254_740_991_i64,
        "beyond": 9_007_199_254_740_992_i64, "least": -9_007_199_254_740_991_i64,
        "below": -9_007_199_254_740_992_i64, "huge": 1e300, "unsigned": u64::MAX, "minus_zero": -0.0,
        "e20": 1e20,
    });
    run_table(
        r#"
        type(payload.one) == int => true
        type(payload.one_double) == int => true
        type(payload.half) == double => true
        type(payload.greatest) == int => true
        type(payload.beyond) == double => true
        type(payload.least) == int => true
        type(payload.below) == double => true
        type(payload.huge) == double => true
        type(payload.e20) == double => true
        type(payload.unsigned) == double => true
        type(payload.minus_zero) == int => true
        payload.minus_zero => 0
        payload.greatest + 1 => 9007199254740992
        payload.beyond + 1.0 => 9007199254740992.0
        payload.beyond + 1 => !type_mismatch
        payload.greatest < payload.beyond => true
        payload.one / 2 => 0
        double(payload.one) / 2.0 => 0.5
        payload.half + payload.one => !type_mismatch
        payload.half + double(payload.one) => 1.5
        1.0 + 1.0 => 2.0
        "#,
        &payload,
        &Value::Null,
    );
    // What leaves is brought under the ledger's number rule by whoever keeps it.
    let two = evaluate("{'n': 1.0 + 1.0}", &payload, &Value::Null).unwrap();
    assert_eq!(Payload::from_value(two, &Limits::DEFAULT).unwrap().canonical(), r#"{"n":2}"#);
    let large = evaluate("9007199254740993", &payload, &Value::Null).unwrap();
    assert!(Payload::from_value(large, &Limits::DEFAULT).is_err());
    let nul = evaluate(r"'\000'", &payload, &Value::Null).unwrap();
    assert!(Payload::from_value(nul, &Limits::DEFAULT).is_err());
}

#[test]
fn a_sequence_beyond_the_integers_of_json_is_a_double() {
    let mut event = EVENT;
    event.sequence = u64::MAX;
    let scope = Scope { payload: &Value::Null, event, state: &Value::Null };
    assert_eq!(compiled("event.sequence").evaluate(&scope), Ok(json!(u64::MAX as f64)));
}

#[test]
fn the_keys_of_a_map_come_in_one_order() {
    let payload: Value =
        serde_json::from_str(r#"{"b": 1, "a": 2, "é": 3, "B": 4, "😀": 5, "": 6, "\uffff": 7}"#).unwrap();
    run_table(
        r#"
        payload.map(k, k) => ["", "B", "a", "b", "é", "￿", "😀"]
        payload.map(k, payload[k]) => [6, 4, 2, 1, 3, 7, 5]
        {'b': 1, 'a': 2, 10: 3, 9: 4, true: 5, false: 6}.map(k, string(k)) => ["false", "true", "9", "10", "a", "b"]
        payload.filter(k, payload[k] > 4) => ["", "￿", "😀"]
        "#,
        &payload,
        &Value::Null,
    );
}

#[test]
fn what_an_expression_depends_on() {
    for (source, state, sequence) in [
        ("payload.state == 1", false, false),
        ("state == null", true, false),
        ("has(state.a)", true, false),
        ("[1].all(x, x == state.n)", true, false),
        ("false && state.n > 1", true, false),
        ("event.sequence > 1", false, true),
        ("has(event.sequence)", false, true),
        ("payload.event.sequence > 1", false, false),
        ("event.owner == 'sequence'", false, false),
        ("{'state': event.domain}.state == 'state'", false, false),
        ("state.sequence", true, false),
        ("(state)[event.owner] == event . sequence", true, true),
    ] {
        let expression = compiled(source);
        assert_eq!(
            (expression.mentions_state(), expression.mentions_sequence()),
            (state, sequence),
            "{source}"
        );
        assert_eq!(expression.source(), source);
        assert!(format!("{expression:?}").contains("Expression"));
    }
}

#[test]
fn a_rule_is_true_or_false_and_nothing_else() {
    let scope = Scope { payload: &json!({"n": 1}), event: EVENT, state: &Value::Null };
    assert_eq!(compiled("payload.n == 1").is_true(&scope), Ok(true));
    assert_eq!(compiled("payload.n == 2").is_true(&scope), Ok(false));
    for (source, found) in [("payload.n", Type::Int), ("null", Type::Null), ("'true'", Type::String)] {
        assert_eq!(compiled(source).is_true(&scope), Err(EvaluationError::NotBoolean { found }));
    }
}

#[test]
fn only_json_leaves() {
    run_table(
        r#"
        int => !not_json
        [int] => !not_json
        {1: 'a'} => !not_json
        {'a': {true: 1}} => !not_json
        {'a': [{'b': 1}]} => {"a": [{"b": 1}]}
        {'a' + 'b': 1} => {"ab": 1}
        "#,
        &Value::Null,
        &Value::Null,
    );
}

#[test]
fn errors_hold_no_value_of_the_payload() {
    let payload = json!({"secret": "hunter2", "list": [1], "map": {"hunter2": 1}});
    for source in [
        "payload[payload.secret]",
        "int(payload.secret)",
        "double(payload.secret)",
        "payload.secret + 1",
        "payload.list[7]",
        "{payload.secret: 1, payload.secret: 2}",
        "payload.map.hunter",
        "payload.secret",
        "payload.secret && true",
    ] {
        let scope = Scope { payload: &payload, event: EVENT, state: &Value::Null };
        let error = compiled(source).is_true(&scope).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

/// Backends share what they have compiled.
#[test]
fn expressions_are_shared_between_threads() {
    fn shared<T: Send + Sync + Clone>(_: &T) {}
    let expression = compiled("payload.n.matches('^[a-z]+$') && payload.n in ['a', 'b']");
    shared(&expression);
    let handles: Vec<_> = (0..4)
        .map(|_| {
            let expression: Expression = expression.clone();
            std::thread::spawn(move || {
                let scope = Scope { payload: &json!({"n": "b"}), event: EVENT, state: &Value::Null };
                (0..100).all(|_| expression.is_true(&scope) == Ok(true))
            })
        })
        .collect();
    assert!(handles.into_iter().all(|handle| handle.join().unwrap()));
}

#[test]
fn patterns_mean_the_same_everywhere() {
    run_table(
        r#"
        '7'.matches('^\\d$') => true
        '٣'.matches('^\\d$') => false
        'é'.matches('^\\w$') => false
        'é'.matches('^\\W$') => true
        'x_9'.matches('^\\w+$') => true
        '\u00a0'.matches('^\\s$') => false
        ' \t'.matches('^\\s+$') => true
        '\v'.matches('^\\s$') => false
        '7-'.matches('^[\\d-]+$') => true
        '٣'.matches('^[^\\d]$') => true
        'é'.matches('^.$') => true
        'a b'.matches('\\bb\\b') => true
        'ab'.matches('\\bb') => false
        'a\nb'.matches('^b') => false
        'a\nb'.matches('a.b') => false
        'abc'.matches(r'^a\w{2}$') => true
        'ABC'.matches('abc') => false
        '2026-11-23'.matches(r'^\d{4}-\d{2}-\d{2}$') => true
        'abc'.matches('^(?P<x>a)(?:b|c)+$') => true
        'f'.matches('^[[:xdigit:]]$') => true
        "#,
        &Value::Null,
        &Value::Null,
    );
}
