//! Verification of the whole ledger: in one statement, or batch by batch.

use std::collections::{BTreeMap, VecDeque};

use ets_core::hash::Digest;
use ets_core::name::DomainName;
use ets_core::time::Timestamp;
use uuid::Uuid;

use crate::api::verify::findings as finding_rows;
use crate::error::{self, Error, Result};
use crate::function::{Call, Rows};
use crate::runs::{self, Check, Cycle, Done, KEPT_OF_EACH_DOMAIN, Run};
use crate::value::{Type, Value};
use crate::verification::{Findings, Plan, Scope, Task, Walked, Work};
use crate::{clock, ledger};

crate::sql_functions! {
    ets_verify_ledger pg_finfo_ets_verify_ledger => verify_ledger;
    ets_rebuild_merkle pg_finfo_ets_rebuild_merkle => rebuild_merkle;
    ets_run_batch pg_finfo_ets_run_batch => run_batch;
}

fn verify_ledger(call: &Call) -> Result<Rows> {
    let domain = optional_domain(call, 0)?;
    let incremental = call.bool(1).ok_or_else(|| Error::null("incremental"))?;
    let limit = call.int4(2).ok_or_else(|| Error::null("max_findings"))?;
    // Zero would answer no finding for any ledger.
    let limit = usize::try_from(limit)
        .ok()
        .filter(|limit| *limit > 0)
        .ok_or_else(|| Error::parameter("max_findings", "must be at least 1"))?;
    let scope = Scope { check: Check::Verify, domain, incremental };
    let found = at_once(&scope, Findings::first(limit))?.findings;
    if found.is_full() {
        error::notice(
            &format!("verification stopped at max_findings, {limit}: there may be more"),
            "call it with a greater max_findings to see more",
        );
    }
    finding_rows(call, &found.rows)
}

fn rebuild_merkle(call: &Call) -> Result<Rows> {
    let scope = Scope { check: Check::Rebuild, domain: optional_domain(call, 0)?, incremental: false };
    let found = at_once(&scope, Findings::of_each_domain(KEPT_OF_EACH_DOMAIN, BTreeMap::new()))?;
    let mut rows = Rows::open(call)?;
    for (domain, tree) in found.walked {
        let is_whole = !found.findings.names_domain(&domain);
        rows.put(&tree_columns(&domain, &tree, is_whole))?;
    }
    Ok(rows)
}

fn tree_columns(domain: &str, tree: &Walked, is_whole: bool) -> [Value; 7] {
    let rebuilt = tree.rebuilt_root.as_ref().map(Digest::as_bytes);
    let matches =
        is_whole && rebuilt.is_some() && rebuilt.map(|root| &root[..]) == tree.stored_root.as_deref();
    let (leaf, event) = tree.first_bad.unzip();
    [
        domain.into(),
        tree.tree_size.into(),
        tree.stored_root.clone().map_or(Value::Null(Type::Bytes), Value::Bytes),
        Value::or_null(tree.rebuilt_root, Type::Bytes),
        matches.into(),
        Value::or_null(leaf, Type::Int),
        event.flatten().map_or(Value::Null(Type::Uuid), |id: Uuid| Value::Uuid(*id.as_bytes())),
    ]
}

/// What a run that was done in one statement has found.
struct Found {
    findings: Findings,
    walked: Vec<(String, Walked)>,
}

/// Plans a run, does it, and records it.
fn at_once(scope: &Scope, mut findings: Findings) -> Result<Found> {
    ledger_must_exist()?;
    let started_at = clock::now()?;
    let mut work = Work::begin(scope.check == Check::Verify)?;
    let (run, mut tasks) = planned(scope, started_at, &work, &mut findings)?;
    let events = work.on(&mut tasks, u64::MAX, &mut findings)?;
    let mut kept = Findings::of_each_domain(KEPT_OF_EACH_DOMAIN, BTreeMap::new());
    findings.rows.iter().for_each(|finding| kept.add(finding.clone()));
    let done = Done { events, findings: kept.rows, finding_count: findings.count, ..Done::default() };
    runs::record(&run, &done)?;
    Ok(Found { findings, walked: work.walked })
}

