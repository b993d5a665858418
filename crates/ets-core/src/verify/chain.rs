//! The events of streams, one after the other, as they are stored.

use serde_json::Value;
use uuid::Uuid;

use super::finding::{Finding, FindingClass, Flaw};
use super::inspect::{Content, Inspected, Inspector, Judgement, Rules, Verdicts};
use super::judge::Signatures;
use super::raw::RawEvent;
use super::registry::VerifiedRegistry;
use super::rules::{RuleReplay, States};
use crate::event::{Event, EventId, Header};
use crate::hash::{Digest, genesis_hash};
use crate::name::{DomainName, StreamName};
use crate::registry::Registry;
use crate::time::Timestamp;

/// Makes the gate's checks again on stored rows, which come in the order of
/// domain, stream and sequence. Rules that mention `state` are judged on the state
/// that the rows themselves make, from each stream's first. After a bad row it goes on from what the row
/// says, so that one change is one row's findings and not all its successors'.
pub struct ChainVerifier<'r> {
    ledger_id: Uuid,
    inspector: Inspector<'r>,
    at: Option<Position>,
    rules: RuleReplay,
}

/// How far a [`ChainVerifier`] has come in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The domain, as it is stored.
    pub domain: String,
    /// The stream, as it is stored.
    pub stream: String,
    /// The sequence of the last row.
    pub sequence: u64,
    /// What the next row's `previous_hash` must be; two values after a row whose
    /// `current_hash` was wrong, none after one that had none.
    pub heads: Vec<Digest>,
    /// The `event_id` of the last row.
    pub last_event_id: Option<EventId>,
    timestamp: Option<Timestamp>,
    registry_version: u64,
}

impl<'r> ChainVerifier<'r> {
    /// A verifier for rows of a ledger's domains. Without a registry, authority
    /// and schemas are not judged: whoever found the registry unusable has
    /// reported that.
    pub fn new(ledger_id: Uuid, registry: Option<&'r Registry>) -> Self {
        ChainVerifier {
            ledger_id,
            inspector: Inspector::new(registry),
            at: None,
            rules: RuleReplay::default(),
        }
    }

    /// The verifier as a replayer: it leaves authority and JSON Schemas to others,
    /// and computes every state.
    pub(crate) fn replaying(self) -> Self {
        ChainVerifier { inspector: self.inspector.replaying(), ..self }
    }

    /// The verifier without the one check that is dear.
    pub(crate) fn trusting_signatures(self) -> Self {
        ChainVerifier { inspector: self.inspector.trusting_signatures(), ..self }
    }

    /// Goes on after an event of a stream whose sequence, hash and state after it
    /// were kept.
    pub(crate) fn resume(
        &mut self,
        domain: &DomainName,
        stream: &StreamName,
        (sequence, head): (u64, Digest),
        state: Value,
    ) {
        self.at = Some(Position {
            domain: domain.to_string(),
            stream: stream.to_string(),
            sequence,
            heads: vec![head],
            last_event_id: None,
            timestamp: None,
            registry_version: 0,
        });
        self.rules.resume(state);
    }

    /// The state after the last row; none if it is not known.
    pub(crate) fn state(&self) -> Option<&Value> {
        self.inspector.registry.and(self.rules.state())
    }

    /// As [`ChainVerifier::state`], without a copy.
    pub(crate) fn take_state(&mut self) -> Option<Value> {
        self.inspector.registry.and(self.rules.take_state())
    }

    /// A verifier for rows that are judged by what a [`super::RegistryVerifier`]
    /// made. Where its registry lacks an event, what it denies is not reported
    /// again for every row: the missing event has its own finding.
    pub fn judging_by(ledger_id: Uuid, verified: &'r VerifiedRegistry) -> Self {
        ChainVerifier {
            inspector: Inspector::judging_by(verified),
            ..ChainVerifier::new(ledger_id, verified.registry.as_ref())
        }
    }

    /// The last row's place, to compare with the stream's head.
    pub fn position(&self) -> Option<&Position> {
        self.at.as_ref()
    }

    /// Verifies the next row, whatever it holds.
    pub fn push_raw(&mut self, row: &RawEvent, findings: &mut Vec<Finding>) {
        let inspected = self.inspector.inspect(row);
        self.push_inspected(inspected, findings);
    }

