//! What the database has recorded of anchors: each row against its checkpoint and its
//! declaration, and its evidence against whom the auditor named.

use std::collections::BTreeSet;

use ets_core::anchor::{AnchorRecord, AnchorState, AnchorStatement, Declaration, SealedCheckpoint};
use ets_core::event::{EventId, Header};
use ets_core::name::{AUDIT, Origin};
use ets_core::time::Timestamp;
use ets_core::verify::{Finding, FindingClass};
use uuid::Uuid;

use super::super::anchors::{Trusted, Verdict};
use super::super::copy::Row;
use super::super::evidence::Standing;
use super::super::source::Tables;
use super::Seal;
use super::findings::Findings;

/// An event that declares an anchor.
pub struct Declared {
    pub declaration: Declaration,
    /// The anchor that it says it declares.
    pub anchor_id: Option<i64>,
    pub stream: String,
    pub sequence: u64,
    pub timestamp: Timestamp,
}

impl Declared {
    /// From the row of an event, if it is one.
    pub fn of(row: &Row, header: &Header) -> Option<Self> {
        if header.domain.as_str() != AUDIT || header.schema_version.as_str() != ets_core::anchor::ANCHORING {
            return None;
        }
        let event = row.event().parse().ok()?;
        let anchor_id = event.payload.value().get("anchor_id").and_then(serde_json::Value::as_i64);
        Some(Declared {
            declaration: Declaration {
                event_id: *header.event_id.as_uuid(),
                schema_version: header.schema_version.to_string(),
                payload: event.payload.canonical().to_owned(),
                // What is wrong with events is found where they are verified.
                is_sound: true,
            },
            anchor_id,
            stream: header.stream.to_string(),
            sequence: header.sequence,
            timestamp: header.timestamp,
        })
    }
}

/// Evidence that was verified against somebody whom the auditor named.
pub struct Proven {
    /// Which anchor, and what it proves.
    pub source: String,
    pub standing: Standing,
    /// Leaves in all trees of the checkpoint.
    pub leaves: u64,
}

/// What the rows of `ets.anchor` prove.
#[derive(Default)]
pub struct Anchors {
    pub proven: Vec<Proven>,
    /// What could not be told, and why.
    pub untold: Vec<String>,
}

/// The ledger, as its rows are: what an anchor must agree with.
pub struct Ledger<'a> {
    pub ledger_id: Uuid,
    pub origin: Option<&'a Origin>,
    pub seals: &'a [Seal],
    pub declared: &'a [Declared],
}

/// Examines every anchor that is recorded, and looks for those that are not any more.
pub fn anchors(
    made: &dyn Tables,
    ledger: &Ledger<'_>,
    trusted: &Trusted,
    findings: &mut Findings,
) -> Result<Anchors, String> {
    let rows = made.anchors()?;
    let mut all = Anchors::default();
    let mut unnamed = 0_u64;
    for row in &rows {
        let declared =
            ledger.declared.iter().find(|event| Some(event.declaration.event_id) == row.declaration_id);
        let declared = Ok(declared.map(|event| event.declaration.clone()));
        let found = row.findings(&ledger.sealed(row.checkpoint_id), &declared);
        let is_sound = found.iter().all(|finding| finding.class == FindingClass::Unverifiable);
        findings.extend(found);
        let (true, Some(AnchorState::Confirmed), Some(evidence), Ok(statement)) =
            (is_sound, row.state, row.evidence.as_deref(), AnchorStatement::parse(&row.statement))
        else {
            continue;
        };
        let place = format!("anchor {} of checkpoint {}, {}", row.anchor_id, row.checkpoint_id, row.service);
        match trusted.verify(&row.service, &statement, evidence) {
            Verdict::Proven(proven) => all.proven.push(Proven {
                source: format!("{place}: {proven}"),
                standing: if row.service.starts_with("witness ") {
                    Standing::Witnessed
                } else {
                    Standing::Anchored
                },
                leaves: statement.domain_roots().iter().map(|root| root.tree_size).sum(),
            }),
            Verdict::Broken(problem) => {
                findings.add(row.finding(FindingClass::Seal, "anchor_evidence", &problem))
            }
            Verdict::Untold(why) => all.untold.push(format!("{place}: {why}")),
            Verdict::Unnamed => unnamed += 1,
            Verdict::Elsewhere => {}
        }
    }
    if unnamed > 0 {
        all.untold.push(format!(
            "the evidence of {unnamed} recorded anchors: whom to trust for them is said by --tsa, --ots, --witness and \
             --ledger-root-key"
        ));
    }
    undone(made, ledger, &rows, findings)?;
    Ok(all)
}

/// Declarations of anchors that no row names any more. What was declared elsewhere, where
/// this database received it, has its row there.
fn undone(
    made: &dyn Tables,
    ledger: &Ledger<'_>,
    rows: &[AnchorRecord],
    findings: &mut Findings,
) -> Result<(), String> {
    let named: BTreeSet<Uuid> = rows.iter().filter_map(|row| row.declaration_id).collect();
    let promotions = made.receivers()?;
    let was_received = |event: &Declared| {
        promotions.iter().any(|promoted| promoted.is_none_or(|promoted| event.timestamp <= promoted))
    };
    for event in ledger.declared {
        if named.contains(&event.declaration.event_id) || was_received(event) {
            continue;
        }
        let anchor = event.anchor_id.map_or_else(String::new, |id| format!("{id} "));
        findings.add(Finding {
            domain: Some(AUDIT.to_owned()),
            stream: Some(event.stream.clone()),
            sequence: i64::try_from(event.sequence).ok(),
            event_id: Some(event.declaration.event_id),
            ..Finding::new(
                FindingClass::Seal,
                "anchor_declaration",
                format!("anchor {anchor}is declared, but has no row in ets.anchor"),
            )
        });
    }
    Ok(())
}

impl Ledger<'_> {
    /// The checkpoint of a number, as its rows are.
    fn sealed(&self, checkpoint_id: i64) -> Result<SealedCheckpoint, String> {
        let none = || format!("there is no checkpoint {checkpoint_id}");
        let place = self.seals.binary_search_by_key(&checkpoint_id, |seal| seal.checkpoint_id);
        let seal = place.ok().and_then(|place| self.seals.get(place)).ok_or_else(none)?;
        let damaged = || format!("checkpoint {checkpoint_id} is not what was sealed");
        Ok(SealedCheckpoint {
            ledger_id: self.ledger_id,
            origin: self.origin.cloned().ok_or("the registry's first event is not usable")?,
            checkpoint_id: u64::try_from(checkpoint_id).map_err(|_| none())?,
            checkpoint_event_id: seal.event_id.and_then(EventId::from_uuid).ok_or_else(damaged)?,
            meta_root: seal.meta_root.as_slice().try_into().map_err(|_| damaged())?,
        })
    }
}
