//! Append-only: for everybody, by every statement, and with no row dropped
//! behind the gate.

use ets_tests::{DOMAIN, Ledger, SCHEMA, error_of, order, refused};

fn tables() -> impl Iterator<Item = &'static str> {
    include_str!("../sql/guarded_tables.txt").lines().chain(["ledger_event"])
}

fn sealed_ledger() -> Ledger {
    let mut ledger = Ledger::new();
    ledger.append(&order("g", 1));
    ledger.append(&order("g", 2));
    ledger.seal();
    ledger
}

#[test]
fn a_superuser_and_owner_cannot_change_or_remove_rows() {
    let mut ledger = sealed_ledger();
    let before = ledger.contents();
    for role in ["origin", "local", "replica"] {
        ledger
            .client
            .batch_execute(&format!("SET session_replication_role = {role}"))
            .expect("a superuser may");
        for table in tables() {
            let column: String = ledger.one(
                "SELECT attname::text FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum = 1",
                &[&format!("ets.{table}")],
            );
            for sql in [
                format!("UPDATE ets.{table} SET {column} = {column}"),
                format!("UPDATE ets.{table} SET {column} = {column} WHERE false"),
                format!("DELETE FROM ets.{table}"),
                format!("TRUNCATE ets.{table} CASCADE"),
                format!("MERGE INTO ets.{table} USING (SELECT 1) AS one ON true WHEN MATCHED THEN DELETE"),
            ] {
                let error = error_of(ledger.client.batch_execute(&sql));
                assert_eq!(error.code().code(), "ET009", "{role}: {sql}: {error:?}");
            }
        }
    }
    assert_eq!(ledger.contents(), before);
}

#[test]
fn a_role_with_every_privilege_on_the_tables_cannot_either() {
    let mut ledger = sealed_ledger();
    let role = format!("writer_{}", ledger.database.name);
    let sql = format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA ets TO {role}; GRANT ALL ON ALL TABLES IN SCHEMA ets TO {role}"
    );
    ledger.client.batch_execute(&sql).expect("grants");
    let before = ledger.contents();
    let mut writer = ledger.database.connect_as(&role);
    for table in tables() {
        for sql in [format!("DELETE FROM ets.{table}"), format!("TRUNCATE ets.{table}")] {
            refused(writer.batch_execute(&sql), "ET009");
        }
    }
    refused(writer.batch_execute("UPDATE ets.ledger_event SET payload = '{}'"), "ET009");
    assert_eq!(ledger.contents(), before);
}

#[test]
fn what_the_gate_and_the_seal_write_is_not_written_by_hand() {
    let mut ledger = sealed_ledger();
    let before = ledger.contents();
    for table in tables().filter(|table| *table != "ledger_event") {
        refused(
            ledger.client.batch_execute(&format!("INSERT INTO ets.{table} SELECT * FROM ets.{table}")),
            "ET009",
        );
    }
    assert_eq!(ledger.contents(), before);
}

