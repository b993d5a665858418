//! What an anchoring service does with a checkpoint.

use ets_core::anchor::AnchorStatement;
use ets_core::hash::Digest;
use ets_core::name::DomainName;
use ets_core::time::Timestamp;

/// How far a publication came. The bytes are the evidence, kept as they are.
#[derive(Debug)]
pub enum Outcome {
    /// Published, and the evidence verified.
    Confirmed(Vec<u8>),
    /// Published; what came back is not a proof yet, and a later attempt gets it.
    Pending {
        /// What the next attempt goes on from.
        evidence: Vec<u8>,
        /// What is waited for, in one line.
        awaits: String,
    },
}

/// What kept evidence proves, each in one line.
#[derive(Debug)]
pub enum Verdict {
    /// This.
    Holds(String),
    /// Nothing is wrong with it, but something that it needs is not here.
    Unknown(String),
}

/// Why a publication failed; `retry` says whether trying again can help.
#[derive(Debug)]
pub struct Failure {
    /// In one line.
    pub reason: String,
    /// Whether trying again can help.
    pub retry: bool,
}

impl Failure {
    /// One that may pass: a network, a full disk.
    pub fn passing(reason: impl Into<String>) -> Self {
        Failure { reason: reason.into(), retry: true }
    }

    /// One that stays until somebody has looked at it.
    pub fn lasting(reason: impl Into<String>) -> Self {
        Failure { reason: reason.into(), retry: false }
    }
}

/// What a service may ask the ledger for beside the statement.
pub trait Source {
    /// The signed note of a domain's root at the last checkpoint (C2SP tlog-checkpoint).
    /// It is as the server tells it: whoever uses it compares it with the statement.
    fn checkpoint_note(&mut self, domain: &DomainName) -> Result<String, Failure>;
    /// The consistency proof between two sizes of a domain's tree (RFC 6962 section 2.1.2), not verified.
    fn consistency_proof(&mut self, domain: &DomainName, from: u64, to: u64) -> Result<Vec<Digest>, Failure>;
    /// The root of a domain's tree at a size with which it was sealed; none if it never was.
    fn root_at(&mut self, domain: &DomainName, size: u64) -> Result<Option<Digest>, Failure>;
}

/// Where checkpoints are published.
pub trait Service {
    /// Kind and place, for instance `rfc3161 https://tsa.example`; at most 255 characters; no secrets.
    fn name(&self) -> String;
    /// Publishes, or goes on from the evidence `earlier` of an attempt that ended as
    /// [`Outcome::Pending`]; never `Confirmed` unless the evidence verified.
    fn publish(
        &self,
        statement: &AnchorStatement,
        earlier: Option<&[u8]>,
        source: &mut dyn Source,
    ) -> Result<Outcome, Failure>;
    /// Whether the proof of an earlier checkpoint can still come, once there is a later one.
    fn proves_later(&self) -> bool {
        true
    }
    /// Verifies kept evidence without the network.
    ///
    /// # Errors
    /// It does not prove what it should, in one line.
    fn verify(&self, statement: &AnchorStatement, evidence: &[u8]) -> Result<Verdict, String>;
}

/// Seconds since 1970 as RFC 3339; as they are where no calendar has them.
pub fn moment(seconds: u64) -> String {
    let micros = i64::try_from(seconds).ok().and_then(|seconds| seconds.checked_mul(1_000_000));
    let moment = micros.and_then(Timestamp::from_unix_micros);
    moment.map_or_else(|| format!("{seconds} seconds after 1970"), |moment| moment.to_string())
}
