use serde_json::json;

use super::*;
use crate::expression::EventScope;
use crate::registry::built_in_schema;

fn rule(name: &str, expr: &str) -> Value {
    json!({"name": name, "expr": expr, "message": format!("{name} is not so")})
}

fn scope<'a>(payload: &'a Value, sequence: u64, state: &'a Value) -> Scope<'a> {
    let event =
        EventScope { schema_version: "a/1.0.0", key_id: "k", owner: "o", domain: "d", stream: "s", sequence };
    Scope { payload, event, state }
}

fn names(judged: Result<(), RuleRefusal>) -> Vec<String> {
    match judged {
        Ok(()) => Vec::new(),
        Err(RuleRefusal::Violated(rules)) => rules.into_iter().map(|rule| rule.name).collect(),
        Err(RuleRefusal::Failed { rule, .. }) => vec![format!("{rule} failed")],
    }
}

#[test]
fn the_bounds_are_those_of_the_registry_event() {
    let record = built_in_schema(&"ets.schema/1.0.0".parse().unwrap()).unwrap();
    let rules = &record.schema["properties"]["rules"];
    assert_eq!(rules["maxItems"], MAX_RULES);
    let members = &rules["items"]["properties"];
    assert_eq!(members["name"]["maxLength"], MAX_RULE_NAME);
    assert_eq!(members["message"]["maxLength"], MAX_RULE_MESSAGE);
    assert_eq!(members["expr"]["maxLength"], MAX_RULE_EXPRESSION);
}

#[test]
fn every_error_names_its_rule_and_its_place() {
    let long = "é".repeat(MAX_RULE_NAME + 1);
    let cases = [
        (json!({}), vec![("not_a_list", "/rules", None)]),
        (json!(vec![rule("a", "true"); MAX_RULES + 1]), vec![("too_many_rules", "/rules", None)]),
        (json!([7]), vec![("not_an_object", "/rules/0", None)]),
        (json!([{"name": "a", "message": "m"}]), vec![("member", "/rules/0/expr", Some("a"))]),
        (json!([{"name": "a", "expr": 1, "message": "m"}]), vec![("member", "/rules/0/expr", Some("a"))]),
        (json!([{"expr": "true", "message": "m"}]), vec![("member", "/rules/0/name", None)]),
        (json!([rule("", "true")]), vec![("member", "/rules/0/name", Some(""))]),
        (json!([rule(&long, "true")]), vec![("member", "/rules/0/name", Some(&long[..2 * MAX_RULE_NAME]))]),
        (
            json!([{"name": "a", "expr": "true", "message": "m", "more": 1}]),
            vec![("unknown_member", "/rules/0", Some("a"))],
        ),
        (
            json!([rule("a", "true"), rule("b", "payload.("), rule("a", "absent")]),
            vec![
                ("expression", "/rules/1/expr", Some("b")),
                ("expression", "/rules/2/expr", Some("a")),
                ("name_taken", "/rules/2/name", Some("a")),
            ],
        ),
    ];
    for (rules, expected) in cases {
        let errors = RuleSet::compile(&rules).expect_err("an error");
        let found: Vec<_> = errors
            .iter()
            .map(|error| {
                let message = error.to_string();
                assert!(!message.contains('\n') && error.detail()["reason"] == error.reason(), "{message}");
                if let Some(position) = error.position {
                    assert!(message.starts_with(&format!("rule {}", position + 1)), "{message}");
                }
                (error.reason(), error.pointer(), error.name.as_deref())
            })
            .collect();
        let expected: Vec<_> = expected.into_iter().map(|(r, p, n)| (r, p.to_owned(), n)).collect();
        assert_eq!(found, expected);
    }
    assert!(RuleSet::compile(&json!([])).is_ok_and(|rules| rules.is_empty() && !rules.needs_head()));
}

