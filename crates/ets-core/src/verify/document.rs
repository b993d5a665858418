//! An event document on its own.

use super::Check;
use crate::event::Event;

/// What an event document shows by itself: that its members belong together.
/// It cannot show that the event is in a ledger, or that its signer had any
/// right; for that there are bundles.
pub fn verify_document(event: &Event) -> Vec<Check> {
    let header = &event.header;
    vec![
        Check::passed(
            "canonical",
            format!("the payload has a canonical form of {} bytes", event.payload.canonical().len()),
        ),
        judged(
            "key_id",
            header.check_key_id(),
            || format!("the SHA-256 of the public key is {}", header.key_id),
            || "key_id is not the SHA-256 of the public key".into(),
        ),
        judged(
            "hash",
            event.check_hash(),
            || format!("payload and previous_hash hash to {}", header.current_hash),
            || format!("payload and previous_hash hash to {}, not to current_hash", event.computed_hash()),
        ),
        judged(
            "signature",
            header.check_signature(),
            || "the public key's Ed25519 signature over current_hash is valid".into(),
            || "the signature is not the public key's over current_hash".into(),
        ),
    ]
}

/// A check with its two possible details.
pub(super) fn judged(
    name: &'static str,
    holds: bool,
    good: impl FnOnce() -> String,
    bad: impl FnOnce() -> String,
) -> Check {
    if holds { Check::passed(name, good()) } else { Check::failed(name, bad()) }
}
