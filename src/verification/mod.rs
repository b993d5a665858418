//! Verification of this database's own ledger: reads the rows, hands them to
//! ets-core, and says of each that is wrong where it is.
//!
//! It asks neither the gate's memory nor the projections: the registry is folded
//! again from its own rows, each verified, and all else is judged by that. What
//! somebody put into a row past the gate is a finding, never an error. It reads
//! with the snapshot of the calling query and assigns no transaction id, so it
//! works on a standby. Its statements run under the fixed search_path of the
//! functions that call it.

mod chains;
mod checkpoints;
mod event;
mod guards;
mod projections;
mod states;
mod trees;

use ets_core::name::{DomainName, MAIN, StreamName};
use ets_core::verify::{Finding, FindingClass};
use uuid::Uuid;

use crate::api::append::no_domain;
use crate::api::bundle::no_stream;
use crate::db::{self, View};
use crate::error::Result;
use crate::ledger;

pub use event::event;
pub use states::replay;

/// What is wrong with the ledger, at most `limit` findings: with one domain and
/// what it is judged by, or with all of it.
///
/// # Errors
/// ET013 before there is a ledger, ET011 for an unknown domain.
pub fn ledger(domain: Option<&DomainName>, limit: usize) -> Result<Vec<Finding>> {
    let ledger_id = ledger_id()?;
    let mut findings = Findings { rows: Vec::new(), limit };
    let verified = chains::registry(ledger_id, &mut findings)?;
    if let Some(domain) = domain {
        let is_registered =
            verified.registry.as_ref().is_none_or(|registry| registry.domain(domain.as_str()).is_some());
        if !is_registered && !chains::has_events(domain, None)? {
            return Err(no_domain(domain));
        }
    }
    let name = domain.map(DomainName::as_str);
    chains::streams(ledger_id, &verified, name, None, &mut findings)?;
    chains::heads(ledger_id, name, None, &mut findings)?;
    chains::ids_in_two_domains(name, &mut findings)?;
    projections::compare(&verified, &mut findings)?;
    trees::verify(&verified, name, &mut findings)?;
    checkpoints::verify(&verified, &mut findings)?;
    guards::verify(&mut findings)?;
    Ok(findings.rows)
}

/// What is wrong with one stream.
///
/// # Errors
/// ET013 before there is a ledger, ET011 for an unknown domain or stream.
pub fn stream(domain: &DomainName, stream: &StreamName) -> Result<Vec<Finding>> {
    let ledger_id = ledger_id()?;
    let mut findings = Findings { rows: Vec::new(), limit: usize::MAX };
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
        chains::streams(ledger_id, &verified, Some(domain.as_str()), Some(stream.as_str()), &mut findings)?;
    }
    chains::heads(ledger_id, Some(domain.as_str()), Some(stream.as_str()), &mut findings)?;
    Ok(findings.rows)
}

/// What was found so far.
struct Findings {
    rows: Vec<Finding>,
    limit: usize,
}

impl Findings {
    fn add(&mut self, finding: Finding) {
        if !self.is_full() {
            self.rows.push(finding);
        }
    }

    /// Lets ets-core add findings; whether there is room for more.
    fn collect(&mut self, add: impl FnOnce(&mut Vec<Finding>)) -> bool {
        add(&mut self.rows);
        self.rows.truncate(self.limit);
        !self.is_full()
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= self.limit
    }
}

/// A finding of no place yet.
fn finding(class: FindingClass, check: &'static str, detail: impl Into<String>) -> Finding {
    Finding {
        class,
        domain: None,
        stream: None,
        sequence: None,
        event_id: None,
        check,
        expected: None,
        actual: None,
        detail: detail.into(),
    }
}

/// As much of a stored text as a finding should repeat.
fn clipped(text: &str) -> String {
    const SHOWN: usize = 100;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The ledger's id as its first event has it, which is under a hash and a
/// signature; as `ets.ledger` has it, if that event cannot be read.
///
/// # Errors
/// ET013 before there is a ledger.
fn ledger_id() -> Result<Uuid> {
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
