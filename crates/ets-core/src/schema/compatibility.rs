//! Whether a new version of a schema accepts every document of the old one.
//!
//! The question cannot be decided for all pairs, so there are three answers.
//! *Compatible* is a proof: the new schema follows from the old one, keyword by
//! keyword. *Incompatible* is a document: one was made that the old schema
//! accepts and the new one refuses. Whatever is neither is *undecidable*. The
//! evaluator of payloads has the last word in both: values that a schema lists are
//! tried with it, and documents are shown to it.
//!
//! How it is proved: the old schema becomes the shapes of its documents
//! ([`expand`]), and each shape must satisfy every keyword of the new schema
//! ([`checker`]). Work, depth and memory are bounded by constants, so that every
//! machine gives the same answer.

mod arrays;
mod checker;
mod composition;
mod document;
mod equality;
mod evaluate;
mod expand;
mod failure;
mod keywords;
mod names;
mod number;
mod numbers;
mod objects;
mod patterns;
mod sample;
mod shape;
mod strings;
mod text;
mod values;

use std::fmt;

use serde_json::{Value, json};

use self::checker::Checker;
use self::document::{Document, Side};
use self::failure::Failure;
use super::{SchemaError, Validator};

/// The most reasons that are given.
pub const MAX_REASONS: usize = 32;

/// What can be said of two versions of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compatibility {
    /// Every document that the old schema accepts is accepted by the new one.
    Compatible,
    /// There is a document that the old schema accepts and the new one refuses.
    /// At least one of the reasons is [`Verdict::Incompatible`].
    Incompatible(Vec<Reason>),
    /// Neither could be shown.
    Undecidable(Vec<Reason>),
}

impl Compatibility {
    /// The reasons; none if the schemas are compatible.
    pub fn reasons(&self) -> &[Reason] {
        match self {
            Compatibility::Compatible => &[],
            Compatibility::Incompatible(reasons) | Compatibility::Undecidable(reasons) => reasons,
        }
    }

    /// A word for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Compatibility::Compatible => "compatible",
            Compatibility::Incompatible(_) => "incompatible",
            Compatibility::Undecidable(_) => "undecidable",
        }
    }
}

/// What a reason shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// A document is refused here that was accepted.
    Incompatible,
    /// It could not be shown that there is no such document.
    Undecidable,
}

impl Verdict {
    /// A word for programs.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Incompatible => "incompatible",
            Verdict::Undecidable => "undecidable",
        }
    }
}

/// One place where the new schema does not follow from the old one. It quotes the
/// schemas, never a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Whether it is shown or only feared.
    pub verdict: Verdict,
    /// RFC 6901 pointer into the old schema: to the keyword that allowed it, or to
    /// the schema that was silent.
    pub old_pointer: String,
    /// RFC 6901 pointer into the new schema.
    pub new_pointer: String,
    /// The keyword; empty where it is none.
    pub keyword: String,
    /// What is wrong.
    pub message: String,
}

