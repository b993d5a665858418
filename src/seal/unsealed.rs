//! What a seal finds new: rows that no tree holds yet, and their leaves.

use ets_core::event::EventId;
use ets_core::hash::Digest;
use ets_core::name::{AUDIT, DomainName};
use ets_core::verify::{Finding, RawEvent};

use crate::conveyor::with_conveyor;
use crate::db::{self, Row, View};
use crate::error::{Error, Result};
use crate::verification::{Batch, StoredRow};
use crate::{gucs, rows};

/// The rows that no tree holds yet.
pub struct Unsealed {
    /// What the last seal saw; none if that says nothing here, as after a restore.
    since: Option<(i64, String)>,
    /// What this seal sees.
    snapshot: String,
}

impl Unsealed {
    /// Those of the active snapshot.
    pub fn now() -> Result<Self> {
        let position = db::first(
            View::Query,
            "SELECT pg_catalog.pg_current_snapshot()::pg_catalog.text,
                    position.snapshot::pg_catalog.text,
                    pg_catalog.pg_snapshot_xmin(position.snapshot)::pg_catalog.text::pg_catalog.int8
               FROM (SELECT true) AS always
               LEFT JOIN (ets.seal_position AS position
                     JOIN pg_catalog.pg_control_system() AS system
                       ON system.system_identifier OPERATOR(pg_catalog.=) position.system_identifier
                     JOIN pg_catalog.pg_database AS database
                       ON database.oid OPERATOR(pg_catalog.=) position.database_oid
                      AND database.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
                     JOIN pg_catalog.pg_class AS class
                       ON class.oid OPERATOR(pg_catalog.=) position.relation_oid
                      AND class.oid OPERATOR(pg_catalog.=) 'ets.ledger_event'::pg_catalog.regclass)
                 ON true",
            &[],
            |row| Ok((row.text(1), row.text(2), row.int(3))),
        )?;
        let (now, last, xmin) = position.unwrap_or_default();
        Ok(Unsealed { since: xmin.zip(last), snapshot: now.unwrap_or_default() })
    }

    /// Whether any is outside `ets.audit`.
    pub fn any_outside_audit(&self) -> Result<bool> {
        let found = match &self.since {
            Some((xmin, snapshot)) => db::first(
                View::Query,
                "SELECT true FROM ets.ledger_event AS event
                  WHERE event.transaction_id OPERATOR(pg_catalog.>=) $1
                    AND NOT pg_catalog.pg_visible_in_snapshot(
                              event.transaction_id::pg_catalog.text::pg_catalog.xid8, $2::pg_catalog.pg_snapshot)
                    AND event.domain OPERATOR(pg_catalog.<>) $3
                  LIMIT 1",
                &[(*xmin).into(), snapshot.as_str().into(), AUDIT.into()],
                |_| Ok(()),
            )?,
            None => db::first(
                View::Query,
                "SELECT true FROM ets.ledger_event AS event
                  WHERE event.domain OPERATOR(pg_catalog.<>) $1
                    AND NOT EXISTS (SELECT FROM ets.merkle_leaf AS leaf
                                     WHERE leaf.event_id OPERATOR(pg_catalog.=) event.event_id
                                       AND leaf.domain OPERATOR(pg_catalog.=) event.domain)
                  LIMIT 1",
                &[AUDIT.into()],
                |_| Ok(()),
            )?,
        };
        Ok(found.is_some())
    }

    /// What this seal sees.
    pub fn snapshot(&self) -> &str {
        &self.snapshot
    }

    /// Each new leaf, by domain and event id. They are hashed on several threads
    /// while the next rows are read.
    ///
    /// # Errors
    /// ET002 for a row that no gate has let through.
    pub fn each(&self, mut add: impl FnMut(Leaf) -> Result<()>) -> Result<()> {
        let hash = |(): &mut (), rows: Vec<StoredRow>| (rows.iter().map(Leaf::of).collect::<Vec<_>>(), rows);
        with_conveyor(vec![(); gucs::worker_threads().max(1)], hash, |belt| {
            let mut batch = Batch::default();
            let mut each = |leaves: Vec<std::result::Result<Leaf, Box<Finding>>>| {
                leaves.into_iter().try_for_each(|leaf| add(leaf.map_err(|finding| impossible(&finding))?))
            };
            self.rows(|row| {
                if let Some(rows) = batch.push(StoredRow::of(row)) {
                    belt.put(rows);
                    while let Some((leaves, _)) = belt.take() {
                        each(leaves)?;
                    }
                }
                Ok(())
            })?;
            belt.put(batch.take());
            while let Some((leaves, _)) = belt.take_last() {
                each(leaves)?;
            }
            Ok(())
        })
    }

    /// Each new row, its payload left out.
    fn rows(&self, add: impl FnMut(&Row) -> Result<()>) -> Result<()> {
        const BATCH: std::ffi::c_long = 4096;
        match &self.since {
            Some((xmin, snapshot)) => db::scan(
                View::Query,
                "SELECT event.event_id, event.domain, event.stream, event.sequence, NULL::pg_catalog.jsonb,
                        event.schema_version, event.key_id, event.public_key, event.previous_hash,
                        event.current_hash, event.signature, event.timestamp, event.registry_version
                   FROM ets.ledger_event AS event
                  WHERE event.transaction_id OPERATOR(pg_catalog.>=) $1
                    AND NOT pg_catalog.pg_visible_in_snapshot(
                              event.transaction_id::pg_catalog.text::pg_catalog.xid8, $2::pg_catalog.pg_snapshot)
                  ORDER BY event.domain USING OPERATOR(pg_catalog.<), event.event_id USING OPERATOR(pg_catalog.<)",
                &[(*xmin).into(), snapshot.as_str().into()],
                BATCH,
                add,
            ),
            None => db::scan(
                View::Query,
                "SELECT event.event_id, event.domain, event.stream, event.sequence, NULL::pg_catalog.jsonb,
                        event.schema_version, event.key_id, event.public_key, event.previous_hash,
                        event.current_hash, event.signature, event.timestamp, event.registry_version
                   FROM ets.ledger_event AS event
                  WHERE NOT EXISTS (SELECT FROM ets.merkle_leaf AS leaf
                                     WHERE leaf.event_id OPERATOR(pg_catalog.=) event.event_id
                                       AND leaf.domain OPERATOR(pg_catalog.=) event.domain)
                  ORDER BY event.domain USING OPERATOR(pg_catalog.<), event.event_id USING OPERATOR(pg_catalog.<)",
                &[],
                BATCH,
                add,
            ),
        }
    }
}

/// A leaf that a tree is to grow by.
pub struct Leaf {
    pub domain: DomainName,
    pub event_id: EventId,
    pub hash: Digest,
}

impl Leaf {
    fn of(row: &StoredRow) -> std::result::Result<Leaf, Box<Finding>> {
        // The header alone makes the leaf.
        let event = RawEvent { payload: Some("null"), ..row.raw() }.parse().map_err(Box::new)?;
        let hash = event.header.leaf_hash();
        Ok(Leaf { domain: event.header.domain, event_id: event.header.event_id, hash })
    }
}

fn impossible(finding: &Finding) -> Error {
    rows::impossible_column(finding.event_id, finding.check)
}
