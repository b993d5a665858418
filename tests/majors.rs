//! What later majors of PostgreSQL added, held against the guards.
//!
//! Each statement has the first major that knows it, and is tried from there on.
//! Which whole tests are for some majors only is listed in `majors.txt`.

use std::io::Write as _;

use ets_tests::{Cluster, Ledger, SCHEMA, canonical, error_of, order, refused};

/// What would change rows, columns or constraints of the ledger.
const REFUSED: [(u32, &str); 16] = [
    (15, "ALTER TABLE ets.ledger_event SET ACCESS METHOD heap"),
    (
        15,
        "MERGE INTO ets.stream_head USING (SELECT 1) AS one ON false WHEN NOT MATCHED THEN INSERT DEFAULT VALUES",
    ),
    (
        16,
        "ALTER TABLE ets.ledger_event ALTER COLUMN payload SET STORAGE DEFAULT, DROP CONSTRAINT ledger_event_pkey",
    ),
    (17, "ALTER TABLE ets.ledger_event SET ACCESS METHOD DEFAULT"),
    (17, "ALTER TABLE ets.ledger_event ALTER COLUMN stream SET EXPRESSION AS (domain)"),
    (
        17,
        "MERGE INTO ets.ledger_event USING (SELECT 1) AS one ON true WHEN MATCHED THEN DELETE RETURNING merge_action()",
    ),
    (17, "MERGE INTO ets.checkpoint USING (SELECT 1) AS one ON false WHEN NOT MATCHED BY SOURCE THEN DELETE"),
    (18, "UPDATE ets.ledger_event SET payload = '{}' RETURNING old.payload, new.payload"),
    (18, "DELETE FROM ets.stream_head RETURNING old.*"),
    (18, "ALTER TABLE ets.ledger_event ADD COLUMN more integer GENERATED ALWAYS AS (1) VIRTUAL"),
    (18, "ALTER TABLE ets.ledger_event ADD CHECK (false) NOT ENFORCED"),
    (18, "ALTER TABLE ets.ledger_event ADD CONSTRAINT given NOT NULL domain NOT VALID"),
    (18, "ALTER TABLE ets.ledger_event DROP CONSTRAINT ledger_event_payload_not_null"),
    (18, "ALTER TABLE ets.ledger_event ALTER CONSTRAINT ledger_event_payload_not_null NO INHERIT"),
    (18, "ALTER TABLE ets.checkpoint ADD FOREIGN KEY (checkpoint_id) REFERENCES ets.checkpoint NOT ENFORCED"),
    (18, "ALTER TABLE ets.domain_root RENAME CONSTRAINT domain_root_tree_size_not_null TO gone"),
];

fn sealed_ledger() -> Ledger {
    let mut ledger = Ledger::new();
    ledger.append(&order("m", 1));
    ledger.append(&order("m", 2));
    ledger.seal();
    ledger
}

