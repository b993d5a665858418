//! What a superuser can do past every guard is found, and the finding names the
//! row: the matrix of `tamper_matrix.txt`, carried out.

#[path = "tamper/by_hand.rs"]
mod by_hand;
#[path = "tamper/levels.rs"]
mod levels;
#[path = "tamper/matrix.rs"]
mod matrix;
#[path = "tamper/scene.rs"]
pub(crate) mod scene;

use std::collections::BTreeMap;
use std::fs;
use std::thread;

use ets_tests::{Cluster, DOMAIN, Ledger, Signer, append, checkout, head, order};
use uuid::Uuid;

use levels::Report;
use matrix::{Attack, Group, How, Matrix};
use scene::Scene;

/// Where the matrix lies in the checkout.
const MATRIX: &str = "tests/tamper_matrix.txt";

/// How many scenes are attacked at the same time.
const SCENES: usize = 4;

/// The group whose attacks are carried out on a ledger with an anchor.
const ANCHORS: &str = "Anchors";

/// Switches every guard off.
pub(crate) const DISARM: &str = "DO $$ DECLARE t name; BEGIN
    FOR t IN SELECT evtname FROM pg_event_trigger LOOP EXECUTE format('ALTER EVENT TRIGGER %I DISABLE', t); END LOOP;
    FOR t IN SELECT relname FROM pg_class WHERE relnamespace = 'ets'::regnamespace AND relkind = 'r' LOOP
        EXECUTE format('ALTER TABLE ets.%I DISABLE TRIGGER ALL', t);
    END LOOP;
END $$";

/// Every level finds what the matrix says, and nothing else.
#[test]
fn the_matrix_says_what_finds_each_attack() {
    let mut matrix = read_matrix();
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    // An anchor is one more thing that gives away a tree that was made again: without one
    // it is seen what else does.
    let (with_anchor, without): (Vec<_>, Vec<_>) =
        matrix.groups.iter_mut().partition(|group| group.title == ANCHORS);
    let (mut on_anchors, mut attacks) = (attacks_in(with_anchor), attacks_in(without));
    assert!(!on_anchors.is_empty(), "no group is called {ANCHORS}");
    let share = attacks.len().div_ceil(SCENES);
    let wrong: Vec<String> = thread::scope(|scope| {
        let shares = attacks.chunks_mut(share).map(|share| (share, false));
        let shares = shares.chain([(&mut on_anchors[..], true)]);
        let shares =
            shares.map(|(share, has_anchor)| scope.spawn(move || attack_all(share, has_anchor, update)));
        let shares: Vec<_> = shares.collect();
        shares.into_iter().flat_map(|share| share.join().expect("no attack panics")).collect()
    });
    if update {
        fs::write(checkout().join(MATRIX), matrix.render()).expect("the matrix is ours");
    }
    assert!(wrong.is_empty(), "{}\nif this is wanted: UPDATE_GOLDEN=1", wrong.join("\n"));
}

fn attacks_in(groups: Vec<&mut Group>) -> Vec<&mut Attack> {
    groups.into_iter().flat_map(|group| &mut group.attacks).collect()
}

/// Carries out attacks on a scene of their own; what is not as the matrix says. With
/// `update` the matrix takes what is found.
fn attack_all(attacks: &mut [&mut Attack], has_anchor: bool, update: bool) -> Vec<String> {
    let scene = Scene::new(Cluster::shared(), has_anchor);
    let mut unharmed = Report::of(&scene, &mut begun(&scene));
    let (copy, client) = scene.copy();
    drop(client);
    unharmed.audit(&scene, &copy);
    scene.drop_copy(&copy);
    assert_eq!(unharmed.found, BTreeMap::new(), "nothing is found where nothing was done");
    let mut wrong = Vec::new();
    for attack in attacks {
        let mut report = carry_out(&scene, attack);
        if !report.found.contains_key("at once") && !matches!(attack.how, How::ByHand(_)) {
            audit(&scene, attack, &mut report);
        }
        wrong.extend(named(&scene, attack, &report));
        if update {
            attack.found = report.found;
        } else if attack.found != report.found {
            let (expected, found) = (&attack.found, &report.found);
            wrong.push(format!("{}:\n  expected {expected:?}\n  found    {found:?}", attack.title));
        }
    }
    wrong
}

