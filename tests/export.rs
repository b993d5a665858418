//! An export is taken in whole, by another database of the same ledger, or refused
//! at the line.

use ets_tests::{Cluster, DOMAIN, Database, Ledger, Refusal, findings, order, refused};
use postgres::Client;
use serde_json::Value;

/// The lines of an export with these arguments.
fn export(client: &mut Client, arguments: &str) -> Vec<String> {
    let sql = format!("SELECT line FROM ets.export({arguments}) ORDER BY line_number");
    client.query(sql.as_str(), &[]).expect("ets.export").iter().map(|row| row.get(0)).collect()
}

/// A database that has joined the ledger of `client`, for one domain or all.
fn joined(client: &mut Client, domain: Option<&str>) -> (Database, Client) {
    let first: String = client
        .query_one(
            "SELECT ets.event_document(event_id)::text FROM ets.ledger_event
              WHERE domain = 'ets.registry' AND sequence = 1",
            &[],
        )
        .expect("a first event")
        .get(0);
    let database = Cluster::shared().database();
    let mut replica = database.connect();
    replica.execute("SELECT ets.join($1::text::json, $2)", &[&first, &domain]).expect("ets.join");
    (database, replica)
}

fn import(client: &mut Client, lines: &[String]) -> Result<(i64, i64, i64), postgres::Error> {
    let sql = "SELECT new_events, stored_events, checkpoints FROM ets.import($1)";
    client.query_one(sql, &[&lines.join("\n")]).map(|row| (row.get(0), row.get(1), row.get(2)))
}

/// Everything that came along, and everything that was made of it.
fn contents(client: &mut Client) -> Value {
    let sql = "SELECT jsonb_build_object(
        'events', (SELECT jsonb_agg(to_jsonb(e) - 'transaction_id' ORDER BY event_id) FROM ets.ledger_event e),
        'heads', (SELECT jsonb_agg(to_jsonb(h) ORDER BY domain, stream) FROM ets.stream_head h),
        'domains', (SELECT jsonb_agg(to_jsonb(d) ORDER BY domain) FROM ets.domain d),
        'schemas', (SELECT jsonb_agg(to_jsonb(s) ORDER BY name) FROM ets.schema_version s),
        'keys', (SELECT jsonb_agg(to_jsonb(k) ORDER BY key_id) FROM ets.signing_key k),
        'grants', (SELECT jsonb_agg(to_jsonb(g) ORDER BY to_jsonb(g)::text) FROM ets.authority_grant g),
        'leaves', (SELECT jsonb_agg(to_jsonb(l) ORDER BY domain, leaf_index) FROM ets.merkle_leaf l),
        'tiles', (SELECT jsonb_agg(to_jsonb(t) ORDER BY domain, level, tile_index) FROM ets.merkle_tile t),
        'roots', (SELECT jsonb_agg(to_jsonb(r) ORDER BY checkpoint_id, domain) FROM ets.domain_root r),
        'checkpoints', (SELECT jsonb_agg(to_jsonb(c) ORDER BY checkpoint_id) FROM ets.checkpoint c))";
    client.query_one(sql, &[]).expect("the tables").get(0)
}

/// A ledger of two checkpoints and an event that is not sealed.
fn sealed_twice() -> Ledger {
    let mut ledger = Ledger::new();
    for amount in 1..=3 {
        ledger.append(&order("a", amount));
        ledger.append(&order("b", amount));
    }
    ledger.seal();
    ledger.append(&order("a", 4));
    ledger.client.execute("SELECT ets.create_domain('later')", &[]).expect("domain");
    ledger.seal();
    ledger.append(&order("c", 1));
    ledger
}

fn line_of(refusal: &Refusal) -> usize {
    usize::try_from(refusal.detail["line"].as_u64().expect("the detail names the line")).expect("small")
}

#[test]
fn an_import_from_empty_makes_the_same_ledger() {
    let mut ledger = sealed_twice();
    let lines = export(&mut ledger.client, "");
    let (_database, mut replica) = joined(&mut ledger.client, None);
    let events: i64 = ledger.one("SELECT count(*) FROM ets.ledger_event", &[]);
    assert_eq!(import(&mut replica, &lines).expect("import"), (events, 0, 2));
    assert_eq!(contents(&mut replica), contents(&mut ledger.client));
    assert_eq!(findings(&mut replica), Vec::<String>::new());
    // The same again changes nothing.
    assert_eq!(import(&mut replica, &lines).expect("import"), (0, events, 0));
    assert_eq!(contents(&mut replica), contents(&mut ledger.client));
}

#[test]
fn an_import_continues_where_the_last_one_ended() {
    let mut ledger = sealed_twice();
    let (_database, mut replica) = joined(&mut ledger.client, None);
    let (first, second) = (
        export(&mut ledger.client, "to_checkpoint => 1"),
        export(&mut ledger.client, "from_checkpoint => 1"),
    );
    let refusal = refused(import(&mut replica, &second), "ET010");
    assert_eq!(line_of(&refusal), 1, "it continues what is not there");
    import(&mut replica, &first).expect("import");
    import(&mut replica, &second).expect("import");
    assert_eq!(contents(&mut replica), contents(&mut ledger.client));
}

