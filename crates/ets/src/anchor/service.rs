//! What an anchoring service does with a checkpoint.

/// A checkpoint as it goes out: the statement and each domain's signed note.
pub struct Outgoing {
    /// What is published.
    pub statement: ets_core::anchor::AnchorStatement,
    /// The notes of the domains that have one, in the order of their names' bytes.
    pub notes: Vec<String>,
}

/// How far a publication came. The bytes are the evidence, kept as they are.
#[derive(Debug)]
pub enum Outcome {
    /// Published; the proof comes later.
    Pending(Vec<u8>),
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
    /// Asks again for what was pending.
    fn advance(&self, outgoing: &Outgoing, evidence: &[u8]) -> Result<Outcome, Failure>;
    /// Verifies kept evidence offline: what it proves, one line, or why not.
    fn verify(
        &self,
        statement: &ets_core::anchor::AnchorStatement,
        evidence: &[u8],
    ) -> Result<String, String>;
}
