//! Trees, proofs, checkpoints, notes and state roots, against published vectors
//! and against a literal transcription of the RFC's definitions.

#[path = "../common/mod.rs"]
mod common;

mod checkpoints;
mod reference;
mod tlog;
mod trees;
mod vectors;
