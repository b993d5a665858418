//! What a role that owns the database, without being a superuser, can do to the
//! ledger in it: nothing but drop the whole. And rows that come back changed from
//! somebody else's trigger.

use ets_tests::{Appended, Cluster, Ledger, SCHEMA, append, error_of, order, refused};
use postgres::Client;

/// Gives the ledger's database to a new role; its name, and a session of it.
fn database_owner(ledger: &mut Ledger) -> (String, Client) {
    let role = format!("{}_owner", ledger.database.name);
    let sql = format!(
        "CREATE ROLE {role} LOGIN CREATEROLE; ALTER DATABASE {} OWNER TO {role}",
        ledger.database.name
    );
    ledger.client.batch_execute(&sql).expect("a superuser can");
    let client = ledger.database.connect_as(&role);
    (role, client)
}

#[test]
fn the_owner_of_the_database_cannot_take_part_of_the_ledger() {
    let mut ledger = Ledger::new();
    let event = ledger.append(&order("a", 1));
    ledger.seal();
    let (role, mut owner) = database_owner(&mut ledger);
    let database = ledger.database.name.clone();
    owner.batch_execute("CREATE SCHEMA mine; CREATE EXTENSION citext SCHEMA mine").expect("his own schema");
    // Nor where it comes to lie there unnamed.
    refused(ledger.client.batch_execute("SET search_path = ets; CREATE EXTENSION hstore"), "ET009");
    ledger.client.batch_execute("RESET search_path").expect("reset");
    let before = ledger.contents();
    for sql in [
        // What is in schema ets.
        "SELECT * FROM ets.ledger_event".to_owned(),
        "INSERT INTO ets.ledger_event (payload) VALUES ('{}')".to_owned(),
        "UPDATE ets.ledger_event SET payload = '{}'".to_owned(),
        "TRUNCATE ets.merkle_leaf".to_owned(),
        "BEGIN; LOCK TABLE ets.ledger_event".to_owned(),
        "ALTER TABLE ets.ledger_event DISABLE TRIGGER ALL".to_owned(),
        "ALTER TABLE ets.ledger_event ENABLE ROW LEVEL SECURITY".to_owned(),
        "CREATE POLICY hide ON ets.ledger_event USING (false)".to_owned(),
        "CREATE TRIGGER t BEFORE INSERT ON ets.ledger_event FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()".to_owned(),
        "CREATE RULE r AS ON INSERT TO ets.ledger_event DO INSTEAD NOTHING".to_owned(),
        "CREATE INDEX ON ets.ledger_event (sequence)".to_owned(),
        "CREATE TABLE mine.heir () INHERITS (ets.ledger_event)".to_owned(),
        "CREATE TABLE ets.ledger_event_2 ()".to_owned(),
        "CREATE FUNCTION ets.extra() RETURNS int LANGUAGE sql AS 'SELECT 1'".to_owned(),
        "SELECT * FROM ets.seal()".to_owned(),
        "SELECT * FROM ets.create_domain('mine')".to_owned(),
        "SELECT ets.arm()".to_owned(),
        "CALL ets.run_verification()".to_owned(),
        format!("SELECT ets.event_document('{}')", event.event_id),
        format!("SELECT ets.grant_access('{role}', 'admin')"),
        // Ownership and membership.
        format!("ALTER SCHEMA ets OWNER TO {role}"),
        "ALTER SCHEMA ets RENAME TO stolen".to_owned(),
        "DROP SCHEMA ets CASCADE".to_owned(),
        "DROP EXTENSION pg_ets CASCADE".to_owned(),
        "ALTER EXTENSION pg_ets SET SCHEMA mine".to_owned(),
        "ALTER EXTENSION pg_ets ADD SCHEMA mine".to_owned(),
        "CREATE EXTENSION hstore SCHEMA ets".to_owned(),
        "CREATE EXTENSION earthdistance SCHEMA ets CASCADE".to_owned(),
        "ALTER EXTENSION citext SET SCHEMA ets".to_owned(),
        format!("REASSIGN OWNED BY postgres TO {role}"),
        "DROP OWNED BY postgres CASCADE".to_owned(),
        format!("GRANT postgres TO {role}"),
        format!("ALTER ROLE {role} SUPERUSER"),
        format!("ALTER DEFAULT PRIVILEGES FOR ROLE postgres GRANT ALL ON TABLES TO {role}"),
        // What acts on the whole database.
        "CREATE FUNCTION mine.eater() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
         CREATE EVENT TRIGGER eat ON ddl_command_start EXECUTE FUNCTION mine.eater()".to_owned(),
        "ALTER EVENT TRIGGER ets_ddl_start DISABLE".to_owned(),
        "CREATE CAST (text AS jsonb) WITH INOUT AS IMPLICIT".to_owned(),
        "CREATE FUNCTION mine.c() RETURNS int LANGUAGE c AS 'pg_ets', 'ets_seal'".to_owned(),
        "CREATE PUBLICATION all_of_it FOR ALL TABLES".to_owned(),
        "CREATE PUBLICATION events FOR TABLE ets.ledger_event".to_owned(),
        "SET session_replication_role = replica".to_owned(),
        format!("ALTER DATABASE {database} SET session_replication_role = replica"),
        format!("ALTER DATABASE {database} SET session_preload_libraries = 'auto_explain'"),
        format!("ALTER DATABASE {database} SET ets.max_clock_skew = '100 years'"),
        format!("ALTER DATABASE {database} SET ets.server_key_directory = '/mine'"),
        format!("ALTER ROLE postgres IN DATABASE {database} SET search_path = mine"),
        "SET ROLE postgres".to_owned(),
        "SET SESSION AUTHORIZATION postgres".to_owned(),
        "COPY ets.ledger_event TO PROGRAM 'cat'".to_owned(),
        "SELECT pg_read_file('PG_VERSION')".to_owned(),
    ] {
        let error = error_of(owner.batch_execute(&sql));
        // The guard, a setting of postgresql.conf, or a lack of rights.
        assert!(matches!(error.code().code(), "42501" | "55P02" | "ET009"), "{sql}: {error:?}");
        owner.batch_execute("ROLLBACK").expect("a session goes on");
    }
    assert_eq!(ledger.contents(), before);
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

/// Settings that the owner of a database may give every session in it.
#[test]
fn settings_of_the_database_change_no_byte() {
    let mut ledger = Ledger::new();
    let event = ledger.append(&order("a", 1));
    ledger.seal();
    let (_, mut owner) = database_owner(&mut ledger);
    let texts = |client: &mut Client| -> Vec<String> {
        let sql = format!(
            "SELECT unnest(ARRAY[ets.event_document('{0}')::text, ets.proof_bundle('{0}')::text,
                    ets.checkpoint_note('orders'), ets.tlog_proof('{0}'), ets.trust_root()::text,
                    (SELECT string_agg(line, E'\n') FROM ets.export('orders') AS line)])",
            event.event_id
        );
        let rows = client.simple_query(&sql).expect("documents");
        let text = |message| match message {
            postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        };
        rows.into_iter().filter_map(text).collect()
    };
    let before = texts(&mut ledger.client);
    assert_eq!(before.len(), 6);
    owner
        .batch_execute(
            "CREATE SCHEMA mine;
             CREATE FUNCTION mine.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT ''infinity''::timestamptz';
             CREATE FUNCTION mine.yes(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
             CREATE OPERATOR mine.= (LEFTARG = text, RIGHTARG = text, FUNCTION = mine.yes);
             CREATE OPERATOR mine.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = mine.yes);
             CREATE FUNCTION mine.sha256(bytea) RETURNS bytea LANGUAGE sql AS 'SELECT $1';
             CREATE FUNCTION mine.encode(bytea, text) RETURNS text LANGUAGE sql AS 'SELECT ''stolen''::text';
             CREATE TABLE mine.ledger_event (event_id uuid, payload jsonb);
             GRANT ALL ON SCHEMA mine TO PUBLIC; GRANT ALL ON ALL TABLES IN SCHEMA mine TO PUBLIC",
        )
        .expect("his own");
    for setting in [
        "search_path = mine, pg_temp, ets, pg_catalog",
        "row_security = off",
        "\"TimeZone\" = 'Asia/Kolkata'",
        "\"DateStyle\" = 'SQL, DMY'",
        "\"IntervalStyle\" = 'sql_standard'",
        "bytea_output = 'escape'",
        "extra_float_digits = -15",
        "standard_conforming_strings = off",
        "backslash_quote = on",
        "transform_null_equals = on",
        "array_nulls = off",
        "quote_all_identifiers = on",
        "default_transaction_isolation = 'repeatable read'",
        "default_transaction_deferrable = on",
        "enable_indexscan = off",
        "enable_sort = off",
        "enable_hashagg = off",
        &format!("{} = on", Cluster::parallel_setting()),
        "jit_above_cost = 0",
        "work_mem = '64kB'",
        "plan_cache_mode = 'force_generic_plan'",
        "xmlbinary = 'hex'",
        "gin_fuzzy_search_limit = 1",
        "check_function_bodies = off",
    ] {
        owner
            .batch_execute(&format!("ALTER DATABASE {} SET {setting}", ledger.database.name))
            .unwrap_or_else(|error| panic!("{setting}: {error:?}"));
    }
    let mut client = ledger.database.connect();
    let path: String = client.query_one("SHOW search_path", &[]).expect("a setting").get(0);
    assert_eq!(path, "mine, pg_temp, ets, pg_catalog");
    assert_eq!(texts(&mut client), before);
    let previous = ets_tests::head(&mut client, "a").0;
    let second: Appended = append(&mut client, &ledger.alice, &order("a", 2), &previous).expect("an append");
    assert_eq!(second.sequence, 2);
    client.query("SELECT * FROM ets.seal()", &[]).expect("a seal");
    assert_eq!(ets_tests::findings(&mut client), Vec::<String>::new());
    let matches: bool = client
        .query_one("SELECT bool_and(matches) FROM ets.rebuild_merkle()", &[])
        .expect("a rebuild")
        .get(0);
    assert!(matches);
    let strays: i64 = client.query_one("SELECT count(*) FROM mine.ledger_event", &[]).expect("count").get(0);
    assert_eq!(strays, 0);
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

