//! What it costs to compile and evaluate an ordinary rule, a reducer, and rules
//! that run into each limit. Build it with optimisation.

use std::hint::black_box;
use std::time::Instant;

use ets_core::expression::{EventScope, Expression, Scope};
use serde_json::{Value, json};

fn main() {
    let payload = json!({
        "order_id": "7f1c2d3e-9a4b-4c5d-8e6f-0123456789ab", "customer": "c-1042", "currency": "EUR",
        "amount": 12_500, "discount": 0.05, "items": [{"sku": "ab-1", "n": 2}, {"sku": "cd-2", "n": 1},
        {"sku": "ef-3", "n": 7}], "address": {"country": "CH", "zip": "8001"}, "note": null,
    });
    let rule = "payload.amount > 0 && payload.amount <= 1000000 && payload.currency in ['EUR', 'USD', 'CHF'] \
                && payload.discount < 0.5 && payload.items.all(i, i.n > 0)";
    let reducer =
        "{'balance': (state == null ? 0 : state.balance) + payload.amount, 'last': payload.order_id}";
    let state = json!({"balance": 100, "last": ""});
    println!("payload of {} bytes", payload.to_string().len());
    measure("rule of 5 conditions", rule, &payload, &state, 200_000);
    measure("reducer", reducer, &payload, &state, 200_000);
    measure(
        "pattern",
        "payload.order_id.matches('^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$')",
        &payload,
        &state,
        200_000,
    );

    let large = json!({"many": (0..200_000).collect::<Vec<i64>>(), "text": "a".repeat(1 << 20),
        "keys": (0..50_000).map(|n| (format!("key-{n}"), json!(n))).collect::<serde_json::Map<_, _>>()});
    for (name, source) in [
        ("nested macros", "payload.many.all(x, payload.many.all(y, x + y >= 0))"),
        ("in a large list", "payload.many.exists(x, -1 in payload.many)"),
        ("large strings", "payload.many.all(x, payload.text.contains('b') || true)"),
        ("code points", "payload.many.all(x, size(payload.text) > 0)"),
        ("a costly pattern", "payload.many.all(x, !payload.text.matches('(a|aa|aaa){1,30}(a|b){30}c'))"),
        (
            "another pattern",
            "payload.many.all(x, !('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'.matches('(.*a){40}b')))",
        ),
        ("digits", "payload.many.all(x, int(payload.text + '1') == 1 || true)"),
        ("absorbed errors", "payload.many.all(x, payload.missing || payload.many.all(y, payload.missing))"),
        ("lists", "payload.many.map(x, [x, x, x, x])"),
        ("maps", "payload.many.map(x, {'a': x, 'b': x})"),
        ("equality of maps", "payload.many.all(x, payload.keys == payload.keys)"),
        ("keys", "payload.many.all(x, payload.keys.all(k, payload.keys[k] >= 0))"),
    ] {
        measure(name, source, &large, &Value::Null, 1);
    }
}

fn measure(name: &str, source: &str, payload: &Value, state: &Value, times: u32) {
    let event = EventScope {
        schema_version: "order.placed/1.0.0",
        key_id: "",
        owner: "",
        domain: "Orders",
        stream: "main",
        sequence: 1,
    };
    let scope = Scope { payload, event, state };
    let start = Instant::now();
    let Ok(expression) = Expression::compile(source) else { return println!("{name}: refused") };
    let compiling = start.elapsed();
    let start = Instant::now();
    let mut outcome = expression.evaluate(&scope);
    for _ in 1..times {
        outcome = black_box(expression.evaluate(black_box(&scope)));
    }
    let evaluating = start.elapsed() / times;
    let outcome = outcome.map_or_else(|error| error.reason(), |_| "a value");
    println!("{name}: compiled in {compiling:?}, evaluated in {evaluating:?}: {outcome}");
}
