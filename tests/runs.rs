//! Runs of verification: recorded, declared, told, resumed, and cheap where
//! nothing is new.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use ets_tests::{Cluster, Ledger, order, refused, tamper};
use postgres::fallible_iterator::FallibleIterator as _;
use serde_json::Value;
use uuid::Uuid;

/// A ledger of so many sealed orders in three streams.
fn sealed(orders: i64) -> (Ledger, Vec<Uuid>) {
    let mut ledger = Ledger::new();
    let ids = (0..orders).map(|n| ledger.append(&order(&format!("r{}", n % 3), n)).event_id).collect();
    ledger.seal();
    (ledger, ids)
}

fn change_payload(ledger: &mut Ledger, event: Uuid) {
    let sql = format!(
        "UPDATE ets.ledger_event SET payload = payload || '{{\"amount\": 77}}' WHERE event_id = '{event}'"
    );
    tamper(&mut ledger.client, &sql);
}

/// Verdict, number of events and of findings of the last run.
fn last_run(ledger: &mut Ledger) -> (String, i64, i64) {
    let sql = "SELECT verdict, events, finding_count FROM ets.verification_run ORDER BY run_id DESC LIMIT 1";
    let row = ledger.client.query_one(sql, &[]).expect("a run");
    (row.get(0), row.get(1), row.get(2))
}

/// As if the last runs had been a day ago: all of the rolling scan is due.
fn let_a_day_pass(ledger: &mut Ledger) {
    tamper(
        &mut ledger.client,
        "UPDATE ets.verification_run SET started_at = started_at - interval '1 day',
            finished_at = finished_at - interval '1 day'",
    );
}

fn key_file(ledger: &mut Ledger) -> PathBuf {
    let data: String = ledger.one("SELECT current_setting('data_directory')", &[]);
    let name = format!("{}.pem", ledger.id);
    PathBuf::from(data).parent().expect("a folder").join("pg_ets_keys").join(name)
}

