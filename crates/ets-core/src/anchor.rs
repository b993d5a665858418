//! Anchors: evidence from outside a ledger that a checkpoint existed.
//!
//! What is published is an [`AnchorStatement`]; what a witness answers to a
//! checkpoint note is a [cosignature], and what a quorum of them proves is a
//! [`WitnessedCheckpoint`]. [`opentimestamps`] lead from a statement to a Bitcoin block.

pub mod cosignature;
mod declaration;
mod event;
pub mod opentimestamps;
mod statement;
mod witnessed;

pub use declaration::{ANCHORING, MAX_REFERENCE_CHARACTERS, MAX_SERVICE_CHARACTERS, declaration};
pub use event::verify_event_evidence;
pub use statement::{AnchorError, AnchorStatement};
pub use witnessed::{PolicyError, WitnessPolicy, WitnessedCheckpoint, WitnessedError};
