//! Every function with NULLs, empties and wrong lengths: no XX000, no crash, no
//! hang.

use ets_tests::{Ledger, order};
use postgres::{Client, SimpleQueryMessage};

/// Values of each type, as SQL; a function is called with each of them in each
/// place. What is valid in one place is nonsense in another.
fn values(kind: &str) -> Vec<String> {
    let long = |text: &str, times: usize| format!("repeat('{text}', {times})");
    let mut values: Vec<String> = match kind {
        "bytea" => [
            "''",
            "'\\x00'",
            "decode(repeat('00', 31), 'hex')",
            "decode(repeat('00', 32), 'hex')",
            "decode(repeat('ff', 32), 'hex')",
            "decode(repeat('01', 33), 'hex')",
            "decode(repeat('aa', 64), 'hex')",
            "decode(repeat('ab', 100000), 'hex')",
        ]
        .map(str::to_owned)
        .to_vec(),
        "bytea[]" => [
            "'{}'",
            "ARRAY[NULL]::bytea[]",
            "ARRAY['\\x00']::bytea[]",
            "ARRAY[[decode(repeat('00', 32), 'hex')]]::bytea[]",
            "array_fill(decode(repeat('00', 32), 'hex'), ARRAY[3000])",
        ]
        .map(str::to_owned)
        .to_vec(),
        "text" => vec![
            "''".to_owned(),
            "' '".to_owned(),
            "'orders'".to_owned(),
            "'ets.registry'".to_owned(),
            "'ETS.audit'".to_owned(),
            "'order/1.0.0'".to_owned(),
            "'ets.key/1.0.0'".to_owned(),
            "'*'".to_owned(),
            "'o*'".to_owned(),
            "E'a\\nb'".to_owned(),
            "'/order'".to_owned(),
            "'/~2'".to_owned(),
            "'not pointer'".to_owned(),
            "U&'\\+01F600'".to_owned(),
            "'[[[['".to_owned(),
            "'{\"a\":1,\"a\":2}'".to_owned(),
            "'1e400'".to_owned(),
            "'%s%n'".to_owned(),
            long("0", 64),
            long("é", 128),
            long("x", 300_000),
            long("[", 200_000),
        ],
        "jsonb" | "json" => [
            "'null'",
            "'{}'",
            "'[]'",
            "'\"\"'",
            "'0'",
            "'-0'",
            "'1e308'",
            "'123456789012345678901234567890'",
            "'true'",
            "'{\"type\": \"object\"}'",
            "'{\"$ref\": \"http://127.0.0.1:1/x\"}'",
            "'{\"$ref\": \"#\"}'",
            "'{\"pattern\": \"(a+)+$\"}'",
            "'{\"schema\": \"order/1.0.0\", \"order\": \"f\", \"amount\": 1}'",
            "'[{\"domain\": \"a\", \"tree_size\": -1, \"root\": \"zz\"}]'",
            "'[null]'",
            "'[{}]'",
            "'{\"payload\": 1}'",
        ]
        .map(|value| format!("{value}::{kind}"))
        .into_iter()
        .chain([
            format!("(repeat('[', 3000) || repeat(']', 3000))::{kind}"),
            format!("(repeat('{{\"a\":', 2000) || '1' || repeat('}}', 2000))::{kind}"),
            format!("to_json(repeat('x', 2000000))::{kind}"),
        ])
        .collect(),
        "bigint" | "integer" => ["0", "1", "-1", "2", "300"]
            .map(str::to_owned)
            .into_iter()
            .chain(match kind {
                "bigint" => ["9223372036854775807", "(-9223372036854775808)"].map(str::to_owned),
                _ => ["2147483647", "(-2147483648)"].map(str::to_owned),
            })
            .collect(),
        "uuid" => [
            "'00000000-0000-0000-0000-000000000000'",
            "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
            "'00000000-0000-7000-8000-000000000000'",
            "gen_random_uuid()",
            "(SELECT max(event_id::text)::uuid FROM ets.ledger_event)",
        ]
        .map(str::to_owned)
        .to_vec(),
        "boolean" => vec!["true".to_owned(), "false".to_owned()],
        "timestamp with time zone" => {
            ["'infinity'", "'-infinity'", "'4713-01-01 BC'", "now()", "'294276-01-01'"]
                .map(str::to_owned)
                .to_vec()
        }
        "regrole" => ["'postgres'", "0", "4294967295"].map(str::to_owned).to_vec(),
        "regprocedure" => ["0", "4294967295", "'pg_catalog.now()'"].map(str::to_owned).to_vec(),
        other => panic!("teach this test the type {other}"),
    };
    values = values.into_iter().map(|value| format!("({value})::{kind}")).collect();
    values.push(format!("NULL::{kind}"));
    values
}

