use std::time::{Duration, Instant};

use serde_json::json;

use super::*;

fn refused(schema: &Value) -> SchemaError {
    match Validator::compile(schema) {
        Err(error) => {
            assert!(error.to_string().chars().next().is_some_and(char::is_lowercase), "{error}");
            assert!(!error.to_string().ends_with('.') && !error.hint().is_empty());
            assert_eq!(error.detail()["reason"], error.reason());
            error
        }
        Ok(_) => panic!("accepted: {schema}"),
    }
}

fn accepted(schema: &Value) -> Validator {
    match Validator::compile(schema) {
        Ok(validator) => validator,
        Err(error) => panic!("{error}: {schema}"),
    }
}

/// Definitions d0 … d(n-1), each made of the next by `link`, the last being `end`.
fn chained(levels: usize, end: Value, link: impl Fn(Value) -> Value) -> Value {
    let mut definitions = Map::new();
    for level in 0..levels {
        definitions.insert(format!("d{level}"), link(json!({"$ref": format!("#/$defs/d{}", level + 1)})));
    }
    definitions.insert(format!("d{levels}"), end);
    json!({"$ref": "#/$defs/d0", "$defs": definitions})
}

#[test]
fn references_that_double_25_times_are_refused_before_they_are_evaluated() {
    let start = Instant::now();
    let twice = |next: Value| json!({"allOf": [next.clone(), next]});
    for keyword in ["allOf", "anyOf", "oneOf"] {
        let schema = chained(25, json!({"type": "object"}), |next| json!({keyword: [next.clone(), next]}));
        assert_eq!(refused(&schema).reason(), "fan_out");
    }
    let schema =
        chained(25, json!(true), |next| json!({"if": next.clone(), "then": next.clone(), "else": next}));
    assert_eq!(refused(&schema).reason(), "fan_out");
    // Under a member, they cost only what a payload of that depth makes them cost.
    let deep =
        accepted(&chained(25, json!({"type": "string"}), |next| json!({"properties": {"a": twice(next)}})));
    let mut payload = json!(1);
    for _ in 0..25 {
        payload = json!({ "a": payload });
    }
    assert_eq!(deep.validate(&payload).len(), 1);
    assert!(deep.is_valid(&json!({"a": {"a": {"a": 1}}})));
    assert!(start.elapsed() < Duration::from_secs(2));
    accepted(&chained(8, json!({"type": "object"}), twice));
}

#[test]
fn a_recursive_schema_that_multiplies_refuses_deep_payloads_instead_of_hanging() {
    let start = Instant::now();
    let schema = json!({"properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}});
    let validator = accepted(&schema);
    let nested = |depth: usize| (0..depth).fold(json!({}), |inner, _| json!({ "a": inner }));
    assert!(validator.is_valid(&nested(12)));
    for depth in [25, 64, 120] {
        assert!(!validator.is_valid(&nested(depth)));
        let violations = validator.validate(&nested(depth));
        assert_eq!(violations.len(), 1);
        assert_eq!(violations[0].keyword, "$ref");
    }
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn an_ordinary_recursive_schema_is_not_measured() {
    for schema in [
        json!({"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}}),
        json!({"anyOf": [
            {"type": ["string", "number", "boolean", "null"]},
            {"type": "array", "items": {"$ref": "#"}},
            {"type": "object", "additionalProperties": {"$ref": "#"}}
        ]}),
    ] {
        let validator = accepted(&schema);
        assert!(validator.growth.is_none(), "{schema}");
        let deep = (0..100).fold(json!(null), |inner, _| json!({ "left": inner }));
        assert!(validator.is_valid(&deep) || schema.get("anyOf").is_none());
    }
}

#[test]
fn a_reference_that_leads_back_to_itself_is_refused() {
    assert_eq!(refused(&json!({"$ref": "#"})).reason(), "loop");
    assert_eq!(
        refused(&json!({"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}})).reason(),
        "loop"
    );
}

#[test]
fn nothing_outside_the_schema_is_referred_to() {
    for reference in [
        "http://example.com/schema.json",
        "file:///etc/hostname",
        "other.json",
        "#/$defs/absent",
        "#absent",
        "#/%zz",
        "https://json-schema.org/draft/2020-12/schema",
    ] {
        let error = refused(&json!({"properties": {"a": {"$ref": reference}}}));
        assert_eq!(error, SchemaError::Reference { pointer: "/properties/a/$ref".to_owned() }, "{reference}");
    }
}

#[test]
fn references_inside_the_schema_are_followed_as_the_evaluator_follows_them() {
    for (schema, good, bad) in [
        (
            json!({"$id": "https://example.com/order", "$ref": "https://example.com/order#/$defs/a",
                   "$defs": {"a": {"type": "string"}}}),
            json!("x"),
            json!(1),
        ),
        (json!({"$ref": "#a", "$defs": {"b": {"$anchor": "a", "type": "string"}}}), json!("x"), json!(1)),
        (
            json!({"$ref": "urn:part", "$defs": {"b": {"$id": "urn:part", "$ref": "#/$defs/c",
                   "$defs": {"c": {"type": "string"}}}}}),
            json!("x"),
            json!(1),
        ),
        (json!({"$ref": "#/$defs/a%20b~1c", "$defs": {"a b/c": {"type": "string"}}}), json!("x"), json!(1)),
        (json!({"$ref": "#/x", "x": {"type": "string"}}), json!("x"), json!(1)),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/a",
                   "minLength": 99, "definitions": {"a": {"type": "string"}}}),
            json!("x"),
            json!(1),
        ),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}]}),
            json!(["x"]),
            json!([1]),
        ),
    ] {
        let validator = accepted(&schema);
        assert!(validator.is_valid(&good) && !validator.is_valid(&bad), "{schema}");
    }
}

