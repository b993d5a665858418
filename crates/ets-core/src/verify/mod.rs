//! Verification: what can be checked of a document, a bundle or a ledger's rows,
//! one line for each check.
//!
//! - [`verify_document`], [`verify_proof_bundle`], [`verify_stream_bundle`] give
//!   [`Check`]s, of which [`Verdict::of`] makes a verdict.
//! - [`RegistryVerifier`] and [`ChainVerifier`] are fed rows as they are stored
//!   and give [`Finding`]s, each naming its row; they go on after a bad one.
//!
//! Whatever could not be checked is said so and never counts as a pass.

mod chain;
mod checkpoint;
mod checkpoints;
mod compromise;
mod document;
mod finding;
mod inspect;
mod judge;
mod kept;
mod projections;
mod proof;
mod raw;
mod registry;
mod rehash;
mod rules;
mod tlog_proof;
mod tree;

pub use chain::{ChainVerifier, Position};
pub use checkpoints::{CheckpointRow, CheckpointsVerifier, RootRow};
pub use compromise::compromised;
pub use document::verify_document;
pub use finding::{Finding, FindingClass, clipped};
pub use inspect::{Inspected, Inspector};
pub use judge::late_authority;
pub use kept::KeptCheckpoint;
pub use projections::{Columns, Projection, projections};
pub use proof::{
    Trust, verify_proof, verify_proof_bundle, verify_published, verify_stream_bundle, verify_text,
};
pub use raw::RawEvent;
pub use registry::{RegistryVerifier, VerifiedRegistry};
pub use rehash::{Rehashed, rehash};
pub use tlog_proof::verify_tlog_proof;
pub use tree::{KeptRoot, SealedRoot, StoredLeaf, StoredTiles, TreeVerifier, leaf_of};

use std::fmt;

/// One check of a document or bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was checked, such as `signature`; `docs/formats.md` lists the names.
    pub name: &'static str,
    /// Whether it holds; `None`: it could not be checked.
    pub passed: Option<bool>,
    /// What was found, in one line.
    pub detail: String,
}

impl Check {
    pub(crate) fn passed(name: &'static str, detail: impl Into<String>) -> Self {
        Check { name, passed: Some(true), detail: detail.into() }
    }

    pub(crate) fn failed(name: &'static str, detail: impl Into<String>) -> Self {
        Check { name, passed: Some(false), detail: detail.into() }
    }

    pub(crate) fn unknown(name: &'static str, detail: impl Into<String>) -> Self {
        Check { name, passed: None, detail: detail.into() }
    }
}

/// What all checks together say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every check passed.
    Match,
    /// A check failed.
    Mismatch,
    /// No check failed, but at least one could not be made.
    Unverifiable,
}

impl Verdict {
    /// The verdict of `checks`; of none at all, [`Verdict::Unverifiable`].
    pub fn of(checks: &[Check]) -> Self {
        if checks.iter().any(|check| check.passed == Some(false)) {
            Verdict::Mismatch
        } else if checks.is_empty() || checks.iter().any(|check| check.passed.is_none()) {
            Verdict::Unverifiable
        } else {
            Verdict::Match
        }
    }

    /// `MATCH`, `MISMATCH` or `UNVERIFIABLE`.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Match => "MATCH",
            Verdict::Mismatch => "MISMATCH",
            Verdict::Unverifiable => "UNVERIFIABLE",
        }
    }

    /// What a program exits with: 0, 1 or 2.
    pub fn exit_code(self) -> u8 {
        match self {
            Verdict::Match => 0,
            Verdict::Mismatch => 1,
            Verdict::Unverifiable => 2,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
