//! A row's payload, hash and leaf, computed again: what a rebuild of the trees
//! does for every event.

use super::finding::{Finding, Flaw};
use super::raw::RawEvent;
use crate::event::Header;
use crate::hash::Digest;

/// What a stored row makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehashed {
    /// The header, as it is stored.
    pub header: Header,
    /// The leaf of the header with the `current_hash` that the payload has:
    /// the sealed one only if payload and header are both what they were.
    pub leaf: Digest,
}

/// Computes `current_hash` from the payload and the leaf from the header. Says
/// nothing of signature, link and authority: those are [`super::ChainVerifier`]'s.
///
/// Answers none, with a finding, for a row that holds no event.
pub fn rehash(row: &RawEvent, findings: &mut Vec<Finding>) -> Option<Rehashed> {
    let event = match row.parse() {
        Ok(event) => event,
        Err(finding) => {
            findings.push(finding);
            return None;
        }
    };
    if !event.payload.is_stored_form() {
        findings
            .push(row.finding(Flaw::tampering("payload", "the stored payload is not its canonical value")));
    }
    let computed = event.computed_hash();
    if computed == event.header.current_hash {
        return Some(Rehashed { leaf: event.header.leaf_hash(), header: event.header });
    }
    let flaw = Flaw::tampering("current_hash", "payload and previous_hash do not hash to current_hash");
    findings.push(row.finding(flaw.compared(computed, event.header.current_hash)));
    let leaf = Header { current_hash: computed, ..event.header.clone() }.leaf_hash();
    Some(Rehashed { header: event.header, leaf })
}
