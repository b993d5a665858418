//! Verification in tasks: what a run has to do is a list, and each task can be
//! done in part, with the rest put back. So a run of hours commits batch by
//! batch, and goes on where it was interrupted.

use std::collections::VecDeque;

use ets_core::verify::{Finding, VerifiedRegistry};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::chains::{self, Chains, Place};
use super::trees::{self, Walked};
use super::{
    Findings, anchors, catalog, checkpoints, compromise, guards, heads, ledger_id, projections, uniqueness,
};
use crate::error::Result;

/// Something to verify. Kept in `ets.verification_run.tasks` while it waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum Task {
    /// The registry's own events.
    Registry,
    /// Events in the order of domain, stream and sequence: all the gate's checks.
    Events {
        #[serde(skip_serializing_if = "Option::is_none")]
        domain: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        stream: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        after: Option<Place>,
        /// At most so many; none: to the end.
        #[serde(skip_serializing_if = "Option::is_none")]
        count: Option<u64>,
    },
    /// The ends of a domain's streams, from the first event that has a leaf from
    /// `from_leaf` on.
    Tails {
        domain: String,
        from_leaf: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        after_stream: Option<String>,
    },
    /// Leaves of a domain's tree, against rows, tiles and roots.
    Leaves {
        domain: String,
        from: u64,
        /// The leaf to stop before; none: to the end.
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<u64>,
        with_payloads: bool,
    },
    /// The heads, each against the last event of its stream.
    Heads { domain: Option<String> },
    /// That no event, and no leaf, is there twice, and none is left out of a seal.
    Uniqueness { domain: Option<String> },
    /// The tables made from the registry.
    Projections,
    /// Checkpoints of the numbers from `first` on.
    Checkpoints { first: u64 },
    /// The anchors of checkpoints, and their declarations.
    Anchors,
    /// Events signed when their key may have been in other hands.
    Compromise { domain: Option<String> },
    /// The triggers, functions, views and indexes.
    Guards,
}

/// What tasks are done with, in one snapshot.
pub struct Work {
    ledger_id: Uuid,
    verified: VerifiedRegistry,
    /// What is wrong with the registry itself, and how many events it has.
    of_registry: Vec<Finding>,
    /// Judges authority when leaves were sealed; a rebuild does not.
    judges_leaves: bool,
    /// What came of the trees whose walk came to its end.
    pub walked: Vec<(String, Walked)>,
}

impl Work {
    /// Verifies and folds the registry, by which all else is judged.
    ///
    /// # Errors
    /// ET013 before there is a ledger.
    pub fn begin(judges_leaves: bool) -> Result<Self> {
        let ledger_id = ledger_id()?;
        let mut found = Findings::all();
        let verified = chains::registry(ledger_id, &mut found)?;
        Ok(Work { ledger_id, verified, of_registry: found.rows, judges_leaves, walked: Vec::new() })
    }

    /// The ledger's id.
    pub fn ledger_id(&self) -> Uuid {
        self.ledger_id
    }

    /// The registry as its events make it.
    pub fn verified(&self) -> &VerifiedRegistry {
        &self.verified
    }

    /// Works on `tasks` until they are done, about `budget` events have been
    /// verified, or `findings` is full; the number of events.
    pub fn on(&mut self, tasks: &mut VecDeque<Task>, budget: u64, findings: &mut Findings) -> Result<u64> {
        let mut events = 0;
        while let Some(task) = tasks.pop_front() {
            pgrx::check_for_interrupts!();
            let (done, rest) = self.task(task, budget.saturating_sub(events), findings)?;
            events += done;
            rest.into_iter().rev().for_each(|task| tasks.push_front(task));
            if events >= budget || findings.is_full() {
                break;
            }
        }
        Ok(events)
    }

