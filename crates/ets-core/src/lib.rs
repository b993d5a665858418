//! What decides whether a ledger is true, once and for everybody.
//!
//! The extension, the offline verifier and the auditor call this crate; none of
//! them hashes, compares or judges on its own. It knows bytes: it has no
//! Postgres, no input or output, no clock and no randomness, so the same input
//! gives the same answer on every machine. No input makes it panic.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod anchor;
pub mod bundle;
pub mod canonical;
pub mod checkpoint;
pub mod conveyor;
pub mod event;
pub mod export;
pub mod expression;
pub mod hash;
pub mod key;
mod members;
pub mod merkle;
pub mod name;
pub mod note;
pub mod registry;
pub mod replay;
pub mod rule;
pub mod schema;
pub mod state;
pub mod time;
pub mod tlog;
pub mod trust;
pub mod verify;
