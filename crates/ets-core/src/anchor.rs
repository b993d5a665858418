//! Anchors: evidence from outside a ledger that a checkpoint existed.
//!
//! What is published is an [`AnchorStatement`]; what a witness answers to a
//! checkpoint note is a [cosignature].

pub mod cosignature;
mod declaration;
mod event;
mod statement;

pub use declaration::{ANCHORING, MAX_REFERENCE_CHARACTERS, MAX_SERVICE_CHARACTERS, declaration};
pub use event::verify_event_evidence;
pub use statement::{AnchorError, AnchorStatement};