#[test]
fn what_later_majors_can_say_is_refused_as_well() {
    let mut ledger = sealed_ledger();
    let before = ledger.contents();
    let major = Cluster::major();
    for (_, sql) in REFUSED.iter().filter(|(since, _)| *since <= major) {
        let error = error_of(ledger.client.batch_execute(sql));
        assert_eq!(error.code().code(), "ET009", "{sql}: {error:?}");
    }
    assert_eq!(ledger.contents(), before);
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

/// PostgreSQL 17: who may maintain a table may rewrite its file, not its rows.
#[test]
fn who_may_maintain_the_tables_changes_nothing_of_them() {
    let mut ledger = sealed_ledger();
    let role = format!("keeper_{}", ledger.database.name);
    let grants =
        format!("CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA ets TO {role}; GRANT pg_maintain TO {role}");
    ledger.client.batch_execute(&grants).expect("grants");
    ledger
        .client
        .batch_execute(&format!("GRANT MAINTAIN ON ets.ledger_event TO {role}"))
        .expect("a privilege");
    let before = ledger.contents();
    let mut keeper = ledger.database.connect_as(&role);
    for sql in [
        "VACUUM (FULL, ANALYZE) ets.ledger_event",
        "CLUSTER ets.ledger_event USING ledger_event_stream",
        "REINDEX TABLE ets.stream_head",
        "ANALYZE ets.checkpoint",
        "BEGIN; LOCK TABLE ets.ledger_event IN ACCESS EXCLUSIVE MODE; ROLLBACK",
    ] {
        keeper.batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
    for sql in [
        "DELETE FROM ets.ledger_event",
        "TRUNCATE ets.ledger_event",
        "INSERT INTO ets.stream_head DEFAULT VALUES",
        "ALTER TABLE ets.ledger_event DISABLE TRIGGER ALL",
    ] {
        let error = error_of(keeper.batch_execute(sql));
        assert!(matches!(error.code().code(), "42501" | "ET009"), "{sql}: {error:?}");
    }
    assert_eq!(ledger.contents(), before);
    assert_eq!(ledger.append(&order("m", 3)).sequence, 3);
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

/// PostgreSQL 17: COPY may skip what is no value of its column. What is one goes
/// through the gate, whose refusal is not skipped.
#[test]
fn copy_skips_malformed_values_but_no_refusal() {
    let mut ledger = sealed_ledger();
    let before = ledger.contents();
    let previous = ledger.head("m").0;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let key = hex(&ledger.alice.public_key());
    let mut copy = |amount: i64, signature: &[u8]| {
        let payload = canonical(&order("m", amount));
        let row =
            format!("{payload}\t{SCHEMA}\t\\\\x{key}\t\\\\x{}\t\\\\x{}\n", hex(&previous), hex(signature));
        let rows = format!("{{\t{SCHEMA}\t\\\\xzz\t\\\\x00\t\\\\x00\n{row}");
        let sql = "COPY ets.ledger_event (payload, schema_version, public_key, previous_hash, signature)
                   FROM STDIN (ON_ERROR ignore)";
        let mut writer = ledger.client.copy_in(sql)?;
        writer.write_all(rows.as_bytes()).expect("COPY takes rows");
        writer.finish()
    };
    refused(copy(3, &[0; 64]), "ET003");
    let signature = ledger.alice.sign(&order("m", 3), &previous);
    assert_eq!(copy(3, &signature).expect("the good row"), 1);
    assert_ne!(ledger.contents(), before);
    assert_eq!(ledger.head("m").1, 3);
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

/// PostgreSQL 17: event triggers for logins and REINDEX, and a setting that
/// silences all of them.
#[test]
fn event_triggers_of_other_kinds_do_no_harm_and_silenced_ones_are_told() {
    let mut ledger = sealed_ledger();
    ledger
        .client
        .batch_execute(
            "CREATE EVENT TRIGGER door ON login EXECUTE FUNCTION ets.ddl_guard();
             CREATE EVENT TRIGGER every ON ddl_command_start EXECUTE FUNCTION ets.ddl_guard();
             CREATE EVENT TRIGGER rewrite ON table_rewrite EXECUTE FUNCTION ets.ddl_guard()",
        )
        .expect("a superuser may");
    let mut other = ledger.database.connect();
    other
        .batch_execute(
            "REINDEX TABLE ets.ledger_event; CREATE TABLE public.a (b integer); ALTER TABLE public.a ALTER b TYPE bigint;
             GRANT SELECT ON public.a TO pg_monitor; SECURITY LABEL ON TABLE public.a IS NULL",
        )
        .or_else(|error| if error.code().is_some_and(|code| code.code() == "22023") { Ok(()) } else { Err(error) })
        .expect("ordinary commands go on working");
    refused(other.batch_execute("DROP TABLE ets.checkpoint"), "ET009");
    ledger
        .client
        .batch_execute("DROP EVENT TRIGGER door; DROP EVENT TRIGGER every; DROP EVENT TRIGGER rewrite")
        .expect("dropped");

    let guards = "SELECT state || ' ' || coalesce(detail, '') FROM ets.status WHERE item = 'guards'";
    assert_eq!(ledger.one::<String>(guards, &[]), "ok ");
    ledger.client.batch_execute("SET event_triggers = off").expect("a superuser may");
    let silenced: String = ledger.one(guards, &[]);
    assert!(silenced.starts_with("failed ") && silenced.contains("event_triggers = on"), "{silenced}");
    let findings = ledger.findings();
    assert!(
        matches!(&findings[..], [one] if one.contains("the setting event_triggers is off")),
        "{findings:?}"
    );
    ledger.client.batch_execute("RESET event_triggers").expect("a superuser may");
    assert_eq!(ledger.findings(), Vec::<String>::new());
}
