//! `docs/formats.md` is true: its examples fit their JSON Schemas and are what
//! this crate writes and reads.
//!
//! `ETS_WRITE_EXAMPLES=1 cargo test -p ets-core --test formats` writes the files
//! in `docs/examples` anew.

mod sample;

use std::fs;
use std::path::{Path, PathBuf};

use ets_core::bundle::{FormatError, Proof, ProofBundle, StreamBundle};
use ets_core::event::Event;
use ets_core::trust::TrustFile;
use serde_json::Value;

/// The files of `docs/examples`, from the sample ledger: name and text.
fn examples() -> [(&'static str, String); 4] {
    let ledger = sample::ledger();
    let event = &ledger.stream("decisions", "order-42")[1];
    let trust = TrustFile { trust_root: ledger.trust_root.clone(), checkpoints: Vec::new() };
    [
        ("event-document.json", event.document()),
        ("proof-bundle.json", ledger.proof_bundle(event).to_jcs()),
        ("stream-bundle.json", ledger.stream_bundle("decisions", "order-42").to_jcs()),
        ("trust-file.json", trust.to_jcs()),
    ]
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn schema(name: &str) -> jsonschema::Validator {
    let text = read(&format!("crates/ets-core/src/schemas/{name}"));
    jsonschema::draft202012::new(&serde_json::from_str(&text).unwrap()).unwrap()
}

#[test]
fn the_example_files_are_what_the_sample_ledger_makes() {
    for (name, text) in examples() {
        let path = format!("docs/examples/{name}");
        if std::env::var_os("ETS_WRITE_EXAMPLES").is_some() {
            fs::write(root().join(&path), text.clone() + "\n").unwrap();
        }
        assert_eq!(read(&path).trim_end(), text, "{path}");
    }
}

#[test]
fn the_example_files_fit_their_schemas() {
    for (name, text) in examples() {
        let value: Value = serde_json::from_str(&text).unwrap();
        let errors: Vec<_> = schema(name).iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
    }
}

#[test]
fn what_is_written_is_read_again() {
    let [(_, event), (_, proof), (_, stream), (_, trust)] = examples();
    assert_eq!(Event::parse(&event).unwrap().document(), event);
    assert_eq!(ProofBundle::parse(&proof).unwrap().to_jcs(), proof);
    assert_eq!(StreamBundle::parse(&stream).unwrap().to_jcs(), stream);
    assert_eq!(TrustFile::parse(&trust).unwrap().to_jcs(), trust);
    assert!(matches!(Proof::parse(&event), Ok(Proof::Document(_))));
    assert!(matches!(Proof::parse(&proof), Ok(Proof::Event(_))));
    assert!(matches!(Proof::parse(&stream), Ok(Proof::Stream(_))));

    let ledger = sample::ledger();
    let kept =
        TrustFile { trust_root: ledger.trust_root.clone(), checkpoints: vec![ledger.checkpoint("agents")] };
    let text = kept.to_jcs();
    assert_eq!(TrustFile::parse(&text).unwrap(), kept);
    assert!(schema("trust-file.json").is_valid(&serde_json::from_str(&text).unwrap()));
    assert_eq!(ets_core::canonical::to_jcs(&serde_json::from_str(&text).unwrap()), text);
}

#[test]
fn the_examples_are_written_in_the_canonical_form() {
    for (name, text) in examples() {
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(ets_core::canonical::to_jcs(&value), text, "{name}");
    }
}

/// Takes a bundle's members away, adds others, and spells values in other ways:
/// the reader refuses all of it, and so does the JSON Schema.
#[test]
fn readers_refuse_other_members_and_other_spellings() {
    let (_, text) = &examples()[1];
    let bundle: Value = serde_json::from_str(text).unwrap();
    let schema = schema("proof-bundle.json");
    let mut variants: Vec<(String, Value)> = Vec::new();
    for pointer in pointers(&bundle) {
        let mut with_more = bundle.clone();
        if let Some(Value::Object(members)) = with_more.pointer_mut(&pointer) {
            members.insert("extra".into(), Value::Null);
            variants.push((format!("{pointer}/extra"), with_more));
        }
        let Some((parent, name)) = pointer.rsplit_once('/') else { continue };
        let mut with_less = bundle.clone();
        // A registry event of some kinds may go without its payload, a checkpoint without its note.
        if let Some(Value::Object(members)) =
            with_less.pointer_mut(parent).filter(|_| !["payload", "note"].contains(&name))
        {
            members.remove(name);
            variants.push((format!("without {pointer}"), with_less));
        }
        let mut upper = bundle.clone();
        if let Some(Value::String(hex)) = upper.pointer_mut(&pointer)
            && hex.len() >= 64
            && hex.bytes().all(|b| b.is_ascii_hexdigit())
        {
            *hex = hex.to_uppercase();
            if !pointer.contains("/payload/") {
                variants.push((format!("upper case {pointer}"), upper));
            }
        }
        let mut null = bundle.clone();
        if let Some(value) = null.pointer_mut(&pointer)
            && !pointer.contains("/payload")
        {
            *value = Value::Null;
            variants.push((format!("null {pointer}"), null));
        }
    }
    assert!(variants.len() > 400);
    for (what, variant) in variants {
        // What a payload may have inside is its own schema's business.
        if what.contains("/payload/") {
            continue;
        }
        let accepted = ProofBundle::from_value(variant.clone()).is_ok();
        if what.ends_with("/payload/extra") || what.ends_with("/payload/schema/extra") {
            continue;
        }
        assert!(!accepted, "{what}");
        assert!(!schema.is_valid(&variant), "the schema accepts {what}");
    }
}

#[test]
fn garbage_is_refused_with_the_place_of_the_fault() {
    let (_, text) = &examples()[1];
    for (bad, pointer) in [
        (text.replace("ets-proof-bundle/1", "ets-proof-bundle/2"), "/format"),
        (text.replace("\"version\":\"1.1\"", "\"version\":\"1.2\""), "/checkpoint/version"),
        (text.replace("\"leaf_index\":", "\"leaf_index\":-"), "/inclusion/leaf_index"),
    ] {
        assert_eq!(Proof::parse(&bad), Err(FormatError::Invalid(pointer.into())));
    }
    let twice = text.replace("\"format\":", "\"format\":\"x\",\"format\":");
    assert!(matches!(Proof::parse(&twice), Err(FormatError::Json(_))));
    for bad in
        ["", "null", "[]", "{}", "\"\"", "{\"format\":1}", &text[..text.len() - 1], &"[".repeat(100_000)]
    {
        assert!(Proof::parse(bad).is_err(), "{bad:.20}");
        assert!(TrustFile::parse(bad).is_err());
    }
    let unordered: Value = {
        let mut bundle: Value = serde_json::from_str(text).unwrap();
        bundle["checkpoint"]["domain_roots"].as_array_mut().unwrap().swap(0, 1);
        bundle
    };
    assert_eq!(
        ProofBundle::from_value(unordered),
        Err(FormatError::Invalid("/checkpoint/domain_roots".into()))
    );
}

#[test]
fn the_examples_in_the_page_are_the_files_and_fit_their_schemas() {
    let page = read("docs/formats.md");
    let mut payloads = 0;
    let mut files = 0;
    let mut marked = None;
    let mut blocks = page.lines();
    while let Some(line) = blocks.next() {
        if let Some(name) = line.strip_prefix("<!-- example: ") {
            marked = name.strip_suffix(" -->");
        }
        if line != "```json" {
            continue;
        }
        let block: String = blocks.by_ref().take_while(|line| *line != "```").collect::<Vec<_>>().join("\n");
        let value: Value = serde_json::from_str(&block).unwrap_or_else(|error| panic!("{error}: {block}"));
        match marked.take() {
            Some(name) => {
                let file: Value = serde_json::from_str(&read(&format!("docs/examples/{name}"))).unwrap();
                assert_eq!(value, file, "{name}");
                files += 1;
            }
            None => {
                let name = value["schema_version"].as_str().unwrap().replace('/', "-") + ".json";
                assert!(schema(&name).is_valid(&value), "{name}: {block}");
                payloads += 1;
            }
        }
    }
    assert_eq!((payloads, files), (15, 2));
}

/// Every place in a document, as JSON pointers.
fn pointers(value: &Value) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut add = |name: &str, child: &Value| {
        found.extend(pointers(child).into_iter().map(|below| format!("/{name}{below}")));
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, child)| add(name, child)),
        Value::Array(items) => items.iter().enumerate().for_each(|(at, child)| add(&at.to_string(), child)),
        _ => {}
    }
    found
}