#[test]
fn one_domain_comes_with_the_registry() {
    let mut ledger = sealed_twice();
    ledger.findings(); // which the server declares in ets.audit
    ledger.seal();
    let (_database, mut replica) = joined(&mut ledger.client, Some(DOMAIN));
    let whole = export(&mut ledger.client, "");
    assert_eq!(line_of(&refused(import(&mut replica, &whole), "ET010")), 1);
    let lines = export(&mut ledger.client, "'orders'");
    import(&mut replica, &lines).expect("import");
    let domains = "SELECT array_agg(DISTINCT domain ORDER BY domain) FROM ets.ledger_event";
    let domains: Vec<String> = replica.query_one(domains, &[]).expect("domains").get(0);
    assert_eq!(domains, ["ets.registry", "orders"]);
    assert_eq!(findings(&mut replica), Vec::<String>::new());
    let seal = "SELECT count(*) FROM ets.status WHERE item IN ('seal', 'unsealed events', 'replica') AND state <> 'ok'";
    assert_eq!(replica.query_one(seal, &[]).expect("status").get::<_, i64>(0), 0);
}

#[test]
fn an_export_cut_anywhere_is_refused_and_leaves_nothing() {
    let mut ledger = sealed_twice();
    let lines = export(&mut ledger.client, "");
    let (_database, mut replica) = joined(&mut ledger.client, None);
    for end in 0..lines.len() {
        let refusal = refused(import(&mut replica, &lines[..end]), "22023");
        assert!(refusal.message.contains(&format!("line {}", end + 1)), "{}", refusal.message);
    }
    let stored: i64 = replica.query_one("SELECT count(*) FROM ets.ledger_event", &[]).expect("count").get(0);
    assert_eq!(stored, 0);
}

#[test]
fn two_lines_in_the_other_order_are_refused_where_it_shows() {
    let mut ledger = sealed_twice();
    let lines = export(&mut ledger.client, "");
    let (_database, mut replica) = joined(&mut ledger.client, None);
    for first in 0..lines.len() - 1 {
        let mut swapped = lines.clone();
        swapped.swap(first, first + 1);
        let error = import(&mut replica, &swapped).expect_err("the order is another");
        let text = error.as_db_error().and_then(|error| error.detail()).expect("a detail").to_owned();
        let detail: Value = serde_json::from_str(&text).expect("JSON");
        let line = usize::try_from(detail["line"].as_u64().expect("a line")).expect("small");
        assert!((first + 1..=first + 2).contains(&line), "{first}: {text}");
    }
}

#[test]
fn an_edited_line_is_refused_there() {
    let mut ledger = sealed_twice();
    let lines = export(&mut ledger.client, "");
    let (_database, mut replica) = joined(&mut ledger.client, None);
    let sealed = lines.iter().rposition(|line| line.contains("\"amount\":4")).expect("a sealed event");
    let unsealed = lines.len() - 2;
    for (at, from, to, code) in [
        (sealed, "\"amount\":4", "\"amount\":5", "ET002"),
        (sealed, "\"sequence\":4", "\"sequence\":5", "ET002"),
        (sealed, "\"stream\":\"a\"", "\"stream\":\"b\"", "ET002"),
        (sealed, "\"schema_version\":\"order", "\"schema_version\":\"other", "ET002"),
        (unsealed, "\"amount\":1", "\"amount\":2", "ET002"),
        (unsealed, "\"sequence\":1", "\"sequence\":2", "ET010"),
        (unsealed, "\"stream\":\"c\"", "\"stream\":\"d\"", "ET010"),
        (unsealed, "\"domain\":\"orders\"", "\"domain\":\"later\"", "ET010"),
        (unsealed, "\"schema_version\":\"order", "\"schema_version\":\"other", "ET006"),
        (lines.len() - 1, "\"events\":", "\"events\":1", "ET002"),
    ] {
        let mut edited = lines.clone();
        edited[at] = edited[at].replacen(from, to, 1);
        assert_ne!(edited[at], lines[at], "{from}");
        let refusal = refused(import(&mut replica, &edited), code);
        assert_eq!(line_of(&refusal), at + 1, "{from}: {}", refusal.message);
    }
}

#[test]
fn a_header_field_that_no_leaf_covers_is_judged_by_the_gate() {
    let mut ledger = sealed_twice();
    let lines = export(&mut ledger.client, "");
    let (_database, mut replica) = joined(&mut ledger.client, None);
    let unsealed = lines.len() - 2;
    for (member, value, code) in [
        ("registry_version", serde_json::json!(1), "ET006"),
        ("registry_version", serde_json::json!(99), "ET010"),
        ("key_id", serde_json::json!("0".repeat(64)), "ET010"),
        ("signature", serde_json::json!("0".repeat(128)), "ET003"),
        ("previous_hash", serde_json::json!("0".repeat(64)), "ET002"),
    ] {
        let mut document: Value = serde_json::from_str(&lines[unsealed]).expect("a document");
        document[member] = value;
        let mut edited = lines.clone();
        edited[unsealed] = document.to_string();
        let refusal = refused(import(&mut replica, &edited), code);
        assert_eq!(line_of(&refusal), unsealed + 1, "{member}: {}", refusal.message);
    }
}

