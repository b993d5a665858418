//! Two sessions and every pair of operations, at each isolation level: who waits for
//! whom, and what comes of it. tests/isolation.txt has what it is.
//!
//! Afterwards the ledger verifies: no fork, nothing half, nothing lost.

use std::fmt::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use ets_tests::{
    Cluster, DOMAIN, Ledger, SCHEMA, Signer, assert_documented, findings, hash_of, head, order, setting,
};
use postgres::Client;
use serde_json::Value;

use crate::append::batch_event;

const LEVELS: [&str; 3] = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"];

const OPERATIONS: [&str; 11] = [
    "append",
    "batch",
    "seal",
    "revoke key",
    "revoke grant",
    "schema",
    "rebuild",
    "verify",
    "vacuum full",
    "truncate",
    "disarm",
];

/// What an operation may come to: as documented in docs/errors.md, or a wish to try again.
const ALLOWED: [&str; 7] = ["ok", "ET004", "ET005", "ET009", "ET010", "ET011", "40001"];

/// How the two transactions end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    FirstCommits,
    FirstRollsBack,
    SecondBeforeFirst,
}

/// The statement of an operation. Both sessions' are made beforehand, so that two appends are
/// signed onto the same head, by the key that is revoked, and two schemas have the same name.
struct Statements<'a> {
    signer: &'a Signer,
    head: Vec<u8>,
    number: i64,
}

impl Statements<'_> {
    fn of(&self, operation: &str, session: i64) -> String {
        let key = self.signer.key_id();
        match operation {
            "append" => {
                let payload = order("hot", self.number * 2 + session);
                let event = batch_event(self.signer, &payload, &self.head);
                let hex = |name: &str| format!("'\\x{}'", event[name].as_str().expect("hex"));
                format!(
                    "SELECT ets.append('{payload}', '{SCHEMA}', {}, {}, {})",
                    hex("public_key"),
                    hex("previous_hash"),
                    hex("signature")
                )
            }
            "batch" => {
                let mut previous = self.head.clone();
                let mut events = Vec::new();
                for place in 0..3 {
                    let payload = order("hot", 1_000_000 + (self.number * 2 + session) * 3 + place);
                    events.push(batch_event(self.signer, &payload, &previous));
                    previous = hash_of(&payload, &previous).0.to_vec();
                }
                format!("SELECT ets.append_batch('{}')", Value::Array(events))
            }
            "seal" => "SELECT ets.seal()".to_owned(),
            "revoke key" => format!("SELECT ets.revoke_key('{key}', 'the test')"),
            "revoke grant" => format!("SELECT ets.revoke_authority('{key}', '{DOMAIN}')"),
            "schema" => {
                let name = format!("s{}/1.0.0", self.number);
                format!("SELECT ets.register_schema('{name}', '{DOMAIN}', '{{}}', '/order', '/schema')")
            }
            "rebuild" => "SELECT ets.rebuild_merkle()".to_owned(),
            "verify" => "SELECT ets.verify_ledger()".to_owned(),
            "vacuum full" => "VACUUM FULL ets.ledger_event".to_owned(),
            "truncate" => "TRUNCATE ets.ledger_event CASCADE".to_owned(),
            "disarm" => "ALTER TABLE ets.ledger_event DISABLE TRIGGER ALL".to_owned(),
            other => unreachable!("{other}"),
        }
    }
}

fn outcome(session: &mut Client, sql: &str) -> String {
    let Err(error) = session.batch_execute(sql) else { return "ok".to_owned() };
    // The driver does not wait until the server has let go of the locks; this does.
    session.batch_execute("").expect("the server is there");
    let said = error.as_db_error().unwrap_or_else(|| panic!("the server is there: {error}"));
    let code = said.code().code().to_owned();
    assert!(ALLOWED.contains(&code.as_str()), "{said:?}");
    code
}

/// The two sessions, and a third that looks on.
struct Stage {
    sessions: [Client; 2],
    processes: [i32; 2],
    watcher: Client,
    level: &'static str,
}

impl Stage {
    fn new(cluster: &Cluster, database: &str, level: &'static str) -> Stage {
        let mut sessions = [cluster.connect(database), cluster.connect(database)];
        let processes = sessions.each_mut().map(|session| {
            // Verification beside a tamper attempt need not shout.
            session.batch_execute("SET client_min_messages = error; SET jit = off").expect("set");
            session.query_one("SELECT pg_backend_pid()", &[]).expect("pid").get(0)
        });
        Stage { sessions, processes, watcher: cluster.connect(database), level }
    }

