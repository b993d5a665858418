//! A proof in the form of the transparency logs (C2SP tlog-proof): that an event is
//! in the tree of a signed checkpoint note.

use super::Check;
use super::document::{judged, verify_document};
use crate::event::Event;
use crate::merkle::verify_inclusion;
use crate::note::{CheckpointBody, Note, NoteError, VerifierKey};
use crate::tlog::TlogProof;

/// Verifies a tlog-proof: the note against the domain's verifier key, `event` and its
/// place against the note's root. What is not given cannot be checked.
///
/// It shows that the event was in the log; neither schema, rules nor any right of the
/// signer, for which there are bundles.
pub fn verify_tlog_proof(text: &str, key: Option<&VerifierKey>, event: Option<&Event>) -> Vec<Check> {
    let mut path = Vec::new();
    let proof = match TlogProof::parse(text, &mut path) {
        Ok(proof) => proof,
        Err(error) => return vec![Check::failed("format", error.to_string())],
    };
    let (note, body) = match opened(proof.note) {
        Ok(opened) => opened,
        Err(error) => return vec![Check::failed("format", error.to_string())],
    };
    let mut checks =
        vec![Check::passed("format", format!("a tlog-proof of {}", body.origin)), signed(&note, &body, key)];
    let Some(event) = event else {
        checks.push(Check::unknown("inclusion", "the event document is not given"));
        return checks;
    };
    checks.extend(verify_document(event));
    let domain = event.header.domain.as_str();
    checks.push(judged(
        "domain",
        body.origin.rsplit_once('/').is_some_and(|(_, name)| name == domain),
        || format!("the note is the domain {domain}'s"),
        || format!("the note is not the domain {domain}'s"),
    ));
    let leaf = event.header.leaf_hash();
    checks.push(match verify_inclusion(&leaf, proof.leaf_index, body.tree_size, proof.path, &body.root) {
        Ok(()) => Check::passed(
            "inclusion",
            format!("leaf {} of the tree of {} with root {}", proof.leaf_index, body.tree_size, body.root),
        ),
        Err(error) => Check::failed("inclusion", error.to_string()),
    });
    checks
}

fn opened(text: &str) -> Result<(Note, CheckpointBody), NoteError> {
    let note: Note = text.parse()?;
    let body = note.text().parse()?;
    Ok((note, body))
}

fn signed(note: &Note, body: &CheckpointBody, key: Option<&VerifierKey>) -> Check {
    let Some(key) = key else {
        return Check::unknown("checkpoint signature", "no verifier key was named");
    };
    if body.origin != key.name.as_str() {
        return Check::failed("checkpoint signature", NoteError::Origin.to_string());
    }
    match note.verify(key) {
        Ok(()) => Check::passed("checkpoint signature", format!("by {}", key.public_key)),
        Err(error) => Check::failed("checkpoint signature", error.to_string()),
    }
}