impl Reason {
    /// What a developer may do about it.
    pub fn hint(&self) -> &'static str {
        match self.keyword.as_str() {
            "properties" | "patternProperties" | "items" if self.verdict == Verdict::Incompatible => {
                "a schema that is open already allows every value there: leave the new part untyped, or close the \
                 first version with additionalProperties: false"
            }
            "required" | "dependentRequired" => "leave the member optional",
            "additionalProperties" | "unevaluatedProperties" | "additionalItems" | "unevaluatedItems" => {
                "what was open stays open"
            }
            "enum" | "const" | "type" => "keep all that was allowed, and add to it",
            _ => {
                "a new version may allow more, never less; what is to be refused from now on needs a new name"
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Reasons as the JSON array that errors carry.
pub fn reasons_json(reasons: &[Reason]) -> Value {
    reasons
        .iter()
        .map(|reason| {
            json!({
                "verdict": reason.verdict.word(),
                "old_pointer": reason.old_pointer,
                "new_pointer": reason.new_pointer,
                "keyword": reason.keyword,
                "message": reason.message,
            })
        })
        .collect()
}

/// Whether every document that the old schema accepts is accepted by the new one.
///
/// # Errors
/// [`SchemaError`] if one of them cannot be compiled, the old one first.
pub fn compatibility(old: &Value, new: &Value) -> Result<Compatibility, SchemaError> {
    let validators = (Validator::compile(old)?, Validator::compile(new)?);
    let (old, new) = (Document::read(old, Side::Old)?, Document::read(new, Side::New)?);
    if old.dialect == new.dialect && *old.root == *new.root {
        return Ok(Compatibility::Compatible);
    }
    for document in [&old, &new] {
        if let Some((pointer, keyword)) = document.indirection.clone() {
            let pointers = match document.side {
                Side::Old => (pointer, String::new()),
                Side::New => (String::new(), pointer),
            };
            return Ok(undecidable(pointers, keyword, "references depend on where they are followed"));
        }
    }
    let (old_root, new_root) = (old.node(), new.node());
    let mut checker = Checker::new(old, new);
    if checker.same(old_root, new_root) {
        return Ok(Compatibility::Compatible);
    }
    let check = checker.all_satisfy(&[old_root], new_root);
    if check.is_ok() && validators.1.growth.is_some() {
        // Such a schema refuses payloads by their depth.
        let message = "the new schema is recursive in a way that makes deep payloads too costly to accept";
        return Ok(undecidable((String::new(), String::new()), "$ref", message));
    }
    Ok(match check {
        Ok(()) => Compatibility::Compatible,
        Err(failures) => judge(&validators, failures),
    })
}

fn undecidable((old_pointer, new_pointer): (String, String), keyword: &str, message: &str) -> Compatibility {
    Compatibility::Undecidable(vec![Reason {
        verdict: Verdict::Undecidable,
        old_pointer,
        new_pointer,
        keyword: keyword.to_owned(),
        message: message.to_owned(),
    }])
}

/// Shows what was made to the validators, and sorts the reasons: what is shown
/// comes first.
fn judge((old, new): &(Validator, Validator), failures: Vec<Failure>) -> Compatibility {
    let mut reasons: Vec<Reason> = Vec::new();
    for failure in failures {
        let is_shown =
            failure.witnesses.iter().any(|witness| old.is_valid(witness) && !new.is_valid(witness));
        let reason = Reason {
            verdict: if is_shown { Verdict::Incompatible } else { Verdict::Undecidable },
            old_pointer: failure.old_pointer,
            keyword: if failure.keyword.is_empty() {
                // The schema `false`: the keyword is what holds it.
                pointer_keyword(&failure.new_pointer)
            } else {
                failure.keyword
            },
            message: failure.message,
            new_pointer: failure.new_pointer,
        };
        let is_same =
            |other: &&mut Reason| other.new_pointer == reason.new_pointer && other.message == reason.message;
        match reasons.iter_mut().find(is_same) {
            Some(known) if is_shown => known.verdict = Verdict::Incompatible,
            Some(_) => {}
            None => reasons.push(reason),
        }
    }
    reasons.sort_by_key(|reason| reason.verdict);
    reasons.truncate(MAX_REASONS);
    match reasons.first().map(|reason| reason.verdict) {
        Some(Verdict::Incompatible) => Compatibility::Incompatible(reasons),
        Some(Verdict::Undecidable) => Compatibility::Undecidable(reasons),
        None => {
            undecidable((String::new(), String::new()), "", "the new schema could not be shown to follow")
        }
    }
}

/// The last keyword of a pointer to a schema; names of members and places that
/// follow it are left out.
fn pointer_keyword(pointer: &str) -> String {
    let mut tokens = pointer.rsplit('/');
    let last = tokens.next().unwrap_or_default();
    match tokens.next() {
        Some(
            keyword @ ("properties" | "patternProperties" | "dependentSchemas" | "dependencies"
            | "prefixItems" | "items" | "allOf" | "anyOf" | "oneOf"),
        ) => keyword.to_owned(),
        _ => last.to_owned(),
    }
}