fn read_matrix() -> Matrix {
    let text = fs::read_to_string(checkout().join(MATRIX)).expect("the matrix is there");
    let matrix = Matrix::parse(&text);
    assert_eq!(matrix.render(), text, "{MATRIX} is not in the form that UPDATE_GOLDEN=1 writes");
    matrix
}

/// A column that is added some day is attacked, too.
#[test]
fn every_column_of_an_event_is_attacked() {
    let mut ledger = Ledger::new();
    let matrix = read_matrix();
    let group =
        matrix.groups.iter().find(|group| group.title == "The columns of an event").expect("the group");
    let attacked = |column: &str| {
        let set = format!("UPDATE ets.ledger_event SET {column} = ");
        group.attacks.iter().any(|attack| matches!(&attack.how, How::Rows(sql) if sql.contains(&set)))
    };
    let sql = "SELECT quote_ident(attname) FROM pg_attribute
        WHERE attrelid = 'ets.ledger_event'::regclass AND attnum > 0 AND NOT attisdropped";
    for row in ledger.client.query(sql, &[]).expect("columns") {
        let column: String = row.get(0);
        assert!(attacked(&column), "no attack changes {column}");
    }
}

/// A session in a transaction that is never committed.
fn begun(scene: &Scene) -> postgres::Client {
    let mut client = scene.connect();
    client.batch_execute("BEGIN").expect("a transaction");
    client
}

fn carry_out(scene: &Scene, attack: &Attack) -> Report {
    let (before, sql, after) = match &attack.how {
        How::Rows(sql) => (DISARM, sql, "SELECT ets.arm()"),
        How::Sql(sql) => ("", sql, ""),
        How::ByHand(name) => return by_hand::carry_out(name),
    };
    let mut client = begun(scene);
    client.batch_execute(before).expect("a superuser can");
    let sql = scene.fill(sql, true);
    if let Err(error) = client.batch_execute(&sql) {
        let error = error.as_db_error().unwrap_or_else(|| panic!("{}: {error}", attack.title));
        assert!(error.code().code().starts_with("ET"), "{}: {error:?}", attack.title);
        return Report::refused(error.code().code());
    }
    client.batch_execute(after).unwrap_or_else(|error| panic!("{}: {error:?}", attack.title));
    Report::of(scene, &mut client)
}

/// Carries the attack out once more, for good, where a program outside can see it.
fn audit(scene: &Scene, attack: &Attack, report: &mut Report) {
    let (before, sql, after) = match &attack.how {
        How::Rows(sql) => (DISARM, sql, "SELECT ets.arm()"),
        How::Sql(sql) => ("", sql, ""),
        How::ByHand(_) => return,
    };
    let (copy, mut client) = scene.copy();
    let sql = format!("BEGIN; {before}; {}; {after}; COMMIT", scene.fill(sql, true));
    client.batch_execute(&sql).unwrap_or_else(|error| panic!("{}: {error:?}", attack.title));
    report.audit(scene, &copy);
    drop(client);
    scene.drop_copy(&copy);
}

/// What is wrong if no finding names what the attack changed.
fn named(scene: &Scene, attack: &Attack, report: &Report) -> Option<String> {
    let says = attack.says.as_ref().map(|text| scene.fill(text, false));
    let is_named = match (&attack.names, &says) {
        (Some(name), _) => {
            report.findings.iter().any(|(place, _)| place == name)
                && (report.audited.is_empty() || report.audited.contains(name))
        }
        (None, Some(text)) => report.findings.iter().any(|(_, detail)| detail.contains(text)),
        // Then nothing may be found that could name it.
        (None, None) => report.findings.is_empty(),
    };
    (!is_named).then(|| format!("{}: no finding names it: {:#?}", attack.title, report.findings))
}

#[test]
fn the_documentation_shows_the_matrix() {
    ets_tests::assert_generated("docs/threat-model.md", "tamper matrix", &read_matrix().as_markdown());
}

