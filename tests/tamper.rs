//! What a superuser can do past every guard is found, and the finding names the
//! row.

use ets_tests::{DOMAIN, Ledger, order};
use postgres::Client;
use uuid::Uuid;

/// Does `sql` with every guard switched off, as a superuser can, and arms again.
pub fn tamper(client: &mut Client, sql: &str) {
    let disarm = "DO $$ DECLARE t name; BEGIN
        FOR t IN SELECT evtname FROM pg_event_trigger LOOP EXECUTE format('ALTER EVENT TRIGGER %I DISABLE', t); END LOOP;
        FOR t IN SELECT relname FROM pg_class WHERE relnamespace = 'ets'::regnamespace AND relkind = 'r' LOOP
            EXECUTE format('ALTER TABLE ets.%I DISABLE TRIGGER ALL', t);
        END LOOP;
    END $$";
    client.batch_execute(disarm).expect("a superuser can");
    client.batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    client.batch_execute("SELECT ets.arm()").expect("armed again");
}

struct Found {
    ledger: Ledger,
    events: Vec<Uuid>,
}

/// A sealed ledger of three events, the second of which is tampered with.
fn sealed() -> Found {
    let mut ledger = Ledger::new();
    let mut events: Vec<Uuid> = (1..=3).map(|amount| ledger.append(&order("t", amount)).event_id).collect();
    ledger.seal();
    events.push(ledger.append(&order("t", 4)).event_id);
    assert_eq!(ledger.findings(), Vec::<String>::new());
    Found { ledger, events }
}

#[test]
fn changing_any_column_of_an_event_is_found() {
    for change in [
        "payload = jsonb_set(payload, '{amount}', '99')",
        "payload = jsonb_set(payload, '{amount}', '2.0')",
        "payload = payload || '{\"note\": 1}'",
        "schema_version = 'order/1.0.1'",
        "key_id = repeat('a', 64)",
        "public_key = set_byte(public_key, 0, get_byte(public_key, 0) # 1)",
        "previous_hash = set_byte(previous_hash, 31, get_byte(previous_hash, 31) # 1)",
        "current_hash = set_byte(current_hash, 0, get_byte(current_hash, 0) # 128)",
        "signature = set_byte(signature, 5, get_byte(signature, 5) # 1)",
        "\"timestamp\" = \"timestamp\" + interval '1 microsecond'",
        "stream = 'u'",
        "sequence = 7",
        "registry_version = registry_version - 1",
    ] {
        let Found { mut ledger, events } = sealed();
        let sql = format!("UPDATE ets.ledger_event SET {change} WHERE event_id = '{}'", events[1]);
        tamper(&mut ledger.client, &sql);
        let findings = ledger.findings();
        assert!(!findings.is_empty(), "{change} is not found");
        let named = findings.iter().any(|finding| finding.contains(&events[1].to_string()));
        assert!(named, "{change}: no finding names the row: {findings:#?}");
        let document = "SELECT ets.event_document($1)::text";
        if change.starts_with("payload") || change.contains("_hash") || change.starts_with("signature") {
            let error = ets_tests::error_of(ledger.client.query_one(document, &[&events[1]]));
            assert!(matches!(error.code().code(), "ET002" | "ET003"), "{change}: {error:?}");
        }
    }
}

#[test]
fn removing_an_event_is_found() {
    for which in 0..4 {
        let Found { mut ledger, events } = sealed();
        tamper(
            &mut ledger.client,
            &format!("DELETE FROM ets.ledger_event WHERE event_id = '{}'", events[which]),
        );
        assert!(!ledger.findings().is_empty(), "event {} was removed", which + 1);
    }
}

#[test]
fn swapping_two_events_is_found() {
    let Found { mut ledger, events } = sealed();
    let sql = format!(
        "UPDATE ets.ledger_event SET sequence = 5 - sequence WHERE event_id IN ('{}', '{}')",
        events[1], events[2]
    );
    tamper(&mut ledger.client, &sql);
    assert!(ledger.findings().iter().any(|finding| finding.contains(&events[1].to_string())));
}

