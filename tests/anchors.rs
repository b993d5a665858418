//! Checkpoints published outside: what `ets.anchor` takes, and what verification
//! says of it.

use ets_core::anchor::AnchorStatement;
use ets_core::checkpoint::DomainRoot;
use ets_tests::{Ledger, digest, order, refused, tamper};
use postgres::Client;

const RECORD: &str = "SELECT ets.record_anchor($1, $2, $3, $4, $5, $6)";

/// A ledger with one checkpoint.
fn sealed() -> (Ledger, i64) {
    let mut ledger = Ledger::new();
    ledger.append(&order("a", 1));
    let checkpoint = ledger.seal();
    (ledger, checkpoint)
}

/// The statement of a checkpoint, made here from its rows.
fn statement(client: &mut Client, checkpoint: i64) -> String {
    let row = client
        .query_one(
            "SELECT ledger_id, origin, checkpoint_event_id::text FROM ets.ledger, ets.checkpoint WHERE checkpoint_id = $1",
            &[&checkpoint],
        )
        .expect("a checkpoint");
    let roots = client
        .query(
            "SELECT domain, tree_size, root_hash FROM ets.domain_root WHERE checkpoint_id = $1",
            &[&checkpoint],
        )
        .expect("roots");
    let roots = roots.iter().map(|row| DomainRoot {
        domain: row.get::<_, String>(0).parse().expect("a domain"),
        tree_size: u64::try_from(row.get::<_, i64>(1)).expect("a size"),
        root: digest(row.get(2)),
    });
    AnchorStatement::new(
        row.get(0),
        row.get::<_, String>(1).parse().expect("an origin"),
        u64::try_from(checkpoint).expect("a number"),
        row.get::<_, String>(2).parse().expect("an id"),
        roots.collect(),
    )
    .expect("a statement")
    .to_jcs()
    .to_owned()
}

fn record(
    client: &mut Client,
    checkpoint: i64,
    state: &str,
    statement: &str,
    evidence: Option<&[u8]>,
    reason: Option<&str>,
) -> Result<i64, postgres::Error> {
    client
        .query_one(RECORD, &[&checkpoint, &"test here", &state, &statement, &evidence, &reason])
        .map(|row| row.get(0))
}