    /// Verifies the next row, of which an inspector that judges by the same registry
    /// has said what can be said of it alone.
    pub fn push_inspected(&mut self, row: Inspected, findings: &mut Vec<Finding>) {
        match row.0 {
            Content::Event { event, is_foreign_form, verdicts } => {
                findings.extend(is_foreign_form.then(|| foreign_form(&event.header)));
                self.link(&event.header, Some(&event), verdicts, findings);
            }
            Content::Header { header, is_foreign_form, verdicts } => {
                findings.extend(is_foreign_form.then(|| foreign_form(&header)));
                self.link(&header, None, verdicts, findings);
            }
            Content::NoEvent { finding, current_hash } => {
                let stored = (*finding).clone();
                findings.push(*finding);
                self.step_over(&stored, current_hash, findings);
            }
        }
    }

    /// Goes past a row without judging it: what follows is judged by it.
    pub fn skip(&mut self, row: &RawEvent) {
        let signatures = std::mem::replace(&mut self.inspector.signatures, Signatures::Trusted);
        self.push_raw(row, &mut Vec::new());
        self.inspector.signatures = signatures;
    }

    /// Verifies the next event.
    pub fn push(&mut self, event: &Event, findings: &mut Vec<Finding>) {
        let verdicts = self.inspector.event(event);
        self.link(&event.header, Some(event), verdicts, findings);
    }

    /// Holds an event against those before it. `event` is there wherever rules are left.
    fn link(
        &mut self,
        header: &Header,
        event: Option<&Event>,
        verdicts: Verdicts,
        findings: &mut Vec<Finding>,
    ) {
        let Verdicts { integrity: mut flaws, computed, judged, rules } = verdicts;
        let gap = self.advance(header.domain.as_str(), header.stream.as_str(), header.sequence);
        let Some(at) = self.at.as_mut() else { return };
        if let Some(first) = gap.missing_from {
            findings.push(missing(at, first, header.sequence));
        }
        if gap.repeated {
            flaws.push(
                Flaw::tampering("sequence", "this sequence is there twice, or rows are out of order")
                    .compared(gap.expected, header.sequence),
            );
        }
        if !at.heads.is_empty() && !at.heads.contains(&header.previous_hash) {
            let what = if header.sequence == 1 { "the stream's genesis hash" } else { "the event before" };
            let flaw = Flaw::tampering("previous_hash", format!("previous_hash is not that of {what}"));
            flaws.push(
                flaw.compared(
                    at.heads.first().map_or(String::new(), Digest::to_string),
                    header.previous_hash,
                ),
            );
        }
        // What was said, and in which order; the rest is the server's word.
        let sound = flaws.is_empty() && gap.missing_from.is_none();
        if at.last_event_id.is_some_and(|last| header.event_id <= last) {
            flaws.push(Flaw::tampering("event_id", "event_id is not greater than the one before").compared(
                at.last_event_id.map_or(String::new(), |id| format!("more than {id}")),
                header.event_id,
            ));
        }
        if at.timestamp.is_some_and(|last| header.timestamp < last) {
            flaws.push(
                Flaw::tampering("timestamp", "timestamp is earlier than the one before").compared(
                    at.timestamp.map_or(String::new(), |t| format!("at least {t}")),
                    header.timestamp,
                ),
            );
        }
        if header.domain.as_str() == crate::name::REGISTRY {
            if header.registry_version.checked_add(1) != Some(header.sequence) {
                flaws.push(
                    Flaw::tampering(
                        "registry_version",
                        "a registry event is judged against the one before it",
                    )
                    .compared(header.sequence.saturating_sub(1), header.registry_version),
                );
            }
        } else if header.registry_version < at.registry_version {
            flaws.push(
                Flaw::tampering("registry_version", "registry_version is less than in the event before")
                    .compared(format!("at least {}", at.registry_version), header.registry_version),
            );
        }

        at.heads = vec![header.current_hash];
        // If current_hash itself was changed, the next row still has the true one.
        at.heads.extend(computed);
        // Of this row even if it is wrong, so that one raised value is not
        // held against all that follow.
        at.last_event_id = Some(header.event_id);
        at.timestamp = Some(header.timestamp);
        if self.inspector.registry.is_none_or(|registry| header.registry_version <= registry.version()) {
            at.registry_version = header.registry_version;
        }

        flaws.extend(judged);
        match (rules, event) {
            (Rules::Judged, _) => {}
            (Rules::Left, Some(event)) => flaws.extend(self.judge_rules(event)),
            (Rules::Left | Rules::Unknown, _) => {
                self.rules.lose("the schema of an event before it is not known");
            }
        }
        if !sound {
            self.rules.lose("an event before it is damaged or not at hand");
        }
        findings.extend(flaws.into_iter().map(|flaw| flaw.of(header)));
    }

