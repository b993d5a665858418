//! Runs of verification: what each covered and found, kept in
//! `ets.verification_run` and `ets.finding`, and declared in `ets.audit`.
//!
//! A run that is done in one statement is [`record`]ed. One that commits batch by
//! batch is begun ([`begin`]), [`advance`]d and [`finish`]ed; its row says what is
//! left to do. On a standby, or in a read-only transaction, nothing is recorded.

mod restoration;
mod statement;

use std::collections::{BTreeMap, VecDeque};

use ets_core::hash::Digest;
use ets_core::name::DomainName;
use ets_core::time::Timestamp;
use ets_core::verify::{Finding, Verdict};
use pgrx::pg_sys;

use crate::db::{self, View};
use crate::error::{self, Error, Result, sqlstate};
use crate::value::{Type, Value};
use crate::verification::{ScanPosition, Task};
use crate::{clock, gucs};

/// How many findings of a domain a run keeps; it counts the others.
pub const KEPT_OF_EACH_DOMAIN: usize = 1000;

/// The verifications that are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// The gate's checks again, and everything made from events against them.
    Verify,
    /// Payloads, headers, leaves, trees and checkpoints.
    Rebuild,
    /// States and rules, from genesis.
    Replay,
}

impl Check {
    /// The check of this name.
    pub fn named(name: &str) -> Option<Check> {
        [Check::Verify, Check::Rebuild, Check::Replay].into_iter().find(|check| check.as_str() == name)
    }

    /// The name in SQL and in statements.
    pub fn as_str(self) -> &'static str {
        match self {
            Check::Verify => "verify",
            Check::Rebuild => "rebuild",
            Check::Replay => "replay",
        }
    }
}

/// What a run is about.
pub struct Run {
    /// Which verification.
    pub check: Check,
    /// The one domain; none: all.
    pub domain: Option<DomainName>,
    /// Whether it began at an earlier statement.
    pub incremental: bool,
    /// When it began.
    pub started_at: Timestamp,
    /// Number and MetaRoot of the last checkpoint at that time.
    pub checkpoint: Option<(u64, Digest)>,
    /// Which part of the rolling scan it is.
    pub cycle: Option<Cycle>,
}

/// A run's part of the rolling scan.
#[derive(Clone)]
pub struct Cycle {
    /// When the scan began at the first event.
    pub started_at: Timestamp,
    /// Where the next run goes on; none: the scan is through after this one.
    pub next: Option<ScanPosition>,
}

/// What a run, or a batch of it, has done.
#[derive(Default)]
pub struct Done {
    /// Events verified.
    pub events: u64,
    /// Findings to keep, at most [`KEPT_OF_EACH_DOMAIN`] of a domain.
    pub findings: Vec<Finding>,
    /// All findings that bear on the verdict.
    pub finding_count: u64,
    /// The state roots of the domains that were replayed.
    pub state_roots: Vec<(DomainName, Digest)>,
}

/// The verdict over `findings`.
pub fn verdict(findings: &[Finding]) -> Verdict {
    let verdicts = || findings.iter().map(|finding| finding.class.verdict());
    if verdicts().any(|verdict| verdict == Verdict::Mismatch) {
        Verdict::Mismatch
    } else if verdicts().any(|verdict| verdict == Verdict::Unverifiable) {
        Verdict::Unverifiable
    } else {
        Verdict::Match
    }
}

/// Whether a run can be recorded here. If not, a NOTICE says so.
pub fn can_record() -> bool {
    // SAFETY: reads statics.
    let is_standby = unsafe { pg_sys::RecoveryInProgress() };
    if is_standby || unsafe { pg_sys::XactReadOnly } {
        let place = if is_standby { "on a standby" } else { "in a read-only transaction" };
        error::notice(&format!("nothing of this run is recorded {place}"), "run it on the primary, too");
        return false;
    }
    true
}

/// Records a run that is done: its row, its findings with a WARNING and a NOTIFY,
/// and its statement in `ets.audit`. Does nothing where nothing can be recorded.
pub fn record(run: &Run, done: &Done) -> Result<()> {
    if !can_record() {
        return Ok(());
    }
    // What was found is told even where somebody keeps it from being written down.
    let run_id = match db::attempt(|| begin(run, &VecDeque::new()))? {
        Ok(run_id) => run_id,
        Err(problem) => {
            error::warn(
                &format!("this run of {} is not recorded: {problem}", run.check.as_str()),
                "SELECT * FROM ets.verify_ledger() says what is wrong with the ledger's own tables",
            );
            return Ok(());
        }
    };
    advance(run_id, run.started_at, done, &VecDeque::new())?;
    finish(run_id, &done.state_roots)?;
    Ok(())
}

