//! Business rules, reducers and kept states, on a real server.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;

use ets_tests::{Ledger, Signer, refused, tamper};
use postgres::Client;
use serde_json::{Value, json};

/// A worked example: what docs/rules.md shows.
fn example(name: &str) -> Value {
    let path = format!("{}/../docs/examples/rules/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(&path).expect("the example is there")).expect("JSON")
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("{member} in {value}"))
}

/// Registers an example's domain and schemas.
fn register(client: &mut Client, example: &Value) {
    client.execute("SELECT ets.create_domain($1)", &[&text(example, "domain")]).expect("domain");
    for schema in example["schemas"].as_array().expect("schemas") {
        client
            .execute(
                "SELECT ets.register_schema($1, $2, $3, $4, $5, $6, $7)",
                &[
                    &text(schema, "name"),
                    &text(example, "domain"),
                    &schema["schema"],
                    &text(schema, "stream_pointer"),
                    &text(schema, "schema_pointer"),
                    &schema["rules"],
                    &text(schema, "reducer"),
                ],
            )
            .unwrap_or_else(|error| panic!("{}: {error:?}", text(schema, "name")));
    }
}

/// A local key of `owner` for a domain, by its name.
fn key_of(client: &mut Client, owner: &str, domain: &str) {
    client.execute("SELECT ets.create_local_key($1, $1, 'postgres')", &[&owner]).expect("key");
    client
        .execute(
            "SELECT ets.grant_authority(key_id, $2) FROM ets.local_key WHERE name = $1",
            &[&owner, &domain],
        )
        .expect("grant");
}

fn append_as(client: &mut Client, owner: &str, payload: &Value) -> Result<i64, postgres::Error> {
    client
        .query_one(
            "SELECT sequence FROM ets.append_signed($1, $2, $3)",
            &[payload, &text(payload, "schema_version"), &owner],
        )
        .map(|row| row.get(0))
}

/// Plays an example: each event is refused or leaves the state that it says.
fn play(name: &str) -> Ledger {
    let mut ledger = Ledger::new();
    let example = example(name);
    let client = &mut ledger.client;
    register(client, &example);
    let (domain, stream) = (text(&example, "domain"), text(&example, "stream"));
    let mut owners = BTreeMap::new();
    for event in example["events"].as_array().expect("events") {
        let owner = text(event, "owner");
        owners.entry(owner.to_owned()).or_insert_with(|| key_of(client, owner, domain));
        let result = append_as(client, owner, &event["payload"]);
        if let Some(violated) = event.get("violated") {
            let refusal = refused(result, "ET008");
            let names: Vec<&Value> =
                refusal.detail["rules"].as_array().expect("rules").iter().map(|rule| &rule["rule"]).collect();
            assert_eq!(json!(names), *violated, "{event}");
        } else {
            result.unwrap_or_else(|error| panic!("{event}: {error:?}"));
            let state: Value = client
                .query_one("SELECT state FROM ets.state($1, $2)", &[&domain, &stream])
                .expect("a state")
                .get(0);
            assert_eq!(state, event["state"], "{event}");
        }
    }
    // The kept state is the replayed one, and verification agrees with the gate.
    let same: bool = ledger.one(
        "SELECT count(*) = 1 AND bool_and(r.state_hash = k.state_hash) FROM ets.replay($1) r
           JOIN ets.replay($1, from_kept => true) k USING (stream, sequence)",
        &[&domain],
    );
    assert!(same);
    assert_eq!(ledger.findings(), Vec::<String>::new());
    assert_eq!(replay_findings(&mut ledger.client), Vec::<Value>::new());
    // The server has declared it, with the states' root.
    let root: String = ledger.one("SELECT encode(ets.state_root($1), 'hex')", &[&domain]);
    let statement: Value = ledger.one(
        "SELECT payload FROM ets.ledger_event WHERE domain = 'ets.audit' ORDER BY sequence DESC LIMIT 1",
        &[],
    );
    assert_eq!(statement["scope"], json!({"check": "replay", "incremental": false}));
    assert_eq!((&statement["verdict"], &statement["finding_count"]), (&json!("MATCH"), &json!(0)));
    let declared = statement["state_roots"].as_array().expect("state roots");
    assert!(declared.contains(&json!({"domain": domain, "state_root": root})), "{statement}");
    ledger
}

fn replay_findings(client: &mut Client) -> Vec<Value> {
    let rows = client.query("SELECT to_jsonb(f) FROM ets.verify_replay() f", &[]).expect("verify_replay");
    rows.iter().map(|row| row.get(0)).collect()
}

#[test]
fn accounts_stay_above_zero_and_frozen_ones_take_nothing() {
    play("accounts");
}

