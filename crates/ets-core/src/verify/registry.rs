//! The registry's rows, as they are stored, and the registry that they make.

use uuid::Uuid;

use super::chain::ChainVerifier;
use super::finding::{Finding, FindingClass, Flaw};
use super::raw::RawEvent;
use crate::event::Event;
use crate::registry::{Registry, RegistryError};

/// Verifies the rows of `ets.registry`, which come in the order of their
/// sequence, and applies each as the gate did.
pub struct RegistryVerifier {
    chain: ChainVerifier<'static>,
    registry: Option<Registry>,
    damaged_from: Option<u64>,
}

/// What the registry's rows make.
#[derive(Debug)]
pub struct VerifiedRegistry {
    /// The registry, if its first event could be applied.
    pub registry: Option<Registry>,
    /// The version from which on it lacks an event that could not be applied:
    /// what it denies from there on may have been right.
    pub damaged_from: Option<u64>,
}

impl RegistryVerifier {
    /// A verifier for the registry of a ledger.
    pub fn new(ledger_id: Uuid) -> Self {
        RegistryVerifier { chain: ChainVerifier::new(ledger_id, None), registry: None, damaged_from: None }
    }

    /// Verifies and applies the next row, whatever it holds.
    pub fn push_raw(&mut self, row: &RawEvent, findings: &mut Vec<Finding>) {
        self.chain.push_raw(row, findings);
        match row.parse() {
            Ok(event) => self.apply(&event, findings),
            Err(_) => self.damage(row.sequence.and_then(|n| u64::try_from(n).ok())),
        }
    }

    /// Verifies and applies the next event.
    pub fn push(&mut self, event: &Event, findings: &mut Vec<Finding>) {
        self.chain.push(event, findings);
        self.apply(event, findings);
    }

    /// Applies an event wherever it stands: a changed hash or number elsewhere
    /// has been found already, and should not make all that follows unknown.
    fn apply(&mut self, event: &Event, findings: &mut Vec<Finding>) {
        let mut event = event.clone();
        let header = &mut event.header;
        let before = header.sequence.saturating_sub(1);
        header.registry_version = before;
        let applied = match &mut self.registry {
            None => Registry::start(&event).map(|registry| self.registry = Some(registry)),
            // There twice: the chain's finding says so.
            Some(registry) if registry.version() > before => return,
            Some(registry) => {
                if registry.version() < before {
                    self.damaged_from.get_or_insert(registry.version().saturating_add(1));
                }
                registry.resume_at(before, event.header.previous_hash);
                match registry.apply(&event) {
                    // Whoever has the engine may find it right, so it stays in the
                    // registry; what is judged by it cannot be judged here.
                    Err(error @ RegistryError::UnknownEngine { .. }) => {
                        let flaw = Flaw::new(FindingClass::Unverifiable, "registry", error.to_string());
                        findings.push(flaw.of(&event.header));
                        registry.apply_admitted(&event)
                    }
                    applied => applied,
                }
            }
        };
        let Err(error) = applied else { return };
        let (class, what) = match error {
            // Perhaps it would have, had nothing been missing before it.
            _ if self.damaged_from.is_some() => {
                (FindingClass::Unverifiable, "without what is missing before it, ")
            }
            RegistryError::Denied(_) => (FindingClass::Authority, ""),
            _ => (FindingClass::Schema, ""),
        };
        let detail = format!("{what}the registry would not take this event: {error}");
        findings.push(Flaw::new(class, "registry", detail).of(&event.header));
        self.damage(Some(event.header.sequence));
        if let Some(registry) = &mut self.registry {
            registry.resume_at(event.header.sequence, event.header.current_hash);
        }
    }

    /// Notes that the event of this sequence is not in the registry.
    fn damage(&mut self, sequence: Option<u64>) {
        let next = self.registry.as_ref().map_or(1, |registry| registry.version().saturating_add(1));
        self.damaged_from.get_or_insert(sequence.unwrap_or(next).min(next));
    }

    /// What the rows made.
    pub fn finish(self) -> VerifiedRegistry {
        VerifiedRegistry { registry: self.registry, damaged_from: self.damaged_from }
    }
}
