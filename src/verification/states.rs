//! The states, computed again from genesis, against those that the gate keeps.

use ets_core::canonical::{Limits, parse_json};
use ets_core::hash::Digest;
use ets_core::name::DomainName;
use ets_core::registry::Registry;
use ets_core::state::{StateRootBuilder, StreamState, state_hash};
use ets_core::verify::{Finding, FindingClass};
use serde_json::Value as Json;

use super::{Findings, chains, finding, ledger_id};
use crate::api::append::no_domain;
use crate::error::Result;
use crate::head_row::{self, column};
use crate::replay::{self, Replayed, Scope};
use crate::value;

/// What a replay has shown.
pub struct ReplayedStates {
    /// What is wrong, in the order of domains, streams and sequences.
    pub findings: Findings,
    /// The state roots of the domains all of whose states are known, in the order
    /// of the names' bytes.
    pub state_roots: Vec<(DomainName, Digest)>,
    /// The number of events that have passed.
    pub events: u64,
}

/// Replays a domain, or all, from genesis: every event hashed, linked and its
/// signature verified, every rule judged again, every state compared with the one
/// that is kept.
///
/// # Errors
/// ET013 before there is a ledger, ET011 for an unknown domain.
pub fn replay(domain: Option<&DomainName>, limit: usize) -> Result<ReplayedStates> {
    let mut findings = Findings::first(limit);
    // Judged by the registry's own verified events, not by what the gate knows.
    let verified = chains::registry(ledger_id()?, &mut Findings::ignored())?;
    let (mut state_roots, mut events) = (Vec::new(), 0);
    let Some(registry) = verified.registry.as_ref().filter(|_| verified.damaged_from.is_none()) else {
        findings.add(finding(
            FindingClass::Unverifiable,
            "registry",
            "the registry is damaged: schemas and reducers are not known; \
             SELECT * FROM ets.verify_ledger('ets.registry') says where",
        ));
        return Ok(ReplayedStates { findings, state_roots, events });
    };
    let domains: Vec<DomainName> = match domain {
        Some(domain) if registry.domain(domain.as_str()).is_none() => return Err(no_domain(domain)),
        Some(domain) => vec![domain.clone()],
        None => registry.domains_at(registry.version()),
    };
    for domain in domains {
        let (root, passed) = one_domain(registry, &domain, &mut findings)?;
        events += passed;
        state_roots.extend(root.map(|root| (domain, root)));
    }
    Ok(ReplayedStates { findings, state_roots, events })
}

/// The domain's state root, if all its states are known, and the number of events.
fn one_domain(
    registry: &Registry,
    domain: &DomainName,
    findings: &mut Findings,
) -> Result<(Option<Digest>, u64)> {
    let findings = std::cell::RefCell::new(findings);
    let mut root = Some(StateRootBuilder::default());
    let scope = Scope { domain, stream: None, until: None, signatures: true };
    let wrong = |finding: Finding| {
        findings.borrow_mut().add(finding);
        Ok(())
    };
    let events = replay::from_genesis(registry, &scope, wrong, |done| {
        match &done.state {
            None => root = None,
            Some(state) => {
                if let Some(found) = differs_from_kept(domain, &done, state)? {
                    findings.borrow_mut().add(found);
                }
                let leaf = StreamState {
                    stream: done.stream.clone(),
                    sequence: done.sequence,
                    state_hash: state_hash(state),
                };
                // Out of order: another collation than the table was made with.
                if root.as_mut().is_some_and(|root| root.push(&leaf).is_err()) {
                    root = None;
                }
            }
        }
        Ok(())
    })?;
    Ok((root.map(|root| root.root()), events))
}

/// A finding, if the gate keeps another state of the stream.
fn differs_from_kept(domain: &DomainName, done: &Replayed, state: &Json) -> Result<Option<Finding>> {
    let kept = head_row::read(domain.as_str(), done.stream.as_str(), |row| {
        let sequence = row.datum(column::SEQUENCE).map(|datum| datum.value() as i64);
        // SAFETY: the column is a jsonb.
        let state = row.datum(column::STATE).map(|datum| unsafe { value::jsonb_text_of(datum) });
        Ok(state.map(|state| (sequence, state)))
    })?;
    let Some((sequence, text)) = kept.flatten() else { return Ok(None) };
    let at = i64::try_from(done.sequence).ok();
    let expected = state_hash(state);
    let (actual, detail) = match parse_json(&text, &Limits::CEILING) {
        Ok(_) if sequence != at => (
            sequence.map(|sequence| format!("sequence {sequence}")),
            "the kept state is not that of the stream's last event",
        ),
        Ok(kept) if state_hash(&kept) == expected => return Ok(None),
        Ok(kept) => (Some(state_hash(&kept).to_string()), "the kept state is not the replayed one"),
        Err(_) => (None, "the kept state has no canonical form"),
    };
    Ok(Some(Finding {
        domain: Some(domain.to_string()),
        stream: Some(done.stream.to_string()),
        sequence: at,
        expected: Some(expected.to_string()),
        actual,
        ..finding(FindingClass::Projection, "state", detail)
    }))
}
