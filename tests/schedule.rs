//! The schedule, by a real pg_cron.

use std::time::{Duration, Instant};

use ets_tests::{Cluster, Ledger, append, error_of, head, order, tamper};
use postgres::Client;
use postgres::fallible_iterator::FallibleIterator as _;

/// pg_cron counts in minutes, so this waits for the next full one.
#[test]
fn a_scheduled_seal_happens_and_a_tampering_becomes_a_finding() {
    let settings = [
        "fsync=off",
        "shared_preload_libraries=pg_cron",
        "cron.database_name=postgres",
        "cron.use_background_workers=on",
    ];
    let cluster = Cluster::start("cron", &settings);
    let mut client = cluster.connect("postgres");
    client.batch_execute("CREATE EXTENSION pg_ets").expect("pg_ets");
    let (_, alice) = Ledger::set_up(&mut client);
    let error = error_of(client.query("SELECT ets.schedule()", &[]));
    assert_eq!(error.hint(), Some("CREATE EXTENSION pg_cron"), "loaded, but not created");
    client.batch_execute("CREATE EXTENSION pg_cron").expect("pg_cron");

    let put = |client: &mut Client, amount| {
        let previous = head(client, "c").0;
        append(client, &alice, &order("c", amount), &previous).expect("append").event_id
    };
    let tampered = put(&mut client, 1);
    client.execute("SELECT ets.seal()", &[]).expect("seal");
    let sql = format!(
        "UPDATE ets.ledger_event SET payload = payload || '{{\"amount\": 8}}' WHERE event_id = '{tampered}'"
    );
    tamper(&mut client, &sql);
    let unsealed = put(&mut client, 2);
    client.batch_execute("LISTEN ets_finding").expect("LISTEN");
    let sql =
        "SELECT job, scheduled, command FROM ets.schedule(rebuild => '* * * * *', verify => '* * * * *')";
    let jobs = client.query(sql, &[]).expect("scheduled");
    assert_eq!(jobs.len(), 4);
    assert!(jobs.iter().all(|job| job.get(1)), "in this database");
    assert_eq!(
        client.query("SELECT FROM cron.job WHERE jobname LIKE 'ets\\_%@postgres'", &[]).expect("jobs").len(),
        4
    );

    let deadline = Instant::now() + Duration::from_secs(150);
    let sealed = "SELECT EXISTS (SELECT FROM ets.merkle_leaf WHERE event_id = $1)";
    let runs = "SELECT count(DISTINCT check_name) = 2 FROM ets.verification_run WHERE verdict = 'MISMATCH'";
    let mut told = Vec::new();
    loop {
        {
            let mut notifications = client.notifications();
            let mut waiting = notifications.timeout_iter(Duration::from_secs(1));
            while let Ok(Some(notification)) = waiting.next() {
                told.push(notification.payload().to_owned());
            }
        }
        let is_sealed: bool = client.query_one(sealed, &[&unsealed]).expect("leaf").get(0);
        let has_run: bool = client.query_one(runs, &[]).expect("runs").get(0);
        if is_sealed && has_run {
            break;
        }
        let details = "SELECT coalesce(string_agg(command || ': ' || status || ' ' || coalesce(return_message, ''), E'\\n'), '')
            FROM cron.job_run_details";
        let details: String = client.query_one(details, &[]).expect("details").get(0);
        assert!(
            Instant::now() < deadline,
            "sealed: {is_sealed}, verified: {has_run}\n{details}\n{}",
            cluster.log()
        );
    }
    let sql = "SELECT finding_id::text FROM ets.open_findings WHERE event_id = $1";
    let found: Vec<String> =
        client.query(sql, &[&tampered]).expect("findings").iter().map(|row| row.get(0)).collect();
    assert!(found.iter().any(|finding| told.contains(finding)), "found {found:?}, told {told:?}");

    assert_eq!(client.query("SELECT ets.unschedule()", &[]).expect("unschedule").len(), 4);
    assert!(client.query("SELECT FROM cron.job", &[]).expect("jobs").is_empty());

    // In another database, the answer is what to run here.
    let other = cluster.create_database();
    let mut elsewhere = cluster.connect(&other);
    let jobs = elsewhere.query("SELECT scheduled, command FROM ets.schedule()", &[]).expect("commands");
    for job in &jobs {
        assert!(!job.get::<_, bool>(0));
        client.batch_execute(job.get(1)).expect("the command runs where pg_cron lives");
    }
    let there = "SELECT FROM cron.job WHERE database = $1";
    assert_eq!(client.query(there, &[&other]).expect("jobs").len(), 4);
    for job in elsewhere.query("SELECT command FROM ets.unschedule()", &[]).expect("commands") {
        client.batch_execute(job.get(0)).expect("the command runs where pg_cron lives");
    }
    assert!(client.query(there, &[&other]).expect("jobs").is_empty());
}

#[test]
fn without_pg_cron_the_error_says_what_to_do() {
    let mut client = Cluster::shared().database().connect();
    let error = error_of(client.query("SELECT ets.schedule()", &[]));
    assert_eq!(error.code().code(), "55000");
    let hint = error.hint().expect("a hint");
    let package = format!("postgresql-{}-cron", Cluster::major());
    for word in [&package, "shared_preload_libraries", "OnCalendar", "ets.run_verification"] {
        assert!(hint.contains(word), "{word}: {hint}");
    }
}