/// The checks of an anchor: name and whether it passed.
fn checks(client: &mut Client, anchor: i64) -> Vec<(String, Option<bool>)> {
    let rows = client.query("SELECT check_name, passed FROM ets.verify_anchor($1)", &[&anchor]);
    rows.expect("verify_anchor").iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn status(ledger: &mut Ledger, item: &str) -> String {
    ledger.one("SELECT state || ': ' || value FROM ets.status WHERE item = $1", &[&item])
}

#[test]
fn an_anchor_goes_from_pending_to_confirmed_and_stays_so() {
    let (mut ledger, checkpoint) = sealed();
    let client = &mut ledger.client;
    let text = statement(client, checkpoint);
    let anchor = record(client, checkpoint, "pending", &text, Some(b"asked"), None).expect("pending");
    assert_eq!(anchor, 1);
    let open = [
        ("anchor_statement", Some(true)),
        ("anchor_state", None),
        ("anchor_declaration", None),
        ("anchor_evidence", None),
    ];
    let named = |open: &[(&str, Option<bool>)]| -> Vec<(String, Option<bool>)> {
        open.iter().map(|(name, passed)| ((*name).to_owned(), *passed)).collect()
    };
    assert_eq!(checks(client, anchor), named(&open));
    // An attempt that failed loses nothing of what is waited for.
    assert_eq!(record(client, checkpoint, "failed", &text, None, Some("timed out")).expect("failed"), anchor);
    let row = client
        .query_one("SELECT state, reason, evidence, attempts, next_attempt > updated_at FROM ets.anchor", &[])
        .expect("one row");
    assert_eq!((row.get(0), row.get(1)), ("failed", Some("timed out")));
    assert_eq!((row.get::<_, &[u8]>(2), row.get::<_, i32>(3), row.get(4)), (&b"asked"[..], 2, true));
    assert_eq!(status(&mut ledger, "failed anchors"), "warning: 1");
    assert_eq!(status(&mut ledger, "unanchored checkpoints"), "warning: 1");
    let client = &mut ledger.client;
    assert_eq!(
        record(client, checkpoint, "confirmed", &text, Some(b"proof"), None).expect("confirmed"),
        anchor
    );
    let closed = [
        ("anchor_statement", Some(true)),
        ("anchor_state", Some(true)),
        ("anchor_declaration", Some(true)),
        ("anchor_evidence", None),
    ];
    assert_eq!(checks(client, anchor), named(&closed));
    // The same again declares nothing more; anything else is refused.
    assert_eq!(record(client, checkpoint, "confirmed", &text, Some(b"proof"), None).expect("again"), anchor);
    refused(record(client, checkpoint, "confirmed", &text, Some(b"other"), None), "ET010");
    refused(record(client, checkpoint, "failed", &text, None, Some("late")), "ET010");
    let declared = "SELECT count(*) FROM ets.ledger_event WHERE schema_version = 'ets.anchoring/1.0.0'";
    assert_eq!(ledger.one::<i64>(declared, &[]), 1);
    assert_eq!(status(&mut ledger, "failed anchors"), "ok: 0");
    assert_eq!(status(&mut ledger, "unanchored checkpoints"), "ok: 0");
    assert_eq!(status(&mut ledger, "anchor lag"), "ok: 00:00:00");
    ledger.seal();
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

#[test]
fn only_the_ledgers_own_checkpoint_is_recorded() {
    let (mut ledger, checkpoint) = sealed();
    let text = statement(&mut ledger.client, checkpoint);
    ledger.append(&order("a", 2));
    let later = ledger.seal();
    let other = statement(&mut ledger.client, later);
    let (mut stranger, _) = sealed();
    let foreign = statement(&mut stranger.client, 1);
    let client = &mut ledger.client;
    refused(record(client, checkpoint, "confirmed", &other, Some(b"x"), None), "ET002");
    refused(record(client, checkpoint, "confirmed", &foreign, Some(b"x"), None), "ET002");
    refused(record(client, 99, "confirmed", &text, Some(b"x"), None), "ET011");
    refused(record(client, -1, "confirmed", &text, Some(b"x"), None), "22023");
    refused(record(client, checkpoint, "sure", &text, Some(b"x"), None), "22023");
    refused(record(client, checkpoint, "confirmed", "{}", Some(b"x"), None), "22023");
    refused(record(client, checkpoint, "confirmed", &text, None, None), "22004");
    refused(record(client, checkpoint, "failed", &text, None, None), "22004");
    refused(record(client, checkpoint, "pending", &text, None, Some("no")), "22023");
    let long = "x".repeat(256);
    for service in ["", "a\nb", &long] {
        let sql = "SELECT ets.record_anchor($1, $2, 'confirmed', $3, 'x')";
        refused(client.query_one(sql, &[&checkpoint, &service, &text]), "22023");
    }
    refused(client.query("SELECT * FROM ets.verify_anchor(1)", &[]), "ET011");
    refused(client.execute("INSERT INTO ets.anchor SELECT FROM ets.ledger", &[]), "ET009");
    assert_eq!(ledger.one::<i64>("SELECT count(*) FROM ets.anchor", &[]), 0);
}

#[test]
fn only_an_admin_records_and_an_auditor_reads() {
    let (mut ledger, checkpoint) = sealed();
    let text = statement(&mut ledger.client, checkpoint);
    let name = &ledger.database.name.clone();
    ledger
        .client
        .batch_execute(&format!(
            "CREATE ROLE {name}_admin LOGIN; CREATE ROLE {name}_auditor LOGIN;
             SELECT ets.grant_access('{name}_admin', 'admin'), ets.grant_access('{name}_auditor', 'auditor')"
        ))
        .expect("roles");
    let mut admin = ets_tests::Cluster::shared().connect_as(name, &format!("{name}_admin"));
    let mut auditor = ets_tests::Cluster::shared().connect_as(name, &format!("{name}_auditor"));
    refused(record(&mut auditor, checkpoint, "confirmed", &text, Some(b"proof"), None), "42501");
    let anchor =
        record(&mut admin, checkpoint, "confirmed", &text, Some(b"proof"), None).expect("admin records");
    assert_eq!(checks(&mut auditor, anchor).len(), 4);
    assert_eq!(auditor.query("SELECT * FROM ets.anchor", &[]).expect("reads").len(), 1);
    refused(admin.execute("DELETE FROM ets.anchor", &[]), "42501");
}

#[test]
fn whatever_is_changed_in_an_anchor_is_found() {
    for (sql, check) in [
        (
            "UPDATE ets.anchor SET statement = replace(statement, '\"checkpoint_id\":1', '\"checkpoint_id\":2')",
            "anchor_statement",
        ),
        ("UPDATE ets.anchor SET statement = 'x'", "anchor_statement"),
        ("UPDATE ets.anchor SET checkpoint_id = 7", "anchor_statement"),
        ("UPDATE ets.anchor SET service = 'other place'", "anchor_declaration"),
        ("UPDATE ets.anchor SET evidence = 'other'", "anchor_declaration"),
        ("UPDATE ets.anchor SET reference = 'there'", "anchor_declaration"),
        ("UPDATE ets.anchor SET state = 'failed'", "anchor_declaration"),
        ("UPDATE ets.anchor SET state = 'sure'", "anchor_state"),
        ("UPDATE ets.anchor SET evidence = NULL", "anchor_state"),
        ("UPDATE ets.anchor SET declaration_id = ets.uuid_v7()", "anchor_declaration"),
        ("DELETE FROM ets.anchor", "anchor_declaration"),
    ] {
        let (mut ledger, checkpoint) = sealed();
        let text = statement(&mut ledger.client, checkpoint);
        record(&mut ledger.client, checkpoint, "confirmed", &text, Some(b"proof"), None).expect("recorded");
        assert_eq!(ledger.findings(), Vec::<String>::new());
        tamper(&mut ledger.client, sql);
        let rows =
            ledger.client.query("SELECT class, check_name FROM ets.verify_ledger()", &[]).expect("findings");
        let found: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        assert!(found.contains(&("seal".to_owned(), check.to_owned())), "{sql}: {found:?}");
    }
}
