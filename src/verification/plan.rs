//! What a run has to do: everything, or what is new since the last statement
//! with MATCH and a part of the old, so that the whole is verified again in time.

use std::collections::{BTreeMap, VecDeque};

use ets_core::canonical::{Limits, parse_json};
use ets_core::checkpoint::{DomainRoot, domain_roots_from_value};
use ets_core::merkle::{self, TreeError};
use ets_core::name::{DomainName, REGISTRY};
use ets_core::verify::{ChainVerifier, Finding, FindingClass};
use serde::{Deserialize, Serialize};

use super::chains::{Place, has_events};
use super::stored::StoredRow;
use super::work::{Task, Work};
use super::{Findings, finding, trees};
use crate::api::append::no_domain;
use crate::db::{self, View};
use crate::error::{Error, Result};
use crate::receiver;
use crate::runs::Check;
use crate::seal::{self, Checkpoint, StoredTiles, tree_error};
use crate::value::{Type, Value};

/// What a run shall cover.
#[derive(Clone)]
pub struct Scope {
    /// Which verification: [`Check::Verify`] or [`Check::Rebuild`].
    pub check: Check,
    /// One domain; none: all.
    pub domain: Option<DomainName>,
    /// Whether to begin at the last statement with MATCH.
    pub incremental: bool,
}

/// The rolling scan: the part of what was verified before that a run verifies
/// again, and where the next one goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanPosition {
    /// The last event verified, in the order of domain, stream and sequence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Place>,
    /// The next leaf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaves: Option<LeafPlace>,
}

/// A leaf of a domain's tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeafPlace {
    domain: String,
    leaf: u64,
}

/// What a run has to do, and what it may declare if it finds nothing.
pub struct Plan {
    /// In this order.
    pub tasks: VecDeque<Task>,
    /// The last checkpoint; what is sealed later is the next run's.
    pub checkpoint: Option<Checkpoint>,
    /// Where the rolling scan goes on after this run; none: it is through, and
    /// the next run begins anew.
    pub scan: Option<ScanPosition>,
    /// Whether it begins at a statement; else everything is verified.
    pub is_incremental: bool,
}

impl Plan {
    /// Plans a run. Of what was verified before, an incremental one takes `share`,
    /// 1.0 being all of it, from `at` on. A statement that does not hold, or that
    /// the trees do not continue, is a finding, and the run begins at genesis.
    ///
    /// # Errors
    /// ET011 for an unknown domain.
    pub fn of(
        scope: &Scope,
        share: f64,
        at: &ScanPosition,
        work: &Work,
        findings: &mut Findings,
    ) -> Result<Plan> {
        let name = scope.domain.as_ref().map(|domain| domain.as_str().to_owned());
        if let Some(domain) = &scope.domain {
            let registry = work.verified().registry.as_ref();
            let is_known = registry.is_none_or(|registry| registry.domain(domain.as_str()).is_some());
            if !is_known && !has_events(domain, None)? {
                return Err(no_domain(domain));
            }
        }
        let checkpoint = readable(seal::last_checkpoint(View::Query))?.flatten();
        let roots = match &checkpoint {
            Some(last) => readable(seal::domain_roots(View::Query, last.checkpoint_id))?.unwrap_or_default(),
            None => Vec::new(),
        };
        let since = if scope.incremental { Since::find(scope, &roots, work, findings)? } else { None };
        let (tasks, scan) = match &since {
            None => (full(scope, name)?, None),
            Some(since) => incremental(scope, name, since, &roots, share, at)?,
        };
        Ok(Plan { tasks, checkpoint, scan, is_incremental: since.is_some() })
    }
}

/// None for a row that cannot be read: what is wrong with it, a task will find.
fn readable<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::Postgres) => Err(Error::Postgres),
        Err(_) => Ok(None),
    }
}

fn full(scope: &Scope, domain: Option<String>) -> Result<VecDeque<Task>> {
    let mut trees = trees::domains()?;
    let held = receiver::held_domain()?;
    trees.retain(|tree| receiver::holds(held.as_ref(), tree));
    let with_payloads = scope.check == Check::Rebuild;
    let leaves = trees
        .into_iter()
        .filter(|tree| domain.as_ref().is_none_or(|domain| domain == tree))
        .map(|domain| Task::Leaves { domain, from: 0, to: None, with_payloads });
    let mut tasks = VecDeque::new();
    if scope.check == Check::Verify {
        tasks.push_back(Task::Registry);
        tasks.push_back(Task::Events { domain: domain.clone(), stream: None, after: None, count: None });
        tasks.push_back(Task::Heads { domain: domain.clone() });
        tasks.push_back(Task::Projections);
        tasks.extend(leaves);
        tasks.push_back(Task::Uniqueness { domain: domain.clone() });
        tasks.push_back(Task::Checkpoints { first: 1 });
        tasks.push_back(Task::Anchors);
        tasks.push_back(Task::Guards);
        tasks.push_back(Task::Compromise { domain });
    } else {
        tasks.extend(leaves);
        tasks.push_back(Task::Checkpoints { first: 1 });
    }
    Ok(tasks)
}

