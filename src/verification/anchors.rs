//! The anchors, each against its checkpoint and its declaration.

use ets_core::anchor::ANCHORING;
use ets_core::verify::{Finding, FindingClass};
use uuid::Uuid;

use super::chains::BATCH;
use super::{Findings, finding};
use crate::anchors;
use crate::db::{self, View};
use crate::error::Result;

/// Verifies the anchors of all checkpoints, and that what was declared is there.
pub fn verify(findings: &mut Findings) -> Result<()> {
    if findings.is_full() || !anchors::exist() {
        return Ok(());
    }
    db::scan_while(
        View::Query,
        crate::select_anchors!("ORDER BY anchor.anchor_id USING OPERATOR(pg_catalog.<)"),
        &[],
        BATCH,
        |row| {
            let anchor = anchors::read(row);
            let rows = anchors::beside(&anchor)?;
            anchor
                .findings(&rows.sealed, &rows.declared)
                .into_iter()
                .for_each(|finding| findings.add(finding));
            Ok(!findings.is_full())
        },
    )?;
    undone(findings)
}

/// Declarations of anchors that no row names any more. What was declared elsewhere, where
/// this database received it, has its row there.
fn undone(findings: &mut Findings) -> Result<()> {
    db::scan_while(
        View::Query,
        "SELECT event.event_id, event.domain, event.stream, event.sequence,
                event.payload OPERATOR(pg_catalog.->>) 'anchor_id'
           FROM ets.ledger_event AS event
          WHERE event.domain OPERATOR(pg_catalog.=) 'ets.audit' AND event.schema_version OPERATOR(pg_catalog.=) $1
            AND NOT EXISTS (SELECT FROM ets.anchor AS anchor
                             WHERE anchor.declaration_id OPERATOR(pg_catalog.=) event.event_id)
            AND NOT EXISTS (SELECT FROM ets.receiver AS receiver
                             WHERE receiver.promoted_at IS NULL
                                OR event.\"timestamp\" OPERATOR(pg_catalog.<=) receiver.promoted_at)
          ORDER BY event.sequence USING OPERATOR(pg_catalog.<)",
        &[ANCHORING.into()],
        BATCH,
        |row| {
            let detail = format!(
                "anchor {} is declared, but has no row in ets.anchor",
                row.text(5).unwrap_or_default()
            );
            findings.add(Finding {
                domain: row.text(2),
                stream: row.text(3),
                sequence: row.int(4),
                event_id: row.uuid(1).map(Uuid::from_bytes),
                ..finding(FindingClass::Seal, "anchor_declaration", detail)
            });
            Ok(!findings.is_full())
        },
    )
}
