//! What each level of verification says after an attack.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};

use ets_core::merkle::verify_consistency;
use ets_tests::{digest, order, program};
use postgres::types::ToSql;
use postgres::{Client, Row};
use serde_json::json;
use uuid::Uuid;

use super::scene::{Scene, append_onto, by_name};

/// What was found.
#[derive(Default)]
pub struct Report {
    /// By level, in the words of the matrix: classes, checks and places.
    pub found: BTreeMap<String, String>,
    /// The place and the detail of every finding.
    pub findings: Vec<(String, String)>,
    /// The places of what the program finds.
    pub audited: BTreeSet<String>,
}

impl Report {
    /// An attack that failed with this SQLSTATE.
    pub fn refused(code: &str) -> Report {
        Report { found: BTreeMap::from([("at once".to_owned(), code.to_owned())]), ..Report::default() }
    }

    /// Asks every level, in a transaction that the attack was made in or after.
    /// Each is asked for itself: what one writes, the next does not see.
    pub fn of(scene: &Scene, client: &mut Client) -> Report {
        let mut report = Report::default();
        // First, since a seal refuses to run where something was appended.
        report.add("next seal", next_seal(client));
        report.add("next insert", next_insert(scene, client));
        report.add("event_document", documents(scene, client));
        report.look(scene, client, "rebuild", "SELECT count(*) FROM ets.rebuild_merkle()", REBUILT);
        report.look(scene, client, "verify", "SELECT 1", VERIFIED);
        report.look(scene, client, "replay", "SELECT 1", REPLAYED);
        report.add("outside checkpoint", outside(scene, client));
        report
    }

    fn add(&mut self, level: &str, found: BTreeSet<String>) {
        if !found.is_empty() {
            self.found.insert(level.to_owned(), brief(&found).join("; "));
        }
    }

    /// Asks the program, which has a connection of its own, of an attack that is
    /// committed in `database`, with what was kept of the scene before.
    pub fn audit(&mut self, scene: &Scene, database: &str) {
        let output = Command::new(program("ets"))
            .env_clear()
            .envs(scene.environment(database))
            .args(["audit", "--json", "--trust"])
            .arg(scene.trust_file())
            .output()
            .expect("ets runs");
        let said = String::from_utf8(output.stdout).expect("UTF-8");
        let code = output.status.code().expect("an exit code");
        let Ok(report) = serde_json::from_str::<serde_json::Value>(&said) else {
            // It could not read what it asked for, and says so.
            assert_eq!((code, said.as_str()), (2, ""), "{}", String::from_utf8_lossy(&output.stderr));
            return self.add("ets audit", BTreeSet::from(["cannot be read".to_owned()]));
        };
        let mut found = BTreeSet::new();
        for finding in report["findings"].as_array().expect("findings") {
            let text = |name: &str| finding[name].as_str();
            let id = text("event_id").and_then(|id| id.parse().ok());
            let place = place_of(scene, id, text("domain"), text("stream"), finding["sequence"].as_i64());
            let (class, check) = (text("class").unwrap_or_default(), text("check").unwrap_or_default());
            found.insert(format!("{class} {check} {place}").trim_end().to_owned());
            self.audited.insert(place);
        }
        assert_eq!(code == 0, found.is_empty(), "{report}");
        self.add("ets audit", found);
    }

    /// Runs a check and reads its findings.
    fn look(&mut self, scene: &Scene, client: &mut Client, level: &str, run: &str, read: &str) {
        let result = aside(client, |client| client.query(run, &[]).and_then(|_| client.query(read, &[])));
        let rows = match result {
            Ok(rows) => rows,
            Err(error) => return self.add(level, BTreeSet::from([code(&error)])),
        };
        let mut found = BTreeSet::new();
        for row in &rows {
            let place = place(scene, row);
            let (class, check): (&str, &str) = (row.get(0), row.get(1));
            found.insert(format!("{class} {check} {place}").trim_end().to_owned());
            self.findings.push((place, row.get(6)));
        }
        self.add(level, found);
    }
}

const REBUILT: &str = "SELECT class, check_name, domain, stream, sequence, event_id, detail
    FROM ets.open_findings WHERE run = 'rebuild'";
const VERIFIED: &str =
    "SELECT class, check_name, domain, stream, sequence, event_id, detail FROM ets.verify_ledger()";
const REPLAYED: &str =
    "SELECT class, check_name, domain, stream, sequence, event_id, detail FROM ets.verify_replay()";

/// Three or more events in a row of one stream as `#1 to #3`.
fn brief(found: &BTreeSet<String>) -> Vec<String> {
    let mut streams: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for text in found {
        let (stream, number) = text.rsplit_once('#').unwrap_or((text, "0"));
        streams.entry(stream).or_default().insert(number.parse().expect("a sequence"));
    }
    let mut out = Vec::new();
    for (stream, numbers) in streams {
        let (first, last) = (numbers.first().copied(), numbers.last().copied());
        match first.zip(last) {
            Some((0, 0)) => out.push(stream.to_owned()),
            Some((first, last)) if numbers.len() > 2 && last - first + 1 == numbers.len() as u64 => {
                out.push(format!("{stream}#{first} to #{last}"));
            }
            _ => out.extend(numbers.iter().map(|number| format!("{stream}#{number}"))),
        }
    }
    out
}

/// One line instead of `count` that differ in the place alone.
fn everywhere(found: BTreeSet<String>, count: usize) -> BTreeSet<String> {
    let codes: BTreeSet<&str> = found.iter().filter_map(|text| text.split(' ').next()).collect();
    match codes.first() {
        Some(code) if codes.len() == 1 && found.len() == count => {
            BTreeSet::from([format!("{code} everywhere")])
        }
        _ => found,
    }
}

