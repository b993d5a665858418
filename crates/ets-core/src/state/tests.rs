use serde_json::json;

use super::*;

const EVENT: EventScope<'static> =
    EventScope { schema_version: "a/1.0.0", key_id: "k", owner: "o", domain: "d", stream: "s", sequence: 1 };

#[test]
fn a_fold_is_its_reducers_one_after_the_other_and_stops_at_the_ceiling() {
    let payload = |value: Value| Payload::from_value(value, &canonical::Limits::CEILING).unwrap();
    let mut fold = StateFold::new();
    assert_eq!(fold.state(), &Value::Null);
    fold.apply(&Reducer::Merge, &payload(json!({"a":1,"b":2})), EVENT).unwrap();
    fold.apply(&Reducer::Merge, &payload(json!({"b":null,"c":[3]})), EVENT).unwrap();
    fold.apply(&Reducer::None, &payload(json!("ignored")), EVENT).unwrap();
    assert_eq!(fold.state(), &json!({"a":1,"c":[3]}));
    let mut kept = StateFold::from_kept(fold.state().clone());
    kept.apply(&Reducer::Replace, &payload(json!("x")), EVENT).unwrap();
    assert_eq!(kept.state(), &json!("x"));

    // Changing one large member again and again never makes it too large;
    // adding others does.
    let large = "x".repeat(MAX_PAYLOAD_BYTES / 3);
    let mut fold = StateFold::new();
    for _ in 0..4 {
        fold.apply(&Reducer::Merge, &payload(json!({"one": large})), EVENT).unwrap();
    }
    fold.apply(&Reducer::Merge, &payload(json!({"two": large})), EVENT).unwrap();
    let error = fold.apply(&Reducer::Merge, &payload(json!({"three": large})), EVENT).unwrap_err();
    assert_eq!((error.reason(), error.sqlstate()), ("too_large", "ET014"));
}