    /// The rules that an inspector has left, on the state before the event.
    fn judge_rules(&mut self, event: &Event) -> Vec<Flaw> {
        let header = &event.header;
        let Some(registry) = self.inspector.registry else { return Vec::new() };
        let Ok(record) = registry.schema_at(&header.schema_version, header.registry_version) else {
            return Vec::new();
        };
        let states = match self.inspector.judgement {
            Judgement::Gate => States::WhereRulesNeedThem,
            Judgement::Replay => States::All,
        };
        self.rules.push(registry, record, event, states, &mut self.inspector.memory)
    }

    /// Goes past a row that holds no event, with what it does hold.
    fn step_over(&mut self, row: &Finding, current_hash: Option<Digest>, findings: &mut Vec<Finding>) {
        let (Some(domain), Some(stream)) = (row.domain.as_deref(), row.stream.as_deref()) else { return };
        let Some(sequence) = row.sequence.and_then(|n| u64::try_from(n).ok()) else { return };
        let gap = self.advance(domain, stream, sequence);
        let Some(at) = self.at.as_mut() else { return };
        if let Some(first) = gap.missing_from {
            findings.push(missing(at, first, sequence));
        }
        at.heads = current_hash.into_iter().collect();
        at.last_event_id = row.event_id.and_then(EventId::from_uuid).or(at.last_event_id);
        self.rules.lose("an event before it is damaged or not at hand");
    }

    /// Moves to `sequence` of a stream, from its genesis if it is a new stream.
    /// Past missing rows, nothing is known of the head.
    fn advance(&mut self, domain: &str, stream: &str, sequence: u64) -> Gap {
        if !self.at.as_ref().is_some_and(|at| at.domain == domain && at.stream == stream) {
            let genesis = match (domain.parse::<DomainName>(), stream.parse::<StreamName>()) {
                (Ok(domain), Ok(stream)) => vec![genesis_hash(&self.ledger_id, &domain, &stream)],
                _ => Vec::new(),
            };
            self.at = Some(Position {
                domain: domain.to_owned(),
                stream: stream.to_owned(),
                sequence: 0,
                heads: genesis,
                last_event_id: None,
                timestamp: None,
                registry_version: 0,
            });
            self.rules.start();
        }
        let Some(at) = self.at.as_mut() else { return Gap::default() };
        let expected = at.sequence.saturating_add(1);
        let gap = Gap {
            expected,
            missing_from: (sequence > expected).then_some(expected),
            repeated: sequence < expected,
        };
        if gap.missing_from.is_some() || gap.repeated {
            at.heads.clear();
            self.rules.lose("an event before it is damaged or not at hand");
        }
        at.sequence = at.sequence.max(sequence);
        gap
    }
}

#[derive(Default)]
struct Gap {
    expected: u64,
    missing_from: Option<u64>,
    repeated: bool,
}

fn foreign_form(header: &Header) -> Finding {
    Flaw::tampering("payload", "the stored payload is not its canonical value").of(header)
}

/// The finding for rows `first` up to before `sequence`, which are not there.
fn missing(at: &Position, first: u64, sequence: u64) -> Finding {
    let last = sequence.saturating_sub(1);
    let detail = if first == last {
        format!("event {first} is missing")
    } else {
        format!("events {first} to {last} are missing")
    };
    Finding {
        class: FindingClass::Tampering,
        domain: Some(at.domain.clone()),
        stream: Some(at.stream.clone()),
        sequence: i64::try_from(first).ok(),
        event_id: None,
        check: "sequence",
        expected: Some(first.to_string()),
        actual: Some(sequence.to_string()),
        detail,
    }
}