fn incremental(
    scope: &Scope,
    domain: Option<String>,
    since: &Since,
    roots: &[DomainRoot],
    share: f64,
    at: &ScanPosition,
) -> Result<(VecDeque<Task>, Option<ScanPosition>)> {
    let held = receiver::held_domain()?;
    let is_wanted = |name: &str| {
        domain.as_ref().is_none_or(|domain| domain == name) && receiver::holds(held.as_ref(), name)
    };
    let roots = roots.iter().filter(|root| is_wanted(root.domain.as_str()));
    let trees: Vec<(String, u64)> = roots
        .map(|root| (root.domain.to_string(), since.sizes.get(&root.domain).copied().unwrap_or(0)))
        .collect();
    let with_payloads = scope.check == Check::Rebuild;
    let mut next = ScanPosition::default();

    let new_leaves = trees.iter().map(|(domain, from)| Task::Leaves {
        domain: domain.clone(),
        from: *from,
        to: None,
        with_payloads,
    });
    let old_leaves = old_leaves(&trees, share, at.leaves.as_ref(), with_payloads, &mut next);
    let mut tasks = VecDeque::new();
    if scope.check == Check::Verify {
        tasks.push_back(Task::Registry);
        tasks.extend(trees.iter().filter(|(domain, _)| domain != REGISTRY).map(|(domain, from_leaf)| {
            Task::Tails { domain: domain.clone(), from_leaf: *from_leaf, after_stream: None }
        }));
        tasks.push_back(old_events(domain.clone(), share, at.events.as_ref(), &mut next)?);
        tasks.push_back(Task::Heads { domain: domain.clone() });
        tasks.push_back(Task::Projections);
        tasks.extend(new_leaves);
        tasks.extend(old_leaves);
        tasks.push_back(Task::Uniqueness { domain: domain.clone() });
        tasks.push_back(Task::Checkpoints { first: 1 });
        tasks.push_back(Task::Anchors);
        tasks.push_back(Task::Guards);
        tasks.push_back(Task::Compromise { domain });
    } else {
        tasks.extend(new_leaves);
        tasks.extend(old_leaves);
        tasks.push_back(Task::Checkpoints { first: since.checkpoint_id });
    }
    let is_through = next == ScanPosition::default();
    Ok((tasks, (!is_through).then_some(next)))
}

/// The share of the leaves below each tree's size that is verified again.
fn old_leaves(
    trees: &[(String, u64)],
    share: f64,
    at: Option<&LeafPlace>,
    with_payloads: bool,
    next: &mut ScanPosition,
) -> Vec<Task> {
    let total: u64 = trees.iter().map(|(_, size)| size).sum();
    let mut left = part_of(total, share);
    let mut tasks = Vec::new();
    for (domain, size) in trees {
        let from = match at.filter(|_| share < 1.0) {
            Some(at) if *domain < at.domain => continue,
            Some(at) if *domain == at.domain => at.leaf.min(*size),
            _ => 0,
        };
        if left == 0 {
            next.leaves = Some(LeafPlace { domain: domain.clone(), leaf: from });
            break;
        }
        let to = from.saturating_add(left).min(*size);
        left -= to - from;
        if to > from {
            tasks.push(Task::Leaves { domain: domain.clone(), from, to: Some(to), with_payloads });
        }
        if to < *size {
            next.leaves = Some(LeafPlace { domain: domain.clone(), leaf: to });
            break;
        }
    }
    tasks
}

/// The share of all events that is verified again, in the order of their streams.
fn old_events(
    domain: Option<String>,
    share: f64,
    at: Option<&Place>,
    next: &mut ScanPosition,
) -> Result<Task> {
    let whole = Task::Events { domain: domain.clone(), stream: None, after: None, count: None };
    if share >= 1.0 || domain.is_some() {
        return Ok(whole);
    }
    let total = db::first(
        View::Query,
        "SELECT coalesce(sum(head.sequence), 0)::pg_catalog.int8 FROM ets.stream_head AS head",
        &[],
        |row| Ok(row.int(1)),
    )?;
    let total = total.flatten().and_then(|total| u64::try_from(total).ok()).unwrap_or(0);
    let count = part_of(total, share).max(1);
    let (domain, stream, sequence) =
        at.map_or(("", "", i64::MIN), |at| (&at.domain, &at.stream, at.sequence));
    next.events = db::by_index(|| {
        db::first(
            View::Query,
            "SELECT event.domain, event.stream, event.sequence FROM ets.ledger_event AS event
              WHERE (event.domain, event.stream, event.sequence) > ($1, $2, $3)
                AND NOT (event.domain = 'ets.registry' AND event.stream = 'main')
              ORDER BY event.domain, event.stream, event.sequence OFFSET $4 LIMIT 1",
            &[domain.into(), stream.into(), sequence.into(), (count - 1).into()],
            |row| Ok(row.text(1).zip(row.text(2)).zip(row.int(3))),
        )
    })?
    .flatten()
    .map(|((domain, stream), sequence)| Place { domain, stream, sequence });
    let count = next.events.is_some().then_some(count);
    Ok(Task::Events { domain: None, stream: None, after: at.cloned(), count })
}

