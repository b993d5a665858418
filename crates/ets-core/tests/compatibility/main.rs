//! The compatibility of schema versions: readable cases, random pairs with random
//! documents, pairs that are compatible or not by construction, hostile schemas.

#[path = "../common/mod.rs"]
mod common;

mod cases;
mod dialects;
mod documents;
mod everyday;
mod hostile;
mod pairs;
mod random_schemas;
mod transformations;

use ets_core::schema::Validator;
use ets_core::schema::compatibility::{Compatibility, Verdict, compatibility};
use serde_json::Value;

/// What is said of a pair. A pair that cannot be compiled is a fault of the test.
fn verdict(old: &Value, new: &Value) -> Compatibility {
    compatibility(old, new).unwrap_or_else(|error| panic!("{error}: {old} -> {new}"))
}

/// The pair is compatible.
fn compatible(old: Value, new: Value) {
    let said = verdict(&old, &new);
    assert_eq!(said, Compatibility::Compatible, "{old} -> {new}");
}

/// The pair is incompatible, and exactly these places of the new schema say so.
fn incompatible(old: Value, new: Value, pointers: &[&str]) {
    let said = verdict(&old, &new);
    let Compatibility::Incompatible(reasons) = &said else { panic!("{said:?}: {old} -> {new}") };
    let shown = reasons.iter().filter(|reason| reason.verdict == Verdict::Incompatible);
    let mut shown: Vec<&str> = shown.map(|reason| reason.new_pointer.as_str()).collect();
    shown.sort_unstable();
    shown.dedup();
    let mut expected = pointers.to_vec();
    expected.sort_unstable();
    assert_eq!(shown, expected, "{reasons:#?}: {old} -> {new}");
    for reason in reasons {
        assert!(old.pointer(&reason.old_pointer).is_some(), "{reason:?} points nowhere in {old}");
        assert!(new.pointer(&reason.new_pointer).is_some(), "{reason:?} points nowhere in {new}");
        assert!(!reason.message.is_empty() && !reason.hint().is_empty());
    }
}

/// Nothing can be said of the pair.
fn undecidable(old: Value, new: Value) {
    let said = verdict(&old, &new);
    assert!(matches!(said, Compatibility::Undecidable(_)), "{said:?}: {old} -> {new}");
    assert!(!said.reasons().is_empty());
}

/// Whether the document shows that the pair is incompatible.
fn shows(old: &Validator, new: &Validator, document: &Value) -> bool {
    old.is_valid(document) && !new.is_valid(document)
}
