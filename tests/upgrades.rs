//! Versions: what was released stays as it was, and a ledger of an older version
//! becomes one of this by ALTER EXTENSION and `ets.arm`, with the same events.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Once;

use ets_tests::{Cluster, Database, Ledger, Signer, checkout, order};
use postgres::Client;

/// A version that never was: this one without its anchors, so that there is
/// something to update from.
const IMAGINED: &str = "0.0.9";

/// What `ALTER EXTENSION … UPDATE` of the imagined version needs.
const UPDATE: &str = concat!(
    include_str!("../sql/functions/anchor.sql"),
    "COMMENT ON FUNCTION ets.seal() IS :seal;\n",
    include_str!("../sql/privileges.sql")
);

/// The version of this checkout, by its control file.
fn current() -> String {
    let control = fs::read_to_string(extensions().join("pg_ets.control")).expect("the control file");
    let line = control.lines().find_map(|line| line.strip_prefix("default_version = '"));
    line.and_then(|line| line.strip_suffix('\'')).expect("a default_version").to_owned()
}

/// Where the private server keeps its extensions' files.
fn extensions() -> PathBuf {
    let config = std::env::var_os("PG_CONFIG").expect("scripts/private-pg sets PG_CONFIG");
    let output = Command::new(config).arg("--sharedir").output().expect("pg_config runs");
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()).join("extension")
}

/// The text of an installation script without the lines in which the generator
/// says where in the sources each part is called in.
fn without_places(script: &str) -> String {
    script.lines().filter(|line| !line.starts_with("-- src/")).flat_map(|line| [line, "\n"]).collect()
}

/// The script that CREATE EXTENSION runs for this version.
fn installed() -> String {
    without_places(
        &fs::read_to_string(extensions().join(format!("pg_ets--{}.sql", current())))
            .expect("the installed script"),
    )
}

/// The versions in sql/released, with their scripts.
fn released() -> Vec<(String, String)> {
    let folder = fs::read_dir(checkout().join("sql/released")).expect("sql/released");
    let mut versions: Vec<_> = folder
        .map(|file| file.expect("a file").path())
        .filter_map(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
            let version = name.strip_prefix("pg_ets--")?.strip_suffix(".sql")?.to_owned();
            Some((version, fs::read_to_string(&path).expect("a released script")))
        })
        .collect();
    versions.sort();
    versions
}

/// Puts a script beside the installed ones, as a package of that version has it.
fn install(name: &str, script: &str) {
    let path = extensions().join(name);
    // Whole at once: another test may be reading the folder.
    let new = extensions().join(format!(".{name}"));
    fs::write(&new, script).expect("the private installation can be written");
    fs::rename(new, path).expect("renamed");
}

/// Puts the imagined version and the way from it to this one there, once.
fn install_imagined() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(install_imagined_scripts);
}

fn install_imagined_scripts() {
    let seal = installed();
    let (_, seal) = seal.split_once("COMMENT ON FUNCTION ets.seal() IS").expect("a comment on ets.seal");
    let (seal, _) = seal.split_once(";\n").expect("the comment's end");
    let older = "DROP FUNCTION ets.verify_anchor(bigint);
        DROP FUNCTION ets.record_anchor(bigint, text, text, text, bytea, text, text, boolean);
        COMMENT ON FUNCTION ets.seal() IS 'as it was said before';\n";
    install(&format!("pg_ets--{IMAGINED}.sql"), &(installed() + older));
    install(&format!("pg_ets--{IMAGINED}--{}.sql", current()), &UPDATE.replace(":seal", seal));
}

/// A database with `version` of the extension and a ledger with a checkpoint.
fn ledger_of(version: &str) -> (Database, Client, Signer) {
    let database = Cluster::shared().database();
    let mut client = database.connect();
    let create = format!("DROP EXTENSION pg_ets; CREATE EXTENSION pg_ets VERSION '{version}'");
    client.batch_execute(&create).unwrap_or_else(|error| panic!("{create}: {error:?}"));
    let (_, signer) = Ledger::set_up(&mut client);
    for amount in 1..=6 {
        let stream = if amount % 2 == 0 { "a" } else { "b" };
        append(&mut client, &signer, stream, amount);
    }
    client.execute("SELECT ets.seal()", &[]).expect("sealed");
    append(&mut client, &signer, "a", 7);
    (database, client, signer)
}

fn append(client: &mut Client, signer: &Signer, stream: &str, amount: i64) {
    let (previous, _) = ets_tests::head(client, stream);
    ets_tests::append(client, signer, &order(stream, amount), &previous).expect("an event is appended");
}