#[test]
fn a_row_that_passed_the_gate_is_stored_or_its_statement_fails() {
    let mut ledger = Ledger::new();
    let first = ledger.append(&order("g", 1));
    let before = ledger.contents();
    let payload = order("g", 2);
    let signature = ledger.alice.sign(&payload, &first.current_hash);
    let key = ledger.alice.public_key();
    for conflict in [
        "ON CONFLICT DO NOTHING",
        "ON CONFLICT (event_id, domain) DO NOTHING",
        "ON CONFLICT (event_id, domain) DO UPDATE SET payload = '{}'",
        "ON CONFLICT (event_id, domain) DO UPDATE SET payload = '{}' WHERE false",
    ] {
        // The stored event's id and domain, so that there is a conflict.
        let sql = format!(
            "INSERT INTO ets.ledger_event
                (payload, schema_version, public_key, previous_hash, signature, event_id, domain)
             VALUES ($1, $2, $3, $4, $5, $6, $7) {conflict}"
        );
        let result = ledger.client.execute(
            sql.as_str(),
            &[&payload, &SCHEMA, &key, &first.current_hash, &signature, &first.event_id, &DOMAIN],
        );
        let error = error_of(result);
        assert!(matches!(error.code().code(), "ET009" | "ET010"), "{conflict}: {error:?}");
        assert_eq!(ledger.contents(), before, "{conflict}");
    }
    assert_eq!(ledger.append(&payload).sequence, 2);
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

#[test]
fn ddl_that_would_disarm_is_refused() {
    let mut ledger = sealed_ledger();
    let before = ledger.contents();
    ledger
        .client
        .batch_execute(
            "CREATE FUNCTION public.eat() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
             CREATE TABLE public.bystander (a int);
             CREATE TABLE public.parent (LIKE ets.ledger_event) PARTITION BY LIST (domain)",
        )
        .expect("ordinary DDL goes on working");
    for sql in [
        "ALTER TABLE ets.ledger_event DISABLE TRIGGER ALL",
        "ALTER TABLE ets.ledger_event DISABLE TRIGGER USER",
        "ALTER TABLE ets.ledger_event DISABLE TRIGGER ets_guard",
        "ALTER TABLE ets.ledger_event DISABLE TRIGGER zz_ets_gate",
        "ALTER TABLE ets.ledger_event ENABLE TRIGGER ets_guard",
        "ALTER TABLE ets.ledger_event ENABLE REPLICA TRIGGER ets_guard",
        "ALTER TABLE ets.stream_head DISABLE TRIGGER ALL",
        "ALTER TABLE ets.checkpoint DISABLE TRIGGER ALL",
        "DROP TRIGGER ets_guard ON ets.ledger_event",
        "DROP TRIGGER zz_ets_gate ON ets.ledger_event",
        "ALTER TRIGGER zz_ets_gate ON ets.ledger_event RENAME TO aa",
        "ALTER TRIGGER ets_guard ON ets.ledger_event DEPENDS ON EXTENSION plpgsql",
        "CREATE TRIGGER zzz BEFORE INSERT ON ets.ledger_event FOR EACH ROW EXECUTE FUNCTION public.eat()",
        "CREATE OR REPLACE TRIGGER zz_ets_open BEFORE INSERT ON ets.ledger_event EXECUTE FUNCTION public.eat()",
        "CREATE RULE eat AS ON INSERT TO ets.ledger_event DO INSTEAD NOTHING",
        "CREATE RULE eat AS ON UPDATE TO ets.stream_head DO INSTEAD NOTHING",
        "DROP TABLE ets.ledger_event",
        "DROP TABLE ets.ledger_event CASCADE",
        "DROP TABLE public.bystander, ets.stream_head",
        "DROP TABLE ets.checkpoint",
        "BEGIN; SET LOCAL search_path = ets; DROP TABLE checkpoint",
        "BEGIN; SET LOCAL search_path = ets; DROP FUNCTION guard() CASCADE",
        "DROP SCHEMA ets CASCADE",
        "DROP OWNED BY postgres CASCADE",
        "ALTER TABLE ets.ledger_event ALTER COLUMN payload TYPE json USING payload::json",
        "ALTER TABLE ets.ledger_event DROP COLUMN signature",
        "ALTER TABLE ets.ledger_event ADD COLUMN more integer",
        "ALTER TABLE ets.ledger_event RENAME COLUMN stream TO gone",
        "ALTER TABLE ets.ledger_event RENAME TO gone",
        "ALTER INDEX ets.ledger_event RENAME TO gone",
        "ALTER TABLE ets.ledger_event SET UNLOGGED",
        "ALTER TABLE ets.ledger_event SET SCHEMA public",
        "ALTER SCHEMA ets RENAME TO gone",
        "CREATE TABLE public.child () INHERITS (ets.ledger_event)",
        "ALTER TABLE public.bystander INHERIT ets.ledger_event",
        "ALTER TABLE public.parent ATTACH PARTITION ets.ledger_event DEFAULT",
        "DROP FUNCTION ets.gate() CASCADE",
        "DROP FUNCTION ets.ddl_guard CASCADE",
        "CREATE OR REPLACE FUNCTION ets.guard() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "ALTER FUNCTION ets.guard() SET search_path = public",
        "ALTER FUNCTION ets.guard() OWNER TO pg_monitor",
        "ALTER ROUTINE ets.guard() RENAME TO gone",
        "ALTER EXTENSION pg_ets DROP FUNCTION ets.guard()",
        "CREATE OR REPLACE FUNCTION ets.uuid_v7() RETURNS uuid LANGUAGE sql AS 'SELECT gen_random_uuid()'",
        "CREATE FUNCTION ets.seal(now boolean) RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "BEGIN; SET LOCAL search_path = ets; CREATE FUNCTION seal(now boolean) RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "BEGIN; SET LOCAL search_path = ets; ALTER FUNCTION uuid_v7() STABLE",
        "ALTER FUNCTION ets.event_document(uuid) RESET search_path",
        "ALTER FUNCTION ets.verify_ledger SECURITY INVOKER",
        "DROP FUNCTION ets.verify_ledger(text, boolean, integer)",
        "DROP PROCEDURE ets.run_verification",
        "ALTER PROCEDURE ets.run_rebuild(boolean, bigint) RENAME TO gone",
        "CREATE OR REPLACE PROCEDURE ets.run_rebuild(incremental boolean DEFAULT true, batch_events bigint DEFAULT 1) LANGUAGE sql AS ''",
        "DROP VIEW ets.status",
        "BEGIN; SET LOCAL search_path = ets; DROP VIEW IF EXISTS status CASCADE",
        "ALTER VIEW ets.open_findings RENAME TO gone",
        "ALTER VIEW ets.open_findings SET SCHEMA public",
        "CREATE OR REPLACE VIEW ets.streams AS SELECT NULL::text AS domain",
        "ALTER EXTENSION plpgsql ADD VIEW ets.status",
        "DROP INDEX ets.ledger_event_stream",
        "DROP INDEX CONCURRENTLY ets.ledger_event_transaction",
        "ALTER INDEX ets.merkle_leaf_event RENAME TO gone",
        "ALTER EXTENSION plpgsql ADD TABLE ets.ledger_event",
        "ALTER EXTENSION plpgsql ADD SCHEMA ets",
        "ALTER EXTENSION plpgsql ADD EVENT TRIGGER ets_ddl_end",
        "DO $$ BEGIN EXECUTE 'DROP TABLE ets.domain_root'; END $$",
    ] {
        let refusal = refused(ledger.client.batch_execute(sql), "ET009");
        let named = |name: &str| refusal.detail[name].as_str().is_some_and(|text| !text.is_empty());
        assert!(named("command") && named("object"), "{sql}: {refusal:?}");
        ledger.client.batch_execute("ROLLBACK").expect("no transaction stays open");
    }
    // A refused command inside another statement leaves nothing behind.
    ledger
        .client
        .batch_execute(
            "DO $$ BEGIN
               BEGIN
                 EXECUTE 'ALTER TABLE ets.ledger_event DISABLE TRIGGER ALL';
               EXCEPTION WHEN sqlstate 'ET009' THEN
               END;
               EXECUTE 'ALTER TABLE ets.ledger_event SET (fillfactor = 90)';
             END $$",
        )
        .expect("storage settings may change");
    assert_eq!(ledger.contents(), before);
    for sql in [
        "CREATE INDEX mine ON ets.ledger_event ((payload ->> 'order'))",
        "DROP INDEX ets.mine",
        "ANALYZE ets.ledger_event",
        "VACUUM ets.ledger_event",
        "REINDEX TABLE ets.ledger_event",
        "GRANT SELECT ON ets.ledger_event TO pg_monitor",
        "REVOKE SELECT ON ets.ledger_event FROM pg_monitor",
        "COMMENT ON TABLE ets.ledger_event IS 'ours'",
        "ALTER TABLE ets.ledger_event ALTER COLUMN payload SET STORAGE EXTERNAL",
        "ALTER TABLE ets.ledger_event ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE ets.ledger_event DISABLE ROW LEVEL SECURITY",
        "CREATE TRIGGER after_all AFTER INSERT ON ets.ledger_event EXECUTE FUNCTION public.eat()",
        "DROP TRIGGER after_all ON ets.ledger_event",
        "CREATE TABLE public.alike (LIKE ets.ledger_event)",
        "CREATE TABLE public.child () INHERITS (public.bystander)",
        "CREATE FUNCTION public.guard() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "DROP FUNCTION public.guard()",
        "BEGIN; SET LOCAL search_path = public, ets; CREATE FUNCTION seal() RETURNS integer LANGUAGE sql AS 'SELECT 1'; COMMIT",
        "DROP FUNCTION public.seal()",
        "CREATE VIEW ets.mine AS SELECT 1 AS one",
        "DROP VIEW ets.mine",
        "CREATE INDEX another ON ets.merkle_leaf (domain, event_id)",
        "ALTER INDEX ets.another RENAME TO other",
        "DROP INDEX ets.other",
        "GRANT EXECUTE ON FUNCTION ets.seal() TO pg_monitor",
        "REVOKE EXECUTE ON FUNCTION ets.seal() FROM pg_monitor",
        "CREATE TEMP TABLE ledger_event (a integer)",
        "ALTER TABLE ledger_event ADD COLUMN b integer",
        "DROP TABLE ledger_event",
        "DROP TABLE public.bystander CASCADE",
        "CREATE SCHEMA other CREATE TABLE a (b integer)",
        "DROP SCHEMA other CASCADE",
        "ALTER EXTENSION pg_ets UPDATE",
        "SELECT ets.arm()",
    ] {
        ledger.client.batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
    refused(ledger.client.batch_execute("DELETE FROM ets.ledger_event"), "ET009");
    assert_eq!(ledger.append(&order("g", 3)).sequence, 3);
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

#[test]
fn dropping_the_extension_leaves_the_data() {
    let mut ledger = sealed_ledger();
    let before = ledger.contents();
    ledger.client.batch_execute("DROP EXTENSION pg_ets CASCADE").expect("an extension can be dropped");
    assert_eq!(ledger.contents(), before);
    ledger.client.batch_execute("CREATE EXTENSION pg_ets").expect("and created again");
    let head = ledger.head("g").0;
    refused(ledger.try_append(&order("g", 3), &head), "ET013");
    ledger.client.execute("SELECT ets.arm()", &[]).expect("armed again");
    ledger.client = ledger.database.connect();
    refused(ledger.client.batch_execute("DELETE FROM ets.ledger_event"), "ET009");
    assert_eq!(ledger.append(&order("g", 3)).sequence, 3);
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

#[test]
fn status_says_what_is_not_armed_and_arming_puts_it_right() {
    let mut ledger = sealed_ledger();
    let guards = "SELECT state || ' ' || value FROM ets.status WHERE item = 'guards'";
    let armed: String = ledger.one(guards, &[]);
    assert!(armed.starts_with("ok "), "{armed}");
    assert_eq!(
        ledger.one::<String>("SELECT string_agg(item, ', ') FROM ets.status WHERE state <> 'ok'", &[]),
        "authority, unanchored checkpoints, high water",
        "one root key, nothing kept outside: warnings"
    );
    ledger
        .client
        .batch_execute("ALTER EVENT TRIGGER ets_ddl_start DISABLE; DROP TRIGGER ets_guard ON ets.checkpoint")
        .expect("a superuser can");
    assert!(ledger.one::<String>(guards, &[]).starts_with("failed "));
    let detail: String = ledger.one("SELECT detail FROM ets.status WHERE item = 'guards'", &[]);
    assert!(detail.contains("ets_guard on ets.checkpoint") && detail.contains("ets_ddl_start"), "{detail}");
    ledger.client.execute("SELECT ets.arm()", &[]).expect("armed again");
    assert_eq!(ledger.one::<String>(guards, &[]), armed);
    refused(ledger.client.batch_execute("DROP TABLE ets.checkpoint"), "ET009");
}
