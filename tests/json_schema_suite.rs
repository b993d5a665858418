//! The JSON Schema Test Suite through SQL: each schema registered, each value
//! judged. What the ledger refuses, or judges otherwise than the suite, is the
//! list in docs/json-schema.md, and nothing else.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use ets_tests::{Chain, assert_documented, error_of, test_data};
use serde_json::Value;

const DOCUMENT: &str = "docs/json-schema.md";

#[test]
fn draft_2020_12_judges_as_the_suite_does() {
    let found = run("draft2020-12", "https://json-schema.org/draft/2020-12/schema");
    assert_documented(DOCUMENT, "draft 2020-12", &found);
}

#[test]
fn draft_07_judges_as_the_suite_does() {
    assert_documented(DOCUMENT, "draft-07", &run("draft7", "http://json-schema.org/draft-07/schema#"));
}

/// Everything but the agreement, as the document lists it.
fn run(draft: &str, dialect: &str) -> String {
    let suite = test_data(&["json-schema-suite"]).join(draft);
    let mut chain = Chain::new();
    chain.create_domain("suite");
    let mut report = Report::default();
    for part in ["", "optional", "optional/format"] {
        let folder = suite.join(part);
        let mut files: Vec<_> = fs::read_dir(&folder)
            .expect("a folder of the suite")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|end| end == "json"))
            .collect();
        files.sort();
        for file in files {
            let name = Path::new(part).join(file.file_stem().expect("a name"));
            run_file(&mut chain, &file, &name.display().to_string(), dialect, &mut report);
        }
    }
    assert_eq!(chain.findings(), Vec::<String>::new());
    report.text()
}

fn run_file(chain: &mut Chain, path: &Path, file: &str, dialect: &str, report: &mut Report) {
    let text = fs::read_to_string(path).expect("a file of the suite");
    let groups: Vec<Value> = serde_json::from_str(&text).expect("groups");
    // As Postgres takes them apart: it keeps every number as it is written. It does
    // not read over U+0000, for which another character stands in meanwhile.
    let sql = "SELECT (item -> 'schema')::text, ARRAY(SELECT (test -> 'data')::text FROM json_array_elements(item -> 'tests') test)
        FROM json_array_elements($1::text::json) item";
    let rows = chain.client.query(sql, &[&text.replace("\\u0000", "\\ue000")]).expect("JSON");
    let as_written = |text: String| text.replace("\\ue000", "\\u0000");
    assert_eq!(rows.len(), groups.len());
    for (number, (group, row)) in groups.iter().zip(rows).enumerate() {
        let schema = with_dialect(as_written(row.get(0)), &group["schema"], dialect);
        let name = format!("{}.{number}/1.0.0", file.replace('/', "."));
        let title = format!("{file}: {}", group["description"].as_str().expect("a description"));
        report.schemas += 1;
        let tests = group["tests"].as_array().expect("tests");
        if let Err(error) = chain.register(&name, "suite", &schema) {
            let code = error_of::<()>(Err(error)).code().code().to_owned();
            let error = error_of(chain.violations(&schema, "0"));
            assert_eq!(error.code().code(), code, "{title}: ets.validate refuses another schema");
            report.refuse(&error, tests.len(), title);
            continue;
        }
        report.registered += 1;
        let data: Vec<String> = row.get(1);
        assert_eq!(data.len(), tests.len());
        for (test, payload) in tests.iter().zip(data) {
            let title = format!("{title}: {}", test["description"].as_str().expect("a description"));
            report.judge(chain.violations(&schema, &as_written(payload)), test["valid"] == true, title);
        }
    }
}

/// The schema's text, with the dialect of its folder where it names none.
fn with_dialect(text: String, schema: &Value, dialect: &str) -> String {
    match schema.as_object() {
        Some(members) if !members.contains_key("$schema") => {
            let comma = if members.is_empty() { "" } else { "," };
            text.replacen('{', &format!("{{\"$schema\": \"{dialect}\"{comma}"), 1)
        }
        _ => text,
    }
}

#[derive(Default)]
struct Report {
    schemas: usize,
    registered: usize,
    judged: usize,
    agreed: usize,
    /// Tests of schemas that are not registered.
    without_schema: usize,
    /// By reason.
    refused: BTreeMap<String, Vec<String>>,
    /// Valid for the ledger only, and for the suite only.
    otherwise: BTreeMap<&'static str, Vec<String>>,
}

impl Report {
    fn refuse(&mut self, error: &postgres::error::DbError, tests: usize, title: String) {
        let detail: Value =
            error.detail().and_then(|detail| serde_json::from_str(detail).ok()).unwrap_or_default();
        let reason = match error.code().code() {
            "ET006" => format!("ET006 {}", detail["reason"].as_str().expect("a reason")),
            code => code.to_owned(),
        };
        self.without_schema += tests;
        self.refused.entry(format!("schema refused, {reason}")).or_default().push(title);
    }

    fn judge(&mut self, violations: Result<i64, postgres::Error>, valid: bool, title: String) {
        self.judged += 1;
        match violations {
            Err(error) => {
                let code = error_of::<()>(Err(error)).code().code().to_owned();
                self.refused.entry(format!("payload refused, {code}")).or_default().push(title);
            }
            Ok(violations) if (violations == 0) == valid => self.agreed += 1,
            Ok(0) => self.otherwise.entry("accepted against the suite").or_default().push(title),
            Ok(_) => self.otherwise.entry("not accepted, against the suite").or_default().push(title),
        }
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{} schemas, {} registered\n{} tests, {} of them under schemas that are not registered\n{} judged, {} as the suite says\n",
            self.schemas,
            self.registered,
            self.judged + self.without_schema,
            self.without_schema,
            self.judged,
            self.agreed
        );
        let otherwise = self.otherwise.iter().map(|(kind, titles)| (*kind, titles));
        for (kind, titles) in
            self.refused.iter().map(|(kind, titles)| (kind.as_str(), titles)).chain(otherwise)
        {
            let _ = writeln!(text, "\n{kind} ({})", titles.len());
            for title in titles {
                let _ = writeln!(text, "  {title}");
            }
        }
        text
    }
}
