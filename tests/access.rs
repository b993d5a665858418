//! What each kind of access may do, and no more; and a key that is replaced.

use ets_core::key::{SecretKey, key_possession_hash};
use ets_tests::{Ledger, Signer, append, error_of, findings, head, order, refused};
use postgres::Client;
use serde_json::json;

const KINDS: [&str; 5] = ["reader", "writer", "auditor", "importer", "admin"];

/// A role of this test's own with one kind of access, and a session of it.
fn role_with(ledger: &mut Ledger, access: &str) -> (String, Client) {
    let role = format!("{}_{access}", ledger.database.name);
    ledger.client.batch_execute(&format!("CREATE ROLE {role} LOGIN")).expect("role");
    ledger
        .client
        .execute("SELECT ets.grant_access($1::text::regrole, $2)", &[&role, &access])
        .expect("granted");
    let client = ledger.database.connect_as(&role);
    (role, client)
}

/// The privileges on schema `ets` and what is in it that a role has, as the catalog sees it.
fn privileges(client: &mut Client, role: &str) -> Vec<String> {
    let sql = "SELECT 'USAGE SCHEMA ets' WHERE has_schema_privilege($1, 'ets', 'USAGE')
        UNION ALL SELECT 'CREATE SCHEMA ets' WHERE has_schema_privilege($1, 'ets', 'CREATE')
        UNION ALL SELECT 'EXECUTE ' || CASE prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END || ' ets.' || proname
          FROM pg_proc WHERE pronamespace = 'ets'::regnamespace AND has_function_privilege($1, oid, 'EXECUTE')
        UNION ALL SELECT privilege || ' TABLE ets.' || relname
          FROM pg_class, unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) AS privilege
         WHERE relnamespace = 'ets'::regnamespace AND relkind IN ('r', 'v') AND has_table_privilege($1, oid, privilege)
         ORDER BY 1";
    client.query(sql, &[&role]).expect("privileges").iter().map(|row| row.get(0)).collect()
}

fn listed(client: &mut Client, kinds: &[&str]) -> Vec<String> {
    let sql = "SELECT DISTINCT privilege || ' ' || object FROM ets.access_privileges() WHERE access = ANY ($1) ORDER BY 1";
    client.query(sql, &[&kinds]).expect("the list").iter().map(|row| row.get(0)).collect()
}

#[test]
fn each_kind_of_access_is_its_list_and_public_has_nothing() {
    let mut ledger = Ledger::new();
    ledger.append(&order("a", 1));
    for kind in KINDS {
        let (role, _) = role_with(&mut ledger, kind);
        let mut expected = listed(&mut ledger.client, &[kind]);
        expected.sort();
        let mut found = privileges(&mut ledger.client, &role);
        found.sort();
        assert_eq!(found, expected, "{kind}");
        let revoke = "SELECT ets.revoke_access($1::text::regrole, $2)";
        ledger.client.execute(revoke, &[&role, &kind]).expect("revoked");
        assert_eq!(privileges(&mut ledger.client, &role), Vec::<String>::new(), "{kind}, revoked");
    }
    // Of two kinds the one that stays stays whole.
    for kind in KINDS {
        for other in KINDS.iter().filter(|other| **other != kind) {
            let role = format!("{}_{kind}", ledger.database.name);
            let call = |client: &mut Client, function: &str, kind: &str| {
                let sql = format!("SELECT ets.{function}($1::text::regrole, $2)");
                client
                    .execute(&sql, &[&role, &kind])
                    .unwrap_or_else(|error| panic!("{function} {kind}: {error:?}"));
            };
            call(&mut ledger.client, "grant_access", kind);
            call(&mut ledger.client, "grant_access", other);
            call(&mut ledger.client, "revoke_access", other);
            let mut found = privileges(&mut ledger.client, &role);
            found.sort();
            let mut expected = listed(&mut ledger.client, &[kind]);
            expected.sort();
            assert_eq!(found, expected, "{kind} without {other}");
            call(&mut ledger.client, "revoke_access", kind);
            assert_eq!(privileges(&mut ledger.client, &role), Vec::<String>::new());
        }
    }
    assert_eq!(privileges(&mut ledger.client, "public"), Vec::<String>::new());
}