fn part_of(total: u64, share: f64) -> u64 {
    if share >= 1.0 { total } else { (total as f64 * share.max(0.0)).ceil() as u64 }
}

/// What the last statement with MATCH has declared.
struct Since {
    sizes: BTreeMap<DomainName, u64>,
    checkpoint_id: u64,
}

impl Since {
    /// None if there is no statement, or if it cannot be built on.
    fn find(
        scope: &Scope,
        roots: &[DomainRoot],
        work: &Work,
        findings: &mut Findings,
    ) -> Result<Option<Since>> {
        let Some((statement, before)) = last_statement(scope)? else { return Ok(None) };
        let mut verifier = ChainVerifier::judging_by(work.ledger_id(), work.verified());
        if let Some(before) = before {
            verifier.push_raw(&before.raw(), &mut Vec::new());
        }
        let mut found = Vec::new();
        verifier.push_raw(&statement.raw(), &mut found);
        if !found.is_empty() {
            findings.collect(|all| all.extend(found));
            return Ok(None);
        }
        let raw = statement.raw();
        let payload =
            raw.payload.and_then(|text| parse_json(text, &Limits::CEILING).ok()).unwrap_or_default();
        // Its schema has been checked.
        let Some(declared) =
            payload.get("domain_roots").and_then(|roots| domain_roots_from_value(roots).ok())
        else {
            return Ok(None);
        };
        for root in &declared {
            if let Some(problem) = continues(root, roots)? {
                findings.add(Finding {
                    domain: Some(root.domain.to_string()),
                    event_id: raw.event_id,
                    expected: Some(root.root.to_string()),
                    ..finding(
                        FindingClass::Seal,
                        "consistency",
                        format!(
                            "the tree does not continue that of {} leaves, declared verified: {problem}",
                            root.tree_size
                        ),
                    )
                });
                return Ok(None);
            }
        }
        Ok(Some(Since {
            sizes: declared.into_iter().map(|root| (root.domain, root.tree_size)).collect(),
            checkpoint_id: payload.get("checkpoint_id").and_then(|id| id.as_u64()).unwrap_or(1),
        }))
    }
}

/// Why the present tree of a domain is no continuation of what it was.
fn continues(then: &DomainRoot, roots: &[DomainRoot]) -> Result<Option<String>> {
    if then.tree_size == 0 {
        return Ok(None);
    }
    let Some(now) = roots.iter().find(|root| root.domain == then.domain) else {
        return Ok(Some("the last checkpoint lacks the domain".into()));
    };
    if now.tree_size < then.tree_size {
        return Ok(Some(format!("it has {} leaves now", now.tree_size)));
    }
    let mut tiles = StoredTiles { domain: &then.domain, view: View::Query };
    let proof = match merkle::consistency_proof(&mut tiles, then.tree_size, now.tree_size) {
        Ok(proof) => proof,
        Err(TreeError::Source(Error::Postgres)) => return Err(Error::Postgres),
        Err(error) => return Ok(Some(tree_error(&then.domain, error).to_string())),
    };
    let verified = merkle::verify_consistency(then.tree_size, now.tree_size, &proof, &then.root, &now.root);
    Ok(verified.err().map(|_| "there is no consistency proof".into()))
}

/// The last statement of this check that covers the scope, and the event before it.
fn last_statement(scope: &Scope) -> Result<Option<(StoredRow, Option<StoredRow>)>> {
    let domain = Value::or_null(scope.domain.as_ref().map(DomainName::as_str), Type::Text);
    let statement = db::by_index(|| {
        db::first(
            View::Query,
            crate::select_events!("WHERE event.domain = 'ets.audit' AND event.stream = 'main'
                AND event.schema_version = 'ets.verification/1.0.0' AND event.payload ->> 'verdict' = 'MATCH'
                AND event.payload -> 'scope' ->> 'check' = $1
                AND (event.payload -> 'scope' ->> 'domain' IS NULL OR event.payload -> 'scope' ->> 'domain' = $2)
              ORDER BY event.sequence DESC LIMIT 1"),
            &[scope.check.as_str().into(), domain],
            |row| Ok(StoredRow::of(row)),
        )
    })?;
    let Some(statement) = statement else { return Ok(None) };
    let before = db::first(
        View::Query,
        crate::select_events!(
            "WHERE event.domain = 'ets.audit' AND event.stream = 'main' AND event.sequence < $1
              ORDER BY event.sequence DESC LIMIT 1"
        ),
        &[Value::or_null(statement.sequence(), Type::Int)],
        |row| Ok(StoredRow::of(row)),
    )?;
    Ok(Some((statement, before)))
}
