//! What a seal finds new: rows that no tree holds yet, and their leaves.

use ets_core::event::EventId;
use ets_core::hash::Digest;
use ets_core::name::DomainName;
use ets_core::verify::{Finding, RawEvent};

use crate::conveyor::with_conveyor;
use crate::db::{self, Row, View};
use crate::error::{Error, Result};
use crate::seal::Checkpoint;
use crate::value::Value;
use crate::verification::{Batch, StoredRow};
use crate::{gucs, ledger, rows};

/// Headers of the rows for which a condition holds, by domain and event id.
macro_rules! select_headers {
    ($condition:expr) => {
        concat!(
            "SELECT ",
            $crate::event_columns!("NULL::pg_catalog.jsonb"),
            " FROM ets.ledger_event AS event WHERE ",
            $condition,
            " ORDER BY event.domain USING OPERATOR(pg_catalog.<), event.event_id USING OPERATOR(pg_catalog.<)"
        )
    };
}

/// Whether there is a row outside `ets.audit` for which a condition holds.
macro_rules! select_any_outside_audit {
    ($condition:expr) => {
        concat!(
            "SELECT true FROM ets.ledger_event AS event
              WHERE event.domain OPERATOR(pg_catalog.<>) 'ets.audit' AND ",
            $condition,
            " LIMIT 1"
        )
    };
}

/// The rows that a snapshot ($2, of this xmin: $1) did not see.
macro_rules! new_since_snapshot {
    () => {
        "event.transaction_id OPERATOR(pg_catalog.>=) $1
         AND NOT pg_catalog.pg_visible_in_snapshot(
                   event.transaction_id::pg_catalog.text::pg_catalog.xid8, $2::pg_catalog.pg_snapshot)"
    };
}

/// The rows without a leaf.
macro_rules! without_leaf {
    () => {
        "NOT EXISTS (SELECT FROM ets.merkle_leaf AS leaf
                      WHERE leaf.event_id OPERATOR(pg_catalog.=) event.event_id
                        AND leaf.domain OPERATOR(pg_catalog.=) event.domain)"
    };
}

/// The rows that a snapshot did not see, where others bear ids of another
/// cluster's transactions: those that this cluster has not given yet ($3 on) are
/// not its own, and those that it gave a second time have a leaf.
macro_rules! new_among_foreign {
    () => {
        concat!(
            new_since_snapshot!(),
            " AND event.transaction_id OPERATOR(pg_catalog.<) $3 AND ",
            without_leaf!()
        )
    };
}

/// The rows that no tree holds yet.
pub struct Unsealed {
    /// What the last seal saw; none if that says nothing here, as after a restore.
    since: Option<Since>,
    /// What this seal sees.
    snapshot: String,
    /// The least transaction id that this cluster has not given yet.
    next_transaction_id: i64,
    /// Whether rows were brought from another cluster, whose transaction ids mean
    /// nothing here.
    has_foreign_ids: bool,
}

/// The last seal's snapshot, and its xmin.
struct Since {
    xmin: i64,
    snapshot: String,
}

impl Unsealed {
    /// Those of the active snapshot, after the last checkpoint.
    pub fn now(last: Option<&Checkpoint>) -> Result<Self> {
        let position = db::first(
            View::Query,
            "SELECT pg_catalog.pg_current_snapshot()::pg_catalog.text,
                    pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::pg_catalog.text::pg_catalog.int8,
                    position.snapshot::pg_catalog.text,
                    pg_catalog.pg_snapshot_xmin(position.snapshot)::pg_catalog.text::pg_catalog.int8,
                    coalesce(position.has_foreign_ids, false)
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
            |row| Ok((row.text(1), row.int(2), row.text(3).zip(row.int(4)), row.bool(5))),
        )?;
        let (snapshot, next, since, has_foreign_ids) = position.unwrap_or_default();
        let since = since.map(|(snapshot, xmin)| Since { xmin, snapshot });
        // A first seal of a ledger that was made here has only rows of its own.
        let is_first = last.is_none() && ledger::was_made_here()?;
        Ok(Unsealed {
            has_foreign_ids: has_foreign_ids == Some(true) || since.is_none() && !is_first,
            since,
            snapshot: snapshot.unwrap_or_default(),
            next_transaction_id: next.unwrap_or(0),
        })
    }

    /// Whether any is outside `ets.audit`.
    pub fn any_outside_audit(&self) -> Result<bool> {
        let (sql, arguments) = self.choose([
            select_any_outside_audit!(new_since_snapshot!()),
            select_any_outside_audit!(new_among_foreign!()),
            select_any_outside_audit!(without_leaf!()),
        ]);
        Ok(db::first(View::Query, sql, &arguments, |_| Ok(()))?.is_some())
    }

    /// What this seal sees.
    pub fn snapshot(&self) -> &str {
        &self.snapshot
    }

    /// Whether rows were brought from another cluster.
    pub fn has_foreign_ids(&self) -> bool {
        self.has_foreign_ids
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
        let (sql, arguments) = self.choose([
            select_headers!(new_since_snapshot!()),
            select_headers!(new_among_foreign!()),
            select_headers!(without_leaf!()),
        ]);
        db::scan(View::Query, sql, &arguments, BATCH, add)
    }

    /// The statement of three that finds the new rows, with its arguments: by the
    /// last snapshot, by it among foreign ids, or by the leaves alone.
    fn choose(
        &self,
        [by_snapshot, among_foreign, by_leaves]: [&'static str; 3],
    ) -> (&'static str, Vec<Value>) {
        let Some(Since { xmin, snapshot }) = &self.since else { return (by_leaves, Vec::new()) };
        let mut arguments = vec![(*xmin).into(), snapshot.as_str().into()];
        if !self.has_foreign_ids {
            return (by_snapshot, arguments);
        }
        arguments.push(self.next_transaction_id.into());
        (among_foreign, arguments)
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