    /// Works on one task; the number of events, and what is left of it.
    fn task(&mut self, task: Task, budget: u64, findings: &mut Findings) -> Result<(u64, Vec<Task>)> {
        match task {
            Task::Registry => {
                let found = std::mem::take(&mut self.of_registry);
                findings.collect(|all| all.extend(found));
                Ok((self.verified.registry.as_ref().map_or(0, |registry| registry.version()), Vec::new()))
            }
            Task::Events { domain, stream, after, count } => {
                self.events(domain, stream, after, count, budget, findings)
            }
            Task::Tails { domain, from_leaf, after_stream } => {
                self.tails(domain, from_leaf, after_stream, budget, findings)
            }
            Task::Leaves { domain, from, to, with_payloads } => {
                // What a damaged registry denies may have been right.
                let registry = self.verified.registry.as_ref();
                let registry =
                    registry.filter(|_| self.judges_leaves && self.verified.damaged_from.is_none());
                let part = trees::Part { domain: &domain, from, to, with_payloads, registry };
                let mut walked = trees::walk(&part, budget, findings)?;
                let events = walked.events;
                let rest = walked.next.take().map(|from| Task::Leaves {
                    domain: domain.clone(),
                    from,
                    to,
                    with_payloads,
                });
                if rest.is_none() {
                    self.walked.push((domain, walked));
                }
                Ok((events, rest.into_iter().collect()))
            }
            other => self.whole(other, findings).map(|()| (0, Vec::new())),
        }
    }

    fn events(
        &self,
        domain: Option<String>,
        stream: Option<String>,
        after: Option<Place>,
        count: Option<u64>,
        budget: u64,
        findings: &mut Findings,
    ) -> Result<(u64, Vec<Task>)> {
        let budget = budget.min(count.unwrap_or(u64::MAX)).max(1);
        let part =
            chains::Part { domain: domain.as_deref(), stream: stream.as_deref(), after: after.as_ref() };
        let reached = Chains::new(self.ledger_id, &self.verified).verify(part, budget, findings)?;
        let count = count.map(|count| count.saturating_sub(reached.events));
        let rest = reached.next.filter(|_| count != Some(0));
        let rest = rest.map(|next| Task::Events { domain, stream, after: Some(next), count });
        Ok((reached.events, rest.into_iter().collect()))
    }

    fn tails(
        &self,
        domain: String,
        from_leaf: u64,
        mut after_stream: Option<String>,
        budget: u64,
        findings: &mut Findings,
    ) -> Result<(u64, Vec<Task>)> {
        let mut chains = Chains::new(self.ledger_id, &self.verified);
        let mut events = 0;
        let mut rest = Vec::new();
        let after = after_stream.clone();
        chains::tails(&domain, from_leaf, after.as_deref(), |stream, place| {
            if events >= budget {
                rest.push(Task::Tails {
                    domain: domain.clone(),
                    from_leaf,
                    after_stream: after_stream.take(),
                });
                return Ok(false);
            }
            let part = chains::Part { domain: Some(&domain), stream: Some(stream), after: Some(&place) };
            let reached = chains.verify(part, budget - events, findings)?;
            events += reached.events;
            after_stream = Some(stream.to_owned());
            if let Some(next) = reached.next {
                rest.push(Task::Events {
                    domain: Some(domain.clone()),
                    stream: after_stream.clone(),
                    after: Some(next),
                    count: None,
                });
            }
            Ok(!findings.is_full())
        })?;
        Ok((events, rest))
    }

    /// A task that is one statement or little more, and is not divided.
    fn whole(&self, task: Task, findings: &mut Findings) -> Result<()> {
        match task {
            Task::Heads { domain } => heads::compare(self.ledger_id, domain.as_deref(), None, findings),
            Task::Uniqueness { domain } => {
                uniqueness::ids_in_two_domains(domain.as_deref(), findings)?;
                uniqueness::in_two_leaves(domain.as_deref(), findings)?;
                uniqueness::unsealed(domain.as_deref(), findings)
            }
            Task::Projections => projections::compare(&self.verified, findings),
            Task::Checkpoints { first } => checkpoints::verify(&self.verified, first, findings),
            Task::Anchors => anchors::verify(findings),
            Task::Compromise { domain } => match &self.verified.registry {
                Some(registry) => compromise::find(registry, domain.as_deref(), findings),
                None => Ok(()),
            },
            Task::Guards => {
                guards::verify(findings)?;
                catalog::verify(findings)
            }
            Task::Registry | Task::Events { .. } | Task::Tails { .. } | Task::Leaves { .. } => Ok(()),
        }
    }
}