#[test]
fn a_payment_is_approved_by_another_owner_than_it_was_requested_by() {
    play("approval");
}

/// Sixteen sessions withdraw from one account: exactly what is in it goes out.
#[test]
fn a_balance_rule_holds_exactly_under_concurrency() {
    const BALANCE: i64 = 60;
    let mut ledger = Ledger::new();
    register(&mut ledger.client, &example("accounts"));
    key_of(&mut ledger.client, "teller", "accounts");
    let deposit = json!({"schema_version": "deposit/1.0.0", "account": "a", "amount": BALANCE});
    append_as(&mut ledger.client, "teller", &deposit).expect("a deposit");
    let taken = AtomicI64::new(0);
    thread::scope(|scope| {
        for session in 0..16 {
            let (mut client, taken) = (ledger.database.connect(), &taken);
            scope.spawn(move || {
                // Amounts of 1 to 3, so that the last ones fit or do not.
                let amount = session % 3 + 1;
                let payload = json!({"schema_version": "withdrawal/1.0.0", "account": "a", "amount": amount});
                for _ in 0..10 {
                    match append_as(&mut client, "teller", &payload) {
                        Ok(_) => drop(taken.fetch_add(amount, Ordering::Relaxed)),
                        Err(error) => drop(refused::<i64>(Err(error), "ET008")),
                    }
                }
            });
        }
    });
    let state: Value = ledger.one("SELECT state FROM ets.state('accounts', 'a')", &[]);
    assert_eq!(state["balance"], json!(BALANCE - taken.load(Ordering::Relaxed)));
    assert_eq!(state["balance"], json!(0), "160 attempts of up to 3 empty an account of {BALANCE}");
    assert_eq!(ledger.findings(), Vec::<String>::new());
    assert_eq!(replay_findings(&mut ledger.client), Vec::<Value>::new());
}

/// Many events of one statement, and of one transaction, see each other's states.
#[test]
fn a_batch_and_a_plain_insert_see_the_states_of_their_own_rows() {
    let mut ledger = Ledger::new();
    register(&mut ledger.client, &example("accounts"));
    let teller = Signer::new(9);
    ledger.client.execute("SELECT ets.register_key($1, 'teller')", &[&teller.public_key()]).expect("key");
    ledger.client.execute("SELECT ets.grant_authority($1, 'accounts')", &[&teller.key_id()]).expect("grant");
    let mut previous: Vec<u8> = ledger.one("SELECT ets.genesis_hash('accounts', 'b')", &[]);
    let mut rows = Vec::new();
    for (kind, amount) in [("deposit", 5), ("withdrawal", 3), ("withdrawal", 2)] {
        let payload = json!({"schema_version": format!("{kind}/1.0.0"), "account": "b", "amount": amount});
        let signature = teller.sign(&payload, &previous);
        rows.push((payload.clone(), previous.clone(), signature));
        previous = ets_tests::hash_of(&payload, &previous).as_bytes().to_vec();
    }
    let insert =
        "INSERT INTO ets.ledger_event (payload, schema_version, public_key, previous_hash, signature)
                  VALUES ($1, $2, $3, $4, $5), ($6, $7, $3, $8, $9), ($10, $11, $3, $12, $13)";
    let version = |at: usize| text(&rows[at].0, "schema_version");
    ledger
        .client
        .execute(
            insert,
            &[
                &rows[0].0,
                &version(0),
                &teller.public_key(),
                &rows[0].1,
                &rows[0].2,
                &rows[1].0,
                &version(1),
                &rows[1].1,
                &rows[1].2,
                &rows[2].0,
                &version(2),
                &rows[2].1,
                &rows[2].2,
            ],
        )
        .expect("three events of one statement");
    let state: Value = ledger.one("SELECT state FROM ets.state('accounts', 'b')", &[]);
    assert_eq!(state, json!({"balance": 0, "frozen": false}));

    // In a batch the third withdrawal is one too many, and nothing of it stays.
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut batch = Vec::new();
    for (kind, amount) in [("deposit", 5), ("withdrawal", 3), ("withdrawal", 3)] {
        let payload = json!({"schema_version": format!("{kind}/1.0.0"), "account": "b", "amount": amount});
        let signature = teller.sign(&payload, &previous);
        batch.push(json!({
            "payload": payload, "schema_version": payload["schema_version"], "public_key": hex(&teller.public_key()),
            "previous_hash": hex(&previous), "signature": hex(&signature),
        }));
        previous = ets_tests::hash_of(&payload, &previous).as_bytes().to_vec();
    }
    let before = ledger.contents();
    let refusal = refused(
        ledger.client.execute("SELECT ets.append_batch($1::jsonb::text::json)", &[&json!(batch)]),
        "ET008",
    );
    assert_eq!(refusal.detail["index"], json!(2));
    assert_eq!(ledger.contents(), before);
    assert_eq!(replay_findings(&mut ledger.client), Vec::<Value>::new());
}

