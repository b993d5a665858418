//! docs/http-reference.md is what the OpenAPI document says.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

const OPENING: &str = "<!-- openapi -->\n";
const CLOSING: &str = "<!-- end of openapi -->\n";

/// A schema in a few words.
fn words(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap_or(name);
        return format!("[{name}](#{})", name.to_lowercase());
    }
    let kind = match &schema["type"] {
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        _ => "any JSON".to_owned(),
    };
    let mut text = match kind.as_str() {
        "array" => format!("array of {}", words(&schema["items"])),
        _ => kind,
    };
    for (key, label) in
        [("format", ""), ("pattern", "pattern "), ("minimum", "≥ "), ("maximum", "≤ "), ("enum", "one of ")]
    {
        match &schema[key] {
            Value::Null => {}
            Value::String(value) => {
                let _ = write!(text, ", {label}`{value}`");
            }
            value => {
                let _ = write!(text, ", {label}`{value}`");
            }
        }
    }
    text.replace('|', "\\|")
}

fn page(document: &Value) -> String {
    let mut page = String::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            let _ = write!(
                page,
                "\n## {} {path}\n\n{}.\n",
                method.to_uppercase(),
                operation["summary"].as_str().expect("a summary")
            );
            let parameters = operation["parameters"].as_array().expect("parameters");
            if !parameters.is_empty() {
                page.push_str("\n| parameter | in | | |\n|---|---|---|---|\n");
            }
            for parameter in parameters {
                let text = |key: &str| parameter[key].as_str().unwrap_or_default().to_owned();
                let needed = if parameter["required"] == true { ", required" } else { "" };
                let _ = writeln!(
                    page,
                    "| `{}` | {}{needed} | {} | {} |",
                    text("name"),
                    text("in"),
                    words(&parameter["schema"]),
                    text("description")
                );
            }
            if let Some(content) = operation["requestBody"]["content"].as_object() {
                for (kind, media) in content {
                    let _ = write!(page, "\nBody: `{kind}`, {}.\n", words(&media["schema"]));
                }
            }
            page.push_str("\n| status | answer |\n|---|---|\n");
            for (status, response) in operation["responses"].as_object().expect("responses") {
                let content = response["content"].as_object();
                let forms: Vec<String> = content
                    .map(|content| {
                        content
                            .iter()
                            .map(|(kind, media)| format!("`{kind}`: {}", words(&media["schema"])))
                            .collect()
                    })
                    .unwrap_or_default();
                let _ = writeln!(
                    page,
                    "| {status} | {}; {} |",
                    response["description"].as_str().expect("a description"),
                    forms.join("; ")
                );
            }
        }
    }
    for (name, schema) in document["components"]["schemas"].as_object().expect("schemas") {
        let _ = write!(page, "\n## {name}\n\n| member | | |\n|---|---|---|\n");
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (member, kind) in schema["properties"].as_object().into_iter().flatten() {
            let _ = writeln!(
                page,
                "| `{member}` | {} | {} |",
                words(kind),
                if required.contains(&member.as_str()) { "always" } else { "" }
            );
        }
    }
    page.push('\n');
    page
}

#[test]
fn the_http_reference_is_the_openapi_document() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/http-reference.md");
    let text = fs::read_to_string(&path).expect("docs/http-reference.md");
    let (before, rest) = text.split_once(OPENING).expect("the opening line");
    let (listed, after) = rest.split_once(CLOSING).expect("the closing line");
    let page = page(&ets_http::openapi::document());
    assert!(page.matches("\n## ").count() > 20, "the document lost its paths");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, format!("{before}{OPENING}{page}{CLOSING}{after}")).expect("the page is ours");
        return;
    }
    assert_eq!(listed, page, "if this change is wanted: UPDATE_GOLDEN=1");
}
