//! Event documents: what is written, and what is refused when read.

use ets_core::canonical::{CanonicalError, to_jcs};
use ets_core::event::{DocumentError, Event, Header};
use serde_json::{Map, Value, json};

use crate::common::{cases, json as vector};

const MEMBERS: [&str; 13] = [
    "current_hash",
    "domain",
    "event_id",
    "key_id",
    "payload",
    "previous_hash",
    "public_key",
    "registry_version",
    "schema_version",
    "sequence",
    "signature",
    "stream",
    "timestamp",
];

fn documents() -> Vec<Map<String, Value>> {
    cases(&vector("ets/ets-bytes.json"), "events", 23)
        .iter()
        .map(|case| case["document"].as_object().unwrap().clone())
        .collect()
}

fn read(document: &Map<String, Value>) -> Result<Event, DocumentError> {
    Event::parse(&serde_json::to_string(document).unwrap())
}

#[test]
fn a_document_is_the_jcs_text_of_its_members() {
    for document in documents() {
        let event = read(&document).unwrap();
        assert_eq!(event.document(), to_jcs(&Value::Object(document.clone())));
        assert_eq!(Event::parse(&event.document()), Ok(event.clone()));
        assert_eq!(Event::from_value(Value::Object(document.clone())), Ok(event.clone()));
        let mut header = document;
        header.remove("payload");
        let header = Value::Object(header);
        assert_eq!(event.header.to_jcs(), to_jcs(&header));
        assert_eq!(Header::from_value(header), Ok(event.header));
    }
}

/// Whatever the stream and the payload contain, also what looks like the place
/// where the payload is spliced in.
#[test]
fn a_document_survives_hostile_streams_and_payloads() {
    let hostile = [",\"previous_hash\":", "\"", "\\", "é😀\u{fffd}\u{e000}", "\",\"payload\":1", " ", "/"];
    for text in hostile {
        let mut document = documents().swap_remove(0);
        document.insert("stream".into(), json!(text));
        for payload in [json!(text), json!({ text: text }), json!([null]), json!(1e22), Value::Null] {
            document.insert("payload".into(), payload);
            let event = read(&document).unwrap();
            assert_eq!(event.document(), to_jcs(&Value::Object(document.clone())));
            assert_eq!(Event::parse(&event.document()), Ok(event));
        }
    }
}

#[test]
fn exactly_the_thirteen_members() {
    for document in documents() {
        assert!(document.keys().eq(MEMBERS));
        for name in MEMBERS {
            let mut without = document.clone();
            without.remove(name);
            assert_eq!(read(&without), Err(DocumentError::Missing(name)));
            if name != "payload" {
                for wrong in
                    [Value::Null, json!([]), json!({}), json!(true), json!(-1), json!(0.5), json!("")]
                {
                    let mut other = document.clone();
                    other.insert(name.into(), wrong);
                    assert_eq!(read(&other), Err(DocumentError::Invalid(name)));
                }
            }
        }
        let mut more = document.clone();
        more.insert("note".into(), Value::Null);
        assert_eq!(read(&more), Err(DocumentError::Unknown("note".into())));
        more.remove("note");
        more.insert("n".repeat(1000), Value::Null);
        assert_eq!(read(&more), Err(DocumentError::Unknown("n".repeat(64))), "however long");
        more.remove(&"n".repeat(1000));
        more.insert("Payload".into(), Value::Null);
        assert_eq!(read(&more), Err(DocumentError::Unknown("Payload".into())));
    }
    for text in ["null", "[]", "1", "\"\""] {
        assert_eq!(Event::parse(text), Err(DocumentError::NotAnObject), "{text}");
    }
    // A header is a document without the payload, and nothing else.
    let document = Value::Object(documents().swap_remove(0));
    assert_eq!(Header::from_value(document), Err(DocumentError::Unknown("payload".into())));
}

#[test]
fn a_member_stands_once() {
    let document = read(&documents()[0]).unwrap().document();
    for name in MEMBERS {
        // Once in plain letters, once with the first one escaped.
        for key in [name.to_owned(), format!("\\u{:04x}{}", name.as_bytes()[0], &name[1..])] {
            let twice = document.replacen('{', &format!("{{\"{key}\":0,"), 1);
            assert!(
                matches!(Event::parse(&twice), Err(DocumentError::Json(CanonicalError::DuplicateKey { .. }))),
                "{key}"
            );
        }
    }
}

#[test]
fn each_value_has_one_spelling() {
    let document = documents().swap_remove(0);
    let upper =
        ["current_hash", "event_id", "key_id", "previous_hash", "public_key", "signature", "timestamp"];
    for name in upper {
        let text = document[name].as_str().unwrap();
        let upper = if name == "timestamp" { text.to_lowercase() } else { text.to_uppercase() };
        let (longer, shorter) = (format!("{text}0"), &text[1..]);
        assert_ne!(upper, text);
        for wrong in [&upper, &longer, shorter, &format!(" {text}"), &format!("{text}\n")] {
            let mut other = document.clone();
            other.insert(name.into(), json!(wrong));
            assert_eq!(read(&other), Err(DocumentError::Invalid(name)), "{wrong}");
        }
    }
    for (name, wrong) in [
        ("sequence", json!(0)),
        ("sequence", json!("1")),
        ("sequence", json!(1e21)),
        ("registry_version", json!(1e300)),
        ("domain", json!("a b")),
        ("domain", json!("")),
        ("stream", json!("a*")),
        ("stream", json!("a\nb")),
        ("schema_version", json!("order/1.0")),
        ("timestamp", json!("2026-02-02T02:40:01.671978+00:00")),
        ("timestamp", json!("2026-02-02T02:40:01Z")),
        ("event_id", json!("c232ab00-9414-11ec-b3c8-9f6bdeced846")),
    ] {
        let mut other = document.clone();
        other.insert(name.into(), wrong.clone());
        assert_eq!(read(&other), Err(DocumentError::Invalid(name)), "{name} {wrong}");
    }
}

#[test]
fn a_payload_is_read_under_the_number_rule() {
    let document = read(&documents()[0]).unwrap().document();
    let start = document.find("\"payload\":").unwrap() + "\"payload\":".len();
    let end = document.find(",\"previous_hash\":").unwrap();
    for (payload, fits) in
        [("1.10", true), ("9007199254740993", false), ("1e400", false), ("\"\\u0000\"", false)]
    {
        let text = format!("{}{payload}{}", &document[..start], &document[end..]);
        assert_eq!(Event::parse(&text).is_ok(), fits, "{payload}");
    }
    // The whole depth of a payload fits into a document.
    for (depth, fits) in [(120, true), (121, false)] {
        let payload = "[".repeat(depth) + &"]".repeat(depth);
        let text = format!("{}{payload}{}", &document[..start], &document[end..]);
        assert_eq!(Event::parse(&text).is_ok(), fits, "{depth}");
    }
}

#[test]
fn a_changed_document_does_not_check() {
    let document = documents().swap_remove(0);
    let changed = |name: &str, value: Value| {
        let mut other = document.clone();
        other.insert(name.into(), value);
        read(&other).unwrap()
    };
    assert!(!changed("payload", json!({"amount": 12.51})).check_hash());
    assert!(!changed("previous_hash", json!("00".repeat(32))).check_hash());
    let other = changed("current_hash", json!("00".repeat(32)));
    assert!(!other.check_hash() && !other.header.check_signature());
    assert!(!changed("key_id", json!("00".repeat(32))).header.check_key_id());
    assert!(!changed("public_key", json!("00".repeat(32))).header.check_signature());
    assert!(!changed("signature", json!("00".repeat(64))).header.check_signature());
}