/// What each argument has while another one varies: as valid as its type allows.
fn usual(kind: &str) -> String {
    match kind {
        "bytea" => "decode(repeat('07', 32), 'hex')",
        "bytea[]" => "ARRAY[decode(repeat('00', 32), 'hex')]",
        "text" => "'orders'",
        "jsonb" | "json" => "'{\"schema\": \"order/1.0.0\", \"order\": \"f\", \"amount\": 1}'",
        "bigint" | "integer" => "1",
        "uuid" => "(SELECT max(event_id::text)::uuid FROM ets.ledger_event)",
        "boolean" => "true",
        "timestamp with time zone" => "now()",
        "regrole" => "'postgres'",
        _ => "0",
    }
    .to_owned()
        + "::"
        + kind
}

/// Calls and rolls back, so that no call sees what another did.
fn call(client: &mut Client, sql: &str) {
    client.batch_execute("BEGIN; SAVEPOINT before").unwrap_or_else(|error| panic!("before {sql}: {error:?}"));
    let result: Result<Vec<SimpleQueryMessage>, _> = client.simple_query(sql);
    if let Err(error) = result {
        let Some(error) = error.as_db_error() else { panic!("the connection broke: {sql}: {error:?}") };
        let code = error.code().code();
        let shown: String = sql.chars().take(300).collect();
        assert!(!code.starts_with("XX"), "{shown}: {error:?}");
        assert!(code != "57014", "ran into statement_timeout: {shown}");
        if code.starts_with("ET") {
            assert!(error.detail().is_none_or(|detail| detail.starts_with('{')), "{shown}: {error:?}");
        }
        assert!(error.message().len() < 2000, "a message repeats its input: {shown}");
    }
    client.batch_execute("ROLLBACK").unwrap_or_else(|error| panic!("after {sql}: {error:?}"));
}

#[test]
fn no_argument_of_any_function_breaks_the_server() {
    let mut ledger = Ledger::new();
    ledger.append(&order("f", 1));
    ledger.seal();
    ledger.client.batch_execute("SET statement_timeout = '30s'").expect("setting");
    let sql = "SELECT p.proname::text, p.prokind::text, coalesce((SELECT array_agg(format_type(t.oid, NULL) ORDER BY a.place)
            FROM unnest(p.proargtypes) WITH ORDINALITY a(type, place) JOIN pg_type t ON t.oid = a.type), '{}'),
            p.prorettype = 'trigger'::regtype
        FROM pg_proc p WHERE p.pronamespace = 'ets'::regnamespace AND p.prorettype <> 'event_trigger'::regtype ORDER BY 1";
    let functions = ledger.client.query(sql, &[]).expect("the catalog");
    assert!(functions.len() > 20, "the surface has disappeared");
    for function in functions {
        let (name, kind, types): (String, String, Vec<String>) =
            (function.get(0), function.get(1), function.get(2));
        let statement = |arguments: &[String]| match kind.as_str() {
            "p" => format!("CALL ets.{name}({})", arguments.join(", ")),
            _ => format!("SELECT * FROM ets.{name}({})", arguments.join(", ")),
        };
        if function.get(3) {
            // A trigger's function cannot be called; that must be an error, too.
            call(&mut ledger.client, &format!("SELECT ets.{name}()"));
            continue;
        }
        let usual: Vec<String> = types.iter().map(|kind| usual(kind)).collect();
        call(&mut ledger.client, &statement(&usual));
        call(
            &mut ledger.client,
            &statement(&types.iter().map(|kind| format!("NULL::{kind}")).collect::<Vec<_>>()),
        );
        for place in 0..types.len() {
            for value in values(&types[place]) {
                let mut arguments = usual.clone();
                arguments[place] = value;
                call(&mut ledger.client, &statement(&arguments));
            }
        }
    }
    assert_eq!(ledger.findings(), Vec::<String>::new());
}
