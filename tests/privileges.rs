//! PUBLIC gets nothing, and nobody's search_path reaches a definer's function.

use ets_tests::{Ledger, SCHEMA, append, error_of, head, order};

#[test]
fn an_ordinary_role_gets_nothing() {
    let mut ledger = Ledger::new();
    let event = ledger.append(&order("p", 1));
    let role = format!("nobody_{}", ledger.database.name);
    ledger.client.batch_execute(&format!("CREATE ROLE {role} LOGIN")).expect("a role");
    let mut nobody = ledger.database.connect_as(&role);
    for sql in [
        "SELECT * FROM ets.ledger_event".to_owned(),
        "SELECT * FROM ets.streams".to_owned(),
        "SELECT ets.seal()".to_owned(),
        "SELECT ets.uuid_v7()".to_owned(),
        "SELECT ets.canonicalize('{}')".to_owned(),
        format!("SELECT ets.event_document('{}')", event.event_id),
        "SELECT ets.trust_root()".to_owned(),
    ] {
        assert_eq!(error_of(nobody.simple_query(&sql)).code().code(), "42501", "{sql}");
    }
    // With USAGE alone, still nothing.
    ledger.client.batch_execute(&format!("GRANT USAGE ON SCHEMA ets TO {role}")).expect("grant");
    let sql = "SELECT coalesce(string_agg(oid::regprocedure::text, ', '), '') FROM pg_proc
        WHERE pronamespace = 'ets'::regnamespace AND has_function_privilege(oid, 'EXECUTE')";
    assert_eq!(nobody.query_one(sql, &[]).expect("the catalog").get::<_, String>(0), "");
    let sql = "SELECT coalesce(string_agg(relname, ', '), '') FROM pg_class
        WHERE relnamespace = 'ets'::regnamespace AND relkind IN ('r', 'v', 'p')
        AND has_table_privilege(oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')";
    assert_eq!(nobody.query_one(sql, &[]).expect("the catalog").get::<_, String>(0), "");
}

#[test]
fn a_role_may_append_with_that_function_alone() {
    let mut ledger = Ledger::new();
    let role = format!("appender_{}", ledger.database.name);
    let sql = format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA ets TO {role};
         GRANT EXECUTE ON FUNCTION ets.append(jsonb, text, bytea, bytea, bytea, uuid) TO {role};
         GRANT EXECUTE ON FUNCTION ets.head(text, text, boolean) TO {role}"
    );
    ledger.client.batch_execute(&sql).expect("grants");
    let mut appender = ledger.database.connect_as(&role);
    let genesis = head(&mut appender, "p").0;
    let event = append(&mut appender, &ledger.alice, &order("p", 1), &genesis).expect("append");
    assert_eq!(event.sequence, 1);
    for sql in
        ["SELECT payload FROM ets.ledger_event", "SELECT ets.create_domain('mine')", "SELECT ets.seal()"]
    {
        assert_eq!(error_of(appender.simple_query(sql)).code().code(), "42501", "{sql}");
    }
}

#[test]
fn only_superusers_initialise_and_arm() {
    let mut ledger = Ledger::new();
    let role = format!("admin_{}", ledger.database.name);
    let sql = format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA ets TO {role};
         GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ets TO {role}"
    );
    ledger.client.batch_execute(&sql).expect("grants");
    let mut admin = ledger.database.connect_as(&role);
    for sql in ["SELECT ets.arm()", "SELECT ets.init('test.example/mine')"] {
        assert_eq!(error_of(admin.simple_query(sql)).code().code(), "42501", "{sql}");
    }
}

