//! Replay: a stream's events again, one after the other, each judged by the rules
//! of its schema on the state before it, and reduced into the state after it.

use serde_json::Value;
use uuid::Uuid;

use crate::event::Event;
use crate::hash::Digest;
use crate::name::{DomainName, StreamName};
use crate::registry::Registry;
use crate::verify::{ChainVerifier, Finding, Inspected, RawEvent, VerifiedRegistry};

/// Replays streams, one after the other, each from its first event or from a state
/// that was kept.
///
/// Of each event it checks hash, signature and link to the one before, then all
/// rules of its schema on the state before it; then its reducer gives the state
/// after it. Authority and JSON Schemas are left to [`ChainVerifier`]. What is
/// wrong is a finding of the check `rules` or `reducer`, or of one of the chain's
/// checks; what could not be judged (an SQL function, an unknown engine, a state
/// that is lost) is one of the class `unverifiable`. It goes on after each, but
/// knows the state again only after a reducer that does not look at the one before.
///
/// What it evaluates is bounded by constants, never by settings: what was admitted
/// once is judged the same for ever.
pub struct StreamReplay<'r> {
    chain: ChainVerifier<'r>,
}

impl<'r> StreamReplay<'r> {
    /// A replayer of streams of this registry's ledger, which must know at least
    /// the registry versions that the events name.
    pub fn new(registry: &'r Registry) -> Self {
        let chain = ChainVerifier::new(registry.ledger().ledger_id, Some(registry));
        StreamReplay { chain: chain.replaying() }
    }

    /// A replayer that judges by what a [`crate::verify::RegistryVerifier`] made. If that is no
    /// registry, only chains are checked, and no state is known.
    pub fn judging_by(ledger_id: Uuid, verified: &'r VerifiedRegistry) -> Self {
        StreamReplay { chain: ChainVerifier::judging_by(ledger_id, verified).replaying() }
    }

    /// The same, but signatures are not verified: they are nearly all that a replay
    /// costs, and others verify them. Hashes and links still are.
    pub fn trusting_signatures(self) -> Self {
        StreamReplay { chain: self.chain.trusting_signatures() }
    }

    /// Goes on in a stream after an event whose sequence, hash and state after it
    /// were kept: the next event is the one after it.
    pub fn resume(
        &mut self,
        domain: &DomainName,
        stream: &StreamName,
        sequence: u64,
        head: Digest,
        state: Value,
    ) {
        self.chain.resume(domain, stream, (sequence, head), state);
    }

    /// Replays the next event, in the order of its stream. An event of another
    /// stream than the last one's starts that stream, and must be its first.
    pub fn push(&mut self, event: &Event, findings: &mut Vec<Finding>) {
        self.chain.push(event, findings);
    }

    /// As [`StreamReplay::push`], of a row as it is stored, whatever it holds.
    pub fn push_raw(&mut self, row: &RawEvent<'_>, findings: &mut Vec<Finding>) {
        self.chain.push_raw(row, findings);
    }

    /// As [`StreamReplay::push_raw`], of a row that an inspector for replays, that
    /// judges by the same registry, has seen.
    pub fn push_inspected(&mut self, row: Inspected, findings: &mut Vec<Finding>) {
        self.chain.push_inspected(row, findings);
    }

    /// The sequence of the last event; 0 before the first.
    pub fn sequence(&self) -> u64 {
        self.chain.position().map_or(0, |at| at.sequence)
    }

    /// The state after the last event: null before a stream's first, none if it is
    /// not known because of a finding.
    pub fn state(&self) -> Option<&Value> {
        self.chain.state()
    }

    /// As [`StreamReplay::state`], without a copy. The stream cannot be gone on
    /// with after it.
    pub fn take_state(&mut self) -> Option<Value> {
        self.chain.take_state()
    }
}
