//! The bytes of a ledger against vectors that others made.

#[path = "../common/mod.rs"]
mod common;

mod ed25519;
mod ets_bytes;
mod events;
mod jcs;
mod numbers;
mod uuid;
