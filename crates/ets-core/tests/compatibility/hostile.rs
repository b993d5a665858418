//! Schemas that are made to take long: every answer comes soon, in little stack.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::verdict;

/// Compares both ways in a quarter of the stack that a Postgres backend has.
fn compared_soon(name: &str, old: Value, new: Value) {
    let run = move || {
        let start = Instant::now();
        (verdict(&old, &new).word(), verdict(&new, &old).word(), start.elapsed())
    };
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(run).expect("a thread");
    let (there, back, elapsed) = thread.join().expect("no panic and no overflow");
    println!("{name}: {there}, {back} back, {elapsed:?}");
    // Two comparisons on a machine that does other work too.
    assert!(elapsed < Duration::from_secs(20), "{name}: {elapsed:?}");
}

fn objects(count: usize, member: impl Fn(usize) -> Value) -> Map<String, Value> {
    (0..count).map(|at| (format!("m{at}"), member(at))).collect()
}

#[test]
fn wide_schemas() {
    let wide = |kind: &str| json!({"properties": objects(600, |_| json!({"type": kind})), "additionalProperties": false});
    compared_soon("600 members", wide("integer"), wide("number"));
    let values = |count: usize| json!({"enum": (0..count).map(|at| format!("v{at}")).collect::<Vec<_>>()});
    compared_soon("3,000 values", values(3_000), values(3_001));
    let tuple =
        |count: usize| json!({"prefixItems": vec![json!({"type": "integer"}); count], "items": false});
    compared_soon("1,000 places", tuple(1_000), tuple(1_001));
    let patterns = |kind: &str| {
        let patterns: Map<String, Value> =
            (0..100).map(|at| (format!("[a-z]{{{at}}}x"), json!({"type": kind}))).collect();
        json!({"patternProperties": patterns, "additionalProperties": false})
    };
    compared_soon("100 patterns", patterns("integer"), patterns("number"));
}

#[test]
fn deep_schemas() {
    let nested =
        |kind: &str| (0..30).fold(json!({"type": kind}), |inner, _| json!({"properties": {"a": inner}}));
    compared_soon("30 members deep", nested("integer"), nested("number"));
    let not = |kind: &str| (0..60).fold(json!({"type": kind}), |inner, _| json!({"not": inner}));
    compared_soon("60 negations", not("integer"), not("number"));
    let chain = |kind: &str| {
        let mut definitions: Map<String, Value> = (0..700)
            .map(|at| {
                (format!("d{at}"), json!({"properties": {"a": {"$ref": format!("#/$defs/d{}", at + 1)}}}))
            })
            .collect();
        definitions.insert("d700".to_owned(), json!({"type": kind}));
        json!({"$ref": "#/$defs/d0", "$defs": definitions})
    };
    compared_soon("700 references", chain("integer"), chain("number"));
}

#[test]
fn schemas_that_refer_to_each_other() {
    let mutual = |kind: &str, count: usize| {
        let definitions: Map<String, Value> = (0..count)
            .map(|at| {
                let other = |step: usize| json!({"$ref": format!("#/$defs/d{}", (at * 7 + step) % count)});
                let members = json!({"a": other(1), "b": other(3), "c": other(5), "v": {"type": kind}});
                (
                    format!("d{at}"),
                    json!({"type": "object", "properties": members, "additionalProperties": false}),
                )
            })
            .collect();
        json!({"$ref": "#/$defs/d0", "$defs": definitions})
    };
    compared_soon("40 mutual", mutual("integer", 40), mutual("number", 40));
    compared_soon("23 and 29 mutual", mutual("integer", 23), mutual("number", 29));
    let either = |kind: &str| {
        json!({"anyOf": [{"type": kind}, {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
               {"type": "object", "additionalProperties": {"$ref": "#"}, "required": ["a"]}]})
    };
    compared_soon("a value of values", either("integer"), either("number"));
    let denied = json!({"properties": {"a": {"not": {"$ref": "#"}}, "b": {"oneOf": [{"$ref": "#"}, {"not": {"$ref": "#"}}]}}});
    let denied_too = json!({"properties": {"a": {"not": {"$ref": "#"}}, "b": {"oneOf": [{"not": {"$ref": "#"}}, {"$ref": "#"}]}}});
    compared_soon("what denies itself", denied, denied_too);
}

#[test]
fn combinations() {
    let all_of_any = |wide: usize, last: &str| {
        let part = |at: usize| {
            let alternatives: Vec<Value> = (0..wide)
                .map(|alternative| json!({"properties": {format!("m{at}"): {"const": format!("{alternative}{last}")}}, "required": [format!("m{at}")]}))
                .collect();
            json!({ "anyOf": alternatives })
        };
        json!({"allOf": (0..12).map(part).collect::<Vec<_>>()})
    };
    compared_soon("12 choices of 5", all_of_any(5, "x"), all_of_any(6, "x"));
    compared_soon("12 choices of 5, apart", all_of_any(5, "x"), all_of_any(5, "y"));
    let one_of = |count: usize, max: usize| {
        let schemas: Vec<Value> =
            (0..count).map(|at| json!({"minProperties": at, "maxProperties": at + max})).collect();
        json!({ "oneOf": schemas })
    };
    compared_soon("40 overlapping", one_of(40, 3), one_of(40, 4));
    let conditions = |limit: usize| {
        let schemas: Vec<Value> = (0..20)
            .map(|at| json!({"if": {"required": [format!("m{at}")]}, "then": {"minProperties": at % limit}, "else": {"maxProperties": 30 + at}}))
            .collect();
        json!({ "allOf": schemas })
    };
    compared_soon("20 conditions", conditions(7), conditions(5));
    let dependents = |kind: &str| json!({"dependentSchemas": objects(30, |at| json!({"properties": {format!("n{at}"): {"type": kind}}}))});
    compared_soon("30 dependents", dependents("integer"), dependents("number"));
}

#[test]
fn schemas_that_cannot_be_compiled_are_errors() {
    use ets_core::schema::compatibility::compatibility;
    let good = json!({"type": "string"});
    for bad in
        [json!({"type": "strin"}), json!(7), json!({"$ref": "#"}), json!({"$ref": "https://example.com/a"})]
    {
        assert!(compatibility(&good, &bad).is_err() && compatibility(&bad, &good).is_err(), "{bad}");
    }
}
