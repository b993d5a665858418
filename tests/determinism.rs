//! The same events give the same states: in this server under any setting, after
//! a dump and restore under another locale, in ets-core without Postgres, and on
//! every major version of PostgreSQL.

use std::fs;

use ets_core::event::Event;
use ets_core::name::{DomainName, StreamName};
use ets_core::registry::Registry;
use ets_core::replay::StreamReplay;
use ets_core::state::{StateRootBuilder, StreamState, state_hash};
use ets_tests::{Cluster, Ledger, checkout};
use postgres::Client;
use serde_json::{Value, json};

const DOMAIN: &str = "measured";
const STREAMS: [&str; 6] = ["a", "A", "b ", "é", "ö", "𝄞"];

/// A domain whose reducer counts, adds and collects, over names and numbers that
/// locales and number formats disagree about.
fn measured() -> Ledger {
    let mut ledger = Ledger::new();
    ledger
        .client
        .batch_execute(
            r#"SELECT ets.create_domain('measured');
               SELECT ets.register_schema('measure/1.0.0', 'measured', '{"type": "object"}', '/stream', NULL,
                 '[{"name": "not too many", "expr": "state == null || state.n < 100", "message": "enough"}]',
                 '{"n": (state == null ? 0 : state.n) + 1, "sum": (state == null ? 0 : state.sum) + payload.whole,
                   "last": payload.x, "names": (state == null ? [] : state.names) + [payload.name],
                   "half": double(payload.whole) / 2.0}');
               SELECT ets.create_local_key('meter', 'meter', 'postgres');
               SELECT ets.grant_authority(key_id, 'measured') FROM ets.local_key WHERE name = 'meter'"#,
        )
        .expect("a domain that keeps states");
    let numbers = [json!(0.1), json!(1e21), json!(-0.0), json!(1e-7), json!(123456789012345.0), json!(4.35)];
    for round in 0..5 {
        for (place, stream) in STREAMS.iter().enumerate() {
            let payload = json!({
                "stream": stream, "x": numbers[(place + round) % numbers.len()], "whole": place * 7 + round,
                "name": format!("{stream}ı{round}"), "B": null, "ä": 1, "a": 2,
            });
            ledger
                .client
                .execute("SELECT ets.append_signed($1, 'measure/1.0.0')", &[&payload])
                .unwrap_or_else(|error| panic!("{payload}: {error:?}"));
        }
    }
    ledger
}

fn root_by(client: &mut Client, sql: &str) -> Vec<u8> {
    client.query_one(sql, &[]).unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
}

fn root(client: &mut Client) -> Vec<u8> {
    root_by(client, "SELECT ets.state_root('measured')")
}

/// The events of a domain, as their documents.
fn exported(client: &mut Client, domain: &str) -> Vec<Event> {
    let rows = client
        .query(
            "SELECT ets.event_document(event_id)::text FROM ets.ledger_event WHERE domain = $1
              ORDER BY stream, sequence",
            &[&domain],
        )
        .expect("documents");
    rows.iter().map(|row| Event::parse(row.get(0)).expect("a document")).collect()
}

/// The state root by ets-core alone.
fn root_without_postgres(client: &mut Client) -> Vec<u8> {
    let mut registry: Option<Registry> = None;
    for event in exported(client, "ets.registry") {
        match &mut registry {
            None => registry = Some(Registry::start(&event).expect("a first event")),
            Some(registry) => registry.apply(&event).expect("a registry event"),
        }
    }
    let registry = registry.expect("a registry");
    let events = exported(client, DOMAIN);
    let domain: DomainName = DOMAIN.parse().expect("a name");
    let mut streams: Vec<StreamName> = STREAMS.iter().map(|name| name.parse().expect("a name")).collect();
    streams.sort_by(|a, b| a.as_str().as_bytes().cmp(b.as_str().as_bytes()));
    let mut builder = StateRootBuilder::default();
    for stream in streams {
        let (mut replay, mut findings) = (StreamReplay::new(&registry), Vec::new());
        events
            .iter()
            .filter(|event| event.header.domain == domain && event.header.stream == stream)
            .for_each(|event| replay.push(event, &mut findings));
        assert_eq!(findings, []);
        let (sequence, state) = (replay.sequence(), replay.take_state().expect("a state"));
        builder.push(&StreamState { stream, sequence, state_hash: state_hash(&state) }).expect("in order");
    }
    builder.root().as_bytes().to_vec()
}