/// Records what was refused as it was applied: as a run of its own that found it,
/// unless it is open already.
pub fn record_refusal(finding: &Finding) -> Result<()> {
    let known = db::first(
        View::Latest,
        "SELECT true FROM ets.open_findings AS open
          WHERE open.run OPERATOR(pg_catalog.=) 'verify' AND open.check_name OPERATOR(pg_catalog.=) $1
            AND open.detail OPERATOR(pg_catalog.=) $2 AND open.event_id IS NOT DISTINCT FROM $3",
        &[
            finding.check.into(),
            finding.detail.as_str().into(),
            finding.event_id.map_or(Value::Null(Type::Uuid), |id| Value::Uuid(*id.as_bytes())),
        ],
        |_| Ok(()),
    )?;
    if known.is_some() {
        return Ok(());
    }
    let run = Run {
        check: Check::Verify,
        domain: None,
        incremental: true,
        started_at: clock::now()?,
        checkpoint: None,
        cycle: None,
    };
    let run_id = begin(&run, &VecDeque::new())?;
    keep(run_id, finding)?;
    db::write(
        "UPDATE ets.verification_run SET finished_at = pg_catalog.clock_timestamp(), verdict = 'MISMATCH',
                finding_count = 1, tasks = NULL
          WHERE run_id OPERATOR(pg_catalog.=) $1",
        &[run_id.into()],
    )?;
    Ok(())
}

/// Writes the row of a run that begins; its number.
pub fn begin(run: &Run, tasks: &VecDeque<Task>) -> Result<i64> {
    let scan = run.cycle.as_ref().and_then(|cycle| cycle.next.as_ref());
    let (checkpoint_id, meta_root) = run.checkpoint.unzip();
    let run_id = db::write_returning(
        "INSERT INTO ets.verification_run (check_name, domain, incremental, started_at, checkpoint_id, meta_root, tasks,
                scan_position, cycle_started_at, last_cycle, system_identifier, database_oid, relation_oid)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9,
                (SELECT before.last_cycle FROM ets.verification_run AS before
                  WHERE before.check_name OPERATOR(pg_catalog.=) $1 AND before.last_cycle IS NOT NULL
                  ORDER BY before.run_id DESC LIMIT 1),
                system.system_identifier, database.oid, 'ets.ledger_event'::pg_catalog.regclass
           FROM pg_catalog.pg_control_system() AS system, pg_catalog.pg_database AS database
          WHERE database.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
         RETURNING run_id",
        &[
            run.check.as_str().into(),
            Value::or_null(run.domain.as_ref().map(DomainName::as_str), Type::Text),
            run.incremental.into(),
            run.started_at.into(),
            Value::or_null(checkpoint_id, Type::Int),
            Value::or_null(meta_root, Type::Bytes),
            json_of(tasks)?,
            scan.map_or(Ok(Value::Null(Type::Jsonb)), json_of)?,
            Value::or_null(run.cycle.as_ref().map(|cycle| cycle.started_at), Type::Timestamp),
        ],
        |row| Ok(row.int(1)),
    )?;
    run_id.flatten().ok_or_else(lost)
}

/// Writes what a batch that began at `since` has done, and what is left.
pub fn advance(run_id: i64, since: Timestamp, done: &Done, tasks: &VecDeque<Task>) -> Result<()> {
    for finding in &done.findings {
        keep(run_id, finding)?;
    }
    let seconds = (clock::now()?.unix_micros() - since.unix_micros()) as f64 / 1e6;
    db::write(
        "UPDATE ets.verification_run SET events = events OPERATOR(pg_catalog.+) $2,
                finding_count = finding_count OPERATOR(pg_catalog.+) $3,
                working_time = working_time OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => $4), tasks = $5
          WHERE run_id OPERATOR(pg_catalog.=) $1",
        &[run_id.into(), done.events.into(), done.finding_count.into(), Value::Float(seconds), json_of(tasks)?],
    )?;
    Ok(())
}

