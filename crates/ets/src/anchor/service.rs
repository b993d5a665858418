//! What an anchoring service does with a checkpoint.

/// A checkpoint as it goes out.
pub struct Outgoing {
    /// What is published.
    pub statement: ets_core::anchor::AnchorStatement,
}

/// How far a publication came. The bytes are the evidence, kept as they are.
///
/// What a folder or a repository has, it has at once; a service whose proof comes
/// later would be pending, which `ets.anchor` knows.
#[derive(Debug)]
pub enum Outcome {
    /// Published, and the evidence verified.
    Confirmed(Vec<u8>),
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

/// Where checkpoints are published.
pub trait Service {
    /// Kind and place, for instance `rfc3161 https://tsa.example`; at most 255 characters; no secrets.
    fn name(&self) -> String;
    /// Publishes; never `Confirmed` unless the evidence verified.
    fn publish(&self, outgoing: &Outgoing) -> Result<Outcome, Failure>;
    /// Verifies kept evidence offline: what it proves, one line, or why not.
    fn verify(
        &self,
        statement: &ets_core::anchor::AnchorStatement,
        evidence: &[u8],
    ) -> Result<String, String>;
}