#[test]
fn a_run_is_recorded_and_declared_by_the_server() {
    let (mut ledger, events) = sealed(5);
    assert_eq!(ledger.findings(), Vec::<String>::new());
    let sql = "SELECT run.checkpoint_id, run.statement_id, run.working_time > interval '0', run.finished_at >= run.started_at,
            run.events FROM ets.verification_run run WHERE check_name = 'verify' AND verdict = 'MATCH' AND NOT incremental";
    let row = ledger.client.query_one(sql, &[]).expect("the run");
    assert_eq!(row.get::<_, i64>(0), 1);
    assert!(row.get::<_, bool>(2) && row.get::<_, bool>(3));
    assert!(row.get::<_, i64>(4) > events.len() as i64, "the registry's events are verified, too");
    let statement: Uuid = row.get(1);
    let sql = "SELECT payload FROM ets.ledger_event JOIN ets.ledger ON public_key = server_public_key
        WHERE event_id = $1 AND domain = 'ets.audit'";
    let payload: Value = ledger.one(sql, &[&statement]);
    assert_eq!(payload["verdict"], "MATCH");
    assert_eq!(payload["scope"]["check"], "verify");
    let root =
        payload["domain_roots"].as_array().expect("roots").iter().find(|root| root["domain"] == "orders");
    assert_eq!(root.expect("the domain's root")["tree_size"], 5);
    // A statement alone makes no new checkpoint.
    ledger.append(&order("r0", 5));
    ledger.seal();
    let failed = "SELECT count(*) FROM ets.verify_event($1) WHERE passed IS NOT TRUE";
    assert_eq!(ledger.one::<i64>(failed, &[&statement]), 0);
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

#[test]
fn a_finding_is_kept_told_once_and_closed_by_a_full_match() {
    let (mut ledger, events) = sealed(5);
    ledger.client.batch_execute("LISTEN ets_finding").expect("LISTEN");
    change_payload(&mut ledger, events[2]);
    assert!(!ledger.findings().is_empty());
    let kept = "SELECT finding_id FROM ets.open_findings WHERE run = 'verify' AND event_id = $1 AND check_name = 'current_hash'";
    let finding: i64 = ledger.one(kept, &[&events[2]]);
    let told = |ledger: &mut Ledger| -> Vec<(String, String)> {
        let mut notifications = ledger.client.notifications();
        let mut told = Vec::new();
        let mut waiting = notifications.timeout_iter(Duration::from_millis(500));
        while let Ok(Some(notification)) = waiting.next() {
            told.push((notification.channel().to_owned(), notification.payload().to_owned()));
        }
        told
    };
    assert!(told(&mut ledger).contains(&("ets_finding".to_owned(), finding.to_string())));
    assert!(Cluster::shared().log().contains("verify ended with MISMATCH"), "no WARNING");
    let status = "SELECT state || ' ' || value FROM ets.status WHERE item = $1";
    assert!(ledger.one::<String>(status, &[&"open findings"]).starts_with("failed "));
    assert!(ledger.one::<String>(status, &[&"verification"]).starts_with("failed MISMATCH"));

    let stored: i64 = ledger.one("SELECT count(*) FROM ets.finding", &[]);
    assert!(!ledger.findings().is_empty());
    assert_eq!(
        ledger.one::<i64>("SELECT count(*) FROM ets.finding", &[]),
        stored,
        "found again, not stored again"
    );
    assert_eq!(told(&mut ledger), Vec::new(), "nor told again");

    let sql = format!(
        "UPDATE ets.ledger_event SET payload = payload || '{{\"amount\": 2}}' WHERE event_id = '{}'",
        events[2]
    );
    tamper(&mut ledger.client, &sql);
    assert_eq!(ledger.findings(), Vec::<String>::new());
    assert_eq!(ledger.one::<String>(status, &[&"open findings"]), "ok 0");
    assert_eq!(ledger.one::<i64>("SELECT count(*) FROM ets.finding", &[]), stored, "the history stays");
}

#[test]
fn without_the_servers_key_a_run_is_recorded_but_not_declared() {
    let (mut ledger, _) = sealed(2);
    let file = key_file(&mut ledger);
    let aside = file.with_extension("aside");
    fs::rename(&file, &aside).expect("the key is ours to move");
    assert_eq!(ledger.findings(), Vec::<String>::new());
    let sql = "SELECT verdict || coalesce(statement_id::text, ' undeclared') FROM ets.verification_run";
    assert_eq!(ledger.one::<String>(sql, &[]), "MATCH undeclared");
    assert!(Cluster::shared().log().contains("is recorded, but not declared in ets.audit"));
    fs::rename(&aside, &file).expect("and back");
    assert_eq!(ledger.findings(), Vec::<String>::new());
    let sql = "SELECT count(statement_id) FROM ets.verification_run";
    assert_eq!(ledger.one::<i64>(sql, &[]), 1);
}

#[test]
fn a_read_only_transaction_verifies_and_records_nothing() {
    let (mut ledger, events) = sealed(3);
    change_payload(&mut ledger, events[0]);
    ledger.client.batch_execute("BEGIN READ ONLY").expect("begin");
    assert!(!ledger.findings().is_empty());
    let matches = "SELECT bool_and(matches) FROM ets.rebuild_merkle()";
    assert!(!ledger.one::<bool>(matches, &[]));
    let verdict = "SELECT ets.run_batch('rebuild', true, 1)";
    assert_eq!(ledger.one::<String>(verdict, &[]), "MISMATCH");
    ledger.client.batch_execute("COMMIT").expect("commit");
    assert_eq!(ledger.one::<i64>("SELECT count(*) FROM ets.verification_run", &[]), 0);
}

#[test]
fn a_rebuild_names_the_first_bad_leaf_and_keeps_all() {
    let (mut ledger, events) = sealed(9);
    let whole = "SELECT count(*), bool_and(matches AND stored_root = rebuilt_root AND first_bad_leaf IS NULL) FROM ets.rebuild_merkle()";
    let row = ledger.client.query_one(whole, &[]).expect("rebuild");
    assert!(row.get::<_, i64>(0) >= 2 && row.get::<_, bool>(1));
    assert_eq!(last_run(&mut ledger).0, "MATCH");
    for event in [events[6], events[3], events[8]] {
        change_payload(&mut ledger, event);
    }
    let sql = "SELECT matches, first_bad_leaf, first_bad_event, stored_root = rebuilt_root, tree_size FROM ets.rebuild_merkle('orders')";
    let row = ledger.client.query_one(sql, &[]).expect("rebuild");
    assert_eq!((row.get::<_, bool>(0), row.get::<_, i64>(1), row.get::<_, Uuid>(2)), (false, 3, events[3]));
    assert_eq!((row.get::<_, bool>(3), row.get::<_, i64>(4)), (false, 9));
    let sql = "SELECT array_agg(event_id ORDER BY event_id) FROM ets.open_findings WHERE run = 'rebuild'";
    assert_eq!(ledger.one::<Vec<Uuid>>(sql, &[]), [events[3], events[6], events[8]]);
    // A changed header, leaf, tile, root and MetaRoot are found as well.
    for sql in [
        "UPDATE ets.ledger_event SET schema_version = 'order/1.0.1' WHERE stream = 'r0' AND sequence = 1",
        "DELETE FROM ets.merkle_leaf WHERE domain = 'orders' AND leaf_index = 1",
        "UPDATE ets.merkle_tile SET hashes = set_byte(hashes, 40, get_byte(hashes, 40) # 1) WHERE domain = 'orders'",
        "UPDATE ets.domain_root SET root_hash = set_byte(root_hash, 0, get_byte(root_hash, 0) # 1) WHERE domain = 'orders'",
        "UPDATE ets.checkpoint SET meta_root = set_byte(meta_root, 0, get_byte(meta_root, 0) # 1)",
    ] {
        let (mut ledger, _) = sealed(4);
        tamper(&mut ledger.client, sql);
        ledger.client.query("SELECT ets.rebuild_merkle()", &[]).expect("rebuild");
        assert_eq!(last_run(&mut ledger).0, "MISMATCH", "{sql}");
    }
    refused(ledger.client.query("SELECT ets.rebuild_merkle('nowhere')", &[]), "ET011");
}

#[test]
fn an_incremental_run_verifies_what_is_new_and_a_share_of_the_old() {
    for call in ["CALL ets.run_verification()", "CALL ets.run_rebuild()"] {
        let (mut ledger, events) = sealed(60);
        ledger.client.batch_execute(call).expect(call);
        assert_eq!(last_run(&mut ledger).0, "MATCH", "the first is full");
        let new = ledger.append(&order("r1", 1000)).event_id;
        ledger.seal();
        ledger.client.batch_execute(call).expect(call);
        let (verdict, verified, _) = last_run(&mut ledger);
        assert_eq!(verdict, "MATCH");
        assert!(verified < 40, "{call}: {verified} events are not what is new");

        // What is new is verified at once.
        let newer = ledger.append(&order("r2", 1001)).event_id;
        ledger.seal();
        change_payload(&mut ledger, newer);
        ledger.client.batch_execute(call).expect(call);
        let found = "SELECT count(*) FROM ets.open_findings WHERE event_id = $1";
        assert!(ledger.one::<i64>(found, &[&newer]) > 0, "{call}: a new event");
        // What is old within the period; so is what was new at the last MATCH.
        change_payload(&mut ledger, events[17]);
        change_payload(&mut ledger, new);
        let_a_day_pass(&mut ledger);
        ledger.client.batch_execute(call).expect(call);
        assert!(ledger.one::<i64>(found, &[&events[17]]) > 0, "{call}: an old event");
        assert!(ledger.one::<i64>(found, &[&new]) > 0, "{call}: one between");
    }
}

/// With a share of 1 in 10 at a time, a dozen runs pass over everything.
#[test]
fn the_rolling_scan_comes_round() {
    let (mut ledger, events) = sealed(60);
    ledger.client.batch_execute("CALL ets.run_rebuild()").expect("the first is full");
    change_payload(&mut ledger, events[41]);
    let found = "SELECT count(*) FROM ets.open_findings WHERE event_id = $1";
    let mut runs = 0;
    while ledger.one::<i64>(found, &[&events[41]]) == 0 {
        runs += 1;
        assert!(runs < 15, "the scan does not come round");
        tamper(
            &mut ledger.client,
            "UPDATE ets.verification_run SET started_at = clock_timestamp() - interval '2.2 hours'
              WHERE run_id = (SELECT max(run_id) FROM ets.verification_run)",
        );
        ledger.client.batch_execute("CALL ets.run_rebuild()").expect("a part");
    }
    assert!(runs > 2, "a part is no more than its share");
}

#[test]
fn a_tree_that_does_not_continue_what_was_declared_is_found() {
    let (mut ledger, _) = sealed(6);
    assert_eq!(ledger.findings(), Vec::<String>::new());
    let sql = "SELECT count(*) FROM ets.verify_ledger(incremental => true) WHERE check_name = 'consistency'";
    assert_eq!(ledger.one::<i64>(sql, &[]), 0);
    tamper(
        &mut ledger.client,
        "UPDATE ets.domain_root SET root_hash = set_byte(root_hash, 0, get_byte(root_hash, 0) # 1) WHERE domain = 'orders'",
    );
    assert_eq!(ledger.one::<i64>(sql, &[]), 1);
    let (_, verified, _) = last_run(&mut ledger);
    assert!(verified > 6, "and the run begins at genesis");
}

#[test]
fn a_run_commits_batch_by_batch_and_goes_on_where_it_stopped() {
    for check in ["verify", "rebuild"] {
        let (mut ledger, events) = sealed(30);
        change_payload(&mut ledger, events[1]);
        let batch = format!("SELECT ets.run_batch('{check}', false, 7)");
        for _ in 0..2 {
            assert_eq!(ledger.one::<Option<String>>(&batch, &[]), None, "{check}");
        }
        // The session ends here, as if it had been killed.
        ledger.client = ledger.database.connect();
        let unfinished =
            "SELECT detail FROM ets.status WHERE item IN ('rebuild', 'verification') AND detail IS NOT NULL";
        assert!(ledger.one::<String>(unfinished, &[]).contains("is unfinished"));
        let call = match check {
            "verify" => "CALL ets.run_verification(false, 7)",
            _ => "CALL ets.run_rebuild(false, 7)",
        };
        // Meanwhile appended and sealed: the next run's.
        ledger.append(&order("r9", 1));
        ledger.seal();
        ledger.client.batch_execute(call).expect(call);
        let runs =
            "SELECT count(*), min(verdict), min(events), bool_and(tasks IS NULL) FROM ets.verification_run";
        let row = ledger.client.query_one(runs, &[]).expect("one run");
        assert_eq!((row.get::<_, i64>(0), row.get::<_, &str>(1)), (1, "MISMATCH"), "{check}");
        assert!(row.get::<_, i64>(2) >= 30 && row.get::<_, bool>(3));
        let found = "SELECT count(DISTINCT event_id) FROM ets.open_findings";
        assert_eq!(ledger.one::<i64>(found, &[]), 1, "{check}: one event is bad");
    }
    let (mut ledger, _) = sealed(30);
    ledger.client.batch_execute("CALL ets.run_verification(false, 4); ").expect("batches");
    assert_eq!(last_run(&mut ledger).0, "MATCH");
    ledger.client.batch_execute("CALL ets.run_rebuild(false, 4)").expect("batches");
    assert_eq!(last_run(&mut ledger).0, "MATCH");
    for call in ["SELECT ets.run_batch('replay', true, 5)", "SELECT ets.run_batch('verify', true, 0)"] {
        refused(ledger.client.query(call, &[]), "22023");
    }
}

#[test]
fn silence_is_overdue() {
    let (mut ledger, _) = sealed(2);
    let overdue =
        "SELECT coalesce(string_agg(item, ', ' ORDER BY item), '') FROM ets.status WHERE state = 'overdue'";
    assert_eq!(ledger.one::<String>(overdue, &[]), "");
    tamper(&mut ledger.client, "UPDATE ets.checkpoint SET created_at = created_at - interval '2 days'");
    assert_eq!(
        ledger.one::<String>(overdue, &[]),
        "full verification, rebuild, rebuild period, replay, verification"
    );
    ledger.findings();
    ledger.client.query("SELECT ets.rebuild_merkle()", &[]).expect("rebuild");
    assert_eq!(ledger.one::<String>(overdue, &[]), "replay");
    let_a_day_pass(&mut ledger);
    assert_eq!(
        ledger.one::<String>(overdue, &[]),
        "rebuild, replay",
        "verification is daily, and has an hour"
    );
}

#[test]
fn arming_makes_the_tables_that_an_older_ledger_lacks() {
    let (mut ledger, _) = sealed(2);
    tamper(
        &mut ledger.client,
        "DO $$ DECLARE t name; BEGIN FOR t IN SELECT evtname FROM pg_event_trigger LOOP
            EXECUTE format('ALTER EVENT TRIGGER %I DISABLE', t); END LOOP; END $$;
         DROP VIEW ets.status, ets.open_findings; DROP TABLE ets.finding, ets.verification_run, ets.receiver, ets.anchor;
         UPDATE ets.ledger SET layout_version = 1",
    );
    assert_eq!(ledger.one::<i32>("SELECT layout_version FROM ets.ledger", &[]), 4, "tamper arms again");
    assert_eq!(ledger.findings(), Vec::<String>::new());
    refused(ledger.client.batch_execute("DELETE FROM ets.finding"), "ET009");
}