/// Shadows of every table, and of every function and operator of Postgres that takes
/// and gives ordinary types, in a schema and in pg_temp before all others.
#[test]
fn a_hostile_search_path_changes_nothing() {
    let mut ledger = Ledger::new();
    ledger.append(&order("h", 1));
    let shadow = "CREATE SCHEMA evil;
        DO $$ DECLARE f record; o record; BEGIN
            FOR f IN SELECT p.oid, p.proname, pg_get_function_identity_arguments(p.oid) AS arguments,
                            format_type(p.prorettype, NULL) AS result, p.proretset
                       FROM pg_proc p JOIN pg_type r ON r.oid = p.prorettype
                      WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND p.provariadic = 0
                        AND r.typtype <> 'p' AND p.proargmodes IS NULL
                        AND NOT EXISTS (SELECT FROM unnest(p.proargtypes) a JOIN pg_type t ON t.oid = a WHERE t.typtype = 'p')
            LOOP
                EXECUTE format('CREATE FUNCTION evil.%I(%s) RETURNS %s %s LANGUAGE plpgsql AS %L', f.proname, f.arguments,
                    CASE WHEN f.proretset THEN 'SETOF' ELSE '' END, f.result, 'BEGIN RAISE ''a shadow''; END');
            END LOOP;
            FOR o IN SELECT op.oprname, op.oprleft::regtype AS l, op.oprright::regtype AS r, p.proname
                       FROM pg_operator op JOIN pg_proc p ON p.oid = op.oprcode
                      WHERE op.oprnamespace = 'pg_catalog'::regnamespace AND op.oprleft <> 0
                        AND EXISTS (SELECT FROM pg_proc e WHERE e.pronamespace = 'evil'::regnamespace AND e.proname = p.proname
                                       AND e.proargtypes[0] = op.oprleft AND e.proargtypes[1] = op.oprright)
            LOOP
                EXECUTE format('CREATE OPERATOR evil.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = evil.%I)', o.oprname, o.l, o.r, o.proname);
            END LOOP;
        END $$;
        CREATE FUNCTION evil.max(bigint) RETURNS bigint LANGUAGE sql AS 'SELECT 0::bigint';
        DO $$ DECLARE t name; BEGIN
            FOR t IN SELECT relname FROM pg_class WHERE relnamespace = 'ets'::regnamespace AND relkind = 'r' LOOP
                EXECUTE format('CREATE TABLE evil.%I (LIKE ets.%I)', t, t);
                EXECUTE format('CREATE TEMP TABLE %I (LIKE ets.%I)', t, t);
            END LOOP;
        END $$;
        SET search_path = pg_temp, evil, pg_catalog";
    ledger.client.batch_execute(shadow).expect("anybody can do that in his own schema");
    assert_eq!(ledger.append(&order("h", 2)).sequence, 2);
    ledger.seal();
    assert_eq!(ledger.findings(), Vec::<String>::new());
    let key = ets_tests::Signer::new(9);
    ledger.register(&key, "late");
    let genesis = ledger.head("h2").0;
    assert_eq!(append(&mut ledger.client, &key, &order("h2", 1), &genesis).expect("append").sequence, 1);
    // A plain INSERT runs the triggers with the writer's own search_path.
    let (previous, payload) = (ledger.head("h").0, order("h", 3));
    let signature = ledger.alice.sign(&payload, &previous);
    let insert =
        "INSERT INTO ets.ledger_event (payload, schema_version, public_key, previous_hash, signature)
        VALUES ($1, $2, $3, $4, $5)";
    ledger
        .client
        .execute(insert, &[&payload, &SCHEMA, &ledger.alice.public_key(), &previous, &signature])
        .expect("insert");
    assert_eq!(ledger.findings(), Vec::<String>::new());
    for sql in [
        "CALL ets.run_verification()",
        "CALL ets.run_rebuild()",
        "SELECT * FROM ets.seal()",
        "SELECT ets.proof_bundle(event_id) FROM ets.merkle_leaf",
        "SELECT ets.tlog_proof(event_id) FROM ets.merkle_leaf WHERE domain OPERATOR(pg_catalog.=) 'orders'",
        "SELECT ets.checkpoint_note('orders'), ets.state_root('orders'), ets.trust_root()",
        "SELECT * FROM ets.verify_replay()",
        "SELECT * FROM ets.rebuild_merkle()",
        "SELECT * FROM ets.export('orders')",
        "SELECT * FROM ets.replay('orders')",
        "SELECT * FROM ets.read_domain('orders')",
        "SELECT * FROM ets.status",
        "SELECT * FROM ets.authority",
        "SELECT * FROM ets.registry_history",
        "SELECT ets.rotate_server_key('hostile')",
        "SELECT ets.arm()",
    ] {
        ledger.client.simple_query(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
    ledger.client.batch_execute("RESET search_path").expect("reset");
    let shadows: i64 =
        ledger.one("SELECT count(*) FROM pg_operator WHERE oprnamespace = 'evil'::regnamespace", &[]);
    assert!(shadows > 400, "{shadows} operators have a shadow");
    let sql = "SELECT (SELECT count(*) FROM evil.ledger_event) + (SELECT count(*) FROM pg_temp.ledger_event)
        + (SELECT count(*) FROM evil.stream_head) + (SELECT count(*) FROM pg_temp.stream_head)";
    let strays: i64 = ledger.client.query_one(sql, &[]).expect("count").get(0);
    assert_eq!(strays, 0);
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

/// A trigger of somebody else's on the events: `ets.append` fires it as an INSERT would,
/// and with the catalog's path, for it runs with the owner's rights.
#[test]
fn a_further_trigger_sees_what_is_appended_and_not_the_senders_path() {
    let mut ledger = Ledger::new();
    let trigger = "CREATE TABLE public.seen (stream text, sequence bigint, path text);
        CREATE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            INSERT INTO public.seen SELECT stream, sequence, current_setting('search_path') FROM stored;
            RETURN NULL;
        END $$;
        CREATE TRIGGER seen AFTER INSERT ON ets.ledger_event REFERENCING NEW TABLE AS stored
            FOR EACH STATEMENT EXECUTE FUNCTION public.see();
        SET search_path = pg_temp, public";
    ledger.append(&order("before", 1));
    ledger.client.batch_execute(trigger).expect("a superuser may");
    ledger.append(&order("after", 1));
    let rows = ledger.client.query("SELECT * FROM public.seen", &[]).expect("rows");
    let seen: Vec<(String, i64, String)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    assert_eq!(seen, [("after".to_owned(), 1, "pg_catalog, pg_temp".to_owned())]);
    assert_eq!(ledger.findings(), Vec::<String>::new());
}
