//! The pages of docs/: every SQL block runs, every link leads somewhere, and what is
//! listed is complete.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ets_core::verify::FindingClass;
use ets_tests::{Cluster, Ledger, bin, checkout, order, program};

/// Pages whose blocks another test runs, since they need more than one database.
const ELSEWHERE: [(&str, &str); 1] =
    [("replica.md", "tests/replica.rs: the_steps_of_the_documentation_work")];

/// What a page takes for granted beyond the ledger of [`Ledger::new`] with a seal.
const BEFORE: [(&str, &str); 1] = [(
    "rules.md",
    "SELECT ets.create_domain('accounts'), ets.create_domain('sales');
     SELECT ets.register_schema('sale/1.0.0', 'sales', '{\"type\": \"object\"}');
     CREATE SCHEMA app; CREATE TABLE app.customer (id text PRIMARY KEY);",
)];

/// Pages that begin before there is a ledger.
const FROM_NOTHING: [&str; 1] = ["getting-started.md"];

/// Checks that no attack of the tamper matrix makes fail, and where they are: they need a replica,
/// something kept or published outside, a server that lies, or the word of a key's owner.
const BEYOND_THE_MATRIX: [(&str, &str); 12] = [
    ("anchor_evidence", "crates/ets/src/audit/examine/anchors.rs"),
    ("answers", "crates/ets/src/audit/examine.rs"),
    ("compromised_since", "crates/ets-core/src/verify/compromise.rs"),
    ("consistency", "src/verification/plan.rs"),
    ("export", "crates/ets/src/audit/export.rs"),
    ("high_water", "src/verification/checkpoints.rs"),
    ("kept_head", "crates/ets/src/audit/examine.rs"),
    ("manifest", "crates/ets/src/audit/export.rs"),
    ("reducer", "crates/ets-core/src/verify/rules.rs"),
    ("subscription", "src/receiver/refusal.rs"),
    ("tree_size", "crates/ets-core/src/verify/checkpoints.rs"),
    ("trust_root", "crates/ets/src/audit/export.rs"),
];

/// The Markdown pages below docs/, by their path there.
fn pages() -> Vec<(String, String)> {
    fn below(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            match entry.path() {
                path if path.is_dir() => below(&path, found),
                path if path.extension().is_some_and(|extension| extension == "md") => found.push(path),
                _ => {}
            }
        }
    }
    let docs = checkout().join("docs");
    let mut found = Vec::new();
    below(&docs, &mut found);
    found.sort();
    let name = |path: &PathBuf| path.strip_prefix(&docs).expect("below docs").to_string_lossy().into_owned();
    found.iter().map(|path| (name(path), fs::read_to_string(path).expect("a page"))).collect()
}

/// What of a page runs, and what it says that comes out.
struct Session {
    script: String,
    printed: Vec<String>,
}

/// The SQL blocks of a page, each at its line, so that psql's messages name the page's lines; and
/// the lines of its text blocks. `-- ERROR: ET009` at the end of a line says that the statement is refused.
fn session(name: &str, text: &str) -> Session {
    let (mut script, mut printed) = (Vec::<String>::new(), Vec::new());
    let mut block = None;
    for line in text.lines() {
        let fence = line.trim_start().strip_prefix("```").map(str::trim);
        let mut sql = String::new();
        match (block, fence) {
            (Some(_), Some(_)) => block = None,
            (None, Some(language)) => {
                // Another spelling would hide a block from this test.
                assert!(line == "```sql" || !language.to_lowercase().contains("sql"), "{name}: {line}");
                block = Some(language);
            }
            (Some("sql"), None) => {
                assert!(!line.contains("ON_ERROR_STOP"), "{name}: say which error it is: {line}");
                sql = line.to_owned();
                if let Some((statement, sqlstate)) = line.split_once("-- ERROR: ") {
                    // psql asks whether to stop before it reads the line.
                    let before = script.last_mut().expect("the line of the fence");
                    assert!(!before.contains("--"), "{name}: no comment before {line}");
                    before.push_str(r" \set ON_ERROR_STOP off");
                    sql = format!(r"{statement} \echo refused {sqlstate} :SQLSTATE \set ON_ERROR_STOP on");
                    printed.push(format!("refused {sqlstate} {sqlstate}"));
                }
            }
            (Some("text"), None) => printed.push(line.to_owned()),
            _ => {}
        }
        script.push(sql);
    }
    assert!(block.is_none(), "{name}: a block does not end");
    Session { script: script.join("\n"), printed }
}

/// Runs a page's session as a reader would: psql, in a folder of one's own, with `ets` at hand.
fn run(cluster: &Cluster, database: &str, name: &str, session: &Session) {
    let folder = cluster.folder().join("session");
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join(name), &session.script).expect("the script can be written");
    let programs = program("ets").parent().expect("a folder").to_owned();
    let path = std::env::var("PATH").expect("a PATH");
    let output = Command::new(bin().join("psql"))
        .args(["-X", "-v", "ON_ERROR_STOP=1", "-f", name])
        .current_dir(&folder)
        .envs(cluster.environment(database))
        .env("PATH", format!("{}:{path}", programs.display()))
        .output()
        .expect("psql runs");
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "docs/{name}: {error}");
    for line in &session.printed {
        assert!(out.lines().any(|it| it == line), "docs/{name}: no line {line:?} in\n{out}\n{error}");
    }
}

