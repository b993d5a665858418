//! The OpenAPI document of ets-http, put to the proof by somebody else's tool: no
//! request that it allows, and none that it does not, makes an error of the server or
//! an answer that is not in it.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use ets_tests::{Cluster, Ledger, order, test_data};
use serde_json::Value;

use crate::http::client::Server;

/// What is held against the document.
const CHECKS: &str =
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
/// Server-sent events have no end, and the tool waits for one.
const ENDLESS: &str = "/feed$";

/// What a run has tried.
struct Tested {
    operations: u64,
    cases: u64,
    /// How many requests of an operation were answered as wished, not refused.
    accepted: BTreeMap<String, u64>,
}

fn run(server: &Server, folder: &str, configuration: &str, more: &[&str]) -> Tested {
    let folder = Cluster::shared().folder().join(folder);
    // It writes into the folder that it runs in.
    fs::create_dir(&folder).expect("a new folder");
    fs::write(folder.join("schemathesis.toml"), configuration).expect("a file");
    let packages = test_data(&["python", "tests/schemathesis"]);
    let output = Command::new("python3")
        .args(["-B", "-m", "schemathesis.cli", "run", &format!("{}/openapi.json", server.base())])
        .args(["--checks", CHECKS, "--exclude-path-regex", ENDLESS, "--phases", "examples,coverage,fuzzing"])
        .args(["--seed", "1", "--generation-deterministic", "--request-timeout", "20", "--no-color"])
        .args(["--report", "json", "--report-json-path", "report.json"])
        .args(more)
        .env("PYTHONPATH", packages)
        .current_dir(&folder)
        .output()
        .unwrap_or_else(|error| panic!("python3: {error}"));
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{error}");
    let report = fs::read_to_string(folder.join("report.json")).expect("a report");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let counted = |pointer: &str| report.pointer(pointer).and_then(Value::as_u64).expect(pointer);
    let mut accepted = BTreeMap::new();
    for (operation, phases) in report["valid_rates"].as_object().expect("operations") {
        let phases = phases.as_object().expect("phases").values();
        accepted.insert(operation.clone(), phases.filter_map(|phase| phase["accepted"].as_u64()).sum());
    }
    Tested { operations: counted("/operations/tested"), cases: counted("/test_cases/generated"), accepted }
}

#[test]
fn the_server_answers_as_its_document_says() {
    let mut ledger = Ledger::new();
    let event = ledger.append(&order("a", 1));
    ledger.append(&order("a", 2));
    ledger.seal();
    ledger.append(&order("b", 1));
    let server = Server::start(&ledger.database.environment(), &["--time-out", "10"]);
    let document = server.get("/openapi.json").json();
    let paths = document["paths"].as_object().expect("paths");
    let operations: usize = paths
        .iter()
        .filter(|(path, _)| !path.ends_with("/feed"))
        .map(|(_, methods)| methods.as_object().expect("methods").len())
        .sum();
    assert!(operations > 20 && paths.keys().any(|path| path.ends_with("/feed")), "{operations}");

    // As it likes; then with what there is, so that more is found than nothing.
    let any = run(&server, "schemathesis-any", "", &["--max-examples", "10"]);
    assert_eq!(any.operations, operations as u64);
    assert!(any.cases > 500, "{}", any.cases);
    let known = [
        ("event_id", event.event_id.to_string()),
        ("q", event.event_id.to_string()),
        ("domain", "orders".into()),
        ("stream", "a".into()),
        ("tile", "0/000.p/2".into()),
        ("from", "1".into()),
        ("to", "2".into()),
    ];
    let known: String = known.iter().map(|(name, value)| format!("{name} = \"{value}\"\n")).collect();
    let known =
        run(&server, "schemathesis-known", &format!("[parameters]\n{known}"), &["--max-examples", "3"]);
    assert_eq!(known.operations, operations as u64);
    let reads = known.accepted.iter().filter(|(operation, _)| operation.starts_with("GET "));
    let in_vain: Vec<&String> =
        reads.filter(|(_, accepted)| **accepted == 0).map(|(operation, _)| operation).collect();
    assert!(in_vain.is_empty(), "nothing was read from {in_vain:?}");
    assert_eq!(ledger.findings(), Vec::<String>::new());
}