/// Where a superuser has switched the event triggers off and adds a trigger of his own.
#[test]
fn a_trigger_that_returns_another_row_gets_nothing_stored() {
    for (name, returned) in [
        ("aaa", "NEW.payload := jsonb_set(NEW.payload, '{amount}', '1000000'); RETURN NEW;"),
        ("aaa", "NEW.schema_version := 'other/1.0.0'; RETURN NEW;"),
        ("zzzz", "NEW.payload := jsonb_set(NEW.payload, '{amount}', '1000000'); RETURN NEW;"),
        ("zzzz", "NEW.stream := 'elsewhere'; RETURN NEW;"),
        ("zzzz", "NEW.sequence := NEW.sequence + 1; RETURN NEW;"),
        ("zzzz", "NEW.signature := repeat('x', 64)::bytea; RETURN NEW;"),
        ("zzzz", "NEW.\"timestamp\" := NEW.\"timestamp\" - interval '1 day'; RETURN NEW;"),
        ("zzzz", "NEW.event_id := gen_random_uuid(); RETURN NEW;"),
        ("zzzz", "SELECT * INTO NEW FROM ets.ledger_event WHERE stream = 'a' AND sequence = 1; RETURN NEW;"),
        ("zzzz", "RETURN NULL;"),
    ] {
        let mut ledger = Ledger::new();
        ledger.append(&order("a", 1));
        let sql = format!(
            "CREATE FUNCTION public.another() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {returned} END $$;
             ALTER EVENT TRIGGER ets_ddl_start DISABLE; ALTER EVENT TRIGGER ets_ddl_end DISABLE;
             CREATE TRIGGER {name} BEFORE INSERT ON ets.ledger_event FOR EACH ROW EXECUTE FUNCTION public.another();
             ALTER EVENT TRIGGER ets_ddl_start ENABLE ALWAYS; ALTER EVENT TRIGGER ets_ddl_end ENABLE ALWAYS"
        );
        ledger.client.batch_execute(&sql).expect("a superuser can");
        let before = ledger.contents();
        let (previous, payload) = (ledger.head("b").0, order("b", 2));
        let signature = ledger.alice.sign(&payload, &previous);
        let insert =
            "INSERT INTO ets.ledger_event (payload, schema_version, public_key, previous_hash, signature)
            VALUES ($1, $2, $3, $4, $5)";
        let values: [&(dyn postgres::types::ToSql + Sync); 5] =
            [&payload, &SCHEMA, &ledger.alice.public_key(), &previous, &signature];
        let error = error_of(ledger.client.execute(insert, &values));
        assert!(error.code().code().starts_with("ET"), "{name} {returned}: {error:?}");
        let error = error_of(ledger.try_append(&payload, &previous));
        assert!(error.code().code().starts_with("ET"), "{name} {returned}: {error:?}");
        assert_eq!(ledger.contents(), before, "{name} {returned}");
        assert!(
            ledger.findings().iter().any(|finding| finding.contains(name)),
            "verification names the trigger {name}: {:?}",
            ledger.findings()
        );
        // It cannot be made while the guards stand.
        refused(ledger.client.batch_execute("CREATE TRIGGER z BEFORE INSERT ON ets.ledger_event FOR EACH ROW EXECUTE FUNCTION public.another()"), "ET009");
    }
}
