//! docs/sql.md: what the catalog says of every function, type, table, view and setting.

use std::fmt::Write as _;
use std::fs;

use ets_tests::{Ledger, assert_generated, checkout};
use postgres::Client;

/// A function as the page shows it.
struct Function {
    name: String,
    signature: String,
    properties: String,
    comment: String,
}

fn functions(client: &mut Client) -> Vec<Function> {
    let sql = "SELECT proname::text,
            format('%s ets.%s(%s)%s', CASE prokind WHEN 'p' THEN 'CALL' ELSE '' END, proname, pg_get_function_arguments(oid),
                   CASE WHEN prokind = 'p' THEN '' ELSE ' → ' || pg_get_function_result(oid) END),
            concat_ws(', ', CASE provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END,
                   'parallel ' || CASE proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' ELSE 'unsafe' END,
                   CASE WHEN prosecdef THEN 'as its owner' END),
            obj_description(oid, 'pg_proc')
        FROM pg_proc WHERE pronamespace = 'ets'::regnamespace ORDER BY 1";
    let rows = client.query(sql, &[]).expect("functions");
    let function = |row: &postgres::Row| Function {
        name: row.get(0),
        signature: row.get::<_, String>(1).trim().to_owned(),
        properties: row.get(2),
        comment: row.get(3),
    };
    rows.iter().map(function).collect()
}

/// The first lines of each script say what its functions are for.
const PARTS: [(&str, &str); 16] = [
    ("setup", "Set-up"),
    ("registry", "Registry"),
    ("schema", "Schemas"),
    ("canonical", "Bytes, hashes, keys"),
    ("append", "Append"),
    ("read", "Read"),
    ("forest", "Seal and prove"),
    ("bundle", "Bundles"),
    ("tlog", "C2SP forms"),
    ("verify", "Verify"),
    ("runs", "Runs"),
    ("replay", "Replay"),
    ("schedule", "Schedule"),
    ("replica", "Export, import, replicas"),
    ("anchor", "Anchors"),
    ("access", "Access"),
];

fn reference(client: &mut Client) -> String {
    let mut left = functions(client);
    let mut page = String::new();
    for (script, title) in PARTS {
        let sql =
            fs::read_to_string(checkout().join(format!("sql/functions/{script}.sql"))).expect("a script");
        let _ = write!(page, "\n## {title}\n");
        let is_here = |name: &str| {
            ["FUNCTION", "PROCEDURE"].iter().any(|kind| sql.contains(&format!("CREATE {kind} ets.{name}(")))
        };
        let (here, others): (Vec<_>, Vec<_>) = left.into_iter().partition(|function| is_here(&function.name));
        left = others;
        assert!(!here.is_empty(), "{script} has no function");
        for Function { name, signature, properties, comment } in here {
            let _ = write!(page, "\n### ets.{name}\n\n    {signature}\n\n{comment}. *{properties}*\n");
        }
    }
    for function in left {
        assert!(function.signature.contains("trigger"), "{} is in no part", function.name);
    }
    page.push_str("\n## Types\n\n| type | members | |\n|---|---|---|\n");
    let types = "SELECT typname::text, (SELECT string_agg(format('`%s` %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum)
            FROM pg_attribute WHERE attrelid = typrelid AND attnum > 0), obj_description(t.oid, 'pg_type')
        FROM pg_type AS t JOIN pg_class AS c ON c.oid = typrelid AND c.relkind = 'c'
        WHERE typnamespace = 'ets'::regnamespace ORDER BY 1";
    for row in client.query(types, &[]).expect("types") {
        let (name, members, comment): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let _ = writeln!(page, "| `ets.{name}` | {members} | {comment} |");
    }
    page.push_str("\n## Tables and views\n");
    let relations = "SELECT c.oid, format('%s ets.%s', CASE relkind WHEN 'v' THEN 'view' ELSE 'table' END, relname), obj_description(c.oid, 'pg_class')
        FROM pg_class AS c WHERE relnamespace = 'ets'::regnamespace AND relkind IN ('r', 'v') ORDER BY relname";
    for row in client.query(relations, &[]).expect("relations") {
        let (oid, name, comment): (u32, String, String) = (row.get(0), row.get(1), row.get(2));
        let _ = write!(page, "\n### {name}\n\n{comment}.\n\n| column | type | |\n|---|---|---|\n");
        let columns = "SELECT attname::text, format_type(atttypid, atttypmod), coalesce(col_description(attrelid, attnum), '')
            FROM pg_attribute WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
        for column in client.query(columns, &[&oid]).expect("columns") {
            let (name, kind, comment): (String, String, String) =
                (column.get(0), column.get(1), column.get(2));
            let _ = writeln!(page, "| `{name}` | {kind} | {} |", comment.replace('|', "\\|"));
        }
    }
    page.push_str("\n## Settings\n\n| setting | default | who sets it | |\n|---|---|---|---|\n");
    let settings = "SELECT name, coalesce(nullif(boot_val, ''), 'unset') || coalesce(' ' || unit, ''), context, short_desc
        FROM pg_settings WHERE name LIKE 'ets.%' ORDER BY 1";
    for row in client.query(settings, &[]).expect("settings") {
        let (name, default, context, meaning): (String, String, String, String) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        let _ = writeln!(page, "| `{name}` | {default} | {context} | {meaning} |");
    }
    page.push('\n');
    page
}

#[test]
fn the_sql_reference_is_what_the_catalog_says() {
    let mut ledger = Ledger::new();
    assert_generated("docs/sql.md", "catalog", &reference(&mut ledger.client));
}
