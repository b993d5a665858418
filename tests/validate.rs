//! `ets.validate`: a schema tried out without a ledger.

use ets_tests::{Cluster, Ledger, SCHEMA, refused};
use serde_json::{Value, json};

#[test]
fn every_violation_is_a_row_with_its_pointers() {
    let mut client = Cluster::shared().database().connect();
    let schema = json!({
        "type": "object",
        "properties": {"amount": {"type": "integer"}, "lines": {"items": {"minLength": 2}}},
        "required": ["order"],
        "additionalProperties": false
    });
    let payload = json!({"amount": "five", "lines": ["ab", "a"], "more/less": 1});
    let sql = "SELECT array_agg(concat_ws(' ', quote_literal(instance_pointer), schema_pointer, keyword)
        ORDER BY instance_pointer, keyword) FROM ets.validate($1, $2)";
    let rows: Vec<String> = client.query_one(sql, &[&schema, &payload]).expect("validate").get(0);
    assert_eq!(
        rows,
        [
            "'' /required required",
            "'/amount' /properties/amount/type type",
            "'/lines/1' /properties/lines/items/minLength minLength",
            "'/more~1less' /additionalProperties additionalProperties",
        ]
    );
    let many: Value = (0..100).map(|_| json!("a")).collect();
    let sql = "SELECT count(*), min(message) FROM ets.validate($1, $2)";
    let row = client.query_one(sql, &[&json!({"items": {"minLength": 2}}), &many]).expect("validate");
    assert_eq!((row.get::<_, i64>(0), row.get::<_, &str>(1)), (32, "is shorter than 2 characters"));
}

#[test]
fn one_query_judges_under_many_schemas() {
    let mut client = Cluster::shared().database().connect();
    let sql = "SELECT array_agg((SELECT count(*) FROM ets.validate(jsonb_build_object('minimum', n % 3), to_jsonb(1)))
        ORDER BY n) FROM generate_series(0, 5) n";
    let counts: Vec<i64> = client.query_one(sql, &[]).expect("validate").get(0);
    assert_eq!(counts, [0, 0, 1, 0, 0, 1]);
}

#[test]
fn a_schema_that_could_not_be_registered_is_refused() {
    let mut client = Cluster::shared().database().connect();
    for (schema, reason, pointer) in [
        (r#"{"properties": {"a": {"type": "nothing"}}}"#, "malformed", "/properties/a/type"),
        (r#"{"$ref": "https://example.com/"}"#, "reference", "/$ref"),
        (r#"{"pattern": "(?=a)b"}"#, "pattern", "/pattern"),
        (r#"{"$schema": "http://json-schema.org/draft-04/schema#"}"#, "dialect", "/$schema"),
    ] {
        let sql = "SELECT * FROM ets.validate($1::text::jsonb, '1')";
        let refusal = refused(client.query(sql, &[&schema]), "ET006");
        assert_eq!(
            (&refusal.detail["reason"], &refusal.detail["schema_pointer"]),
            (&json!(reason), &json!(pointer))
        );
    }
}

#[test]
fn a_payload_without_canonical_form_is_refused() {
    let mut client = Cluster::shared().database().connect();
    for payload in ["1e400", "9007199254740993", "[0.10000000000000000001]"] {
        let sql = "SELECT * FROM ets.validate('true', $1::text::jsonb)";
        refused(client.query(sql, &[&payload]), "ET001");
    }
    for sql in ["SELECT * FROM ets.validate(NULL, '1')", "SELECT * FROM ets.validate('true', NULL)"] {
        refused(client.query(sql, &[]), "22004");
    }
}

#[test]
fn an_append_is_refused_with_the_same_violations() {
    let mut ledger = Ledger::new();
    let payload = json!({"schema": SCHEMA, "order": "v", "amount": -1, "extra": true});
    let genesis = ledger.head("v").0;
    let refusal = refused(ledger.try_append(&payload, &genesis), "ET007");
    let sql = "SELECT jsonb_agg(to_jsonb(violation)) FROM ets.schema_version AS registered,
        ets.validate(registered.schema, $2) AS violation WHERE registered.name = $1";
    assert_eq!(ledger.one::<Value>(sql, &[&SCHEMA, &payload]), refusal.detail["violations"]);
}
