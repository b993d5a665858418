//! The git history of a checkout as a ledger: the program behind `make demo`.
//!
//! An ordinary client. It needs a database with the extension pg_ets and no
//! ledger yet, talks SQL to it, and signs with keys that never leave this
//! process. What the database could not be trusted with is checked here, or by
//! `ets verify`.

mod author;
mod git;
mod screen;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use ets_core::hash::Digest;
use postgres::{Client, NoTls};
use serde_json::Value;

use author::Author;
use git::Commit;
use screen::Screen;

const DOMAIN: &str = "commits";
const SCHEMA: &str = "git-commit/1.0.0";
/// Events that go to the server in one statement.
const BATCH: usize = 250;
/// Authors that are shown.
const SHOWN: usize = 8;

const USAGE: &str = "usage: git-ledger CONNECTION REPOSITORY BUNDLE_FILE ETS_PROGRAM";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [connection, repository, bundle, ets] = arguments.as_slice() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(connection, Path::new(repository), &PathBuf::from(bundle), Path::new(ets)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("git-ledger: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(connection: &str, repository: &Path, bundle: &Path, ets: &Path) -> Result<(), String> {
    let screen = Screen::new();
    let mut client = Client::connect(connection, NoTls).map_err(|error| error.to_string())?;
    let commits = git::history(repository, SCHEMA)?;
    let newest = commits.last().ok_or("this repository has no commits")?;

    screen.step("1. Make a ledger");
    let root_key = make_ledger(&mut client, &screen)?;

    screen.step("2. Every author gets a key; every commit becomes a signed event");
    let ids = append(&mut client, &screen, &commits)?;
    let event = ids.last().ok_or("nothing was appended")?.clone();

    screen.step("3. Seal: one Merkle tree for each domain, one MetaRoot over them");
    seal(&mut client, &screen)?;

    screen.step(&format!("4. Prove the newest commit, {} {:?}", short(&newest.id), newest.subject));
    prove(&mut client, &screen, &event, bundle)?;

    screen.step("5. Verify the file in a process that has no database");
    verify_offline(&screen, ets, bundle, &root_key)?;

    screen.step("6. Replay: each author's latest commit, from the events alone");
    replay(&mut client, &screen)?;
    verify(&mut client, &screen)?;

    screen.step("7. Now a superuser switches the guards off and changes one byte of that commit");
    tamper(&mut client, &screen, &event)?;
    verify_offline(&screen, ets, bundle, &root_key)?;
    screen.fact("(the file from step 4 still proves what was really written)");
    Ok(())
}

/// A ledger with a domain and a schema. Its root public key, in hex.
fn make_ledger(client: &mut Client, screen: &Screen) -> Result<String, String> {
    let schema: Value = serde_json::from_str(include_str!("git-commit.schema.json"))
        .map_err(|error| format!("git-commit.schema.json: {error}"))?;
    let mut setup = || -> Result<String, postgres::Error> {
        client.execute("SELECT ets.init('demo.example/git')", &[])?;
        client.execute("SELECT ets.create_domain($1, 'The commits of a git repository')", &[&DOMAIN])?;
        // The author names the stream; the schema's version is under the signature.
        let register = "SELECT ets.register_schema($1, $2, $3, '/author', '/schema_version')";
        client.execute(register, &[&SCHEMA, &DOMAIN, &schema])?;
        Ok(client.query_one("SELECT ets.trust_root() ->> 'root_public_key'", &[])?.get(0))
    };
    let root_key = setup().map_err(told)?;
    screen.item("root key", &root_key);
    screen.item("domain", DOMAIN);
    screen.item("schema", SCHEMA);
    Ok(root_key)
}

/// Registers the authors and appends the commits. The events' ids, in order.
fn append(client: &mut Client, screen: &Screen, commits: &[Commit]) -> Result<Vec<String>, String> {
    let mut authors: HashMap<&str, Author> = HashMap::new();
    let started = Instant::now();
    for commit in commits {
        if let Entry::Vacant(entry) = authors.entry(&commit.author) {
            entry.insert(register(client, &commit.author).map_err(told)??);
        }
    }
    let registered = authors.len();
    screen.fact(&format!(
        "{registered} keys made here, registered and granted one stream each{}",
        since(started)
    ));

    let started = Instant::now();
    let mut ids = Vec::with_capacity(commits.len());
    let mut progress = screen.progress(commits.len());
    for batch in commits.chunks(BATCH) {
        let mut events = Vec::with_capacity(batch.len());
        for commit in batch {
            let author = authors.get_mut(commit.author.as_str()).ok_or("an author without a key")?;
            events.push(author.sign(commit, SCHEMA)?);
        }
        let statement = "SELECT event_id::text FROM ets.append_batch($1::text::json)";
        let rows = client.query(statement, &[&Value::Array(events).to_string()]).map_err(told)?;
        ids.extend(rows.iter().map(|row| row.get::<_, String>(0)));
        progress.show(ids.len());
    }
    drop(progress);
    if ids.len() != commits.len() {
        return Err(format!("{} commits gave {} events", commits.len(), ids.len()));
    }
    screen.good(&format!("{} commits appended{}", commits.len(), since(started)));
    Ok(ids)
}

fn register(client: &mut Client, name: &str) -> Result<Result<Author, String>, postgres::Error> {
    let head: Vec<u8> = client.query_one("SELECT head_hash FROM ets.head($1, $2)", &[&DOMAIN, &name])?.get(0);
    let Ok(head) = Digest::try_from(head.as_slice()) else { return Ok(Err("a head is no hash".to_owned())) };
    let author = match Author::new(head) {
        Ok(author) => author,
        Err(error) => return Ok(Err(error)),
    };
    client.execute("SELECT ets.register_key($1, $2)", &[&author.public_key().as_slice(), &name])?;
    // This schema, this stream, nothing else.
    let grant = "SELECT ets.grant_authority($1, $2, $3, $4)";
    client.execute(grant, &[&author.key_id(), &DOMAIN, &SCHEMA, &name])?;
    Ok(Ok(author))
}

fn seal(client: &mut Client, screen: &Screen) -> Result<(), String> {
    let started = Instant::now();
    let checkpoint: i64 = one(client, "SELECT checkpoint_id FROM ets.seal()", &[])?;
    let sql = "SELECT encode(meta_root, 'hex') FROM ets.checkpoint WHERE checkpoint_id = $1";
    let meta_root: String = one(client, sql, &[&checkpoint])?;
    let roots = "SELECT domain, tree_size, encode(root_hash, 'hex') FROM ets.domain_root
        WHERE checkpoint_id = $1 ORDER BY domain COLLATE \"C\"";
    for row in client.query(roots, &[&checkpoint]).map_err(told)? {
        let (domain, size, root): (String, i64, String) = (row.get(0), row.get(1), row.get(2));
        screen.item(&domain, &format!("{size:>7} events  {}…", &root[..16]));
    }
    screen.good(&format!("MetaRoot {meta_root}{}", since(started)));
    Ok(())
}

fn prove(client: &mut Client, screen: &Screen, event: &str, bundle: &Path) -> Result<(), String> {
    let sql = "SELECT count(*) FROM ets.merkle_proof($1::text::uuid)";
    let steps: i64 = one(client, sql, &[&event])?;
    screen.fact(&format!("{steps} hashes lead from its leaf to the root of {DOMAIN}"));
    let text: String = one(client, "SELECT ets.proof_bundle($1::text::uuid)::text", &[&event])?;
    std::fs::write(bundle, &text).map_err(|error| format!("{}: {error}", bundle.display()))?;
    screen.good(&format!("{} ({} bytes)", bundle.display(), text.len()));
    Ok(())
}

fn verify_offline(screen: &Screen, ets: &Path, bundle: &Path, root_key: &str) -> Result<(), String> {
    screen.fact(&format!("$ ets verify --root-key {}… {}", &root_key[..12], bundle.display()));
    let mut command = Command::new(ets);
    // Not even the address of the database is left in its environment.
    command.env_clear().args(["verify", "--root-key", root_key]).arg(bundle);
    let output = command.output().map_err(|error| format!("{}: {error}", ets.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    for line in text.lines().skip(1) {
        screen.fact(line.strip_prefix("  ").unwrap_or(line));
    }
    if !output.status.success() {
        return Err(format!("ets verify: {}{}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    Ok(())
}

fn replay(client: &mut Client, screen: &Screen) -> Result<(), String> {
    let sql = "SELECT stream, sequence, state ->> 'commit', state ->> 'message'
        FROM ets.replay($1) ORDER BY sequence DESC, stream";
    let rows = client.query(sql, &[&DOMAIN]).map_err(told)?;
    for row in rows.iter().take(SHOWN) {
        let (author, sequence): (String, i64) = (row.get(0), row.get(1));
        let (commit, message): (String, String) = (row.get(2), row.get(3));
        let subject: String = message.lines().next().unwrap_or_default().chars().take(50).collect();
        screen.fact(&format!("{sequence:>6}  {} {subject}  ({author})", short(&commit)));
    }
    if rows.len() > SHOWN {
        screen.fact(&format!("        and {} more authors", rows.len() - SHOWN));
    }
    Ok(())
}

/// Verification of everything must find nothing.
fn verify(client: &mut Client, screen: &Screen) -> Result<(), String> {
    let started = Instant::now();
    let findings: i64 = one(client, "SELECT count(*) FROM ets.verify_ledger()", &[])?;
    if findings != 0 {
        return Err(format!("{findings} findings in a ledger that nobody touched"));
    }
    screen.good(&format!("ets.verify_ledger() finds nothing wrong{}", since(started)));
    Ok(())
}

/// What only a superuser can do, and cannot hide.
fn tamper(client: &mut Client, screen: &Screen, event: &str) -> Result<(), String> {
    let update = "UPDATE ets.ledger_event SET payload = jsonb_set(payload, '{commit}', to_jsonb(
            overlay(payload ->> 'commit' PLACING translate(left(payload ->> 'commit', 1), '0123456789abcdef',
            '123456789abcdef0') FROM 1)))
        WHERE event_id = $1::text::uuid";
    match client.execute(update, &[&event]) {
        Ok(_) => return Err("an UPDATE of the ledger was not refused".to_owned()),
        Err(error) => screen.good(&format!("a plain UPDATE is refused: {}", told(error))),
    }
    client
        .batch_execute(
            "DO $$ DECLARE guard name; BEGIN
                FOR guard IN SELECT evtname FROM pg_event_trigger LOOP
                    EXECUTE format('ALTER EVENT TRIGGER %I DISABLE', guard);
                END LOOP;
            END $$;
            ALTER TABLE ets.ledger_event DISABLE TRIGGER ALL",
        )
        .and_then(|()| client.execute(update, &[&event]))
        .and_then(|_| client.execute("SELECT ets.arm()", &[]))
        .map_err(told)?;
    screen.fact("with the guards switched off, then on again, it is done; and found:");

    let sql = "SELECT to_jsonb(finding) FROM ets.verify_ledger() finding";
    let findings: Vec<Value> = client.query(sql, &[]).map_err(told)?.iter().map(|row| row.get(0)).collect();
    for finding in findings.iter().take(SHOWN) {
        let of = |member: &str| match &finding[member] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        screen.bad(&format!("{} {} {} #{}", of("check_name"), of("domain"), of("stream"), of("sequence")));
        for member in ["event_id", "expected", "actual"] {
            screen.item(&format!("  {member}"), &of(member));
        }
    }
    match findings.iter().any(|finding| finding["event_id"] == *event) {
        true => Ok(()),
        false => Err(format!("verification did not name {event}")),
    }
}

fn one<T>(
    client: &mut Client,
    sql: &str,
    values: &[&(dyn postgres::types::ToSql + Sync)],
) -> Result<T, String>
where
    T: for<'a> postgres::types::FromSql<'a>,
{
    client.query_one(sql, values).and_then(|row| row.try_get(0)).map_err(told)
}

/// What the server said, with its hint.
fn told(error: postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => {
            let parts = [Some(error.message()), error.detail(), error.hint()];
            format!("{} {}", error.code().code(), parts.into_iter().flatten().collect::<Vec<_>>().join(" — "))
        }
        None => error.to_string(),
    }
}

fn since(started: Instant) -> String {
    format!(" in {:.1} s", started.elapsed().as_secs_f64())
}

fn short(commit: &str) -> &str {
    &commit[..commit.floor_char_boundary(10)]
}