#[test]
fn every_sql_block_of_the_documentation_runs() {
    let mut count = 0;
    for (name, text) in pages() {
        let session = session(&name, &text);
        if session.script.trim().is_empty() {
            continue;
        }
        if let Some((_, test)) = ELSEWHERE.iter().find(|(page, _)| *page == name) {
            let (file, function) = test.split_once(": ").expect("file and function");
            let source = fs::read_to_string(checkout().join(file)).expect("a test");
            assert!(source.contains(&format!("fn {function}()")), "{test} does not run {name}");
            continue;
        }
        // A cluster each: a page may make roles.
        let cluster = Cluster::start(&format!("docs-{count}"), &["fsync=off"]);
        let database = cluster.create_database();
        let mut client = cluster.connect(&database);
        if FROM_NOTHING.contains(&name.as_str()) {
            client.batch_execute("DROP EXTENSION pg_ets").expect("the page creates it");
        } else {
            let (_, alice) = Ledger::set_up(&mut client);
            let previous = ets_tests::head(&mut client, "a").0;
            ets_tests::append(&mut client, &alice, &order("a", 1), &previous).expect("an event");
            client.execute("SELECT ets.seal()", &[]).expect("sealed");
        }
        if let Some((_, sql)) = BEFORE.iter().find(|(page, _)| *page == name) {
            client.batch_execute(sql).unwrap_or_else(|error| panic!("before {name}: {error}"));
        }
        run(&cluster, &database, &name, &session);
        count += 1;
    }
    assert!(count >= 5, "only {count} pages have SQL");
}

/// Links to files, and to headings of files, by the rule of the sites that show Markdown.
#[test]
fn every_link_of_the_documentation_leads_somewhere() {
    let anchors = |text: &str| -> BTreeSet<String> {
        let headings = text.lines().filter(|line| line.starts_with('#'));
        let slug = |heading: &str| -> String {
            let words = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
            words.chars().filter(|letter| letter.is_alphanumeric() || "-_".contains(*letter)).collect()
        };
        headings.map(slug).collect()
    };
    let mut links = 0;
    let mut check = |place: &Path, name: &str, text: &str| {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.contains(' ') {
                continue;
            }
            let (file, anchor) =
                link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
            let path = if file.is_empty() { place.join(name) } else { place.join(file) };
            assert!(path.exists(), "{name}: {link} is not there");
            if let Some(anchor) = anchor {
                let target = fs::read_to_string(&path).expect("a page");
                assert!(anchors(&target).contains(anchor), "{name}: {link} has no such heading");
            }
            links += 1;
        }
    };
    for (name, text) in pages() {
        let path = checkout().join("docs").join(&name);
        let file = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        check(path.parent().expect("a folder"), &file, &text);
    }
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        check(&checkout(), name, &fs::read_to_string(checkout().join(name)).expect("a page"));
    }
    assert!(links > 100, "{links} links");
}

/// The run-book has a row for each class of finding, for each check that an attack of the tamper
/// matrix has made fail, and for each item of `ets.status`, and for nothing else.
#[test]
fn the_run_book_is_complete() {
    let read = |path: &str| fs::read_to_string(checkout().join(path)).expect(path);
    let text = read("docs/operations.md");
    let names_between = |begin: &str, end: &str| -> BTreeSet<String> {
        let (_, rest) = text.split_once(begin).expect(begin);
        let rows = rest.split_once(end).expect(end).0.lines().filter_map(|line| line.strip_prefix("| `"));
        let names = rows.flat_map(|row| row.split(" |").next().unwrap_or_default().split(", "));
        names.map(|name| name.trim_matches('`').to_owned()).collect()
    };

    let classes = FindingClass::ALL.iter().map(|class| class.as_str().to_owned()).collect();
    assert_eq!(names_between("<!-- classes -->", "<!-- /classes -->"), classes);

    let mut checks = BTreeSet::new();
    for (check, source) in BEYOND_THE_MATRIX {
        assert!(read(source).contains(&format!("\"{check}\"")), "{source} knows no {check}");
        checks.insert(check.to_owned());
    }
    for line in read("tests/tamper_matrix.txt").lines() {
        let level = ["rebuild: ", "verify: ", "replay: ", "ets audit: "];
        let findings = level.iter().find_map(|level| line.strip_prefix(level)).unwrap_or_default();
        for finding in findings.split("; ") {
            let (class, rest) = finding.split_once(' ').unwrap_or_default();
            if FindingClass::ALL.iter().any(|it| it.as_str() == class) {
                checks.insert(rest.split(' ').next().unwrap_or_default().to_owned());
            }
        }
    }
    assert_eq!(names_between("<!-- checks -->", "<!-- /checks -->"), checks);

    let mut ledger = Ledger::new();
    // Shown only where another ledger is received.
    let mut items = BTreeSet::from(["replica".to_owned()]);
    let rows = ledger.client.query("SELECT item FROM ets.status", &[]).expect("ets.status");
    items.extend(rows.iter().map(|row| row.get::<_, String>(0)));
    assert_eq!(names_between("Each item of `ets.status`:", "\n\nA run"), items);
}

/// docs/README.md leads to every page.
#[test]
fn no_page_is_forgotten() {
    let index = fs::read_to_string(checkout().join("docs/README.md")).expect("docs/README.md");
    for (name, _) in pages() {
        assert!(
            name == "README.md" || index.contains(&format!("]({name})")),
            "docs/README.md forgets {name}"
        );
    }
}
