//! What a superuser can do past every guard is found, and the finding names the
//! row: the matrix of `tamper_matrix.txt`, carried out.

#[path = "tamper/by_hand.rs"]
mod by_hand;
#[path = "tamper/levels.rs"]
mod levels;
#[path = "tamper/matrix.rs"]
mod matrix;
#[path = "tamper/scene.rs"]
mod scene;

use std::collections::BTreeMap;
use std::fs;

use ets_tests::{Cluster, checkout};

use levels::Report;
use matrix::{Attack, How, Matrix};
use scene::Scene;

/// Where the matrix lies in the checkout.
const MATRIX: &str = "tests/tamper_matrix.txt";

const DISARM: &str = "DO $$ DECLARE t name; BEGIN
    FOR t IN SELECT evtname FROM pg_event_trigger LOOP EXECUTE format('ALTER EVENT TRIGGER %I DISABLE', t); END LOOP;
    FOR t IN SELECT relname FROM pg_class WHERE relnamespace = 'ets'::regnamespace AND relkind = 'r' LOOP
        EXECUTE format('ALTER TABLE ets.%I DISABLE TRIGGER ALL', t);
    END LOOP;
END $$";

/// Every level finds what the matrix says, and nothing else.
#[test]
fn the_matrix_says_what_finds_each_attack() {
    let text = fs::read_to_string(checkout().join(MATRIX)).expect("the matrix is there");
    let mut matrix = Matrix::parse(&text);
    assert_eq!(matrix.render(), text, "{MATRIX} is not in the form that UPDATE_GOLDEN=1 writes");
    let mut scene = Scene::new(Cluster::shared());
    let unharmed = Report::of(&scene, &mut begun(&scene));
    assert_eq!(unharmed.found, BTreeMap::new(), "nothing is found where nothing was done");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for attack in matrix.groups.iter_mut().flat_map(|group| &mut group.attacks) {
        let report = carry_out(&mut scene, attack);
        wrong.extend(named(&scene, attack, &report));
        if update {
            attack.found = report.found;
        } else if attack.found != report.found {
            wrong.push(format!(
                "{}:\n  expected {:?}\n  found    {:?}",
                attack.title, attack.found, report.found
            ));
        }
    }
    if update {
        fs::write(checkout().join(MATRIX), matrix.render()).expect("the matrix is ours");
    }
    assert!(wrong.is_empty(), "{}\nif this is wanted: UPDATE_GOLDEN=1", wrong.join("\n"));
}

/// A session in a transaction that is never committed.
fn begun(scene: &Scene) -> postgres::Client {
    let mut client = scene.connect();
    client.batch_execute("BEGIN").expect("a transaction");
    client
}

fn carry_out(scene: &mut Scene, attack: &Attack) -> Report {
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

/// What is wrong if no finding names what the attack changed.
fn named(scene: &Scene, attack: &Attack, report: &Report) -> Option<String> {
    let says = attack.says.as_ref().map(|text| scene.fill(text, false));
    let is_named = match (&attack.names, &says) {
        (Some(name), _) => report.findings.iter().any(|(place, _)| place == name),
        (None, Some(text)) => report.findings.iter().any(|(_, detail)| detail.contains(text)),
        // Then nothing may be found that could name it.
        (None, None) => report.findings.is_empty(),
    };
    (!is_named).then(|| format!("{}: no finding names it: {:#?}", attack.title, report.findings))
}

#[test]
fn the_documentation_shows_the_matrix() {
    let text = fs::read_to_string(checkout().join(MATRIX)).expect("the matrix is there");
    ets_tests::assert_generated("docs/threat-model.md", "tamper matrix", &Matrix::parse(&text).as_markdown());
}