#[test]
fn changing_what_the_gate_and_the_seal_wrote_is_found() {
    for sql in [
        "UPDATE ets.stream_head SET sequence = sequence + 1 WHERE domain = 'orders'",
        "UPDATE ets.stream_head SET head_hash = set_byte(head_hash, 0, get_byte(head_hash, 0) # 1) WHERE domain = 'orders'",
        "DELETE FROM ets.stream_head WHERE domain = 'orders'",
        "UPDATE ets.signing_key SET owner = 'mallory' WHERE owner = 'alice'",
        "DELETE FROM ets.signing_key WHERE owner = 'alice'",
        "INSERT INTO ets.signing_key SELECT repeat('e', 64), decode(repeat('ee', 32), 'hex'), algorithm, 'eve', custody,
            not_before, not_after, registered_at FROM ets.signing_key WHERE owner = 'alice'",
        "UPDATE ets.authority_grant SET streams = 'x' WHERE domain = 'orders'",
        "DELETE FROM ets.authority_grant WHERE domain = 'orders'",
        "UPDATE ets.schema_version SET schema = '{}' WHERE domain = 'orders'",
        "UPDATE ets.domain SET description = 'other' WHERE domain = 'orders'",
        "UPDATE ets.merkle_tile SET hashes = set_byte(hashes, 40, get_byte(hashes, 40) # 1) WHERE domain = 'orders'",
        "DELETE FROM ets.merkle_tile WHERE domain = 'orders'",
        "UPDATE ets.merkle_leaf SET leaf_index = leaf_index + 10 WHERE domain = 'orders' AND leaf_index = 2",
        "DELETE FROM ets.merkle_leaf WHERE domain = 'orders' AND leaf_index = 1",
        "UPDATE ets.domain_root SET root_hash = set_byte(root_hash, 0, get_byte(root_hash, 0) # 1) WHERE domain = 'orders'",
        "UPDATE ets.domain_root SET tree_size = tree_size - 1 WHERE domain = 'orders'",
        "UPDATE ets.checkpoint SET meta_root = set_byte(meta_root, 0, get_byte(meta_root, 0) # 1)",
        "DELETE FROM ets.domain_root WHERE domain = 'orders'",
        "DELETE FROM ets.checkpoint",
    ] {
        let Found { mut ledger, .. } = sealed();
        tamper(&mut ledger.client, sql);
        assert!(!ledger.findings().is_empty(), "not found: {sql}");
    }
}

#[test]
fn a_guard_that_is_off_is_found() {
    for disarm in [
        "ALTER TABLE ets.ledger_event DISABLE TRIGGER ets_guard",
        "ALTER TABLE ets.ledger_event ENABLE TRIGGER zz_ets_gate",
        "DROP TRIGGER ets_guard ON ets.stream_head",
    ] {
        let Found { mut ledger, .. } = sealed();
        let off = "DO $$ DECLARE t name; BEGIN FOR t IN SELECT evtname FROM pg_event_trigger LOOP
            EXECUTE format('ALTER EVENT TRIGGER %I DISABLE', t); END LOOP; END $$";
        ledger.client.batch_execute(off).expect("a superuser can");
        ledger.client.batch_execute(disarm).expect("a superuser can");
        assert!(!ledger.findings().is_empty(), "{disarm}");
        ledger.client.batch_execute("SELECT ets.arm()").expect("armed again");
        assert_eq!(ledger.findings(), Vec::<String>::new(), "{disarm}, armed again");
    }
}

#[test]
fn verify_chain_looks_at_one_stream() {
    let Found { mut ledger, events } = sealed();
    ledger.append(&order("other", 1));
    let sql = format!(
        "UPDATE ets.ledger_event SET payload = payload || '{{\"amount\": 8}}' WHERE event_id = '{}'",
        events[1]
    );
    tamper(&mut ledger.client, &sql);
    let count = "SELECT count(*) FROM ets.verify_chain($1, $2)";
    assert!(ledger.one::<i64>(count, &[&DOMAIN, &"t"]) > 0);
    assert_eq!(ledger.one::<i64>(count, &[&DOMAIN, &"other"]), 0);
    let failed = "SELECT count(*) FROM ets.verify_event($1) WHERE passed IS FALSE";
    assert!(ledger.one::<i64>(failed, &[&events[1]]) > 0);
    assert_eq!(ledger.one::<i64>(failed, &[&events[0]]), 0);
}

#[test]
fn a_seal_refuses_to_build_on_a_changed_tree() {
    let Found { mut ledger, .. } = sealed();
    let sql = "UPDATE ets.domain_root SET root_hash = set_byte(root_hash, 0, get_byte(root_hash, 0) # 1)
        WHERE domain = 'orders'";
    tamper(&mut ledger.client, sql);
    ets_tests::refused(ledger.client.query_one("SELECT ets.seal()", &[]), "ET002");
}
