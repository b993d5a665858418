//! What can be said of a row by itself, whatever stands before it: nearly all that
//! verifying costs, and in any order, so that several threads can share it.

use super::finding::{Finding, FindingClass, Flaw};
use super::judge::{self, Memory, Signatures, Signed};
use super::raw::RawEvent;
use super::registry::VerifiedRegistry;
use super::rules::{RuleReplay, States};
use crate::event::{Event, Header};
use crate::hash::Digest;
use crate::name::REGISTRY;
use crate::registry::Registry;

/// Makes the checks on stored rows that need no other row: canonical form, hash,
/// signature, authority, schema, and the rules of domains in which none mentions
/// `state`. [`super::ChainVerifier::push_inspected`] makes the others. Threads that
/// share the rows have an inspector each.
pub struct Inspector<'r> {
    pub(super) registry: Option<&'r Registry>,
    pub(super) damaged_from: Option<u64>,
    pub(super) signatures: Signatures,
    pub(super) judgement: Judgement,
    pub(super) memory: Memory,
    /// Its state is never looked at.
    stateless: RuleReplay,
}

/// What of an event is judged by the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Authority, schema and rules; states where rules need them.
    Gate,
    /// Rules, and every state.
    Replay,
}

/// A row that an [`Inspector`] has seen.
pub struct Inspected(pub(super) Content);

pub(super) enum Content {
    /// The row holds an event.
    Event {
        event: Box<Event>,
        /// The payload is stored in another form than the gate stores.
        is_foreign_form: bool,
        verdicts: Verdicts,
    },
    /// As `Event`, of one whose payload nobody needs any more.
    Header { header: Box<Header>, is_foreign_form: bool, verdicts: Verdicts },
    /// The row holds none, which the finding says; and its `current_hash`, if that is a hash.
    NoEvent { finding: Box<Finding>, current_hash: Option<Digest> },
}

/// What an inspector says of an event.
pub(super) struct Verdicts {
    /// What is wrong with its hash, key or signature.
    pub integrity: Vec<Flaw>,
    /// The hash that it should have, if anything is.
    pub computed: Option<Digest>,
    /// What is wrong with its authority, schema or rules.
    pub judged: Vec<Flaw>,
    pub rules: Rules,
}

/// What is left to judge where the state before an event is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    Judged,
    /// Rules or the reducer need the state.
    Left,
    /// The schema is not known, so the state after the event will not be.
    Unknown,
}

impl Inspected {
    /// The header of the event that the row holds; none if it holds none.
    pub fn header(&self) -> Option<&Header> {
        match &self.0 {
            Content::Event { event, .. } => Some(&event.header),
            Content::Header { header, .. } => Some(header),
            Content::NoEvent { .. } => None,
        }
    }

    /// The domain and stream of the row, as they are stored.
    pub fn stream(&self) -> Option<(&str, &str)> {
        match &self.0 {
            Content::Event { event, .. } => {
                Some((event.header.domain.as_str(), event.header.stream.as_str()))
            }
            Content::Header { header, .. } => Some((header.domain.as_str(), header.stream.as_str())),
            Content::NoEvent { finding, .. } => finding.domain.as_deref().zip(finding.stream.as_deref()),
        }
    }
}

impl<'r> Inspector<'r> {
    /// An inspector of a ledger's rows. Without a registry, authority, schemas and
    /// rules are not judged.
    pub fn new(registry: Option<&'r Registry>) -> Self {
        Inspector {
            registry,
            damaged_from: None,
            signatures: Signatures::Verified,
            judgement: Judgement::Gate,
            memory: Memory::default(),
            stateless: RuleReplay::default(),
        }
    }

    /// An inspector that judges by what a [`super::RegistryVerifier`] made, as
    /// [`super::ChainVerifier::judging_by`].
    pub fn judging_by(verified: &'r VerifiedRegistry) -> Self {
        Inspector { damaged_from: verified.damaged_from, ..Inspector::new(verified.registry.as_ref()) }
    }

