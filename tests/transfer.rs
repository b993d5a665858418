//! `ets export` and `ets import`: the real program between two real databases.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use ets_tests::{Cluster, Database, Ledger, findings, order, program};
use serde_json::Value;

struct Here {
    ledger: Ledger,
    root_key: String,
}

impl Here {
    fn new() -> Self {
        let mut ledger = Ledger::new();
        for amount in 1..4 {
            ledger.append(&order("a", amount));
        }
        ledger.seal();
        ledger.append(&order("b", 1));
        let root_key = ledger.one("SELECT ets.trust_root()->>'root_public_key'", &[]);
        Here { ledger, root_key }
    }

    fn file(&self, name: &str) -> String {
        let name = format!("{}.{name}", self.ledger.database.name);
        Cluster::shared().folder().join(name).to_str().expect("a path of ours is UTF-8").to_owned()
    }

    fn export(&self, arguments: &[&str]) -> Output {
        run(&self.ledger.database, "export", arguments, "")
    }
}

fn run(database: &Database, command: &str, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(program("ets"))
        .env_clear()
        .envs(database.environment())
        .arg(command)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ets runs");
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    child.wait_with_output().expect("ets ends")
}

fn said(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

#[track_caller]
fn refusal(output: &Output) -> String {
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(2), &b""[..]), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_ledger_goes_to_another_database_as_a_file() {
    let mut here = Here::new();
    let file = here.file("ndjson");
    let exported = said(&here.export(&["--json", "--output", &file]));
    assert_eq!(exported["events"], here.ledger.one::<i64>("SELECT count(*) FROM ets.ledger_event", &[]));
    let sql = "SELECT encode(meta_root, 'hex') FROM ets.checkpoint";
    assert_eq!(exported["meta_root"], here.ledger.one::<String>(sql, &[]));
    // The same as the function's lines, and as what goes to standard output.
    let lines = "SELECT string_agg(line || E'\\n', '' ORDER BY line_number) FROM ets.export()";
    let text = fs::read_to_string(&file).expect("the export");
    assert_eq!(text, here.ledger.one::<String>(lines, &[]));
    assert_eq!(exported["lines"], text.lines().count());
    assert_eq!(String::from_utf8(here.export(&[]).stdout).expect("UTF-8"), text);
    assert!(refusal(&here.export(&["--output", &file])).contains("exists already"));

    let copy = Cluster::shared().database();
    let import = |arguments: &[&str], input: &str| run(&copy, "import", arguments, input);
    let message = refusal(&import(&[&file], ""));
    assert!(message.contains("joined no ledger"), "{message}");
    let stranger = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c";
    let join = ["--join", "--root-key", &here.root_key];
    assert!(refusal(&import(&["--join", "--root-key", stranger, &file], "")).contains("another root key"));
    assert!(refusal(&import(&["--join", &file], "")).contains("--root-key"));
    let mut client = copy.connect();
    let count = "SELECT count(*) FROM ets.ledger_event";
    // An export that ends too early takes the joining back with it.
    let cut = here.file("cut");
    fs::write(&cut, text.rsplit_once("{\"manifest\"").expect("a manifest").0).expect("a file");
    let message = refusal(&import(&[&join[..], &[&cut]].concat(), ""));
    assert!(message.contains("manifest"), "{message}");
    let joined = client.query_one("SELECT to_regclass('ets.ledger_event') IS NOT NULL", &[]).expect("a row");
    assert!(!joined.get::<_, bool>(0));

    let imported = said(&import(&[&join[..], &[&file]].concat(), ""));
    assert_eq!(imported, exported);
    assert_eq!(findings(&mut client), Vec::<String>::new());
    assert_eq!(client.query_one(sql, &[]).expect("a checkpoint").get::<_, String>(0), exported["meta_root"]);
    // The same again changes nothing; then what came since, from a pipe.
    assert_eq!(said(&import(&["--root-key", &here.root_key, &file], "")), exported);
    here.ledger.append(&order("b", 2));
    here.ledger.seal();
    let later = String::from_utf8(here.export(&["--from-checkpoint", "1"]).stdout).expect("UTF-8");
    assert_eq!(said(&import(&["-"], &later))["checkpoint_id"], 2);
    assert!(refusal(&import(&["--join", "--root-key", &here.root_key, "-"], &later)).contains("first event"));
    let all: i64 = here.ledger.one(count, &[]);
    assert_eq!(client.query_one(count, &[]).expect("a count").get::<_, i64>(0), all);
    assert_eq!(findings(&mut client), Vec::<String>::new());
}

#[test]
fn what_the_server_refuses_names_the_line() {
    let here = Here::new();
    let copy = Cluster::shared().database();
    let text = String::from_utf8(here.export(&[]).stdout).expect("UTF-8");
    let file = here.file("ndjson");
    fs::write(&file, &text).expect("a file");
    let join = ["--join", "--root-key", &here.root_key, &file];
    // Here it is a ledger of its own.
    let own = run(&here.ledger.database, "import", &join, "");
    assert!(refusal(&own).contains("ET013"), "{own:?}");
    for (from, to) in
        [("\"amount\":2", "\"amount\":7"), ("\"format\":\"ets-export/1\"", "\"format\":\"other\"")]
    {
        fs::write(&file, text.replacen(from, to, 1)).expect("a file");
        let message = refusal(&run(&copy, "import", &join, ""));
        assert!(message.contains("line "), "{message}");
    }
    let nobody = here.export(&["--domain", "nothing"]);
    assert!(refusal(&nobody).contains("ET011"), "{nobody:?}");
    let wrong = here.export(&["--from-checkpoint", "9"]);
    assert!(refusal(&wrong).contains("ET011"), "{wrong:?}");
}