#[test]
fn states_do_not_depend_on_settings_threads_locale_or_machine() {
    let mut ledger = measured();
    let expected = root(&mut ledger.client);
    assert_eq!(root_without_postgres(&mut ledger.client), expected);

    for settings in [
        "SET TimeZone = 'Asia/Kathmandu'; SET DateStyle = 'German, DMY'; SET IntervalStyle = 'iso_8601'",
        "SET extra_float_digits = -15; SET bytea_output = 'escape'",
        "SET extra_float_digits = 3; SET lc_numeric = 'C'; SET lc_monetary = 'C'",
        "SET ets.worker_threads = 1",
        "SET ets.worker_threads = 7; SET work_mem = '64kB'",
        "SET enable_indexscan = off; SET enable_bitmapscan = off; SET jit_above_cost = 0",
        "SET standard_conforming_strings = off; SET search_path = pg_temp",
    ] {
        let mut other = ledger.database.connect();
        other.batch_execute(settings).unwrap_or_else(|error| panic!("{settings}: {error:?}"));
        assert_eq!(root(&mut other), expected, "{settings}");
    }
    let kept: i64 = ledger.one(
        "SELECT count(*) FROM ets.replay('measured') r
           JOIN ets.replay('measured', from_kept => true, verify_signatures => false) k USING (stream, sequence, state_hash)",
        &[],
    );
    assert_eq!(kept, STREAMS.len() as i64);

    // Another locale: here strings compare by bytes, there by the rules of a language,
    // or, where the server was built without ICU, have upper and lower case alone.
    let has_icu: bool =
        ledger.one("SELECT EXISTS (SELECT FROM pg_collation WHERE collname = 'und-x-icu')", &[]);
    let locale = match has_icu {
        true => "LOCALE_PROVIDER icu ICU_LOCALE 'lt-LT' LOCALE 'C.UTF-8' ENCODING 'UTF8'",
        false => "LOCALE 'C.UTF-8' ENCODING 'UTF8'",
    };
    let copy = Cluster::shared().copy_by_dump(&ledger.database.name, locale);
    let mut restored = Cluster::shared().connect(&copy);
    assert_eq!(root(&mut restored), expected);
    assert_eq!(root_without_postgres(&mut restored), expected);
    let found: Vec<Value> = restored
        .query("SELECT to_jsonb(f) FROM ets.verify_replay() f", &[])
        .expect("verify_replay")
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(found, Vec::<Value>::new());
}

/// What an import makes of an export: every table that is not about this server,
/// the rebuilt trees and the states, each as the hash of all its rows.
fn made_of_an_import(client: &mut Client) -> String {
    let sql = "WITH made (part, line) AS (
            SELECT 'event', to_jsonb(e) - 'transaction_id' FROM ets.ledger_event e
            UNION ALL SELECT 'head', to_jsonb(h) FROM ets.stream_head h
            UNION ALL SELECT 'domain', to_jsonb(d) FROM ets.domain d
            UNION ALL SELECT 'schema', to_jsonb(s) FROM ets.schema_version s
            UNION ALL SELECT 'key', to_jsonb(k) FROM ets.signing_key k
            UNION ALL SELECT 'grant', to_jsonb(g) FROM ets.authority_grant g
            UNION ALL SELECT 'leaf', to_jsonb(l) FROM ets.merkle_leaf l
            UNION ALL SELECT 'tile', to_jsonb(t) FROM ets.merkle_tile t
            UNION ALL SELECT 'root', to_jsonb(r) FROM ets.domain_root r
            UNION ALL SELECT 'checkpoint', to_jsonb(c) FROM ets.checkpoint c
            UNION ALL SELECT 'document', to_jsonb(ets.event_document(event_id)::text) FROM ets.ledger_event
            UNION ALL SELECT 'rebuilt', to_jsonb(b) FROM ets.rebuild_merkle() b
            UNION ALL SELECT 'state', to_jsonb(r) FROM ets.replay('measured') r
            UNION ALL SELECT 'state root', to_jsonb(encode(ets.state_root('measured'), 'hex')))
        SELECT format('%s: %s of %s', part, encode(sha256(convert_to(
            string_agg(line::text, E'\\n' ORDER BY line::text COLLATE \"C\"), 'UTF8')), 'hex'), count(*))
          FROM made GROUP BY part ORDER BY part COLLATE \"C\"";
    client.batch_execute("SET TimeZone = 'UTC'; SET DateStyle = 'ISO'").expect("settings");
    let rows = client.query(sql, &[]).expect("the tables");
    rows.iter().map(|row| row.get::<_, String>(0) + "\n").collect()
}

/// The export and what was made of it were written on PostgreSQL 15;
/// `NEW_EXPORT=1` writes both anew.
#[test]
fn an_import_makes_the_same_on_every_major() {
    let folder = checkout().join("tests/vectors/import");
    let (export, golden) = (folder.join("measured.jsonl"), folder.join("made.txt"));
    let writes = std::env::var_os("NEW_EXPORT").is_some();
    if writes {
        let mut ledger = measured();
        ledger.seal();
        let payload = json!({"stream": "a", "x": 1e-7, "whole": 1, "name": "last"});
        let append = "SELECT ets.append_signed($1, 'measure/1.0.0')";
        ledger.client.execute(append, &[&payload]).expect("an event after the seal");
        ledger.seal();
        let rows = ledger.client.query("SELECT line FROM ets.export() ORDER BY line_number", &[]);
        let lines: String =
            rows.expect("ets.export").iter().map(|row| row.get::<_, String>(0) + "\n").collect();
        fs::create_dir_all(&folder).expect("a folder of the checkout");
        fs::write(&export, lines).expect("the export can be written");
    }
    let lines = fs::read_to_string(&export).expect("the export");
    // After the header and the first leaves.
    let first = lines.lines().nth(2).expect("it begins with the ledger's first event");

    let database = Cluster::shared().database();
    let mut client = database.connect();
    client.execute("SELECT ets.join($1::text::json)", &[&first]).expect("ets.join");
    client.query_one("SELECT checkpoints FROM ets.import($1)", &[&lines.trim_end()]).expect("ets.import");
    let made = made_of_an_import(&mut client);
    if writes {
        fs::write(&golden, &made).expect("what was made can be written");
    }
    let expected = fs::read_to_string(&golden).expect("what was made of it on 15");
    assert_eq!(made, expected);
    let found: Vec<Value> = client
        .query("SELECT to_jsonb(f) FROM ets.verify_ledger() f", &[])
        .expect("verify_ledger")
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(found, Vec::<Value>::new());
}
