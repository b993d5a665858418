//! The actor's side of the program `ets`: it asks a real server for a place, signs
//! there and appends.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use ets_tests::{Ledger, SCHEMA, order, program};
use serde_json::{Value, json};

/// A ledger, and alice's key in a file that openssl made.
struct Actor {
    ledger: Ledger,
    key: PathBuf,
}

impl Actor {
    fn new() -> Self {
        let mut ledger = Ledger::new();
        let key =
            std::env::temp_dir().join(format!("ets-{}-{}.pem", std::process::id(), ledger.database.name));
        let made =
            Command::new("openssl").args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(&key).status();
        assert!(made.expect("openssl runs").success());
        let output = Command::new(program("ets")).arg("key-id").arg(&key).output().expect("ets runs");
        let named: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let sql = "SELECT ets.register_key(decode($1, 'hex'), 'carol')";
        ledger.client.execute(sql, &[&named["public_key"].as_str()]).expect("key");
        ledger
            .client
            .execute("SELECT ets.grant_authority($1, 'orders')", &[&named["key_id"].as_str()])
            .expect("grant");
        Actor { ledger, key }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("ets"));
        command.env_clear().envs(self.ledger.database.environment()).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// `ets append --key … --schema-version order/1.0.0 MORE -`.
    fn appending(&self, more: &[&str]) -> Command {
        let key = self.key.to_str().expect("UTF-8");
        let mut arguments = vec!["append", "--key", key, "--schema-version", SCHEMA];
        arguments.extend(more);
        arguments.push("-");
        self.command(&arguments)
    }

    fn append(&self, more: &[&str], input: &str) -> Output {
        fed(self.appending(more), input)
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.key);
    }
}

fn started(mut command: Command, input: &str) -> Child {
    let mut child = command.spawn().expect("ets runs");
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    child
}

fn fed(command: Command, input: &str) -> Output {
    started(command, input).wait_with_output().expect("ets ends")
}

fn lines(output: &Output) -> Vec<Value> {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON object")).collect()
}