/// A rule that mentions `state` can come to streams that have events already.
#[test]
fn a_domain_begins_to_keep_states_when_a_rule_asks_for_them() {
    let mut ledger = Ledger::new();
    let client = &mut ledger.client;
    client
        .batch_execute(
            r#"SELECT ets.create_domain('late');
               SELECT ets.register_schema('count/1.0.0', 'late', '{"type": "object"}', '/stream', NULL, '[]',
                 '{"n": (state == null ? 0 : state.n) + 1}')"#,
        )
        .expect("a schema whose reducer counts");
    key_of(client, "late", "late");
    let count = |client: &mut Client, version: &str| {
        client.execute("SELECT ets.append_signed('{\"stream\": \"s\"}', $1)", &[&version])
    };
    for _ in 0..3 {
        count(client, "count/1.0.0").expect("an event");
    }
    let kept = |client: &mut Client| -> Option<Value> {
        client
            .query_one("SELECT state FROM ets.stream_head WHERE domain = 'late'", &[])
            .expect("a head")
            .get(0)
    };
    assert_eq!(kept(client), None, "nothing asks for the state");
    client
        .batch_execute(
            r#"SELECT ets.register_schema('limited/1.0.0', 'late', '{"type": "object"}', '/stream', NULL,
                 '[{"name": "few", "expr": "state == null || state.n < 5", "message": "five are enough"}]',
                 '{"n": (state == null ? 0 : state.n) + 1}')"#,
        )
        .expect("a schema whose rule asks for the state");
    count(client, "limited/1.0.0").expect("the fourth");
    assert_eq!(kept(client), Some(json!({"n": 4})), "replayed, then kept");
    count(client, "count/1.0.0").expect("the fifth, by the schema without rules");
    assert_eq!(kept(client), Some(json!({"n": 5})), "every event of the domain counts");
    refused(count(client, "limited/1.0.0"), "ET008");
    assert_eq!(replay_findings(client), Vec::<Value>::new());
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

/// What does not parse, or names what does not exist, is refused when it is
/// registered; all that is wrong at once.
#[test]
fn bad_rules_and_reducers_are_refused_at_registration() {
    let mut ledger = Ledger::new();
    ledger.client.execute("SELECT ets.create_domain('d')", &[]).expect("domain");
    let mut register = |rules: Value, reducer: &str| {
        ledger.client.execute(
            "SELECT ets.register_schema('r/1.0.0', 'd', 'true', NULL, NULL, $1, $2)",
            &[&rules, &reducer],
        )
    };
    let rule = |expr: &str| json!([{"name": "r", "expr": expr, "message": "m"}]);
    for expr in [
        "",
        "1 +",
        "payload.amount > )",
        "nothing == 1",
        "event.weather == 1",
        "frobnicate(payload)",
        "event == 1",
    ] {
        refused(register(rule(expr), "merge"), if expr.is_empty() { "ET007" } else { "ET006" });
    }
    refused(register(rule("true"), "no_such_reducer"), "ET006");
    refused(register(rule("true"), "{'a': }"), "ET006");
    let twice =
        json!([{"name": "r", "expr": "true", "message": "m"}, {"name": "r", "expr": "1 +", "message": "m"}]);
    let refusal = refused(register(twice, "1 +"), "ET006");
    assert!(
        refusal.detail["reasons"].as_array().is_some_and(|errors| errors.len() >= 3),
        "{}",
        refusal.detail
    );
    refused(register(json!([{"name": "r", "expr": "true"}]), "merge"), "ET007");
    refused(register(json!({"name": "r"}), "merge"), "ET007");
    let deep = format!("{}1{}", "(".repeat(2000), ")".repeat(2000));
    refused(register(rule(&deep), "merge"), "ET006");
    register(rule("true"), "merge").expect("the name is still free");
}

