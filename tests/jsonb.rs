//! `jsonb` is read as Postgres keeps it, and must mean what its text means.

use ets_tests::{Chance, Ledger, order};
use postgres::Client;

/// What is special: scalars, long containers (every 32nd child has an offset instead of a
/// length), numbers at the edges of what is exact and of what is read directly.
const SPECIAL: &str = r#"
  SELECT 'null'::jsonb UNION ALL SELECT 'true' UNION ALL SELECT '""' UNION ALL SELECT '"é€😀\u0001\"\\/"' UNION ALL
  SELECT '[]' UNION ALL SELECT '{}' UNION ALL SELECT '[[], {}, [[{"": {}}]]]' UNION ALL SELECT to_jsonb(repeat('long ', 100000)) UNION ALL
  SELECT jsonb_agg(n) FROM generate_series(-100, 1000) AS n UNION ALL
  SELECT jsonb_agg(repeat('x', n % 7)) FROM generate_series(1, 100) AS n UNION ALL
  SELECT jsonb_object_agg('key' || n, CASE n % 4 WHEN 0 THEN to_jsonb(n) WHEN 1 THEN to_jsonb('v' || n) WHEN 2 THEN 'null' ELSE '[1, {"a": 2.5}]' END)
    FROM generate_series(1, 200) AS n UNION ALL
  SELECT to_jsonb((sign || digits || 'e' || power)::numeric)
    FROM (VALUES (''), ('-')) AS signs (sign), generate_series(-30, 30) AS power,
         (VALUES ('0'), ('1'), ('10'), ('9999'), ('10000'), ('12345678'), ('9007199254740992'), ('9007199254740993'), ('1.5'), ('0.1'),
                 ('0.10'), ('123.4500'), ('99999999.99999999'), ('0.30000000000000004')) AS all_digits (digits) UNION ALL
  SELECT to_jsonb(n::numeric(40, 20)) FROM generate_series(-3, 3) AS n UNION ALL
  SELECT to_jsonb((2::numeric ^ power + plus)) FROM generate_series(0, 80) AS power, generate_series(-1, 1) AS plus UNION ALL
  SELECT to_jsonb(('1' || repeat('0', zeros))::numeric) FROM generate_series(0, 400, 3) AS zeros UNION ALL
  SELECT to_jsonb((numerator / 128.0)::float8) FROM generate_series(-1000, 1000) AS numerator UNION ALL
  SELECT jsonb_build_array(repeat('[', depth)::text, (repeat('[', depth) || repeat(']', depth))::jsonb) FROM generate_series(1, 130) AS depth
"#;

fn document(chance: &mut Chance, depth: u64) -> String {
    match chance.below(if depth == 0 { 6 } else { 8 }) {
        0 => ["null", "true", "false"][chance.below(3) as usize].to_owned(),
        1 => format!("{}", chance.below(1 << 53) as i64 - (1 << 52)),
        2 => format!("{}.{}", chance.below(100_000), chance.below(1_000_000)),
        3 => format!("-0.{:0>1$}", chance.below(1000), chance.below(12) as usize + 3),
        4 => format!("{}e{}", chance.below(1000), chance.below(40) as i64 - 20),
        5 => {
            let length = chance.below(12) as usize;
            let text: String = (0..length)
                .map(|_| ["a", "ß", "漢", "😀", "\\n", "\\u0007", "\\\"", "z"][chance.below(8) as usize])
                .collect();
            format!("\"{text}\"")
        }
        6 => {
            let items: Vec<String> = (0..chance.below(40)).map(|_| document(chance, depth - 1)).collect();
            format!("[{}]", items.join(","))
        }
        _ => {
            let members: Vec<String> = (0..chance.below(40))
                .map(|number| {
                    format!(
                        "\"{}{number}\":{}",
                        "k".repeat(chance.below(5) as usize),
                        document(chance, depth - 1)
                    )
                })
                .collect();
            format!("{{{}}}", members.join(","))
        }
    }
}

/// Rows whose two canonical forms differ, or whose refusals do.
fn differences(client: &mut Client) -> Vec<String> {
    let sql = "SELECT left(document::text, 200) || ' ' || left(as_jsonb, 200) || ' ' || left(as_text, 200)
                 FROM documents, canonical('SELECT ets.canonicalize($1)', document) AS as_jsonb,
                      canonical('SELECT ets.canonicalize_text($1::text)', document) AS as_text
                WHERE as_jsonb IS DISTINCT FROM as_text";
    client.query(sql, &[]).expect("compared").iter().map(|row| row.get(0)).collect()
}