#[test]
fn rules_are_judged_where_what_they_mention_is_known() {
    let rules = RuleSet::compile(&json!([
        rule("by payload", "payload.n > 1"),
        rule("by state", "state.n > 1"),
        rule("by sequence", "event.sequence > 1"),
        rule("by both", "state.n > 1 && event.sequence > 1"),
    ]))
    .expect("rules");
    assert!(rules.needs_state() && rules.needs_head() && !rules.is_empty());
    let (one, two) = (json!({"n": 1}), json!({"n": 2}));
    let bad = scope(&one, 1, &one);
    assert_eq!(names(rules.check_without_head(&bad)), ["by payload"]);
    assert_eq!(names(rules.check_with_head(&bad)), ["by state", "by sequence", "by both"]);
    assert_eq!(names(rules.check_without_state(&bad)), ["by payload", "by sequence"]);
    assert_eq!(names(rules.check(&bad)), ["by payload", "by state", "by sequence", "by both"]);
    assert_eq!(rules.check(&scope(&two, 2, &two)), Ok(()));
    // Steps before the head is locked need neither.
    assert_eq!(rules.check_without_head(&scope(&two, 0, &Value::Null)), Ok(()));
    let only_sequence = RuleSet::compile(&json!([rule("a", "event.sequence > 1")])).expect("rules");
    assert!(only_sequence.needs_head() && !only_sequence.needs_state());
}

#[test]
fn a_rule_may_rely_on_those_before_it() {
    let rules = RuleSet::compile(&json!([
        rule("there", "state != null"),
        rule("ten", "10 / payload.n == 10"),
        rule("never reached", "false"),
    ]))
    .expect("rules");
    let (zero, one, ten) = (json!({"n": 0}), json!({"n": 1}), json!({"n": 10}));
    assert_eq!(names(rules.check(&scope(&one, 1, &ten))), ["never reached"]);
    assert_eq!(names(rules.check(&scope(&ten, 1, &Value::Null))), ["there", "ten", "never reached"]);
    assert_eq!(names(rules.check(&scope(&zero, 1, &ten))), ["ten failed"]);
    // What was untrue before the failure is the better answer.
    assert_eq!(names(rules.check(&scope(&zero, 1, &Value::Null))), ["there"]);
}

#[test]
fn a_refusal_says_which_rules_and_why_and_shows_no_payload() {
    let mut list: Vec<Value> = (0..100).map(|n| rule(&format!("r{n}"), "payload.n == 'secret'")).collect();
    list[0]["message"] = json!("two\nlines");
    let rules = RuleSet::compile(&json!(list)).expect("rules");
    let payload = json!({"n": "hidden"});
    let refusal = rules.check(&scope(&payload, 1, &Value::Null)).expect_err("a refusal");
    assert_eq!(refusal.sqlstate(), "ET008");
    let RuleRefusal::Violated(violated) = &refusal else { panic!("{refusal}") };
    assert_eq!(violated.len(), MAX_VIOLATED_RULES);
    assert_eq!(refusal.to_string(), "the event violates rule \"r0\": two lines (and 31 more)");
    assert_eq!(refusal.detail()["rules"][1], json!({"rule": "r1", "message": "r1 is not so"}));
    assert!(!refusal.detail().to_string().contains("hidden"));

    let rules = RuleSet::compile(&json!([rule("half", "10 / payload.n > 1")])).expect("rules");
    let payload = json!({"n": 0});
    let refusal = rules.check(&scope(&payload, 1, &Value::Null)).expect_err("a refusal");
    assert_eq!((refusal.sqlstate(), refusal.detail()["rule"].as_str()), ("ET014", Some("half")));
    // An answer that is neither true nor false is none.
    let rules = RuleSet::compile(&json!([rule("number", "payload.n")])).expect("rules");
    let refusal = rules.check(&scope(&payload, 1, &Value::Null)).expect_err("a refusal");
    assert_eq!(refusal.sqlstate(), "ET014");
}

#[test]
fn a_mention_of_the_state_is_seen_without_compiling_the_rest() {
    for (expr, mentions) in [
        ("state == null", true),
        ("payload.state == 1", false),
        ("payload.n == 'state'", false),
        ("has(payload.n) && state.n > 1", true),
        ("true", false),
        // What does not compile here is another version's: better kept than lost.
        ("state ?? 1", true),
        ("?? 1", false),
    ] {
        assert_eq!(mention_state(&json!([rule("a", "true"), rule("b", expr)])), mentions, "{expr}");
    }
    assert!(!mention_state(&json!([])) && !mention_state(&json!(7)));
}