    /// Plays one pair: whether the second waited, and what came of each.
    fn play(&mut self, pair: [&str; 2], statements: [&str; 2], end: End) -> (bool, String, String) {
        let alone = pair.map(|operation| operation == "vacuum full");
        let begin = format!("BEGIN ISOLATION LEVEL {}; SELECT count(*) FROM pg_class", self.level);
        for (session, alone) in self.sessions.iter_mut().zip(alone) {
            if !alone {
                session.batch_execute(&begin).expect("begin");
            }
        }
        let [first, second] = &mut self.sessions;
        let mut of_first = outcome(first, statements[0]);
        let (watcher, [blocker, blocked]) = (&mut self.watcher, self.processes);
        let mut waited = false;
        let mut of_second = String::new();
        let finish = |session: &mut Client, alone: bool, said: &mut String, commit: bool| {
            if alone {
                return;
            }
            let ended = outcome(session, if commit { "COMMIT" } else { "ROLLBACK" });
            if ended != "ok" {
                *said = ended;
            }
        };
        thread::scope(|scope| {
            let worker = scope.spawn(|| outcome(second, statements[1]));
            let deadline = Instant::now() + Duration::from_secs(30);
            while !worker.is_finished() && !waited {
                let sql = "SELECT $1 = ANY (pg_blocking_pids($2))";
                waited = watcher.query_one(sql, &[&blocker, &blocked]).expect("locks").get(0);
                assert!(Instant::now() < deadline, "{pair:?}: neither done nor waiting for the first");
                thread::sleep(Duration::from_micros(300));
            }
            if waited || end != End::SecondBeforeFirst {
                finish(first, alone[0], &mut of_first, end != End::FirstRollsBack);
            }
            of_second = worker.join().expect("no panic");
        });
        finish(second, alone[1], &mut of_second, true);
        if !waited && end == End::SecondBeforeFirst {
            finish(first, alone[0], &mut of_first, true);
        }
        (waited, of_first, of_second)
    }
}

/// One line for each operation that comes second, one cell for the level.
fn row(cluster: &Cluster, level: &'static str, first: &'static str, keys: &mut u8) -> Vec<String> {
    let database = cluster.create_database();
    let mut client = cluster.connect(&database);
    Ledger::set_up(&mut client);
    let mut stage = Stage::new(cluster, &database, level);
    let mut signer = Signer::new(1);
    let mut number = 0;
    // `make test` verifies after each row of pairs.
    let each_pair = setting("ETS_TORTURE_ROUNDS", 0) > 0;
    let cells = OPERATIONS.map(|second| {
        let mut said = Vec::new();
        let mut waits = false;
        for end in [End::FirstCommits, End::FirstRollsBack, End::SecondBeforeFirst] {
            if waits && end == End::SecondBeforeFirst {
                continue;
            }
            number += 1;
            let live = "SELECT EXISTS (SELECT FROM ets.authority WHERE key_id = $1)";
            if !client.query_one(live, &[&signer.key_id()]).expect("authority").get::<_, bool>(0) {
                *keys += 1;
                signer = Signer::new(*keys);
                let key = signer.public_key();
                client.execute("SELECT ets.register_key($1, 'somebody')", &[&key]).expect("key");
                let grant = "SELECT ets.grant_authority($1, $2)";
                client.execute(grant, &[&signer.key_id(), &DOMAIN]).expect("grant");
            }
            let made = Statements { signer: &signer, head: head(&mut client, "hot").0, number };
            let statements = [made.of(first, 0), made.of(second, 1)];
            let (waited, a, b) = stage.play([first, second], [&statements[0], &statements[1]], end);
            if end == End::FirstCommits {
                waits = waited;
            }
            assert_eq!(waits, waited, "{level}: {first}, {second}: it waits whatever the end");
            said.push(if a == "ok" { b } else { format!("{a}+{b}") });
        }
        if each_pair {
            assert_eq!(findings(&mut client), Vec::<String>::new(), "{level}: {first}, {second}");
        }
        format!("{} {}", if waits { "waits" } else { "-" }, said.join(" "))
    });
    let forks = "SELECT count(*) FROM (SELECT FROM ets.ledger_event GROUP BY domain, previous_hash HAVING count(*) > 1) f";
    assert_eq!(client.query_one(forks, &[]).expect("forks").get::<_, i64>(0), 0);
    client.query_one("SELECT ets.seal()", &[]).expect("the next seal");
    assert_eq!(findings(&mut client), Vec::<String>::new(), "{level}: {first}");
    drop((stage, client));
    cluster.connect("postgres").batch_execute(&format!("DROP DATABASE {database} (FORCE)")).expect("drop");
    cells.to_vec()
}

#[test]
fn every_pair_of_operations_waits_or_goes_on_as_written_down() {
    let cluster = Cluster::shared();
    let tables: Vec<Vec<Vec<String>>> = thread::scope(|scope| {
        let levels = LEVELS.map(|level| {
            scope.spawn(move || {
                OPERATIONS.iter().map(|first| row(cluster, level, first, &mut 1)).collect::<Vec<_>>()
            })
        });
        levels.into_iter().map(|level| level.join().expect("the level")).collect()
    });
    let mut text = format!("{:<27}{:<34}{:<34}{}\n", "first, second", LEVELS[0], LEVELS[1], LEVELS[2]);
    for (a, first) in OPERATIONS.iter().enumerate() {
        for (b, second) in OPERATIONS.iter().enumerate() {
            let cell = |level: usize| tables[level][a][b].as_str();
            let pair = format!("{first}, {second}");
            writeln!(text, "{pair:<27}{:<34}{:<34}{}", cell(0), cell(1), cell(2)).expect("a text");
        }
    }
    assert_documented("tests/isolation.txt", "pairs", &text);
}
