//! What is charged, to the step and to the byte: the figures decide acceptance,
//! so they may not move.

use ets_core::expression::{MAX_ALLOCATED_BYTES, MAX_STEPS};
use serde_json::{Value, json};

use super::evaluate;

/// The steps that an expression takes, found by letting it run beside a list of
/// known cost until the limit is reached: `filler` items of `all` take two steps
/// each, the expression around them five.
fn steps_of(source: &str, payload: &Value) -> u64 {
    let fits = |items: u64| {
        let filler: Vec<u64> = vec![0; usize::try_from(items).unwrap()];
        let state = Value::from(filler);
        // One step each: `state`, `.all`, and for each item the binding and `true`.
        evaluate(&format!("[state.all(f, true), ({source}) == 0].size() == 0"), payload, &state).is_ok()
    };
    // No expression here takes more than 200 steps.
    let (mut low, mut high) = (MAX_STEPS / 2 - 100, MAX_STEPS / 2);
    assert!(fits(low) && !fits(high));
    while high - low > 1 {
        let middle = (low + high) / 2;
        if fits(middle) { low = middle } else { high = middle }
    }
    MAX_STEPS - 2 * low
}

#[test]
fn steps() {
    let payload = json!({"a": {"b": 1}, "text": "x".repeat(640), "list": [1, 2, 3]});
    let base = steps_of("1", &payload);
    for (source, more) in [
        ("1 + 1", 2),
        ("payload", 0),
        ("payload.a.b", 2),
        ("payload['a']", 2),
        ("payload.text == payload.text", 14),
        ("payload.text + 'x'", 13),
        ("size(payload.text)", 12),
        ("payload.list.all(x, true)", 8),
        ("[1, 2, 3]", 4),
        ("2 in [1, 2, 3]", 8),
        ("true || false", 2),
        ("false || false", 2),
    ] {
        let steps = steps_of(source, &payload) - base;
        assert!(steps.abs_diff(more) <= 1, "{source}: {steps} instead of {more}");
    }
}

#[test]
fn bytes() {
    let limit = usize::try_from(MAX_ALLOCATED_BYTES).unwrap();
    for (source, payload, fits) in [
        ("size(payload + '')", json!("a".repeat(limit)), true),
        ("size(payload + 'b')", json!("a".repeat(limit)), false),
        ("size(payload + [])", json!(vec![0; limit / 32]), true),
        ("size(payload + [0])", json!(vec![0; limit / 32]), false),
    ] {
        assert_eq!(evaluate(source, &payload, &Value::Null).is_ok(), fits, "{source}");
    }
}

#[test]
fn an_ordinary_rule_on_a_large_payload_fits() {
    let items: Vec<Value> = (0..10_000).map(|n| json!({"sku": format!("sku-{n}"), "n": n})).collect();
    let payload = json!({ "items": items });
    assert_eq!(
        evaluate(
            "payload.items.all(i, i.n >= 0 && i.sku.startsWith('sku-') && size(i.sku) < 20)",
            &payload,
            &Value::Null
        ),
        Ok(json!(true))
    );
}
