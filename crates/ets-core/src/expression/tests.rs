use serde_json::json;

use super::*;

#[test]
fn a_first_rule() {
    let payload = json!({"amount": 10, "items": [{"n": 1}, {"n": 2}], "name": "x"});
    let scope = Scope {
        payload: &payload,
        event: EventScope {
            schema_version: "order/1.0.0",
            key_id: "k",
            owner: "o",
            domain: "Orders",
            stream: "main",
            sequence: 7,
        },
        state: &Value::Null,
    };
    let rule = Expression::compile(
        "payload.amount > 0 && payload.items.all(i, i.n > 0) && event.sequence == 7 && state == null && payload.name.matches('^[a-z]+$')",
    )
    .unwrap();
    assert!(rule.is_true(&scope).unwrap());
    let r = Expression::compile("{'balance': (state == null ? 0 : state.balance) + payload.amount}").unwrap();
    assert_eq!(r.evaluate(&scope).unwrap(), json!({"balance": 10}));
}