/// Fills the table `documents` with special and with drawn ones.
fn with_documents(client: &mut Client) {
    client
        .batch_execute(
            "CREATE TABLE documents (document jsonb);
             CREATE FUNCTION canonical(command text, document jsonb) RETURNS text LANGUAGE plpgsql AS $$
             DECLARE answer text;
             BEGIN
               EXECUTE command INTO answer USING document;
               RETURN answer;
             EXCEPTION WHEN SQLSTATE 'ET001' THEN
               RETURN SQLERRM;
             END $$",
        )
        .expect("a table");
    client.batch_execute(&format!("INSERT INTO documents {SPECIAL}")).expect("special documents");
    let mut chance = Chance::new(8785);
    for _ in 0..600 {
        let text = document(&mut chance, 4);
        client.execute("INSERT INTO documents VALUES ($1::text::jsonb)", &[&text]).expect("a document");
    }
}

#[test]
fn a_jsonb_means_what_its_text_means() {
    let mut ledger = Ledger::new();
    let client = &mut ledger.client;
    with_documents(client);
    let count = |client: &mut Client, filter: &str| -> i64 {
        let sql = format!(
            "SELECT count(*) FROM documents, canonical('SELECT ets.canonicalize($1)', document) AS form WHERE {filter}"
        );
        client.query_one(&sql, &[]).expect("a count").get(0)
    };
    // Kept short in the row, compressed and out of the row; and fresh ones.
    assert_eq!(differences(client), [""; 0]);
    let refused = count(client, "form LIKE 'payload refused:%'");
    assert!(refused > 300, "{refused} are refused");
    let accepted = count(client, "form NOT LIKE 'payload refused:%'");
    assert!(accepted > 4000, "{accepted} are accepted");
}

/// What a number was given as does not matter to what is stored.
#[test]
fn numbers_are_stored_as_the_canonical_form_has_them() {
    let mut ledger = Ledger::new();
    for (amount, zeros) in ["", ".0", ".00", ".0000000000"].iter().enumerate() {
        let payload = order("numbers", amount as i64);
        let (previous, _) = ledger.head("numbers");
        let signature = ledger.alice.sign(&payload, &previous);
        let sql =
            "INSERT INTO ets.ledger_event (payload, schema_version, public_key, previous_hash, signature)
                   SELECT $1::jsonb || jsonb_build_object('amount', ($2 || $3)::numeric), $4, $5, $6, $7
                RETURNING payload->>'amount'";
        let digits = amount.to_string();
        let public_key = ledger.alice.public_key();
        let row = ledger
            .client
            .query_one(
                sql,
                &[&payload, &digits, zeros, &ets_tests::SCHEMA, &public_key, &previous, &signature],
            )
            .expect("stored");
        assert_eq!(row.get::<_, String>(0), digits);
    }
    ledger.seal();
    assert_eq!(ledger.findings(), [""; 0]);
}

/// What the gate stores where it is not given a `jsonb`, it makes itself: bit for bit what
/// Postgres makes of the canonical text.
#[test]
fn a_jsonb_is_made_as_postgres_makes_it() {
    let mut ledger = Ledger::new();
    let client = &mut ledger.client;
    with_documents(client);
    client
        .batch_execute(
            "SELECT ets.register_schema('any/1.0.0', 'orders', 'true', '/order', '/schema');
             SELECT ets.create_local_key('clerk', 'clerk', current_user::text::regrole);
             SELECT ets.grant_authority((SELECT key_id FROM ets.local_key WHERE name = 'clerk'), 'orders');
             SELECT count(canonical($$SELECT ets.append_signed($1, 'any/1.0.0')::text$$, payload))
               FROM documents, jsonb_build_object('schema', 'any/1.0.0', 'order', 'any', 'document', document) AS payload",
        )
        .expect("appended");
    let row = client
        .query_one(
            "SELECT count(*), count(*) FILTER (WHERE record_image_eq(row(payload), row(ets.canonicalize(payload)::jsonb)))
               FROM ets.ledger_event WHERE schema_version = 'any/1.0.0'",
            &[],
        )
        .expect("compared");
    let (all, same): (i64, i64) = (row.get(0), row.get(1));
    assert!(all > 4000, "{all} were appended");
    assert_eq!(same, all);
}
