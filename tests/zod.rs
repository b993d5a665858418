//! Schemas exported by Zod judge as Zod does, but for what docs/zod.md lists.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::Command;

use ets_tests::{Chain, assert_documented, refused, test_data};
use serde_json::Value;

#[test]
fn zod_and_the_gate_agree_but_for_what_is_documented() {
    let mut chain = Chain::new();
    chain.create_domain("zod");
    let (mut verdicts, mut differences) = (BTreeMap::new(), String::new());
    let mut parts = BTreeSet::new();
    for line in exported() {
        let (part, name) = (line["part"].as_str().expect("a part"), line["name"].as_str().expect("a name"));
        parts.insert(part.to_owned());
        match part {
            "unrepresentable" => {
                assert!(line["error"].is_string(), "Zod exports {name}, which JSON cannot say");
                let _ = writeln!(differences, "{name}: not exported");
            }
            "lookahead" => {
                let refusal = refused(
                    chain.register(&format!("{name}/1.0.0"), "zod", &line["schema"].to_string()),
                    "ET006",
                );
                assert_eq!(refusal.detail["reason"], "pattern", "{name}");
                let _ = writeln!(differences, "{name}: exported, not registered (pattern)");
            }
            _ => {
                let counts = judge(&mut chain, name, &line);
                verdicts.entry(part.to_owned()).or_insert_with(Vec::new).push(counts.values);
                assert!(
                    counts.accepted > 1 && counts.accepted < counts.values || name == "json",
                    "{name} tests nothing"
                );
                if counts.only_zod + counts.only_gate > 0 {
                    let _ = writeln!(
                        differences,
                        "{name}: of {} values, {} accepted by Zod alone, {} by the gate alone",
                        counts.values, counts.only_zod, counts.only_gate
                    );
                }
                let differs = counts.only_zod + counts.only_gate > 0;
                assert_eq!(differs, part == "differ", "{name}: {:?}", counts.examples);
            }
        }
    }
    assert_eq!(parts.into_iter().collect::<Vec<_>>(), ["agree", "differ", "lookahead", "unrepresentable"]);
    assert!(verdicts["agree"].len() > 40 && verdicts["agree"].iter().sum::<usize>() > 1500);
    assert_documented("docs/zod.md", "differences", &differences);
    assert_eq!(chain.findings(), Vec::<String>::new());
}

#[derive(Default)]
struct Counts {
    values: usize,
    accepted: usize,
    only_zod: usize,
    only_gate: usize,
    /// The first values on which the verdicts differ.
    examples: Vec<Value>,
}

/// Registers the schema and appends every value: the gate takes what
/// `ets.validate` finds nothing in.
fn judge(chain: &mut Chain, name: &str, line: &Value) -> Counts {
    let (version, schema) = (format!("{name}/1.0.0"), line["schema"].to_string());
    chain.register(&version, "zod", &schema).unwrap_or_else(|error| panic!("{name}: {error:?}"));
    let mut counts = Counts::default();
    for case in line["cases"].as_array().expect("cases") {
        let payload = case["value"].to_string();
        let valid = chain.violations(&schema, &payload).expect("a verdict") == 0;
        match chain.append(&version, "zod", &payload) {
            Ok(_) => assert!(valid, "{name}: the gate took {payload}"),
            refusal if valid => panic!("{name}: the gate refused {payload}: {refusal:?}"),
            refusal => drop(refused(refusal, "ET007")),
        }
        let accepted = case["accepted"] == true;
        counts.values += 1;
        counts.accepted += usize::from(accepted);
        counts.only_zod += usize::from(accepted && !valid);
        counts.only_gate += usize::from(valid && !accepted);
        if accepted != valid && counts.examples.len() < 3 {
            counts.examples.push(case["value"].clone());
        }
    }
    counts
}

/// What tests/npm/zod-cases.mjs prints.
fn exported() -> Vec<Value> {
    let folder = test_data(&["npm", "tests/npm"]);
    let output = Command::new("node").arg("zod-cases.mjs").current_dir(folder).output().expect("node runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    lines.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}