#[test]
fn each_kind_of_access_suffices_for_its_work() {
    let mut ledger = Ledger::new();
    ledger.append(&order("a", 1));
    ledger.seal();
    let alice = Signer::new(1);

    let (_, mut writer) = role_with(&mut ledger, "writer");
    let previous = head(&mut writer, "a").0;
    let event = append(&mut writer, &alice, &order("a", 2), &previous).expect("a writer appends");
    let payload = order("a", 3);
    let signature = alice.sign(&payload, &event.current_hash);
    let insert = "INSERT INTO ets.ledger_event (payload, schema_version, public_key, previous_hash, signature) VALUES ($1, $2, $3, $4, $5)";
    let values: [&(dyn postgres::types::ToSql + Sync); 5] =
        [&payload, &ets_tests::SCHEMA, &alice.public_key(), &event.current_hash, &signature];
    writer.execute(insert, &values).expect("a writer inserts");
    for denied in [
        "SELECT ets.seal()",
        "SELECT * FROM ets.ledger_event",
        "SELECT ets.create_domain('x')",
        "DELETE FROM ets.ledger_event",
    ] {
        assert_eq!(error_of(writer.batch_execute(denied)).code().code(), "42501", "{denied}");
    }

    let (_, mut reader) = role_with(&mut ledger, "reader");
    let read = "SELECT count(*) FROM ets.read_stream('orders', 'a')";
    assert_eq!(reader.query_one(read, &[]).expect("read").get::<_, i64>(0), 3);
    reader.query_one("SELECT count(*) FROM ets.streams", &[]).expect("streams");
    let refusal = append(&mut reader, &alice, &order("a", 4), &event.current_hash);
    assert_eq!(error_of(refusal).code().code(), "42501");

    let (_, mut auditor) = role_with(&mut ledger, "auditor");
    assert_eq!(findings(&mut auditor), Vec::<String>::new());
    auditor.query("SELECT * FROM ets.rebuild_merkle()", &[]).expect("rebuild");
    auditor.query("SELECT * FROM ets.status", &[]).expect("status");
    assert_eq!(error_of(auditor.batch_execute("SELECT ets.seal()")).code().code(), "42501");

    let (_, mut admin) = role_with(&mut ledger, "admin");
    for work in ["SELECT ets.create_domain('more')", "SELECT ets.seal()", "CALL ets.run_verification()"] {
        admin.batch_execute(work).unwrap_or_else(|error| panic!("{work}: {error:?}"));
    }
    admin.query("SELECT * FROM ets.status", &[]).expect("status");
    for denied in [
        "SELECT ets.arm()",
        "SELECT ets.create_local_key('k', 'o', 'postgres')",
        "SELECT ets.grant_access('postgres', 'admin')",
    ] {
        assert_eq!(error_of(admin.batch_execute(denied)).code().code(), "42501", "{denied}");
    }
    for (call, code) in [
        ("SELECT ets.grant_access('postgres', 'owner')", "22023"),
        ("SELECT ets.grant_access(NULL, 'reader')", "22004"),
        ("SELECT ets.grant_access('postgres', NULL)", "22004"),
        ("SELECT ets.grant_access(0::oid::regrole, 'reader')", "22023"),
    ] {
        refused(ledger.client.batch_execute(call), code);
    }
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

/// Policies of a DBA hide rows from people, not from the gate, a seal or verification.
#[test]
fn row_level_security_hides_nothing_from_gate_seal_and_verification() {
    let mut ledger = Ledger::new();
    ledger.append(&order("a", 1));
    ledger
        .client
        .batch_execute(
            "ALTER TABLE ets.ledger_event ENABLE ROW LEVEL SECURITY; ALTER TABLE ets.ledger_event FORCE ROW LEVEL SECURITY;
             CREATE POLICY nothing ON ets.ledger_event USING (false) WITH CHECK (true)",
        )
        .expect("policies are a DBA's to set");
    let (_, mut auditor) = role_with(&mut ledger, "auditor");
    let (_, mut writer) = role_with(&mut ledger, "writer");
    let seen = "SELECT count(*) FROM ets.ledger_event";
    assert_eq!(auditor.query_one(seen, &[]).expect("count").get::<_, i64>(0), 0, "the policy works");
    let alice = Signer::new(1);
    let previous = head(&mut writer, "a").0;
    let event = append(&mut writer, &alice, &order("a", 2), &previous).expect("append");
    assert_eq!(event.sequence, 2);
    let stale = append(&mut writer, &alice, &order("a", 3), &previous);
    refused(stale, "ET005");
    ledger.seal();
    let leaves: i64 = ledger.one("SELECT count(*) FROM ets.merkle_leaf WHERE domain = 'orders'", &[]);
    assert_eq!(leaves, 2);
    assert_eq!(findings(&mut auditor), Vec::<String>::new());
    let sql = format!(
        "UPDATE ets.ledger_event SET payload = payload || '{{\"amount\": 9}}' WHERE event_id = '{}'",
        event.event_id
    );
    ets_tests::tamper(&mut ledger.client, &sql);
    assert!(findings(&mut auditor).iter().any(|finding| finding.contains(&event.event_id.to_string())));
}

#[test]
fn a_key_rotates_itself_and_history_stays_valid() {
    let mut ledger = Ledger::new();
    ledger.append(&order("a", 1));
    let (old, new) = (SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[7; 32]));
    let old_id = old.public_key().key_id().to_string();
    let new_id = new.public_key().key_id().to_string();
    let before: i64 =
        ledger.one("SELECT max(sequence) FROM ets.ledger_event WHERE domain = 'ets.registry'", &[]);
    let proof =
        new.sign(&key_possession_hash(&ledger.id, old.public_key().as_bytes(), new.public_key().as_bytes()));
    let payload = json!({
        "schema_version": "ets.key_rotation/1.0.0", "key_id": old_id, "public_key": new.public_key().to_string(),
        "algorithm": "ed25519", "proof": proof.to_string(),
    });
    let digest = |ledger: &mut Ledger| -> Vec<u8> {
        ledger.one("SELECT current_hash FROM ets.prepare($1, 'ets.key_rotation/1.0.0')", &[&payload])
    };
    let signed = digest(&mut ledger);
    let signature = old.sign(&ets_tests::digest(&signed));
    let rotate = "SELECT sequence FROM ets.rotate_key($1, $2, $3, $4)";
    let new_key = new.public_key().as_bytes().to_vec();
    let (proof, mut signature) = (proof.0.to_vec(), signature.0.to_vec());
    let thief = SecretKey::from_seed(&[9; 32]).sign(&ets_tests::digest(&signed)).0.to_vec();
    refused(ledger.client.query_one(rotate, &[&old_id, &new_key, &proof, &thief]), "ET003");
    refused(ledger.client.query_one(rotate, &[&old_id, &new_key, &thief, &signature]), "ET003");
    refused(ledger.client.query_one(rotate, &[&"0".repeat(64), &new_key, &proof, &signature]), "ET011");
    // Another registry event comes between: the signature is of another head.
    ledger.client.batch_execute("SELECT ets.create_domain('between')").expect("domain");
    refused(ledger.client.query_one(rotate, &[&old_id, &new_key, &proof, &signature]), "ET003");
    let signed = digest(&mut ledger);
    signature = old.sign(&ets_tests::digest(&signed)).0.to_vec();
    let sequence: i64 = ledger.one(rotate, &[&old_id, &new_key, &proof, &signature]);
    assert_eq!(sequence, before + 2);

    let (previous, _) = ledger.head("a");
    refused(ledger.try_append(&order("a", 2), &previous), "ET004");
    append(&mut ledger.client, &Signer::new(7), &order("a", 2), &previous)
        .expect("the new key has the grants");
    let held = "SELECT count(*) FROM ets.authority_at($1, $2)";
    let count = |ledger: &mut Ledger, key: &str, version: i64| ledger.one::<i64>(held, &[&key, &version]);
    assert_eq!((count(&mut ledger, &old_id, sequence - 1), count(&mut ledger, &old_id, sequence)), (1, 0));
    refused(ledger.client.query(held, &[&new_id, &(sequence + 1)]), "22023");
    assert_eq!(count(&mut ledger, &new_id, sequence), 1);
    refused(ledger.client.query(held, &[&"0".repeat(64), &1_i64]), "ET011");
    let owner = "SELECT owner FROM ets.signing_key WHERE key_id = $1";
    assert_eq!(ledger.one::<String>(owner, &[&new_id]), "alice");
    ledger.seal();
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

/// The table in the documentation is the list that `ets.grant_access` goes by.
#[test]
fn the_documentation_says_what_each_kind_of_access_gives() {
    let mut ledger = Ledger::new();
    let sql = "SELECT privilege || ' ' || object, array_agg(access) FROM ets.access_privileges() GROUP BY 1 ORDER BY 1";
    let mut table = format!("| | {} |\n|---|{}\n", KINDS.join(" | "), ":-:|".repeat(KINDS.len()));
    for row in ledger.client.query(sql, &[]).expect("the list") {
        let (privilege, held): (String, Vec<String>) = (row.get(0), row.get(1));
        let mark = |kind: &&str| if held.iter().any(|access| access == kind) { "✓" } else { "" };
        table += &format!("| `{privilege}` | {} |\n", KINDS.iter().map(mark).collect::<Vec<_>>().join(" | "));
    }
    ets_tests::assert_generated("docs/access.md", "access", &table);
}

/// The new key signs from its event on; what the old one signed stays right.
#[test]
fn the_server_gets_another_key() {
    let mut ledger = Ledger::new();
    let event = ledger.append(&order("a", 1));
    ledger.seal();
    let note: String = ledger.one("SELECT ets.checkpoint_note('orders')", &[]);
    let verifier = "SELECT ets.verifier_key('orders')";
    let old: String = ledger.one(verifier, &[]);
    let rotated: serde_json::Value = ledger.one("SELECT payload FROM ets.rotate_server_key('yearly')", &[]);
    assert_eq!(rotated["reason"], "yearly");
    assert_eq!(ledger.one::<String>(verifier, &[]), old, "until the next seal");
    assert_eq!(ledger.findings(), Vec::<String>::new());

    // Under local authority the new key is root.
    ledger.client.batch_execute("SELECT ets.create_domain('after')").expect("root was handed on");
    ledger.append(&order("a", 2));
    ledger.seal();
    let new: String = ledger.one(verifier, &[]);
    assert_ne!(new, old);
    let status = "SELECT state || ' ' || value FROM ets.status WHERE item = 'server key'";
    let key_id: String =
        ledger.one("SELECT ets.key_id(decode($1, 'hex'))", &[&rotated["public_key"].as_str()]);
    assert_eq!(ledger.one::<String>(status, &[]), format!("ok {key_id}"));
    let failed = "SELECT count(*) FROM ets.verify_checkpoint($1) WHERE passed IS NOT TRUE";
    assert_eq!(ledger.one::<i64>(failed, &[&note]), 0, "a note of the old key");
    let note: String = ledger.one("SELECT ets.checkpoint_note('orders')", &[]);
    assert_eq!(ledger.one::<i64>(failed, &[&note]), 0, "a note of the new key");
    let bundle = "SELECT count(*) FROM ets.verify_bundle(ets.proof_bundle($1)) WHERE passed IS FALSE";
    assert_eq!(ledger.one::<i64>(bundle, &[&event.event_id]), 0);
    assert_eq!(ledger.findings(), Vec::<String>::new());
    let statements = "SELECT count(DISTINCT key_id) FROM ets.ledger_event WHERE domain = 'ets.audit'";
    assert_eq!(ledger.one::<i64>(statements, &[]), 1, "all by the new key");
    refused(ledger.client.batch_execute("SELECT ets.rotate_server_key(NULL)"), "22004");

    // A rotation that is rolled back leaves the key that was.
    ledger.client.batch_execute("BEGIN; SELECT ets.rotate_server_key('no'); ROLLBACK").expect("rolled back");
    ledger.append(&order("a", 3));
    ledger.seal();
    assert_eq!(ledger.one::<String>(verifier, &[]), new);
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

/// Where root is elsewhere, the server makes the key and root says so.
#[test]
fn a_root_key_elsewhere_gives_the_server_another_key() {
    let database = ets_tests::Cluster::shared().database();
    let mut client = database.connect();
    let root = Signer::new(90);
    client.execute("SELECT ets.init('test.example/external', $1)", &[&root.public_key()]).expect("ets.init");
    let trust: serde_json::Value = client.query_one("SELECT ets.trust_root()", &[]).expect("trust").get(0);
    let by_root = |client: &mut Client, payload: &serde_json::Value| {
        let kind = payload["schema_version"].as_str().expect("a kind").to_owned();
        let prepared = client.query_one("SELECT previous_hash FROM ets.prepare($1, $2)", &[payload, &kind]);
        let previous: Vec<u8> = prepared.expect("prepared").get(0);
        let signature = root.sign(payload, &previous);
        let sql = "SELECT ets.append($1, $2, $3, $4, $5)";
        client
            .query_one(sql, &[payload, &kind, &root.public_key(), &previous, &signature])
            .expect("root may");
    };
    by_root(
        &mut client,
        &json!({
            "schema_version": "ets.ledger/1.0.0", "ledger_id": trust["ledger_id"], "origin": trust["origin"],
            "specification": "1.1", "algorithm": "ed25519", "root_public_key": trust["root_public_key"],
            "server_public_key": trust["server_public_key"],
        }),
    );
    client.query_one("SELECT ets.seal()", &[]).expect("seal");
    let old: String = client.query_one("SELECT ets.verifier_key('ets.registry')", &[]).expect("key").get(0);
    let refusal = refused(client.query_one("SELECT ets.rotate_server_key('stolen')", &[]), "ET015");
    by_root(&mut client, &refusal.detail["payload"]);
    client.query_one("SELECT ets.seal()", &[]).expect("seal");
    let new: String = client.query_one("SELECT ets.verifier_key('ets.registry')", &[]).expect("key").get(0);
    assert_ne!(old, new);
    client.query_one("SELECT ets.checkpoint_note('ets.registry')", &[]).expect("a note of the new key");
    assert_eq!(findings(&mut client), Vec::<String>::new());
}

/// Who owns a database may make schemas in it, but not the one that the ledger comes to lie in.
#[test]
fn the_extension_refuses_a_schema_that_somebody_else_owns() {
    let cluster = ets_tests::Cluster::shared();
    let mut client = cluster.connect("postgres");
    client.batch_execute("CREATE ROLE landlord LOGIN").expect("role");
    client.batch_execute("CREATE DATABASE rented OWNER landlord TEMPLATE template0").expect("database");
    let mut owner = cluster.connect_as("rented", "landlord");
    owner.batch_execute("CREATE SCHEMA ets").expect("an owner may");
    let mut client = cluster.connect("rented");
    refused(client.batch_execute("CREATE EXTENSION pg_ets"), "42501");
    owner.batch_execute("DROP SCHEMA ets").expect("dropped");
    client
        .batch_execute("CREATE EXTENSION pg_ets; SELECT ets.init('test.example/rented')")
        .expect("in a new schema");
    // Owning the database gives nothing in it.
    for attempt in [
        "SELECT ets.seal()",
        "DROP SCHEMA ets CASCADE",
        "ALTER SCHEMA ets OWNER TO landlord",
        "CREATE FUNCTION ets.append(integer) RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE TABLE ets.mine ()",
        "ALTER TABLE ets.ledger_event DISABLE TRIGGER ALL",
        "DROP EXTENSION pg_ets",
        "ALTER DATABASE rented SET session_replication_role = replica",
    ] {
        let error = error_of(owner.batch_execute(attempt));
        assert!(matches!(error.code().code(), "42501" | "ET009"), "{attempt}: {error:?}");
    }
    assert_eq!(findings(&mut client), Vec::<String>::new());
}
