//! The whole SQL surface, compared with `api_surface.txt`: a change of it is
//! seen in review. `UPDATE_GOLDEN=1 make test` writes the file anew.

use std::fs;

use ets_tests::{Cluster, Ledger, checkout};

#[test]
fn the_surface_is_as_written_down() {
    let mut ledger = Ledger::new();
    let client = &mut ledger.client;
    let sql = "SELECT format('%s ets.%s(%s) -> %s | %s, %s%s%s%s, owner %s',
            CASE prokind WHEN 'p' THEN 'procedure' ELSE 'function' END, proname, pg_get_function_arguments(oid),
            pg_get_function_result(oid),
            CASE provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END,
            CASE proparallel WHEN 's' THEN 'parallel safe' WHEN 'r' THEN 'parallel restricted' ELSE 'parallel unsafe' END,
            CASE WHEN proisstrict THEN ', strict' ELSE '' END,
            CASE WHEN prosecdef THEN ', security definer' ELSE '' END,
            coalesce(', ' || array_to_string(proconfig, ', '), ''),
            CASE WHEN (SELECT rolsuper FROM pg_roles WHERE oid = proowner) THEN 'superuser' ELSE 'other' END)
        FROM pg_proc WHERE pronamespace = 'ets'::regnamespace
        UNION ALL
        SELECT format('type ets.%s (%s)', typname, (SELECT string_agg(format('%s %s', attname,
            format_type(atttypid, atttypmod)), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = typrelid))
        FROM pg_type WHERE typnamespace = 'ets'::regnamespace AND typtype = 'c'
            AND (SELECT relkind FROM pg_class WHERE oid = typrelid) = 'c'
        UNION ALL
        SELECT format('%s ets.%s (%s), owner %s, granted to %s', CASE relkind WHEN 'v' THEN 'view' ELSE 'table' END, relname,
            (SELECT string_agg(format('%s %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum)
               FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped),
            CASE WHEN (SELECT rolsuper FROM pg_roles WHERE oid = relowner) THEN 'superuser' ELSE 'other' END,
            coalesce((SELECT string_agg(DISTINCT grantee::regrole::text, ', ') FROM aclexplode(relacl) WHERE grantee <> relowner), 'nobody'))
        FROM pg_class AS c WHERE relnamespace = 'ets'::regnamespace AND relkind IN ('r', 'v')
        UNION ALL
        SELECT format('event trigger %s on %s', evtname, evtevent) FROM pg_event_trigger
        UNION ALL
        SELECT format('setting %s: %s, %s', name, vartype, context) FROM pg_settings WHERE name LIKE 'ets.%'
        ORDER BY 1";
    // Settings exist once the library is loaded.
    client.execute("SELECT ets.uuid_v7()", &[]).expect("the library loads");
    let rows = client.query(sql, &[]).expect("the catalog");
    let mut surface: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    surface.push(String::new());
    let surface = surface.join("\n");
    let path = checkout().join("tests/api_surface.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &surface).expect("the golden file can be written");
    }
    let golden = fs::read_to_string(&path).expect("the golden file");
    for (line, expected) in surface.lines().zip(golden.lines()) {
        assert_eq!(line, expected, "if this change is wanted: UPDATE_GOLDEN=1");
    }
    assert_eq!(surface, golden, "if this change is wanted: UPDATE_GOLDEN=1");
}

/// What DESIGN promises of every function, whatever the list says.
#[test]
fn every_function_is_documented_private_and_not_strict() {
    let database = Cluster::shared().database();
    let mut client = database.connect();
    let rules = [
        ("has no comment", "obj_description(p.oid, 'pg_proc') IS NULL"),
        ("is strict: NULL would pass in silence", "p.proisstrict"),
        (
            "is a definer's without a fixed search_path",
            "p.prosecdef AND NOT coalesce(p.proconfig @> ARRAY['search_path=pg_catalog, pg_temp'], false)",
        ),
        (
            "may be executed by PUBLIC",
            "EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0)",
        ),
        (
            "is overloaded",
            "(SELECT count(*) FROM pg_proc q WHERE q.pronamespace = p.pronamespace AND q.proname = p.proname) > 1",
        ),
    ];
    for (fault, condition) in rules {
        let sql = format!(
            "SELECT p.oid::regprocedure::text FROM pg_proc p
             WHERE p.pronamespace = 'ets'::regnamespace AND ({condition})"
        );
        let faulty: Vec<String> =
            client.query(sql.as_str(), &[]).expect("the catalog").iter().map(|row| row.get(0)).collect();
        assert_eq!(faulty, Vec::<String>::new(), "{fault}");
    }
}

#[test]
fn every_table_and_view_is_documented() {
    let mut ledger = ets_tests::Ledger::new();
    let sql = "SELECT coalesce(string_agg(relname, ', '), '') FROM pg_class
        WHERE relnamespace = 'ets'::regnamespace AND relkind IN ('r', 'v', 'p')
        AND obj_description(oid, 'pg_class') IS NULL";
    assert_eq!(ledger.one::<String>(sql, &[]), "");
}

/// The volatility that DESIGN section 6 lays down by name.
#[test]
fn pure_functions_are_immutable_and_parallel_safe() {
    let database = Cluster::shared().database();
    let mut client = database.connect();
    for name in [
        "canonicalize",
        "canonicalize_text",
        "event_hash",
        "key_id",
        "sign",
        "verify_signature",
        "leaf_hash",
        "meta_root",
        "verify_inclusion",
        "verify_consistency",
        "validate",
    ] {
        let sql = "SELECT provolatile::text || proparallel::text FROM pg_proc
            WHERE pronamespace = 'ets'::regnamespace AND proname = $1";
        let row =
            client.query_opt(sql, &[&name]).expect("the catalog").unwrap_or_else(|| panic!("no ets.{name}"));
        assert_eq!(row.get::<_, &str>(0), "is", "{name}");
    }
}