/// A transaction stays open after its append, the key is revoked, and a seal goes by
/// before it commits. The event was right when the gate admitted it; whoever relies
/// on it shall know that its signer had lost the right before it could be seen.
#[test]
fn an_event_that_commits_after_its_key_was_revoked_is_late_authority() {
    let mut ledger = Ledger::new();
    let bob = Signer::new(2);
    ledger.register(&bob, "bob");
    ledger.append(&order("other", 1));
    ledger.seal();
    let mut open = ledger.database.connect();
    let mut transaction = open.transaction().expect("begin");
    let previous = head(&mut transaction, "late").0;
    let late = append(&mut transaction, &bob, &order("late", 1), &previous).expect("bob may");
    ledger.client.execute("SELECT ets.revoke_key($1, 'stolen')", &[&bob.key_id()]).expect("a revocation");
    ledger.seal();
    assert_eq!(ledger.findings(), Vec::<String>::new(), "it is not there yet");
    transaction.commit().expect("what the gate admitted commits");
    assert_eq!(ledger.findings(), Vec::<String>::new(), "nothing is known before it is sealed");
    ledger.seal();
    let sql = "SELECT class, check_name, domain, stream, sequence, event_id FROM ets.verify_ledger()";
    let rows = ledger.client.query(sql, &[]).expect("ets.verify_ledger");
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), ("late_authority", "authority"));
    assert_eq!((row.get::<_, &str>(2), row.get::<_, &str>(3)), (DOMAIN, "late"));
    assert_eq!((row.get::<_, i64>(4), row.get::<_, Uuid>(5)), (1, late.event_id));
    // Of one that was sealed before the revocation nothing is said.
    let mut ledger = Ledger::new();
    ledger.register(&bob, "bob");
    let previous = ledger.head("late").0;
    append(&mut ledger.client, &bob, &order("late", 1), &previous).expect("bob may");
    ledger.seal();
    ledger.client.execute("SELECT ets.revoke_key($1, 'stolen')", &[&bob.key_id()]).expect("a revocation");
    ledger.append(&order("other", 1));
    ledger.seal();
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

/// Who replaces ets.verify_ledger is found by the runs, which call another function.
#[test]
fn a_replaced_verification_is_found_by_the_scheduled_run() {
    let scene = Scene::new(Cluster::shared(), false);
    let mut client = begun(&scene);
    client
        .batch_execute(
            "ALTER EVENT TRIGGER ets_ddl_start DISABLE;
             CREATE OR REPLACE FUNCTION ets.verify_ledger(domain text DEFAULT NULL, incremental boolean DEFAULT false,
               max_findings integer DEFAULT 1000) RETURNS SETOF ets.finding_info LANGUAGE sql
               AS 'SELECT NULL::ets.finding_info WHERE false';
             ALTER EVENT TRIGGER ets_ddl_start ENABLE ALWAYS",
        )
        .expect("a superuser can");
    assert_eq!(client.query("SELECT ets.verify_ledger()", &[]).expect("a lie").len(), 0);
    let verdict = client.query_one("SELECT ets.run_batch('verify', false, 100000)", &[]).expect("a run");
    assert_eq!(verdict.get::<_, &str>(0), "MISMATCH");
    let sql =
        "SELECT class || ' ' || check_name FROM ets.open_findings WHERE detail LIKE '%ets.verify_ledger%'";
    assert_eq!(client.query_one(sql, &[]).expect("the finding").get::<_, &str>(0), "guard function");
}

#[test]
fn verify_chain_looks_at_one_stream() {
    let scene = Scene::new(Cluster::shared(), false);
    let mut client = begun(&scene);
    client.batch_execute(DISARM).expect("a superuser can");
    let sql = "UPDATE ets.ledger_event SET payload = payload || '{\"amount\": 8}' WHERE event_id = $1";
    client.execute(sql, &[&scene.events["orders/a#2"]]).expect("no guard is left");
    let mut count = |sql: &str, name: &str| -> i64 { client.query_one(sql, &[&name]).expect(sql).get(0) };
    let stream = "SELECT count(*) FROM ets.verify_chain('orders', $1)";
    assert!(count(stream, "a") > 0);
    assert_eq!(count(stream, "b"), 0);
    let event = "SELECT count(*) FROM ets.verify_event($1::text::uuid) WHERE passed IS FALSE";
    assert!(count(event, &scene.events["orders/a#2"].to_string()) > 0);
    assert_eq!(count(event, &scene.events["orders/a#1"].to_string()), 0);
}
