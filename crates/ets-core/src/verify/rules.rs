//! Rules and states: each event of a stream is judged by the rules of its schema
//! on the state before it, and reduced into the state after it.

use std::collections::HashSet;

use serde_json::Value;

use super::finding::{FindingClass, Flaw};
use super::judge::Memory;
use crate::event::Event;
use crate::expression::{EventScope, Scope};
use crate::name::SchemaVersion;
use crate::registry::{CompiledSchema, Registry, SchemaRecord};
use crate::state::{Reducer, StateFold};

/// The rules of a stream's events, one event after the other, from the stream's
/// first one or from a state that was kept.
#[derive(Debug, Default)]
pub(crate) struct RuleReplay {
    state: State,
    /// Whether it was said of this stream that a rule needs a state that is lost.
    loss_reported: bool,
    /// Schemas of which it was said that not all of their rules are evaluated.
    schemas_reported: HashSet<SchemaVersion>,
}

/// The state before the next event.
#[derive(Debug)]
enum State {
    Known(StateFold),
    /// Not known any more, and why.
    Lost(&'static str),
}

impl Default for State {
    fn default() -> Self {
        State::Known(StateFold::new())
    }
}

/// Which states are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum States {
    /// Those of domains with a rule that mentions `state`.
    WhereRulesNeedThem,
    All,
}

impl RuleReplay {
    /// Another stream begins, with its first event.
    pub(super) fn start(&mut self) {
        self.resume(Value::Null);
    }

    /// Another stream goes on from a state that was kept.
    pub(super) fn resume(&mut self, state: Value) {
        self.state = State::Known(StateFold::from_kept(state));
        self.loss_reported = false;
    }

    /// What follows stands on a state that nobody knows. `why` says so of an event
    /// that comes later.
    pub(super) fn lose(&mut self, why: &'static str) {
        if let State::Known(_) = self.state {
            self.state = State::Lost(why);
        }
    }

    /// The state after the last event; none if it is not known.
    pub(crate) fn state(&self) -> Option<&Value> {
        match &self.state {
            State::Known(fold) => Some(fold.state()),
            State::Lost(_) => None,
        }
    }

    /// As [`RuleReplay::state`], without a copy; the stream is at its end.
    pub(crate) fn take_state(&mut self) -> Option<Value> {
        match std::mem::replace(&mut self.state, State::Lost("the state was taken away")) {
            State::Known(fold) => Some(fold.into_state()),
            State::Lost(_) => None,
        }
    }

    /// Judges the next event by all rules of its schema, then reduces it. What
    /// cannot be judged is said once for a schema or a stream, not for each event.
    pub(super) fn push(
        &mut self,
        registry: &Registry,
        record: &SchemaRecord,
        event: &Event,
        states: States,
        memory: &mut Memory,
    ) -> Vec<Flaw> {
        let header = &event.header;
        let mut flaws = Vec::new();
        let compiled = match memory.compiled(record) {
            Ok(compiled) => compiled,
            Err(error) => {
                self.lose("the schema of an event before it cannot be evaluated");
                flaws.extend(self.unevaluated(record, error.to_string()));
                return flaws;
            }
        };
        if let Some(function) = record.rule_functions_at(header.registry_version).next() {
            let name = &function.function;
            flaws.extend(
                self.unevaluated(record, format!("its rule {name} is evaluated only by its database")),
            );
        }
        let key_id = header.key_id.to_string();
        let owner = registry.owner_at(&header.key_id, header.registry_version);
        if owner.is_none() && has_expressions(&compiled) {
            self.lose("the owner of an event's key before it is not known");
            flaws.push(unverifiable(
                "rules",
                format!("rules may look at the owner of key {key_id}, who is not known"),
            ));
            return flaws;
        }
        let scope = EventScope {
            schema_version: header.schema_version.as_str(),
            key_id: &key_id,
            owner: owner.unwrap_or_default(),
            domain: header.domain.as_str(),
            stream: header.stream.as_str(),
            sequence: header.sequence,
        };
        let judged = self.judge(&compiled, event, scope);
        let was_refused = judged.iter().any(|flaw| flaw.class == FindingClass::Rule);
        flaws.extend(judged);
        if states == States::All || registry.rules_need_state(&header.domain) {
            let failed = self.reduce(registry, &compiled.reducer, event, scope);
            // A reducer may rely on the rules: this has been said.
            flaws.extend(failed.filter(|_| !was_refused));
        }
        flaws
    }

    fn judge(&mut self, compiled: &CompiledSchema, event: &Event, scope: EventScope<'_>) -> Vec<Flaw> {
        let payload = event.payload.value();
        let mut flaws = Vec::new();
        let judged = match &self.state {
            State::Known(fold) => compiled.rules.check(&Scope { payload, event: scope, state: fold.state() }),
            State::Lost(why) => {
                if compiled.rules.needs_state() && !self.loss_reported {
                    self.loss_reported = true;
                    flaws.push(unverifiable(
                        "rules",
                        format!("a rule needs the state before it, which is not known: {why}"),
                    ));
                }
                compiled.rules.check_without_state(&Scope { payload, event: scope, state: &Value::Null })
            }
        };
        flaws.extend(judged.err().map(|refusal| Flaw::new(FindingClass::Rule, "rules", refusal.to_string())));
        flaws
    }

    fn reduce(
        &mut self,
        registry: &Registry,
        reducer: &Reducer,
        event: &Event,
        scope: EventScope<'_>,
    ) -> Option<Flaw> {
        // A reducer that does not look at the state before finds the way back.
        let mut regained = StateFold::new();
        let fold = match &mut self.state {
            State::Known(fold) => fold,
            State::Lost(_) if !reducer.needs_state() => &mut regained,
            State::Lost(_) => return None,
        };
        match fold.apply(reducer, &event.payload, scope) {
            Ok(()) => {
                if let State::Lost(_) = self.state {
                    self.state = State::Known(regained);
                    self.loss_reported = false;
                }
                None
            }
            Err(error) => {
                self.lose("an event before it has no next state");
                let header = &event.header;
                // The gate reduces only where a state is kept; elsewhere it let
                // this event pass with good reason.
                let since = registry.keeps_state_since(&header.domain);
                let was_reduced = since.is_some_and(|since| since <= header.registry_version);
                let class = if was_reduced { FindingClass::Rule } else { FindingClass::Unverifiable };
                Some(Flaw::new(class, "reducer", error.to_string()))
            }
        }
    }

    /// Says of a schema, once, that not all of its rules are evaluated.
    fn unevaluated(&mut self, record: &SchemaRecord, why: String) -> Option<Flaw> {
        self.schemas_reported
            .insert(record.name.clone())
            .then(|| unverifiable("rules", format!("not all rules of {} are evaluated: {why}", record.name)))
    }
}

fn has_expressions(compiled: &CompiledSchema) -> bool {
    !compiled.rules.is_empty() || matches!(compiled.reducer, Reducer::Expression(_))
}

fn unverifiable(check: &'static str, detail: String) -> Flaw {
    Flaw::new(FindingClass::Unverifiable, check, detail)
}
