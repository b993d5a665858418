//! A checkpoint anchored as an event of another ledger, proven by its bundle.

use super::AnchorStatement;
use crate::bundle::ProofBundle;
use crate::verify::{Check, Trust, Verdict, verify_proof_bundle};

/// What a proof bundle of another ledger proves of a statement, in one line.
///
/// The event's payload must be the statement, and every check of the bundle must
/// pass. `trust` says which ledger is meant; with [`Trust::Nothing`] the bundle
/// vouches for its own ledger, and the line says so.
///
/// # Errors
/// Why it proves nothing, in one line.
pub fn verify_event_evidence(
    statement: &AnchorStatement,
    bundle: &str,
    trust: &Trust,
) -> Result<String, String> {
    let bundle = ProofBundle::parse(bundle).map_err(|error| format!("no proof bundle: {error}"))?;
    if bundle.event.payload.canonical() != statement.to_jcs() {
        return Err("the event in the bundle says something else than the statement".into());
    }
    let ledger = &bundle.evidence.trust_root;
    if ledger.ledger_id == *statement.ledger_id() {
        return Err("the event is in the ledger that it is to anchor: that proves nothing".into());
    }
    let vouches_for_itself = matches!(trust, Trust::Nothing);
    let checks = verify_proof_bundle(&bundle, trust);
    let bears =
        |check: &&Check| check.passed != Some(true) && !(vouches_for_itself && check.name == "trust_root");
    let ours: Vec<Check> = checks.iter().filter(bears).cloned().collect();
    if let Some(check) = ours.iter().find(|check| check.passed == Some(false)) {
        return Err(format!("{} failed: {}", check.name, check.detail));
    }
    if Verdict::of(&ours) == Verdict::Unverifiable
        && let Some(check) = ours.first()
    {
        return Err(format!("{} could not be checked: {}", check.name, check.detail));
    }
    let named = if vouches_for_itself { ", which the bundle alone vouches for" } else { "" };
    Ok(format!(
        "event {} in checkpoint {} of ledger {} ({}){named}",
        bundle.event.header.event_id,
        bundle.evidence.checkpoint.checkpoint_id,
        ledger.origin,
        ledger.ledger_id,
    ))
}
