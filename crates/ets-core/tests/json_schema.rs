//! The mandatory part of the JSON Schema Test Suite, as far as its schemas are
//! among those that the ledger takes. The suite is large and stays outside the
//! checkout: `scripts/test-data` fetches it. The whole suite, through SQL and with
//! each difference listed, is `tests/json_schema_suite.rs`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use ets_core::schema::Validator;
use serde_json::Value;

#[test]
fn draft_2020_12() {
    run("draft2020-12", None);
}

#[test]
fn draft_07() {
    run("draft7", Some("http://json-schema.org/draft-07/schema#"));
}

/// Every schema that is taken judges as the suite says, and what is not taken is
/// refused for what it refers to: nothing is fetched, and references stay in
/// bounds.
fn run(folder: &str, dialect: Option<&str>) {
    let folder = suite().join(folder);
    let (mut judged, mut refused, mut wrong) = (0, BTreeMap::<&str, Vec<String>>::new(), Vec::new());
    for file in std::fs::read_dir(&folder).expect("a folder") {
        let path = file.expect("a file").path();
        // There `format` is an annotation, here an assertion.
        if path.extension().is_none_or(|end| end != "json") || path.ends_with("format.json") {
            continue;
        }
        let groups: Value =
            serde_json::from_str(&std::fs::read_to_string(&path).expect("text")).expect("JSON");
        for group in groups.as_array().expect("groups") {
            let mut schema = group["schema"].clone();
            if let (Some(dialect), Some(members)) = (dialect, schema.as_object_mut()) {
                members.entry("$schema").or_insert_with(|| dialect.into());
            }
            let name = format!("{}: {}", path.file_name().expect("a name").display(), group["description"]);
            match Validator::compile(&schema) {
                Err(error) => refused.entry(error.reason()).or_default().push(name),
                Ok(validator) => {
                    for test in group["tests"].as_array().expect("tests") {
                        judged += 1;
                        let valid = validator.validate(&test["data"]).is_empty();
                        assert_eq!(valid, validator.is_valid(&test["data"]));
                        if valid != test["valid"] {
                            wrong.push(format!("{name}: {}", test["description"]));
                        }
                    }
                }
            }
        }
    }
    println!("{judged} judged; refused: {refused:#?}");
    assert_eq!(wrong, Vec::<String>::new());
    assert!(judged > 700, "{judged}");
    assert!(refused.keys().all(|reason| ["dialect", "loop", "pattern", "reference"].contains(reason)));
    assert!(refused.values().map(Vec::len).sum::<usize>() < 60);
}

/// The suite's folder. Without it these tests fail: they would test nothing.
fn suite() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/test-data");
    let output = Command::new(script).arg("json-schema-suite").output().expect("scripts/test-data runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}