/// An expression without an answer refuses the event, and none can hang a backend.
#[test]
fn an_expression_that_fails_or_never_ends_refuses_the_event() {
    let mut ledger = Ledger::new();
    ledger.client.execute("SELECT ets.create_domain('d')", &[]).expect("domain");
    key_of(&mut ledger.client, "someone", "d");
    let nested =
        "payload.xs.all(a, payload.xs.all(b, payload.xs.all(c, payload.xs.all(d, payload.xs.all(e, true)))))";
    let cases = [
        ("a", "payload.missing > 1", "merge"),
        ("b", "payload.n / 0 == 1", "merge"),
        ("c", "payload.n", "merge"),
        ("d", nested, "merge"),
        ("e", "event.sequence > 0 && state.missing", "merge"),
        ("f", "state == null", "{'n': payload.n + 9223372036854775807}"),
        ("g", "state == null", "{'n': 1e308 * 10.0 * double(payload.n)}"),
    ];
    let xs: Vec<i32> = (0..200).collect();
    for (name, expr, reducer) in cases {
        ledger
            .client
            .execute(
                "SELECT ets.register_schema($1, 'd', 'true', '/stream', NULL, $2, $3)",
                &[&format!("{name}/1.0.0"), &json!([{"name": "r", "expr": expr, "message": "m"}]), &reducer],
            )
            .unwrap_or_else(|error| panic!("{expr}: {error:?}"));
        let payload = json!({"n": 1, "stream": name, "xs": xs});
        let begun = std::time::Instant::now();
        let result =
            ledger.client.execute("SELECT ets.append_signed($1, $2)", &[&payload, &format!("{name}/1.0.0")]);
        assert!(result.is_err(), "{expr} {reducer}");
        refused(result, "ET014");
        // Not a measurement: without a bound it would take days.
        assert!(begun.elapsed().as_secs() < 30, "{expr}");
    }
    let events: i64 = ledger.one("SELECT count(*) FROM ets.ledger_event WHERE domain = 'd'", &[]);
    assert_eq!(events, 0);
}

/// What a rule makes of a state does not depend on how a stream's events were shared
/// out among threads.
#[test]
fn states_of_long_streams_are_verified_on_any_number_of_threads() {
    let mut ledger = Ledger::new();
    let client = &mut ledger.client;
    client
        .batch_execute(
            r#"SELECT ets.create_domain('long');
               SELECT ets.register_schema('tick/1.0.0', 'long', '{"type": "object"}', '/stream', NULL,
                 '[{"name": "in turn", "expr": "payload.n == (state == null ? 0 : state.n) + 1", "message": "one by one"}]',
                 '{"n": (state == null ? 0 : state.n) + 1}')"#,
        )
        .expect("a schema whose rule asks for the state");
    key_of(client, "long", "long");
    client
        .batch_execute(
            "DO $$ BEGIN
               FOR n IN 1..1100 LOOP
                 PERFORM ets.append_signed(jsonb_build_object('stream', 's', 'n', n), 'tick/1.0.0');
               END LOOP;
             END $$",
        )
        .expect("a long stream");
    for threads in ["1", "2", "5"] {
        client.batch_execute(&format!("SET ets.worker_threads = {threads}")).expect("a setting");
        let found: i64 =
            client.query_one("SELECT count(*) FROM ets.verify_ledger()", &[]).expect("findings").get(0);
        assert_eq!(found, 0, "{threads} threads");
        assert_eq!(replay_findings(client), Vec::<Value>::new(), "{threads} threads");
    }
}

/// An edited state, or one edited so that a rule would hold, is named.
#[test]
fn an_edited_state_is_found_by_replay() {
    let mut ledger = play("accounts");
    tamper(
        &mut ledger.client,
        "UPDATE ets.stream_head SET state = '{\"balance\": 1000000, \"frozen\": false}' WHERE stream = 'acc-7'",
    );
    let found = replay_findings(&mut ledger.client);
    assert_eq!(found.len(), 1, "{found:#?}");
    let kept: Value = ledger.one(
        "SELECT jsonb_build_object('verdict', run.verdict, 'check', finding.check_name, 'stream', finding.stream)
           FROM ets.verification_run AS run JOIN ets.finding AS finding USING (run_id)
          ORDER BY run.run_id DESC LIMIT 1",
        &[],
    );
    assert_eq!(kept, json!({"verdict": "MISMATCH", "check": "state", "stream": "acc-7"}));
    assert_eq!(
        (&found[0]["domain"], &found[0]["stream"], &found[0]["sequence"], &found[0]["check_name"]),
        (&json!("accounts"), &json!("acc-7"), &json!(5), &json!("state"))
    );
    // What is appended on it is found by its own rule.
    let withdrawal = json!({"schema_version": "withdrawal/1.0.0", "account": "acc-7", "amount": 5});
    append_as(&mut ledger.client, "teller", &withdrawal).expect("the gate trusts the kept state");
    let found = replay_findings(&mut ledger.client);
    let named = found.iter().any(|finding| finding["check_name"] == "rules" && finding["sequence"] == 6);
    assert!(named, "{found:#?}");
}
