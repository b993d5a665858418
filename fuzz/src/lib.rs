//! What must hold of any bytes. Each function is a target of `make fuzz`; a failed
//! assertion is a bug.

#[path = "../../crates/ets-core/tests/sample/mod.rs"]
mod sample;

mod registry;

use ets_core::anchor::AnchorStatement;
use ets_core::anchor::opentimestamps::{BlockHeaders, Proof, Standing};
use ets_core::canonical::{Limits, Payload, parse_json, to_jcs};
use ets_core::export::ExportReader;
use ets_core::expression::{EventScope, Expression, Scope};
use ets_core::hash::{Digest, leaf_hash};
use ets_core::merkle::{self, MemoryTree};
use ets_core::note::Note;
use ets_core::schema::{Validator, compatibility::compatibility};
use ets_core::trust::TrustFile;
use ets_core::verify::{Trust, Verdict, verify_text, verify_tlog_proof};
pub use registry::registry_events;
use serde_json::Value;

/// What the gate takes as a payload is what another canonicaliser makes of the same
/// text, byte for byte, and reads as itself.
pub fn canonical(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(payload) = Payload::parse(text, &Limits::DEFAULT) else { return };
    let value: Value = serde_json::from_str(text).expect("what is strict JSON is JSON");
    // In doubles, as RFC 8785 has it: an integer's text may go beyond them.
    if !has_large_integer(&value) {
        assert_eq!(payload.canonical(), serde_jcs::to_string(&value).expect("it is JSON"));
    }
    let again = Payload::parse(payload.canonical(), &Limits::DEFAULT).expect("a canonical text is taken");
    assert_eq!(again.canonical(), payload.canonical());
    assert_eq!(again.value(), payload.value());
    let built = Payload::from_value(payload.value().clone(), &Limits::DEFAULT).expect("so is its value");
    assert_eq!(built, payload);
}

fn has_large_integer(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            number.as_u64().is_some_and(|n| n > 1 << 53) || number.as_i64().is_some_and(|n| n < -(1 << 53))
        }
        Value::Array(items) => items.iter().any(has_large_integer),
        Value::Object(members) => members.values().any(has_large_integer),
        _ => false,
    }
}

/// Without a named ledger no bundle, document or proof matches, whatever it says.
pub fn bundles(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    assert_ne!(Verdict::of(&verify_text(text, &Trust::Nothing)), Verdict::Match);
    assert_ne!(Verdict::of(&verify_tlog_proof(text, None, None)), Verdict::Match);
    let _ = TrustFile::parse(text);
}

/// A note that is read is written as it was, and so is a published statement.
pub fn notes(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(note) = text.parse::<Note>() {
        assert_eq!(note.to_string().parse::<Note>().as_ref(), Ok(&note));
        assert!(text.starts_with(note.text()));
    }
    if let Ok(statement) = AnchorStatement::parse(text) {
        assert_eq!(statement.to_jcs(), text);
    }
}

/// Lines of an export are taken or refused; after a refusal nothing is taken.
pub fn import_lines(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut reader = ExportReader::new();
    for line in text.lines() {
        if reader.push(line).is_err() {
            break;
        }
    }
    let _ = reader.finish();
}

/// Trees of any size from tiles: roots and proofs are those of the plain definition.
pub fn tiles(bytes: &[u8]) {
    let [a, b, c, rest @ ..] = bytes else { return };
    let size = u64::from(*a) * 3 + u64::from(*b) % 3;
    let leaf = |index: u64| leaf_hash(&[&index.to_be_bytes(), rest].concat());
    let leaves: Vec<Digest> = (0..size).map(leaf).collect();
    let mut tree = MemoryTree::default();
    leaves.iter().for_each(|leaf| tree.append(*leaf));
    let root = merkle::root_of(&leaves);
    assert_eq!(tree.root(size), Ok(root));
    let index = u64::from(*c) % size.max(1);
    if size > 0 {
        let proof = tree.inclusion_proof(index, size).expect("a leaf of the tree");
        let leaf = &leaves[usize::try_from(index).expect("small")];
        assert!(merkle::verify_inclusion(leaf, index, size, &proof, &root).is_ok());
        // Anything else in the proof's place fails.
        let other = merkle::hashes_from_bytes(rest).unwrap_or_default();
        assert_eq!(merkle::verify_inclusion(leaf, index, size, &other, &root).is_ok(), other == proof);
    }
    let proof = tree.consistency_proof(index, size).expect("a smaller size");
    let first = merkle::root_of(&leaves[..usize::try_from(index).expect("small")]);
    assert!(merkle::verify_consistency(index, size, &proof, &first, &root).is_ok());
}

/// A schema, a newer one and a payload, a line each: where the newer one is called
/// compatible, it takes what the older one takes.
pub fn schemas(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let read = |line: &str| parse_json(line, &Limits::DEFAULT).ok();
    let mut lines = text.lines().map(read);
    let (Some(Some(old)), Some(Some(new)), Some(Some(payload))) = (lines.next(), lines.next(), lines.next())
    else {
        return;
    };
    let (Ok(before), Ok(after)) = (Validator::compile(&old), Validator::compile(&new)) else { return };
    let taken = before.is_valid(&payload);
    assert_eq!(taken, before.validate(&payload).is_empty());
    if let Ok(verdict) = compatibility(&old, &new)
        && verdict.reasons().is_empty()
        && taken
    {
        assert!(after.is_valid(&payload), "{old} {new} {payload}");
    }
}

/// An expression and what it is about, a line each: it has an answer or none, the
/// same each time, and never runs on.
pub fn expressions(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (source, rest) = text.split_once('\n').unwrap_or((text, "null"));
    let Ok(expression) = Expression::compile(source) else { return };
    assert_eq!(expression.source(), source);
    let mut values = rest.lines().map(|line| parse_json(line, &Limits::DEFAULT).unwrap_or_default());
    let (payload, state) = (values.next().unwrap_or_default(), values.next().unwrap_or_default());
    let event = EventScope {
        schema_version: "a/1.0.0",
        key_id: "00",
        owner: "somebody",
        domain: "a",
        stream: "b",
        sequence: 1,
    };
    let scope = Scope { payload: &payload, event, state: &state };
    let (first, second) = (expression.evaluate(&scope), expression.evaluate(&scope));
    match (&first, &second) {
        (Ok(first), Ok(second)) => assert_eq!(to_jcs(first), to_jcs(second)),
        (first, second) => assert_eq!(first.is_ok(), second.is_ok()),
    }
}

/// A proof of OpenTimestamps is written again as it is understood, and without a
/// block's header nothing is attested.
pub fn opentimestamps(bytes: &[u8]) {
    let nothing = BlockHeaders::default();
    let _ = Proof::submitted(Digest([0; 32]), &[0; 16], bytes);
    let Ok(proof) = Proof::parse(bytes) else { return };
    assert!(!matches!(proof.standing(&nothing), Standing::Attested { .. } | Standing::Contradicted { .. }));
    assert_eq!(Proof::parse(&proof.to_bytes()).as_ref(), Ok(&proof));
    for promise in proof.promises() {
        let _ = proof.clone().fulfilled(&promise, bytes);
    }
}