/// As an older library would have left it.
fn age(client: &mut Client) {
    client
        .batch_execute(
            "ALTER EVENT TRIGGER ets_ddl_start DISABLE; ALTER EVENT TRIGGER ets_ddl_end DISABLE;
             ALTER TABLE ets.ledger DISABLE TRIGGER ALL; ALTER TABLE ets.anchor DISABLE TRIGGER ALL",
        )
        .expect("a superuser can");
    client.batch_execute(include_str!("upgrades/older.sql")).expect("older tables and views");
    client
        .batch_execute(
            "ALTER TABLE ets.ledger ENABLE ALWAYS TRIGGER ets_guard; ALTER TABLE ets.ledger ENABLE ALWAYS TRIGGER ets_guard_row;
             ALTER EVENT TRIGGER ets_ddl_start ENABLE ALWAYS; ALTER EVENT TRIGGER ets_ddl_end ENABLE ALWAYS",
        )
        .expect("and armed as it was");
}

fn catalog(client: &mut Client) -> Vec<String> {
    let rows = client.query(include_str!("upgrades/catalog.sql"), &[]).expect("the catalog");
    rows.iter().map(|row| row.get(0)).collect()
}

/// Fails with the lines that only one of the two has.
fn assert_same_catalog(found: &[String], expected: &[String]) {
    assert!(expected.len() > 300, "the catalog of an armed ledger has more than {} lines", expected.len());
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| !those.contains(line)).cloned().collect()
    };
    let (more, less) = (only(found, expected), only(expected, found));
    assert!(more.is_empty() && less.is_empty(), "only after the update: {more:#?}\nonly when new: {less:#?}");
}

/// A ledger made by CREATE EXTENSION and `ets.init` of this version.
fn new_catalog() -> Vec<String> {
    catalog(&mut Ledger::new().client)
}

/// Every tree with its size and root, and the last checkpoint.
fn roots(client: &mut Client) -> Vec<String> {
    let sql = "SELECT format('%s %s %s %s', domain, tree_size, encode(stored_root, 'hex'), matches)
          FROM ets.rebuild_merkle()
        UNION ALL
        SELECT format('checkpoint %s %s', checkpoint_id, encode(meta_root, 'hex')) FROM ets.checkpoint ORDER BY 1";
    client.query(sql, &[]).expect("the trees").iter().map(|row| row.get(0)).collect()
}

/// What a ledger must do after an update: be the same, verify, and go on.
fn assert_the_same_and_going_on(client: &mut Client, signer: &Signer, before: &[String]) {
    assert_eq!(roots(client), before);
    assert!(before.iter().all(|root| !root.ends_with(" f")), "{before:?}");
    assert_eq!(ets_tests::findings(client), Vec::<String>::new());
    append(client, signer, "a", 8);
    client.execute("SELECT ets.seal()", &[]).expect("sealed");
    assert_eq!(ets_tests::findings(client), Vec::<String>::new());
    ets_tests::refused(client.batch_execute("DELETE FROM ets.ledger_event"), "ET009");
    let guards = "SELECT state FROM ets.status WHERE item = 'guards'";
    assert_eq!(client.query_one(guards, &[]).expect("ets.status").get::<_, String>(0), "ok");
}

/// A change of the SQL surface needs a new version in Cargo.toml, which needs a
/// script to come there from each released one.
#[test]
fn what_was_released_is_what_is_installed() {
    let current = current();
    let released = released();
    assert!(!released.is_empty());
    for (version, script) in &released {
        assert_eq!(
            without_places(script),
            *script,
            "{version}: scripts/release-sql writes it without places"
        );
        if *version == current {
            continue;
        }
        let update = checkout().join(format!("sql/pg_ets--{version}--{current}.sql"));
        assert!(update.exists(), "{} is missing", update.display());
    }
    let path = checkout().join(format!("sql/released/pg_ets--{current}.sql"));
    if let Some((_, script)) = released.iter().find(|(version, _)| *version == current) {
        let change = installed()
            .lines()
            .zip(script.lines())
            .find(|(new, old)| new != old)
            .map(|(new, _)| new.to_owned());
        assert!(
            installed() == *script,
            "{} was released and the SQL has changed since, first at {change:?}: raise the version, \
             write sql/pg_ets--{current}--NEW.sql",
            path.display()
        );
    }
}