/// Ends a run: its verdict, its statement, a WARNING unless it is MATCH.
pub fn finish(run_id: i64, state_roots: &[(DomainName, Digest)]) -> Result<Verdict> {
    let (counted, kept, unverifiable, check, is_whole, compromised) = db::first(
        View::Latest,
        "SELECT run.finding_count,
                pg_catalog.count(finding.finding_id) FILTER (WHERE finding.class OPERATOR(pg_catalog.<>) 'compromised'),
                pg_catalog.count(*) FILTER (WHERE finding.class OPERATOR(pg_catalog.=) 'unverifiable'), run.check_name,
                NOT run.incremental AND run.domain IS NULL,
                pg_catalog.count(*) FILTER (WHERE finding.class OPERATOR(pg_catalog.=) 'compromised')
           FROM ets.verification_run AS run
           LEFT JOIN ets.finding AS finding ON finding.last_run_id OPERATOR(pg_catalog.=) run.run_id
          WHERE run.run_id OPERATOR(pg_catalog.=) $1 GROUP BY run.run_id",
        &[run_id.into()],
        |row| {
            let check = row.text(4).unwrap_or_default();
            Ok((row.int(1), row.int(2), row.int(3), check, row.bool(5) == Some(true), row.int(6)))
        },
    )?
    .ok_or_else(lost)?;
    let counted = counted.unwrap_or(0);
    let verdict = match counted {
        0 => Verdict::Match,
        // One row may stand for findings that are alike.
        _ if kept == unverifiable && kept > Some(0) && counted < KEPT_OF_EACH_DOMAIN as i64 => {
            Verdict::Unverifiable
        }
        _ => Verdict::Mismatch,
    };
    if verdict != Verdict::Match {
        error::warn(
            &format!("{check} ended with {verdict}: {counted} findings"),
            &format!("SELECT * FROM ets.finding WHERE last_run_id = {run_id}"),
        );
    }
    if let Some(events) = compromised.filter(|events| *events > 0) {
        error::warn(
            &format!("{events} events were signed when their key may have been in other hands"),
            &format!("SELECT * FROM ets.finding WHERE last_run_id = {run_id} AND class = 'compromised'"),
        );
    }
    if verdict == Verdict::Match && is_whole && check == Check::Verify.as_str() {
        restoration::declare(run_id)?;
    }
    let statement_id = statement::declare(run_id, verdict, state_roots)?;
    db::write(
        "UPDATE ets.verification_run SET finished_at = pg_catalog.clock_timestamp(), verdict = $2, statement_id = $3,
                tasks = NULL,
                last_cycle = CASE WHEN cycle_started_at IS NOT NULL AND scan_position IS NULL
                                  THEN pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) cycle_started_at
                                  ELSE last_cycle END
          WHERE run_id OPERATOR(pg_catalog.=) $1",
        &[
            run_id.into(),
            verdict.as_str().into(),
            statement_id.map_or(Value::Null(Type::Uuid), |id| Value::Uuid(*id.as_uuid().as_bytes())),
        ],
    )?;
    Ok(verdict)
}

/// Stores a finding and notifies of it; one that is open already is found again.
fn keep(run_id: i64, finding: &Finding) -> Result<()> {
    let text = |text: Option<&str>| Value::or_null(text, Type::Text);
    let found = db::write_returning(
        "WITH again AS (
           UPDATE ets.finding AS finding SET last_run_id = $1
             FROM ets.verification_run AS first, ets.verification_run AS run
            WHERE finding.class OPERATOR(pg_catalog.=) $2 AND finding.check_name OPERATOR(pg_catalog.=) $7
              AND finding.event_id IS NOT DISTINCT FROM $6
              AND finding.domain IS NOT DISTINCT FROM $3 AND finding.stream IS NOT DISTINCT FROM $4
              AND finding.sequence IS NOT DISTINCT FROM $5 AND finding.expected IS NOT DISTINCT FROM $8
              AND finding.actual IS NOT DISTINCT FROM $9 AND finding.detail OPERATOR(pg_catalog.=) $10
              AND first.run_id OPERATOR(pg_catalog.=) finding.run_id AND run.run_id OPERATOR(pg_catalog.=) $1
              AND first.check_name OPERATOR(pg_catalog.=) run.check_name
              AND NOT EXISTS (SELECT FROM ets.verification_run AS later
                               WHERE later.check_name OPERATOR(pg_catalog.=) run.check_name
                                 AND later.run_id OPERATOR(pg_catalog.>) finding.last_run_id
                                 AND later.verdict OPERATOR(pg_catalog.=) 'MATCH' AND NOT later.incremental
                                 AND (later.domain IS NULL OR later.domain OPERATOR(pg_catalog.=) finding.domain))
           RETURNING finding.finding_id)
         INSERT INTO ets.finding (run_id, last_run_id, found_at, class, domain, stream, sequence, event_id,
                check_name, expected, actual, detail)
         SELECT $1, $1, pg_catalog.clock_timestamp(), $2, $3, $4, $5, $6, $7, $8, $9, $10
          WHERE NOT EXISTS (SELECT FROM again)
         RETURNING finding_id",
        &[
            run_id.into(),
            finding.class.as_str().into(),
            text(finding.domain.as_deref()),
            text(finding.stream.as_deref()),
            Value::or_null(finding.sequence, Type::Int),
            finding.event_id.map_or(Value::Null(Type::Uuid), |id| Value::Uuid(*id.as_bytes())),
            finding.check.into(),
            text(finding.expected.as_deref()),
            text(finding.actual.as_deref()),
            finding.detail.as_str().into(),
        ],
        |row| Ok(row.int(1)),
    )?;
    if let Some(finding_id) = found.flatten() {
        db::first(
            View::Write,
            "SELECT pg_catalog.pg_notify('ets_finding', $1)",
            &[finding_id.to_string().into()],
            |_| Ok(()),
        )?;
    }
    Ok(())
}

