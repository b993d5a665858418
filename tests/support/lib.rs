//! What the tests share: private servers, databases with a ledger, signers, and
//! a strict reading of errors.

mod cluster;
mod ledger;
mod refusal;
mod signer;

pub use cluster::{Cluster, Database, checkout, program};
pub use ledger::{Appended, DOMAIN, Ledger, SCHEMA, append, findings, head, order, tamper};
pub use refusal::{Refusal, error_of, refused};
pub use signer::{Signer, canonical, digest, hash_of};