/// A ledger of a released version has the tables that the released scripts made:
/// a later layout adds to them and changes none.
#[test]
fn the_tables_of_a_release_are_not_edited() {
    let sql = checkout().join("sql");
    let scripts = (1..).map(|layout| match layout {
        1 => sql.join("tables.sql"),
        layout => sql.join(format!("tables_{layout}.sql")),
    });
    let current: String = scripts.map_while(|path| fs::read_to_string(path).ok()).collect();
    for (version, _) in released() {
        let path = sql.join(format!("released/tables--{version}.sql"));
        let released =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(released.len() > 1000 && current.starts_with(&released), "{version}: its tables were edited");
    }
}

/// Each released version: its functions are still in the library, and its ledger
/// becomes one of this version.
#[test]
fn every_released_version_is_updated() {
    let expected = new_catalog();
    for (version, script) in released() {
        if version != current() {
            install(&format!("pg_ets--{version}.sql"), &script);
        }
        let (_, mut client, signer) = ledger_of(&version);
        let before = roots(&mut client);
        client
            .batch_execute("ALTER EXTENSION pg_ets UPDATE; SELECT ets.arm()")
            .unwrap_or_else(|error| panic!("{version}: {error:?}"));
        assert_same_catalog(&catalog(&mut client), &expected);
        assert_the_same_and_going_on(&mut client, &signer, &before);
    }
}

#[test]
fn an_update_brings_functions_tables_and_views() {
    install_imagined();
    let (_database, mut client, signer) = ledger_of(IMAGINED);
    age(&mut client);
    client
        .batch_execute(
            "CREATE ROLE upgrades_reader; GRANT SELECT ON ets.status TO upgrades_reader;
             CREATE VIEW public.mine AS SELECT state FROM ets.status",
        )
        .expect("somebody relies on a view");
    let before = roots(&mut client);
    client.batch_execute("ALTER EXTENSION pg_ets UPDATE").expect("updated");
    let arm: String = client.query_one("SELECT ets.arm()", &[]).expect("armed").get(0);
    assert!(arm.starts_with("tables of layout 4 made"), "{arm}");
    // Rights on a view, and views above it, stay.
    let read = "SELECT count(*) FROM public.mine WHERE has_table_privilege('upgrades_reader', 'ets.status', 'SELECT')";
    assert!(client.query_one(read, &[]).expect("the view").get::<_, i64>(0) > 5);
    client
        .batch_execute(
            "DROP VIEW public.mine; REVOKE ALL ON ets.status FROM upgrades_reader; DROP ROLE upgrades_reader",
        )
        .expect("back as it was");
    // The owner's own rights, with MAINTAIN from PostgreSQL 17 on, are what an empty list means.
    let same_acl = |line: &String| {
        ["{postgres=arwdDxt/postgres}", "{postgres=arwdDxtm/postgres}"]
            .iter()
            .fold(line.clone(), |line, owner| {
                line.replace(&format!("ets.status | {owner} |"), "ets.status |  |")
            })
    };
    let found: Vec<String> = catalog(&mut client).iter().map(same_acl).collect();
    assert_same_catalog(&found, &new_catalog());
    assert_the_same_and_going_on(&mut client, &signer, &before);
}

#[test]
fn the_status_and_the_verification_say_that_an_update_is_due() {
    let current = current();
    install_imagined();
    let (_database, mut client, _) = ledger_of(IMAGINED);
    let version = |client: &mut Client| -> String {
        let sql = "SELECT concat_ws(' | ', state, value, detail) FROM ets.status WHERE item = 'version'";
        client.query_one(sql, &[]).expect("ets.status").get(0)
    };
    assert_eq!(
        version(&mut client),
        format!(
            "warning | {IMAGINED} | {current} is installed: ALTER EXTENSION pg_ets UPDATE, then SELECT ets.arm()"
        )
    );
    let findings = ets_tests::findings(&mut client).join("\n");
    assert!(
        findings.contains("record_anchor") && findings.contains("ALTER EXTENSION pg_ets UPDATE"),
        "{findings}"
    );
    client.batch_execute("ALTER EXTENSION pg_ets UPDATE; SELECT ets.arm()").expect("updated");
    assert_eq!(version(&mut client), format!("ok | {current}"));
    assert_eq!(ets_tests::findings(&mut client), Vec::<String>::new());
}

#[test]
fn a_dump_of_an_older_version_is_restored_under_this_one() {
    install_imagined();
    let (database, mut client, signer) = ledger_of(IMAGINED);
    age(&mut client);
    let before = roots(&mut client);
    let copy = Cluster::shared().copy_by_dump(&database.name, "");
    let mut client = Cluster::shared().connect(&copy);
    client.execute("SELECT ets.arm()", &[]).expect("armed");
    assert_same_catalog(&catalog(&mut client), &new_catalog());
    assert_the_same_and_going_on(&mut client, &signer, &before);
}
