//! Verification of this database's own ledger: reads the rows, hands them to
//! ets-core, and says of each that is wrong where it is.
//!
//! It asks neither the gate's memory nor the projections: the registry is folded
//! again from its own rows, each verified, and all else is judged by that. What
//! somebody put into a row past the gate is a finding, never an error. It reads
//! with the snapshot of the calling query and assigns no transaction id, so it
//! works on a standby. Its statements run under the fixed search_path of the
//! functions that call it.

mod anchors;
mod catalog;
mod chains;
mod checkpoints;
mod compromise;
mod event;
mod guards;
mod heads;
mod plan;
mod projections;
mod states;
mod stored;
mod trees;
mod uniqueness;
mod work;

use std::collections::{BTreeMap, HashSet};

use ets_core::name::{DomainName, MAIN, StreamName};
use ets_core::verify::{Finding, FindingClass, Verdict};
use uuid::Uuid;

use crate::api::append::no_domain;
use crate::api::bundle::no_stream;
use crate::db::{self, View};
use crate::error::Result;
use crate::ledger;

pub use chains::Batch;
pub use event::event;
pub use guards::guarded_tables;
pub use plan::{Plan, ScanPosition, Scope};
pub use states::replay;
pub use stored::StoredRow;
pub use trees::Walked;
pub use work::{Task, Work};

/// What is wrong with one stream.
///
/// # Errors
/// ET013 before there is a ledger, ET011 for an unknown domain or stream.
pub fn stream(domain: &DomainName, stream: &StreamName) -> Result<Vec<Finding>> {
    let ledger_id = ledger_id()?;
    let mut findings = Findings::all();
    let verified = chains::registry(ledger_id, &mut findings)?;
    if !chains::has_events(domain, Some(stream))? && !chains::has_head(domain, stream)? {
        let is_registered =
            verified.registry.as_ref().is_none_or(|registry| registry.domain(domain.as_str()).is_some());
        return Err(if is_registered { no_stream(domain, stream) } else { no_domain(domain) });
    }
    if *domain != DomainName::registry() || stream.as_str() != MAIN {
        // The registry's own findings are not this stream's, but where it is
        // damaged, this stream's authority is not fully known.
        findings.rows.clear();
        if verified.registry.is_none() || verified.damaged_from.is_some() {
            findings.add(finding(
                FindingClass::Unverifiable,
                "registry",
                "the registry is damaged: authority and schemas cannot be judged in full; \
                 SELECT * FROM ets.verify_ledger('ets.registry') says where",
            ));
        }
        let part = chains::Part { domain: Some(domain.as_str()), stream: Some(stream.as_str()), after: None };
        chains::Chains::new(ledger_id, &verified).verify(part, u64::MAX, &mut findings)?;
    }
    heads::compare(ledger_id, Some(domain.as_str()), Some(stream.as_str()), &mut findings)?;
    Ok(findings.rows)
}

/// What was found so far.
pub struct Findings {
    /// Those that are kept.
    pub rows: Vec<Finding>,
    /// All of them that bear on the verdict.
    pub count: u64,
    keep: Keep,
    /// How many are kept of each domain.
    kept: BTreeMap<Option<String>, usize>,
    /// Schemas whose rules were said not to be evaluated: once is enough.
    said: HashSet<String>,
}

/// Which findings are kept.
#[derive(Clone, Copy)]
enum Keep {
    All,
    /// So many; whoever looks for more may stop.
    First(usize),
    /// So many of each domain; the others are counted.
    OfEachDomain(usize),
}

impl Findings {
    /// Keeps every finding.
    pub fn all() -> Self {
        Findings::keeping(Keep::All)
    }

    /// Keeps the first `limit`, after which nothing more need be looked for.
    pub fn first(limit: usize) -> Self {
        Findings::keeping(Keep::First(limit))
    }

    /// Keeps `limit` of each domain and counts the others. Of some domains,
    /// `kept` are kept elsewhere already.
    pub fn of_each_domain(limit: usize, kept: BTreeMap<Option<String>, usize>) -> Self {
        Findings { kept, ..Findings::keeping(Keep::OfEachDomain(limit)) }
    }

    /// Keeps none.
    fn ignored() -> Self {
        Findings::first(0)
    }

    fn keeping(keep: Keep) -> Self {
        Findings { rows: Vec::new(), count: 0, keep, kept: BTreeMap::new(), said: HashSet::new() }
    }

    /// Takes a finding.
    pub fn add(&mut self, finding: Finding) {
        if finding.class == FindingClass::Unverifiable
            && finding.check == "rules"
            && !self.said.insert(finding.detail.clone())
        {
            return;
        }
        if finding.class.verdict() != Verdict::Match {
            self.count += 1;
        }
        let has_room = match self.keep {
            Keep::All => true,
            Keep::First(limit) => self.rows.len() < limit,
            Keep::OfEachDomain(limit) => {
                let kept = self.kept.entry(finding.domain.clone()).or_default();
                *kept += 1;
                *kept <= limit
            }
        };
        if has_room {
            self.rows.push(finding);
        }
    }

    /// Lets ets-core add findings; whether more need be looked for.
    fn collect(&mut self, add: impl FnOnce(&mut Vec<Finding>)) -> bool {
        let mut found = Vec::new();
        add(&mut found);
        found.into_iter().for_each(|finding| self.add(finding));
        !self.is_full()
    }

    /// As `collect`, of what can fail.
    fn try_collect(&mut self, add: impl FnOnce(&mut Vec<Finding>) -> Result<()>) -> Result<()> {
        let mut found = Vec::new();
        let outcome = add(&mut found);
        found.into_iter().for_each(|finding| self.add(finding));
        outcome
    }

    /// Whether one names this domain.
    pub fn names_domain(&self, domain: &str) -> bool {
        self.kept.contains_key(&Some(domain.to_owned()))
    }

    /// Whether nothing more need be looked for.
    pub fn is_full(&self) -> bool {
        matches!(self.keep, Keep::First(limit) if self.rows.len() >= limit)
    }
}

/// A finding of no place yet.
fn finding(class: FindingClass, check: &'static str, detail: impl Into<String>) -> Finding {
    Finding::new(class, check, detail)
}

/// The ledger's id as its first event has it, which is under a hash and a
/// signature; as `ets.ledger` has it, if that event cannot be read.
///
/// # Errors
/// ET013 before there is a ledger.
pub fn ledger_id() -> Result<Uuid> {
    if !ledger::exists() {
        return Err(ledger::not_initialised());
    }
    let first = db::first(
        View::Query,
        "SELECT event.payload OPERATOR(pg_catalog.->>) 'ledger_id' FROM ets.ledger_event AS event
          WHERE event.domain = 'ets.registry' AND event.stream = 'main' AND event.sequence = 1",
        &[],
        |row| Ok(row.text(1).and_then(|text| text.parse().ok())),
    )?;
    if let Some(id) = first.flatten() {
        return Ok(id);
    }
    let kept = db::first(
        View::Query,
        "SELECT ledger.ledger_id FROM ets.ledger AS ledger
          WHERE EXISTS (SELECT FROM ets.ledger_event) OR EXISTS (SELECT FROM ets.stream_head AS head WHERE head.sequence > 0)
             OR EXISTS (SELECT FROM ets.merkle_leaf)",
        &[],
        |row| Ok(row.uuid(1).map(Uuid::from_bytes)),
    )?;
    kept.flatten().ok_or_else(ledger::not_initialised)
}
