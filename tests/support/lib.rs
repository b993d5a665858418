//! What the tests share: private servers, databases with a ledger, signers, and
//! a strict reading of errors.

mod audited;
mod chain;
mod chance;
mod cluster;
mod copies;
mod golden;
mod ledger;
mod litewitness;
mod published;
mod refusal;
mod signer;
mod test_data;
pub mod timestamp_authority;

pub use audited::audit;
pub use chain::Chain;
pub use chance::{Chance, setting};
pub use cluster::{Cluster, Database, bin, checkout, give_to_server, program};
pub use copies::Dump;
pub use golden::{assert_documented, assert_generated};
pub use ledger::{Appended, DOMAIN, Ledger, SCHEMA, append, findings, head, order, tamper};
pub use litewitness::Litewitness;
pub use published::{anchored, publish, statement};
pub use refusal::{Refusal, error_of, refused};
pub use signer::{Signer, canonical, digest, hash_of};
pub use test_data::test_data;