/// Where a finding says it is: the event as it was called before the attack.
fn place(scene: &Scene, row: &Row) -> String {
    place_of(scene, row.get(5), row.get(2), row.get(3), row.get(4))
}

fn place_of(
    scene: &Scene,
    id: Option<Uuid>,
    domain: Option<&str>,
    stream: Option<&str>,
    sequence: Option<i64>,
) -> String {
    if let Some(place) = id.and_then(|id| scene.place_of(id)) {
        return place.to_owned();
    }
    let mut place = domain.unwrap_or_default().to_owned();
    if let Some(stream) = stream {
        place += &format!("/{stream}");
    }
    if let Some(sequence) = sequence {
        place += &format!("#{sequence}");
    }
    place
}

/// Does something and takes it back.
fn aside<T>(client: &mut Client, what: impl FnOnce(&mut Client) -> T) -> T {
    client.batch_execute("SAVEPOINT aside").expect("a savepoint");
    let result = what(client);
    client.batch_execute("ROLLBACK TO aside").expect("and back");
    result
}

fn code(error: &postgres::Error) -> String {
    let error = error.as_db_error().unwrap_or_else(|| panic!("the server is gone: {error}"));
    let code = error.code().code();
    assert!(!code.starts_with("XX"), "{error:?}");
    code.to_owned()
}

/// What the next writers hear, each of whom signs for the head that he saw last.
fn next_insert(scene: &Scene, client: &mut Client) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (domain, stream, schema, payload) in [
        ("orders", "a", "order/1.0.0", order("a", 9)),
        ("orders", "b", "order/1.0.0", order("b", 9)),
        ("notes", "main", "note/1.0.0", json!({"text": "next"})),
        ("accounts", "x", "account/1.0.0", json!({"account": "x", "total": 9})),
    ] {
        let previous = &scene.heads[&(domain.to_owned(), stream.to_owned())];
        let result =
            aside(client, |client| append_onto(client, &by_name("alice"), schema, &payload, previous));
        if let Err(error) = result {
            found.insert(format!("{} {domain}/{stream}", code(&error)));
        }
    }
    let domain = aside(client, |client| client.query("SELECT ets.create_domain('next')", &[]));
    if let Err(error) = domain {
        found.insert(format!("{} ets.registry/main", code(&error)));
    }
    everywhere(found, 5)
}

fn next_seal(client: &mut Client) -> BTreeSet<String> {
    let result = aside(client, |client| client.query("SELECT ets.seal()", &[]));
    result.err().iter().map(code).collect()
}

fn documents(scene: &Scene, client: &mut Client) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (place, id) in &scene.events {
        let values: [&(dyn ToSql + Sync); 1] = [id];
        if let Err(error) = aside(client, |client| client.query("SELECT ets.event_document($1)", &values)) {
            found.insert(format!("{} {place}", code(&error)));
        }
    }
    found
}

/// What somebody finds who kept the last checkpoint: each tree must begin with
/// the one that he kept, and a bundle of today must agree with it.
fn outside(scene: &Scene, client: &mut Client) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (domain, (size, root)) in &scene.kept {
        if let Err(problem) = aside(client, |client| consistency(client, domain, *size, root)) {
            found.insert(format!("{problem} {domain}"));
        }
    }
    let mut found: BTreeSet<String> =
        everywhere(found, scene.kept.len()).iter().map(|problem| format!("consistency {problem}")).collect();
    let bundle = "SELECT ets.proof_bundle($1)::text";
    match aside(client, |client| client.query_one(bundle, &[&scene.events["orders/a#1"]])) {
        Err(error) => {
            found.insert(format!("proof_bundle {} orders/a#1", code(&error)));
        }
        Ok(row) => {
            if ets_verify(scene, row.get(0)) != 0 {
                found.insert("ets verify orders/a#1".to_owned());
            }
        }
    }
    found
}

fn consistency(
    client: &mut Client,
    domain: &str,
    size: u64,
    root: &ets_core::hash::Digest,
) -> Result<(), String> {
    let sql = "SELECT tree_size, root_hash FROM ets.domain_root WHERE domain = $1 ORDER BY checkpoint_id DESC LIMIT 1";
    let last = client.query_opt(sql, &[&domain]).map_err(|error| code(&error))?;
    let last = last.ok_or("gone")?;
    let (now, root_now) = (last.get::<_, i64>(0), last.get::<_, Vec<u8>>(1));
    if (now as u64) < size {
        return Err("smaller".to_owned());
    }
    let sql = "SELECT hash FROM ets.consistency_proof($1, $2, $3) ORDER BY step";
    let rows = client.query(sql, &[&domain, &(size as i64), &now]).map_err(|error| code(&error))?;
    let proof: Vec<_> = rows.iter().map(|row| digest(row.get(0))).collect();
    verify_consistency(size, now as u64, &proof, root, &digest(&root_now))
        .map_err(|_| "another-root".to_owned())
}

/// The exit code of `ets verify` on a bundle, with what was kept.
fn ets_verify(scene: &Scene, bundle: &str) -> i32 {
    let mut child = Command::new(program("ets"))
        .args(["verify", "-", "--trust"])
        .arg(scene.trust_file())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("ets runs");
    child.stdin.take().expect("a pipe").write_all(bundle.as_bytes()).expect("ets reads");
    child.wait().expect("ets ends").code().expect("an exit code")
}