    /// An inspector for a [`crate::replay::StreamReplay`]: it leaves authority and
    /// JSON Schemas to others, and every rule to the replay.
    pub fn replaying(self) -> Self {
        Inspector { judgement: Judgement::Replay, ..self }
    }

    /// The inspector without the one check that is dear.
    pub fn trusting_signatures(self) -> Self {
        Inspector { signatures: Signatures::Trusted, ..self }
    }

    /// Inspects a row, whatever it holds.
    pub fn inspect(&mut self, row: &RawEvent) -> Inspected {
        let parsed = row.parse();
        let signed = self.signed(parsed.as_ref().into_iter()).pop();
        self.parsed(row, parsed, signed.flatten())
    }

    /// Inspects rows, as [`Inspector::inspect`] does each, in less time.
    pub fn inspect_each(&mut self, rows: &[RawEvent<'_>]) -> Vec<Inspected> {
        let parsed: Vec<_> = rows.iter().map(RawEvent::parse).collect();
        let mut signed = self.signed(parsed.iter().flatten()).into_iter();
        rows.iter()
            .zip(parsed)
            .map(|(row, parsed)| {
                let signed = parsed.as_ref().ok().and_then(|_| signed.next());
                self.parsed(row, parsed, signed.flatten())
            })
            .collect()
    }

    fn signed<'e>(&mut self, events: impl Iterator<Item = &'e Event>) -> Vec<Signed> {
        judge::signatures(events.map(|event| &event.header), self.signatures, &mut self.memory)
    }

    fn parsed(&mut self, row: &RawEvent, parsed: Result<Event, Finding>, signed: Signed) -> Inspected {
        let event = match parsed {
            Ok(event) => event,
            Err(finding) => {
                let current_hash = row.current_hash.and_then(|bytes| Digest::try_from(bytes).ok());
                return Inspected(Content::NoEvent { finding: Box::new(finding), current_hash });
            }
        };
        let verdicts = self.verdicts(&event, signed);
        let is_foreign_form = !event.payload.is_stored_form();
        Inspected(match verdicts.rules {
            Rules::Left => Content::Event { event: Box::new(event), is_foreign_form, verdicts },
            _ => Content::Header { header: Box::new(event.header), is_foreign_form, verdicts },
        })
    }

    pub(super) fn event(&mut self, event: &Event) -> Verdicts {
        let signed = self.signed(std::iter::once(event)).pop();
        self.verdicts(event, signed.flatten())
    }

    fn verdicts(&mut self, event: &Event, signed: Signed) -> Verdicts {
        let integrity = judge::integrity(event, signed, &mut self.memory);
        let computed = (!integrity.is_empty()).then(|| event.computed_hash());
        let (judged, rules) = self.judge(event);
        Verdicts { integrity, computed, judged, rules }
    }

    /// Authority, schema and rules. The registry's own events are judged as it is
    /// folded, and leave its state null.
    fn judge(&mut self, event: &Event) -> (Vec<Flaw>, Rules) {
        let header = &event.header;
        let Some(registry) = self.registry.filter(|_| header.domain.as_str() != REGISTRY) else {
            return (Vec::new(), Rules::Judged);
        };
        let lacks_events = self.damaged_from.is_some_and(|from| from <= header.registry_version);
        let is_gate = self.judgement == Judgement::Gate;
        let mut flaws = Vec::new();
        if is_gate {
            flaws.extend(judge::authority(registry, header).filter(|_| !lacks_events));
        }
        match registry.schema_at(&header.schema_version, header.registry_version) {
            Err(error) => {
                if !lacks_events {
                    flaws.push(Flaw::new(FindingClass::Schema, "schema_version", error.to_string()));
                }
                (flaws, Rules::Unknown)
            }
            Ok(_) if !is_gate => (flaws, Rules::Left),
            Ok(record) => {
                flaws.extend(judge::schema(record, event, &mut self.memory));
                if registry.rules_need_state(&header.domain) {
                    return (flaws, Rules::Left);
                }
                let states = States::WhereRulesNeedThem;
                flaws.extend(self.stateless.push(registry, record, event, states, &mut self.memory));
                (flaws, Rules::Judged)
            }
        }
    }
}