fn refusal(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn an_event_is_signed_for_its_place_and_appended() {
    let mut actor = Actor::new();
    let head = |actor: &Actor| lines(&fed(actor.command(&["head", "orders", "a"]), ""))[0].clone();
    assert_eq!(head(&actor)["sequence"], 0);
    let first = lines(&actor.append(&[], &order("a", 1).to_string()));
    assert_eq!((first.len(), &first[0]["sequence"], &first[0]["stream"]), (1, &json!(1), &json!("a")));
    assert_eq!(head(&actor)["head_hash"], first[0]["current_hash"]);
    let many: String = (2..30).map(|amount| format!("{}\n\n", order("a", amount))).collect();
    let many = lines(&actor.append(&["--lines"], &many));
    assert_eq!(many.len(), 28);
    assert_eq!(many[27]["sequence"], 29);
    // A retry by id answers the stored event, though the head has moved on.
    let id: String = actor.ledger.one("SELECT ets.uuid_v7()::text", &[]);
    let sent = lines(&actor.append(&["--event-id", &id], &order("b", 1).to_string()));
    lines(&actor.append(&[], &order("c", 2).to_string()));
    let again = lines(&actor.append(&["--event-id", &id], &order("b", 1).to_string()));
    assert_eq!(sent, again);
    assert_eq!(sent[0]["event_id"], id.as_str());
    // Whoever knows the head signs for no other.
    let known = head(&actor)["head_hash"].as_str().expect("hex").to_owned();
    lines(&actor.append(&["--after", &known], &order("a", 30).to_string()));
    let said = refusal(&actor.append(&["--after", &known], &order("a", 31).to_string()));
    assert!(said.contains("nothing is signed"), "{said}");
    assert_eq!(head(&actor)["sequence"], 30);
    actor.ledger.seal();
    assert_eq!(actor.ledger.findings(), Vec::<String>::new());
}

#[test]
fn what_was_prepared_can_be_signed_elsewhere() {
    let mut actor = Actor::new();
    let input = json!({"amount": 1.10e1, "order": "a", "schema": SCHEMA}).to_string();
    let prepare = actor.command(&["prepare", "--schema-version", SCHEMA, "-"]);
    let prepared = lines(&fed(prepare, &input)).remove(0);
    assert_eq!(prepared["payload"]["amount"], 11);
    let payload =
        std::env::temp_dir().join(format!("ets-{}-{}.json", std::process::id(), actor.ledger.database.name));
    std::fs::write(&payload, prepared["payload"].to_string()).expect("written");
    let mut sign = Command::new(program("ets"));
    sign.args(["sign", "--schema-version", SCHEMA, "--previous-hash"])
        .arg(prepared["previous_hash"].as_str().expect("hex"))
        .arg("--key")
        .arg(&actor.key)
        .arg(&payload);
    let signed = sign.output().expect("ets runs");
    std::fs::remove_file(&payload).expect("removed");
    let signed = String::from_utf8(signed.stdout).expect("JSON");
    let appended = lines(&fed(actor.command(&["append", "--signed", "-"]), &signed));
    assert_eq!(appended[0]["current_hash"], prepared["current_hash"]);
    // What is there already is answered: also as an array, which may have any layout.
    let value: Value = serde_json::from_str(&signed).expect("JSON");
    let array = serde_json::to_string_pretty(&json!([value])).expect("JSON");
    assert_eq!(lines(&fed(actor.command(&["append", "--signed", "-"]), &array)), appended);
    for (garbage, says) in [("{}", "element 1"), ("[1]", "element 1"), ("{\n", "line 1"), ("[", "-: ")] {
        let said = refusal(&fed(actor.command(&["append", "--signed", "-"]), garbage));
        assert!(said.contains(says), "{garbage}: {said}");
    }
    // All or none: the second is not what was signed.
    let before = actor.ledger.contents();
    let two = format!("{signed}{}", signed.replace("\"amount\":11", "\"amount\":12"));
    let said = refusal(&fed(actor.command(&["append", "--signed", "-"]), &two));
    assert!(said.contains("ET003"), "{said}");
    assert_eq!(actor.ledger.contents(), before);
}

/// Several programs on one stream: each signs again until it has its place.
#[test]
fn programs_that_race_all_get_their_events_in() {
    const EACH: usize = 20;
    let mut actor = Actor::new();
    // Equal ones for one head would be one event: a retry.
    let input = |program: usize| -> String {
        (0..EACH).map(|n| format!("{}\n", order("hot", (program * EACH + n) as i64))).collect()
    };
    let programs: Vec<Child> =
        (0..4).map(|n| started(actor.appending(&["--lines", "--retries", "1000"]), &input(n))).collect();
    for program in programs {
        assert_eq!(lines(&program.wait_with_output().expect("ets ends")).len(), EACH);
    }
    assert_eq!(actor.ledger.head("hot").1, 4 * EACH as i64);
    assert_eq!(actor.ledger.findings(), Vec::<String>::new());
}

#[test]
fn refusals_say_what_is_wrong_and_where() {
    let mut actor = Actor::new();
    let before = actor.ledger.contents();
    for (input, expected) in [
        ("{", "line 1"),
        ("{\"a\":1,\"a\":2}", "line 1"),
        ("9007199254740993", "line 1"),
        (r#"{"schema":"order/1.0.0","order":"a"}"#, "ET007"),
    ] {
        let said = refusal(&actor.append(&[], input));
        assert!(said.contains(expected), "{input}: {said}");
    }
    let said = refusal(&actor.append(&["--lines"], &format!("{}\n{{\n", order("a", 1))));
    assert!(said.contains("line 2"), "nothing is sent before all is read: {said}");
    // A key that nobody registered.
    let stranger =
        std::env::temp_dir().join(format!("ets-{}-{}-s.pem", std::process::id(), actor.ledger.database.name));
    let made = Command::new(program("ets")).arg("keygen").arg(&stranger).status().expect("ets runs");
    assert!(made.success());
    let key = stranger.to_str().expect("UTF-8");
    let append = actor.command(&["append", "--key", key, "--schema-version", SCHEMA, "-"]);
    let said = refusal(&fed(append, &order("a", 1).to_string()));
    assert!(said.contains("ET004"), "{said}");
    std::fs::remove_file(&stranger).expect("removed");
    let mut nowhere = Command::new(program("ets"));
    nowhere.args(["head", "--dsn", "host=/nonexistent user=nobody dbname=none", "orders"]);
    nowhere.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    assert!(refusal(&fed(nowhere, "")).contains("cannot connect"));
    assert!(refusal(&fed(actor.command(&["head", "nothing"]), "")).contains("ET011"));
    assert_eq!(actor.ledger.contents(), before);
}