fn planned(
    scope: &Scope,
    started_at: Timestamp,
    work: &Work,
    findings: &mut Findings,
) -> Result<(Run, VecDeque<Task>)> {
    let rolling = runs::rolling(scope.check)?;
    let plan = Plan::of(scope, rolling.share, &rolling.at, work, findings)?;
    // A run of one domain has no part in the rolling scan.
    let is_of_all = scope.domain.is_none();
    let began = rolling.started_at.filter(|_| plan.is_incremental);
    let run = Run {
        check: scope.check,
        domain: scope.domain.clone(),
        incremental: plan.is_incremental,
        started_at,
        checkpoint: plan.checkpoint.map(|last| (last.checkpoint_id, last.meta_root)),
        cycle: is_of_all.then(|| Cycle { started_at: began.unwrap_or(started_at), next: plan.scan }),
    };
    Ok((run, plan.tasks))
}

/// One batch of the unfinished run of this kind, or of a new one: its verdict
/// once it is done, else NULL.
fn run_batch(call: &Call) -> Result<Value> {
    let check = Check::named(&call.required_text(0, "check_name")?)
        .filter(|check| *check != Check::Replay)
        .ok_or_else(|| Error::parameter("check_name", "must be verify or rebuild"))?;
    let incremental = call.bool(1).ok_or_else(|| Error::null("incremental"))?;
    let budget = call.required_count(2, "batch_events")?;
    if budget == 0 {
        return Err(Error::parameter("batch_events", "must be at least 1"));
    }
    ledger_must_exist()?;
    let scope = Scope { check, domain: None, incremental };
    if !runs::can_record() {
        let found = found_unrecorded(&scope)?;
        return Ok(runs::verdict(&found.rows).as_str().into());
    }
    let since = clock::now()?;
    let unfinished = runs::unfinished(check, incremental)?;
    let mut work = Work::begin(check == Check::Verify)?;
    let (run_id, mut tasks, mut findings) = match unfinished {
        Some(run) => (run.run_id, run.tasks, Findings::of_each_domain(KEPT_OF_EACH_DOMAIN, run.kept)),
        None => {
            let mut findings = Findings::of_each_domain(KEPT_OF_EACH_DOMAIN, BTreeMap::new());
            let (run, tasks) = planned(&scope, since, &work, &mut findings)?;
            (runs::begin(&run, &tasks)?, tasks, findings)
        }
    };
    let events = work.on(&mut tasks, budget, &mut findings)?;
    let done = Done { events, finding_count: findings.count, findings: findings.rows, ..Done::default() };
    runs::advance(run_id, since, &done, &tasks)?;
    if tasks.is_empty() {
        Ok(runs::finish(run_id, &[])?.as_str().into())
    } else {
        Ok(Value::Null(Type::Text))
    }
}

/// On a standby, where no row could say how far a run has come.
fn found_unrecorded(scope: &Scope) -> Result<Findings> {
    let mut findings = Findings::of_each_domain(KEPT_OF_EACH_DOMAIN, BTreeMap::new());
    let mut work = Work::begin(scope.check == Check::Verify)?;
    let (_, mut tasks) = planned(scope, clock::now()?, &work, &mut findings)?;
    work.on(&mut tasks, u64::MAX, &mut findings)?;
    Ok(findings)
}

fn optional_domain(call: &Call, position: usize) -> Result<Option<DomainName>> {
    Ok(call.text(position).map(|name| name.parse::<DomainName>()).transpose()?)
}

/// Before the tables of runs are asked for.
fn ledger_must_exist() -> Result<()> {
    if ledger::exists() { Ok(()) } else { Err(ledger::not_initialised()) }
}