#[test]
fn size_depth_and_patterns_have_limits() {
    assert_eq!(refused(&json!({"description": "x".repeat(MAX_SCHEMA_BYTES)})).reason(), "too_large");
    let deep = (0..=MAX_SCHEMA_DEPTH).fold(json!({}), |inner, _| json!({ "not": inner }));
    assert_eq!(refused(&deep).reason(), "too_deep");
    let mut deepest = json!([]);
    for _ in 0..5_000 {
        deepest = json!([deepest]);
    }
    assert_eq!(refused(&json!({ "const": deepest })).reason(), "too_deep");
    assert_eq!(refused(&json!({"pattern": "a".repeat(MAX_PATTERN_BYTES + 1)})).reason(), "pattern_too_long");
    let key = "a".repeat(MAX_PATTERN_BYTES + 1);
    assert_eq!(refused(&json!({"patternProperties": {key: {}}})).reason(), "pattern_too_long");
    let many: Map<String, Value> =
        (0..=MAX_PATTERNS).map(|at| (at.to_string(), json!({"pattern": at.to_string()}))).collect();
    assert_eq!(refused(&json!({"properties": many})).reason(), "too_many_patterns");
    let chain = chained(MAX_REFERENCE_CHAIN, json!(true), |next| next);
    assert_eq!(refused(&chain).reason(), "reference_chain");
}

#[test]
fn a_pattern_that_would_abort_the_server_is_refused() {
    for pattern in ["(((a{0,99}){0,99}){0,99}){0,99}", "\\p{L}{9999}", "["] {
        assert_eq!(refused(&json!({ "pattern": pattern })).reason(), "pattern", "{pattern}");
    }
    // No linear-time evaluation.
    for pattern in ["^(a|aa)+\\1$", "^(?=a)b", "(?<!a)b"] {
        assert_eq!(refused(&json!({ "pattern": pattern })).reason(), "pattern", "{pattern}");
    }
    // Capture slots times states: 20,000 of these take 25 GB; as many as the
    // length limit lets in are harmless.
    let most = accepted(&json!({"pattern": "(a|b)?".repeat(MAX_PATTERN_BYTES / 6)}));
    assert!(most.is_valid(&json!("a".repeat(50_000))));
    let validator = accepted(&json!({"pattern": "^(a+)+$"}));
    assert!(!validator.is_valid(&json!("a".repeat(50_000) + "b")));
}

#[test]
fn the_dialect_is_2020_12_or_draft_07_and_named_by_the_schema() {
    assert_eq!(engine_of(&json!({})), Ok("draft2020-12/1"));
    assert_eq!(engine_of(&json!(true)), Ok("draft2020-12/1"));
    assert_eq!(engine_of(&json!({"$schema": "http://json-schema.org/draft-07/schema"})), Ok("draft-07/1"));
    for other in ["http://json-schema.org/draft-04/schema#", "https://example.com/mine", ""] {
        assert_eq!(refused(&json!({ "$schema": other })).reason(), "dialect");
    }
    assert_eq!(refused(&json!({"$schema": 7})).reason(), "malformed");
    // Tuples are spelled differently in the two.
    let tuple = |dialect: &str| json!({"$schema": dialect, "items": [{"type": "string"}]});
    assert!(!accepted(&tuple("http://json-schema.org/draft-07/schema#")).is_valid(&json!([1])));
    assert_eq!(refused(&tuple("https://json-schema.org/draft/2020-12/schema")).reason(), "malformed");
    let mixed = json!({"$defs": {"a": {"$schema": "http://json-schema.org/draft-07/schema#"}}});
    assert_eq!(refused(&mixed).reason(), "malformed");
}

#[test]
fn a_malformed_schema_is_refused_with_its_place() {
    let error = refused(&json!({"properties": {"a": {"type": "strin"}}}));
    assert_eq!(error.pointer(), "/properties/a/type");
    for bad in
        [json!(1), json!(null), json!([]), json!("x"), json!({"required": "a"}), json!({"minimum": "1"})]
    {
        refused(&bad);
    }
}

