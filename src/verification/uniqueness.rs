//! That no event, and no leaf, is there twice, and none is left out of a seal.

use ets_core::verify::{Finding, FindingClass};
use uuid::Uuid;

use super::chains::BATCH;
use super::{Findings, finding};
use crate::db::{self, View};
use crate::error::Result;
use crate::value::{Type, Value};

/// An id is one event's, in one domain: a proof would not say which is meant.
pub fn ids_in_two_domains(domain: Option<&str>, findings: &mut Findings) -> Result<()> {
    db::scan_while(
        View::Query,
        "SELECT event.event_id, min(event.domain), max(event.domain) FROM ets.ledger_event AS event
          GROUP BY event.event_id
         HAVING count(*) > 1 AND ($1 IS NULL OR bool_or(event.domain = $1))",
        &[Value::or_null(domain, Type::Text)],
        BATCH,
        |row| {
            findings.add(Finding {
                domain: row.text(2),
                event_id: row.uuid(1).map(Uuid::from_bytes),
                expected: Some("1".into()),
                ..finding(
                    FindingClass::Tampering,
                    "event_id",
                    format!("the id is there twice, also in {}", row.text(3).unwrap_or_default()),
                )
            });
            Ok(!findings.is_full())
        },
    )
}

/// An event has one leaf.
pub fn in_two_leaves(domain: Option<&str>, findings: &mut Findings) -> Result<()> {
    db::scan_while(
        View::Query,
        "SELECT leaf.event_id, min(leaf.domain), count(*) FROM ets.merkle_leaf AS leaf
          GROUP BY leaf.event_id
         HAVING count(*) > 1 AND ($1 IS NULL OR bool_or(leaf.domain = $1))",
        &[Value::or_null(domain, Type::Text)],
        BATCH,
        |row| {
            findings.add(Finding {
                domain: row.text(2),
                event_id: row.uuid(1).map(Uuid::from_bytes),
                expected: Some("1".into()),
                actual: row.int(3).map(|count| count.to_string()),
                ..finding(FindingClass::Seal, "leaf", "the event has more than one leaf")
            });
            Ok(!findings.is_full())
        },
    )
}

/// Every event that the last seal saw must have a leaf, and none that it did not
/// see: the next seal would give it another. What a seal of another cluster saw,
/// as after a restore, says nothing; the next seal looks at every row.
pub fn unsealed(domain: Option<&str>, findings: &mut Findings) -> Result<()> {
    db::scan_while(
        View::Query,
        "WITH position AS MATERIALIZED (
           SELECT position.snapshot, position.has_foreign_ids,
                  pg_catalog.pg_snapshot_xmin(position.snapshot)::pg_catalog.text::pg_catalog.int8 AS xmin
             FROM ets.seal_position AS position
             JOIN pg_catalog.pg_control_system() AS system
               ON system.system_identifier = position.system_identifier
             JOIN pg_catalog.pg_database AS database
               ON database.oid = position.database_oid AND database.datname = pg_catalog.current_database()
             JOIN pg_catalog.pg_class AS class
               ON class.oid = position.relation_oid AND class.oid = 'ets.ledger_event'::pg_catalog.regclass
         ), without_leaf AS MATERIALIZED (
           -- From the indexes alone.
           SELECT event.event_id, event.domain FROM ets.ledger_event AS event
            WHERE ($1 IS NULL OR event.domain = $1) AND EXISTS (SELECT FROM position)
              AND NOT EXISTS (SELECT FROM ets.merkle_leaf AS leaf
                               WHERE leaf.event_id = event.event_id AND leaf.domain = event.domain)
         )
         SELECT event.event_id, event.domain, event.stream, event.sequence, true
           FROM position, without_leaf
           JOIN ets.ledger_event AS event
             ON event.event_id = without_leaf.event_id AND event.domain = without_leaf.domain
          WHERE event.transaction_id < position.xmin
             OR pg_catalog.pg_visible_in_snapshot(
                  greatest(event.transaction_id, 3)::pg_catalog.text::pg_catalog.xid8, position.snapshot)
             -- Among foreign ids a seal takes none that this cluster has not given yet. This
             -- transaction's own rows are visible to it, whatever its id.
             OR position.has_foreign_ids
                AND event.transaction_id >= pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::pg_catalog.text::pg_catalog.int8
                AND event.transaction_id IS DISTINCT FROM pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text::pg_catalog.int8
          UNION ALL
         SELECT event.event_id, event.domain, event.stream, event.sequence, false
           FROM position, ets.ledger_event AS event
          WHERE ($1 IS NULL OR event.domain = $1)
            -- Among foreign ids a seal asks for the leaf.
            AND NOT position.has_foreign_ids
            -- The last seal saw all that is in between.
            AND (event.transaction_id <= 0
                 OR event.transaction_id >= position.xmin AND NOT pg_catalog.pg_visible_in_snapshot(
                      greatest(event.transaction_id, 3)::pg_catalog.text::pg_catalog.xid8, position.snapshot))
            AND EXISTS (SELECT FROM ets.merkle_leaf AS leaf
                         WHERE leaf.event_id = event.event_id AND leaf.domain = event.domain)",
        &[Value::or_null(domain, Type::Text)],
        BATCH,
        |row| {
            let (class, check, detail) = match row.bool(5) {
                Some(true) => {
                    (FindingClass::Unsealed, "leaf", "the last seal saw this event, or no seal will, but it has no leaf")
                }
                _ => (
                    FindingClass::Seal,
                    "transaction_id",
                    "the event has a leaf, but by its transaction_id the next seal would give it another",
                ),
            };
            findings.add(Finding {
                domain: row.text(2),
                stream: row.text(3),
                sequence: row.int(4),
                event_id: row.uuid(1).map(Uuid::from_bytes),
                ..finding(class, check, detail)
            });
            Ok(!findings.is_full())
        },
    )
}
