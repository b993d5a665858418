//! Anchors: evidence from outside a ledger that a checkpoint existed.
//!
//! What is published is an [`AnchorStatement`]; what a witness answers to a
//! checkpoint note is a [cosignature].

pub mod cosignature;
mod statement;

pub use statement::{AnchorError, AnchorStatement};
