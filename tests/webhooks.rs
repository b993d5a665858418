//! Real payloads under real schemas: GitHub's webhooks, as Octokit collects them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use ets_tests::{Chain, assert_documented, error_of, test_data};
use serde_json::{Value, json};
use uuid::Uuid;

#[test]
fn every_webhook_of_github_is_appended_sealed_proved_and_replayed() {
    let packages = test_data(&["npm", "tests/npm"]).join("node_modules/@octokit");
    let read = |path: &str| -> Value {
        let text = fs::read_to_string(packages.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        serde_json::from_str(&text).expect("JSON")
    };
    let all = read("webhooks-schemas/schema.json");
    let kinds = read("webhooks-examples/api.github.com/index.json");
    let mut chain = Chain::new();
    let (mut events, mut last, mut refused) = (Vec::new(), BTreeMap::new(), Vec::new());
    for kind in kinds.as_array().expect("kinds") {
        let name = kind["name"].as_str().expect("a name");
        let strict = format!("{name}/1.0.0");
        chain.create_domain(name);
        chain.register(&strict, name, &schema_of(&all, name).to_string()).expect("GitHub's schema is taken");
        for (number, payload) in kind["examples"].as_array().expect("examples").iter().enumerate() {
            let text = payload.to_string();
            let event = chain.append(&strict, name, &text).unwrap_or_else(|error| {
                let place = format!("{name} {number}");
                refused.push((place, first_violation(&mut chain, &all, name, payload, error)));
                append_as_received(&mut chain, name, &text)
            });
            events.push((event, payload));
            last.insert(name, payload);
        }
    }
    assert_eq!(events.len(), 329, "the package has other payloads");
    assert_documented("docs/json-schema.md", "webhooks", &report(events.len(), &refused));

    chain.client.batch_execute("SELECT ets.seal()").expect("a seal");
    for (number, (event, payload)) in events.iter().enumerate() {
        assert!(is_included(&mut chain, event), "{event}");
        let document: Value =
            chain.client.query_one("SELECT ets.event_document($1)", &[event]).expect("a document").get(0);
        assert_eq!(document["payload"], **payload);
        // A bundle carries the registry, more than 200 events here: a few will do.
        if number % 20 == 0 {
            let sql = "SELECT count(*) FROM ets.verify_bundle(ets.proof_bundle($1))
                WHERE passed IS NOT TRUE AND check_name <> 'trust_root'";
            let failed: i64 = chain.client.query_one(sql, &[event]).expect("a bundle").get(0);
            assert_eq!(failed, 0, "{event}");
        }
    }
    assert_eq!(chain.findings(), Vec::<String>::new());
    for (name, payload) in last {
        let sql = "SELECT state FROM ets.replay($1)";
        let state: Value = chain.client.query_one(sql, &[&name]).expect("one stream").get(0);
        assert_eq!(state, *payload, "the last event of {name} replaces the state");
    }
}

/// Whether the event, as its row is now, is in the sealed tree of its domain.
fn is_included(chain: &mut Chain, event: &Uuid) -> bool {
    let sql = "SELECT ets.verify_inclusion(
            ets.leaf_hash(ets.event_document($1)), leaf.leaf_index, root.tree_size,
            ARRAY(SELECT hash FROM ets.merkle_proof($1) ORDER BY step), root.root_hash)
        FROM ets.merkle_leaf AS leaf JOIN ets.domain_root AS root USING (domain)
        WHERE leaf.event_id = $1 AND root.checkpoint_id = (SELECT max(checkpoint_id) FROM ets.checkpoint)";
    chain.client.query_one(sql, &[event]).expect("a proof").get(0)
}

/// The schema of one kind of event: its definition and those that it reaches.
fn schema_of(all: &Value, kind: &str) -> Value {
    let named = |name: &str| all["definitions"].get(name).map(|_| name.to_owned());
    let root =
        named(&format!("{kind}_event")).or_else(|| named(&format!("{kind}$event"))).expect("a definition");
    schema_of_definition(all, &root)
}

fn schema_of_definition(all: &Value, root: &str) -> Value {
    let mut definitions = serde_json::Map::new();
    let mut todo = vec![root.to_owned()];
    while let Some(name) = todo.pop() {
        let definition = &all["definitions"][&name];
        if definitions.insert(name, definition.clone()).is_none() {
            references(definition, &mut todo);
        }
    }
    json!({
        "$schema": all["$schema"],
        "allOf": [{"$ref": format!("#/definitions/{root}")}],
        "definitions": definitions,
    })
}

fn references(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(members) => {
            if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                found.push(reference.strip_prefix("#/definitions/").expect("a definition").to_owned());
            }
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// Why a payload was refused: the first violation of the definition of its
/// action, which says more than that no alternative fits.
fn first_violation(
    chain: &mut Chain,
    all: &Value,
    kind: &str,
    payload: &Value,
    error: postgres::Error,
) -> String {
    let code = error_of::<()>(Err(error)).code().code().to_owned();
    assert_eq!(code, "ET007", "{kind}: refused for another reason than its schema");
    let action = format!("{kind}${}", payload["action"].as_str().unwrap_or("event"));
    let schema = match all["definitions"].get(&action) {
        Some(_) => schema_of_definition(all, &action),
        None => schema_of(all, kind),
    };
    let sql = "SELECT format('%s %s', instance_pointer, message) FROM ets.validate($1, $2)
        ORDER BY instance_pointer, message LIMIT 1";
    chain.client.query_one(sql, &[&schema, payload]).expect("a violation").get(0)
}

/// Under a schema that asks for an object only: what GitHub sent is kept.
fn append_as_received(chain: &mut Chain, kind: &str, payload: &str) -> Uuid {
    let open = format!("{kind}.received/1.0.0");
    let sql = "SELECT count(*) FROM ets.schema_version WHERE name = $1";
    if chain.client.query_one(sql, &[&open]).expect("one").get::<_, i64>(0) == 0 {
        chain.register(&open, kind, r#"{"type": "object"}"#).expect("an open schema");
    }
    chain.append(&open, kind, payload).expect("an object")
}

fn report(payloads: usize, refused: &[(String, String)]) -> String {
    let mut text = format!(
        "{payloads} payloads, {} satisfy GitHub's schema of their kind\n\n",
        payloads - refused.len()
    );
    for (place, violation) in refused {
        let _ = writeln!(text, "{place}: {violation}");
    }
    text
}
