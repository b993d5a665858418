//! New versions of a schema: what is refused, with every reason, and what a
//! developer can ask before.

use ets_tests::{Ledger, refused, tamper};
use serde_json::{Value, json};

/// A ledger with a domain `d` and a key that may append to it.
fn ledger() -> Ledger {
    let mut ledger = Ledger::new();
    ledger
        .client
        .batch_execute(
            "SELECT ets.create_domain('d'); SELECT ets.create_domain('e');
             SELECT ets.create_local_key('k', 'k', 'postgres');
             SELECT ets.grant_authority(key_id, 'd') FROM ets.local_key WHERE name = 'k'",
        )
        .expect("a domain");
    ledger
}

fn register(
    ledger: &mut Ledger,
    version: &str,
    domain: &str,
    schema: &Value,
) -> Result<u64, postgres::Error> {
    ledger.client.execute("SELECT ets.register_schema($1, $2, $3)", &[&version, &domain, schema])
}

fn person(properties: Value, required: Value) -> Value {
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

/// The rows of `ets.schema_diff`.
fn diff(ledger: &mut Ledger, old: &Value, new: &Value) -> Vec<(String, String, String)> {
    let rows = ledger
        .client
        .query("SELECT verdict, new_pointer, keyword FROM ets.schema_diff($1, $2)", &[old, new])
        .expect("schema_diff");
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

#[test]
fn a_new_version_accepts_what_the_last_one_accepted() {
    let mut ledger = ledger();
    let first = person(
        json!({"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}}),
        json!(["name"]),
    );
    register(&mut ledger, "person/1.0.0", "d", &first).expect("the first");
    let wider = person(
        json!({"name": {"type": ["string", "null"]}, "age": {"type": "number"}, "mail": {"type": "string"}}),
        json!([]),
    );
    assert_eq!(diff(&mut ledger, &first, &wider), []);
    register(&mut ledger, "person/1.1.0", "d", &wider).expect("it accepts more");

    // Every reason, with its pointer; whatever the major number is.
    let tighter = person(
        json!({"name": {"type": "string"}, "age": {"type": "number", "maximum": 150}, "mail": {"type": "string"}}),
        json!(["mail"]),
    );
    let refusal = refused(register(&mut ledger, "person/2.0.0", "d", &tighter), "ET006");
    assert_eq!(refusal.detail["compatibility"], "incompatible");
    assert_eq!(refusal.detail["predecessor"], "person/1.1.0");
    let mut places: Vec<(&str, &str)> = refusal.detail["reasons"]
        .as_array()
        .expect("reasons")
        .iter()
        .map(|reason| {
            (reason["new_pointer"].as_str().expect("text"), reason["keyword"].as_str().expect("text"))
        })
        .collect();
    places.sort_unstable();
    assert_eq!(
        places,
        [
            ("/properties/age/maximum", "maximum"),
            ("/properties/name/type", "type"),
            ("/required", "required")
        ]
    );
    let mut told: Vec<(String, String)> = diff(&mut ledger, &wider, &tighter)
        .into_iter()
        .map(|(verdict, at, keyword)| {
            assert_eq!(verdict, "incompatible");
            (at, keyword)
        })
        .collect();
    told.sort_unstable();
    assert_eq!(
        told,
        places.iter().map(|(at, keyword)| ((*at).to_owned(), (*keyword).to_owned())).collect::<Vec<_>>()
    );

    // What cannot be decided is refused too.
    let (old, new) =
        (json!({"type": "string", "pattern": "^a+$"}), json!({"type": "string", "pattern": "^a*$"}));
    assert!(diff(&mut ledger, &old, &new).iter().all(|(verdict, ..)| verdict == "undecidable"));
    register(&mut ledger, "word/1.0.0", "d", &old).expect("the first");
    assert_eq!(
        refused(register(&mut ledger, "word/1.1.0", "d", &new), "ET006").detail["compatibility"],
        "undecidable"
    );
}

#[test]
fn versions_of_a_name_come_in_order_and_stay_in_their_domain() {
    let mut ledger = ledger();
    register(&mut ledger, "a/1.2.0", "d", &json!({"type": "object"})).expect("the first");
    refused(register(&mut ledger, "a/1.1.9", "d", &json!({"type": "object"})), "ET006");
    refused(register(&mut ledger, "a/1.3.0", "e", &json!({"type": "object"})), "ET006");
    refused(register(&mut ledger, "a/1.2.0", "d", &json!(true)), "ET006");
    refused(register(&mut ledger, "a/1.2.0", "d", &json!({"type": "object"})), "ET010");
    register(&mut ledger, "a/1.10.0", "d", &json!(true)).expect("ten is more than two");
    // A retired version is a predecessor all the same: its events stay valid.
    ledger.client.execute("SELECT ets.retire_schema('a/1.10.0', 'too wide')", &[]).expect("retired");
    refused(register(&mut ledger, "a/2.0.0", "d", &json!({"type": "object"})), "ET006");
}

/// The history is held against the new version itself, in case what is stored is
/// not what was admitted.
#[test]
fn an_event_that_violates_the_new_version_refuses_it() {
    let mut ledger = ledger();
    let schema = person(json!({"name": {"type": "string"}}), json!(["name"]));
    register(&mut ledger, "person/1.0.0", "d", &schema).expect("the first");
    for name in ["a", "b", "c"] {
        ledger
            .client
            .execute("SELECT ets.append_signed($1, 'person/1.0.0')", &[&json!({"name": name})])
            .expect("an event");
    }
    let id: uuid::Uuid =
        ledger.one("SELECT event_id FROM ets.ledger_event WHERE domain = 'd' AND sequence = 2", &[]);
    tamper(
        &mut ledger.client,
        "UPDATE ets.ledger_event SET payload = '{\"name\": 7}' WHERE domain = 'd' AND sequence = 2",
    );
    let described = json!({"description": "a person"});
    let mut next = schema.clone();
    next.as_object_mut().expect("an object").extend(described.as_object().expect("an object").clone());
    let refusal = refused(register(&mut ledger, "person/1.1.0", "d", &next), "ET006");
    assert_eq!(refusal.detail["reason"], "history");
    assert_eq!(refusal.detail["event_id"], json!(id.to_string()));
    assert_eq!(refusal.detail["violations"][0]["instance_pointer"], "/name");
    tamper(
        &mut ledger.client,
        "UPDATE ets.ledger_event SET payload = '{\"name\": \"b\"}' WHERE domain = 'd' AND sequence = 2",
    );
    register(&mut ledger, "person/1.1.0", "d", &next).expect("as it was");
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

/// Each version demands its own name where `schema_pointer` looks: that is no
/// narrowing, neither of the schema nor of its history.
#[test]
fn versions_that_demand_their_own_name_are_compatible() {
    let mut ledger = ledger();
    let schema = |version: &str| {
        person(
            json!({"schema_version": {"const": version}, "n": {"type": "integer"}}),
            json!(["schema_version"]),
        )
    };
    let mut register = |version: &str| {
        ledger.client.execute(
            "SELECT ets.register_schema($1, 'd', $2, schema_pointer => '/schema_version')",
            &[&version, &schema(version)],
        )
    };
    register("named/1.0.0").expect("the first");
    register("named/1.1.0").expect("without a history");
    for version in ["named/1.0.0", "named/1.1.0"] {
        let payload = json!({"schema_version": version, "n": 1});
        ledger.client.execute("SELECT ets.append_signed($1, $2)", &[&payload, &version]).expect("an event");
    }
    ledger
        .client
        .execute(
            "SELECT ets.register_schema('named/1.2.0', 'd', $1, schema_pointer => '/schema_version')",
            &[&schema("named/1.2.0")],
        )
        .expect("with one");
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

#[test]
fn a_diff_of_what_is_no_schema_is_refused() {
    let mut ledger = ledger();
    for (old, new) in
        [(json!({"type": 7}), json!(true)), (json!(true), json!({"$ref": "https://elsewhere.example/"}))]
    {
        refused(ledger.client.query("SELECT * FROM ets.schema_diff($1, $2)", &[&old, &new]), "ET006");
    }
    refused(ledger.client.query("SELECT * FROM ets.schema_diff(NULL, 'true')", &[]), "22004");
}