#[test]
fn another_ledgers_export_is_refused() {
    let mut ledger = sealed_twice();
    let mut other = sealed_twice();
    let lines = export(&mut other.client, "");
    let (_database, mut replica) = joined(&mut ledger.client, None);
    assert_eq!(line_of(&refused(import(&mut replica, &lines), "ET010")), 1);
}

#[test]
fn a_ledger_of_its_own_takes_no_import() {
    let mut ledger = sealed_twice();
    let lines = export(&mut ledger.client, "");
    refused(import(&mut ledger.client, &lines), "ET013");
    let database = Cluster::shared().database();
    refused(import(&mut database.connect(), &lines), "ET013");
}

#[test]
fn what_was_changed_past_the_gate_is_not_exported() {
    let mut ledger = sealed_twice();
    ets_tests::tamper(
        &mut ledger.client,
        "UPDATE ets.ledger_event SET payload = jsonb_set(payload, '{amount}', '9')
          WHERE domain = 'orders' AND stream = 'a' AND sequence = 2",
    );
    let refusal = refused(ledger.client.query("SELECT line FROM ets.export()", &[]), "ET002");
    assert_eq!(refusal.detail["sequence"], 2);
}

#[test]
fn states_are_kept_by_the_importer_as_by_the_first() {
    let mut ledger = Ledger::new();
    ledger.append(&order("a", 1));
    ledger
        .client
        .batch_execute("SELECT ets.create_domain('kept', keep_state => true)")
        .expect("a domain that keeps its states");
    let rule = r#"[{"name": "rises", "expr": "state == null || payload.n > state.n", "message": "n rises"}]"#;
    ledger
        .client
        .execute("SELECT ets.register_schema('n/1.0.0', 'kept', '{\"type\": \"object\"}', rules => $1::text::jsonb)", &[&rule])
        .expect("schema");
    ledger
        .client
        .execute("SELECT ets.grant_authority($1, 'kept')", &[&ledger.alice.key_id()])
        .expect("grant");
    for n in 1..=3 {
        let payload = serde_json::json!({ "n": n });
        let previous: Vec<u8> = ledger.one("SELECT head_hash FROM ets.head('kept')", &[]);
        let signature = ledger.alice.sign(&payload, &previous);
        ledger
            .client
            .execute(
                "SELECT ets.append($1, 'n/1.0.0', $2, $3, $4)",
                &[&payload, &ledger.alice.public_key(), &previous, &signature],
            )
            .expect("append");
    }
    ledger.seal();
    let lines = export(&mut ledger.client, "");
    let (_database, mut replica) = joined(&mut ledger.client, None);
    import(&mut replica, &lines).expect("import");
    assert_eq!(contents(&mut replica), contents(&mut ledger.client));
    let count = "SELECT count(*) FROM ets.verify_replay()";
    assert_eq!(replica.query_one(count, &[]).expect("replay").get::<_, i64>(0), 0);
}

#[test]
fn copy_brings_an_export_as_well() {
    let mut ledger = sealed_twice();
    let lines = export(&mut ledger.client, "");
    let (_database, mut replica) = joined(&mut ledger.client, None);
    let copy = "COPY ets.import_lines FROM STDIN WITH (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')";
    let copied = |client: &mut Client, lines: &[String]| -> Result<u64, postgres::Error> {
        use std::io::Write as _;
        let mut writer = client.copy_in(copy)?;
        writer.write_all((lines.join("\n") + "\n").as_bytes()).expect("copy data");
        writer.finish()
    };
    let refusal = refused(copied(&mut replica, &lines[..lines.len() - 1]), "22023");
    assert!(refusal.message.contains(&format!("line {}", lines.len())), "{}", refusal.message);
    copied(&mut replica, &lines).expect("copy");
    assert_eq!(contents(&mut replica), contents(&mut ledger.client));
}

#[test]
fn only_an_importer_imports() {
    let mut ledger = sealed_twice();
    let lines = export(&mut ledger.client, "");
    let (database, mut replica) = joined(&mut ledger.client, None);
    let role = format!("importer_{}", database.name);
    replica
        .batch_execute(&format!(
            "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA ets TO {role}; GRANT INSERT ON ets.import_lines TO {role}"
        ))
        .expect("a role");
    let mut client = database.connect_as(&role);
    refused(import(&mut client, &lines), "42501");
    refused(client.execute("INSERT INTO ets.import_lines VALUES ($1)", &[&lines[0]]), "42501");
    replica.batch_execute(&format!("GRANT EXECUTE ON FUNCTION ets.import(text) TO {role}")).expect("grant");
    import(&mut client, &lines).expect("import");
}