#[test]
fn formats_are_asserted_in_both_dialects() {
    for dialect in ["https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft-07/schema#"]
    {
        let validator = accepted(&json!({"$schema": dialect, "format": "date-time"}));
        assert!(!validator.is_valid(&json!("yesterday")));
    }
}

#[test]
fn violations_point_and_never_quote_the_payload() {
    let schema = json!({
        "type": "object",
        "required": ["id"],
        "additionalProperties": false,
        "properties": {
            "id": {"type": "integer", "minimum": 10},
            "name": {"pattern": "^[a-z]+$", "maxLength": 3},
            "kind": {"enum": ["a", "b"]},
            "fixed": {"const": 7},
            "one": {"oneOf": [{"type": "string"}, {"type": "null"}]},
            "any": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "not": {"not": {"type": "string"}},
            "list": {"items": {"type": "integer"}, "uniqueItems": true, "maxItems": 1, "contains": {"const": 0}},
            "when": {"format": "date-time"},
            "names": {"propertyNames": {"maxLength": 2}},
            "open": {"properties": {"a": true}, "unevaluatedProperties": false},
            "never": false,
            "many": {"multipleOf": 2, "exclusiveMaximum": 3, "exclusiveMinimum": 99}
        }
    });
    let validator = accepted(&schema);
    const SECRET: &str = "s3cret-value";
    let payload = json!({
        "name": SECRET, "kind": SECRET, "fixed": SECRET, "one": 31337, "any": 31337, "not": SECRET,
        "list": [SECRET, SECRET], "when": SECRET, "names": {"long": SECRET}, "open": {"b": SECRET},
        "never": SECRET, "many": 31337, "extra/~": SECRET
    });
    let violations = validator.validate(&payload);
    assert!(violations.len() > 15, "{violations:?}");
    let text = violations_json(&violations).to_string();
    assert!(!text.contains("s3cret") && !text.contains("31337"), "{text}");
    let found = |pointer: &str, keyword: &str| {
        violations.iter().any(|v| v.instance_pointer == pointer && v.keyword == keyword)
    };
    assert!(found("", "required") && found("/extra~1~0", "additionalProperties"), "{text}");
    assert!(found("/name", "pattern") && found("/list/0", "type") && found("/many", "multipleOf"), "{text}");
    assert!(violations.iter().any(|v| v.schema_pointer == "/properties/name/maxLength"), "{text}");
}

#[test]
fn violations_are_bounded_in_number_and_in_length() {
    let validator = accepted(&json!({"items": {"type": "integer"}}));
    assert_eq!(validator.validate(&json!(vec!["x"; 100])).len(), MAX_VIOLATIONS);
    assert_eq!(validator.validate(&json!(vec!["x"; 200_000])).len(), 1);
    let long = accepted(&json!({"enum": vec!["x".repeat(200); 3]}));
    assert!(long.validate(&json!(1))[0].message.len() < 200);
    let closed = accepted(&json!({"properties": {"a": true}, "additionalProperties": false}));
    let wide: Map<String, Value> = (0..100).map(|at| (at.to_string(), json!(0))).collect();
    assert_eq!(closed.validate(&Value::Object(wide)).len(), MAX_VIOLATIONS);
}

/// The longest and deepest schemas that are accepted, compiled and evaluated in
/// a quarter of the stack that a Postgres backend has.
#[test]
fn what_is_accepted_fits_the_stack() {
    let run = || {
        let far = chained(900, json!({"type": "string"}), |next| json!({"properties": {"a": next}}));
        let nested = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!({ "a": inner }));
        assert!(accepted(&far).is_valid(&nested(120)));
        let chain =
            chained(MAX_REFERENCE_CHAIN - 4, json!({"properties": {"a": {"$ref": "#"}}}), |next| next);
        assert!(accepted(&chain).is_valid(&nested(120)));
        let half = MAX_REFERENCE_CHAIN / 2 - 3;
        let all_of =
            chained(half, json!({"properties": {"a": {"$ref": "#"}}}), |next| json!({"allOf": [next]}));
        assert!(
            !accepted(&all_of).is_valid(&nested(120)) || accepted(&all_of).validate(&nested(120)).is_empty()
        );
        let unevaluated = chained(
            6,
            json!({"properties": {"a": {"$ref": "#"}}}),
            |next| json!({"anyOf": [next], "unevaluatedProperties": false}),
        );
        accepted(&unevaluated).validate(&nested(120));
        let deep =
            (0..MAX_SCHEMA_DEPTH / 2).fold(json!(true), |inner, _| json!({"properties": {"a": inner}}));
        assert!(accepted(&deep).is_valid(&nested(120)));
    };
    std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(run)
        .expect("a thread")
        .join()
        .expect("no overflow");
}
