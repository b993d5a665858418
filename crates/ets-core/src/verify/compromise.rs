//! Events of a time when their key may have been in other hands.

use super::finding::{Finding, FindingClass, Flaw};
use crate::event::Header;
use crate::registry::Registry;

/// The finding that an event was signed at a time from which on, as a later
/// registry event says, its key may have been in other hands.
///
/// It is for events that no checkpoint from before that time covers
/// ([`Registry::compromised_since`]): what one covers was there, whatever time it states.
/// The time of an event and of a checkpoint are the server's word: an anchor proves more.
///
/// It takes no authority away: that was judged at the event's own registry
/// version, and holds. It says that nobody can tell whether the owner signed.
pub fn compromised(registry: &Registry, header: &Header) -> Option<Finding> {
    let since = registry.compromised_since(&header.key_id)?;
    if header.timestamp < since {
        return None;
    }
    let detail = format!(
        "signed at or after {since}, from when on its key may have been in other hands, and in no checkpoint from before"
    );
    let flaw = Flaw::new(FindingClass::Compromised, "compromised_since", detail);
    Some(flaw.compared(format!("before {since}"), header.timestamp).of(header))
}