/// A run that has tasks left. Its row stays locked until the transaction ends, so
/// that two sessions do one batch after the other.
pub struct Unfinished {
    /// Its number.
    pub run_id: i64,
    /// What is left to do.
    pub tasks: VecDeque<Task>,
    /// How many findings of each domain it keeps.
    pub kept: BTreeMap<Option<String>, usize>,
}

/// The unfinished run of a check over all domains, if there is one. One that was to
/// be incremental may have had to begin at genesis, and is gone on with as well.
pub fn unfinished(check: Check, incremental: bool) -> Result<Option<Unfinished>> {
    let found = db::first(
        View::Write,
        "SELECT run.run_id, run.tasks FROM ets.verification_run AS run
          WHERE run.check_name OPERATOR(pg_catalog.=) $1 AND (run.incremental OPERATOR(pg_catalog.=) $2 OR $2)
            AND run.domain IS NULL AND run.verdict IS NULL
          ORDER BY run.run_id DESC LIMIT 1 FOR UPDATE",
        &[check.as_str().into(), incremental.into()],
        |row| Ok((row.int(1), row.jsonb(2))),
    )?;
    let Some((Some(run_id), tasks)) = found else { return Ok(None) };
    let tasks = tasks.and_then(|text| serde_json::from_str(&text).ok()).ok_or_else(|| {
        Error::new(sqlstate::CORRUPTED, format!("the tasks of verification run {run_id} cannot be read"))
            .hint("SELECT * FROM ets.verify_ledger() verifies everything at once")
    })?;
    let kept = db::query(
        View::Latest,
        "SELECT finding.domain, pg_catalog.count(*) FROM ets.finding AS finding
          WHERE finding.last_run_id OPERATOR(pg_catalog.=) $1 GROUP BY finding.domain",
        &[run_id.into()],
        |row| Ok((row.text(1), row.int(2).and_then(|count| usize::try_from(count).ok()).unwrap_or(0))),
    )?;
    Ok(Some(Unfinished { run_id, tasks, kept: kept.into_iter().collect() }))
}

/// Where the rolling scan of a check stands.
#[derive(Default)]
pub struct Rolling {
    /// Where it goes on.
    pub at: ScanPosition,
    /// When it began at the first event; none if it begins anew.
    pub started_at: Option<Timestamp>,
    /// How much of the whole is due by now for it to be through within
    /// `ets.rebuild_period`, 1.0 being all.
    pub share: f64,
}

/// The rolling scan as the last run of this check left it.
pub fn rolling(check: Check) -> Result<Rolling> {
    let last = db::first(
        View::Latest,
        "SELECT run.scan_position, run.cycle_started_at, run.started_at FROM ets.verification_run AS run
          WHERE run.check_name OPERATOR(pg_catalog.=) $1 AND run.verdict IS NOT NULL AND run.cycle_started_at IS NOT NULL
          ORDER BY run.run_id DESC LIMIT 1",
        &[check.as_str().into()],
        |row| Ok((row.jsonb(1), row.unix_micros(2), row.unix_micros(3))),
    )?;
    let Some((at, cycle_started_at, Some(started_at))) = last else {
        return Ok(Rolling { share: 1.0, ..Rolling::default() });
    };
    let at: Option<ScanPosition> = at.and_then(|text| serde_json::from_str(&text).ok());
    // A tenth more than is due: runs do not come to the second.
    let elapsed = (clock::now()?.unix_micros() - started_at) as f64 / 1e6;
    let share = (1.1 * elapsed / gucs::rebuild_period_seconds()).clamp(0.0, 1.0);
    Ok(Rolling {
        started_at: at.as_ref().and(cycle_started_at).and_then(Timestamp::from_unix_micros),
        at: at.unwrap_or_default(),
        share,
    })
}

fn json_of<T: serde::Serialize>(value: &T) -> Result<Value> {
    serde_json::to_string(value)
        .map(Value::Jsonb)
        .map_err(|error| Error::parameter("tasks", format_args!("cannot be written: {error}")))
}

fn lost() -> Error {
    Error::new(sqlstate::CORRUPTED, "the row of this verification run is gone")
        .hint("the row was changed past the guards; run it again")
}
