//! The tables that are made from the registry, row by row against the registry
//! that was folded from its events.

use std::collections::BTreeMap;

use super::finding::{Finding, FindingClass, clipped};
use crate::canonical::to_jcs;
use crate::hash::to_hex;
use crate::key::key_id;
use crate::registry::Registry;

/// The columns of a row as text, in the order of the table's `columns`: numbers in
/// decimal, bytes in hex, moments as [`crate::time::Timestamp`] writes them, JSON in canonical form.
pub type Columns = Vec<Option<String>>;

/// A table as the registry's events make it.
#[derive(Debug, Clone)]
pub struct Projection {
    /// Its name in schema `ets`.
    pub name: &'static str,
    /// Its columns that the registry's events make.
    pub columns: &'static [&'static str],
    /// How many of the columns, from the first, are the key.
    key: usize,
    /// The rows.
    pub rows: Vec<Columns>,
}

impl Projection {
    /// Compares what is stored, in the order of `columns`.
    pub fn compare(&self, stored_rows: &[Columns], findings: &mut Vec<Finding>) {
        let key = self.key;
        let by_key = |rows: &[Columns]| -> BTreeMap<Columns, Columns> {
            rows.iter().map(|row| (row.iter().take(key).cloned().collect(), row.clone())).collect()
        };
        let (expected, stored) = (by_key(&self.rows), by_key(stored_rows));
        for (key, row) in &expected {
            match stored.get(key) {
                None => findings.push(self.finding(key, "is missing".into())),
                Some(other) => {
                    for ((column, right), actual) in self.columns.iter().zip(row).zip(other) {
                        if right != actual {
                            findings.push(Finding {
                                expected: right.as_deref().map(clipped),
                                actual: actual.as_deref().map(clipped),
                                ..self.finding(key, format!("has another {column} than the registry"))
                            });
                        }
                    }
                }
            }
        }
        for key in stored.keys().filter(|key| !expected.contains_key(*key)) {
            findings.push(self.finding(key, "was never made by an event of the registry".into()));
        }
        if stored.len() < stored_rows.len() {
            findings.push(Finding::new(
                FindingClass::Projection,
                self.name,
                format!("ets.{} has a row twice", self.name),
            ));
        }
    }

    fn finding(&self, key: &Columns, problem: String) -> Finding {
        let key: Vec<String> =
            key.iter().map(|column| column.as_deref().map_or("NULL".to_owned(), clipped)).collect();
        Finding::new(
            FindingClass::Projection,
            self.name,
            format!("the row ({}) of ets.{} {problem}", key.join(", "), self.name),
        )
    }
}

/// What the registry's tables should hold.
pub fn projections(registry: &Registry) -> [Projection; 5] {
    let rows = registry.rows();
    let domains = Projection {
        name: "domain",
        columns: &["domain", "description", "keep_state", "registered_at"],
        key: 1,
        rows: rows
            .domains
            .iter()
            .map(|row| {
                vec![
                    text(&row.domain),
                    row.description.clone(),
                    text(row.keep_state),
                    text(row.registered_at),
                ]
            })
            .collect(),
    };
    let schemas = Projection {
        name: "schema_version",
        columns: &[
            "name",
            "domain",
            "schema",
            "stream_pointer",
            "schema_pointer",
            "rules",
            "reducer",
            "engine",
            "registered_at",
            "retired_at",
            "rule_functions",
        ],
        key: 1,
        rows: rows
            .schema_versions
            .iter()
            .map(|row| {
                vec![
                    text(&row.name),
                    text(&row.domain),
                    text(to_jcs(&row.schema)),
                    row.stream_pointer.clone(),
                    row.schema_pointer.clone(),
                    text(to_jcs(&row.rules)),
                    text(&row.reducer),
                    text(&row.engine),
                    text(row.registered_at),
                    row.retired_at.and_then(text),
                    text(to_jcs(&row.rule_functions)),
                ]
            })
            .collect(),
    };
    let keys = Projection {
        name: "signing_key",
        columns: &[
            "key_id",
            "public_key",
            "algorithm",
            "owner",
            "custody",
            "not_before",
            "not_after",
            "registered_at",
            "revoked_at",
            "rotated_from",
            "superseded_by",
            "compromised_since",
        ],
        key: 1,
        rows: rows
            .signing_keys
            .iter()
            .map(|row| {
                vec![
                    text(row.key_id),
                    text(to_hex(&row.public_key)),
                    text(row.algorithm),
                    text(&row.owner),
                    text(row.custody),
                    row.not_before.and_then(text),
                    row.not_after.and_then(text),
                    text(row.registered_at),
                    row.revoked_at.and_then(text),
                    row.rotated_from.and_then(text),
                    row.superseded_by.and_then(text),
                    row.compromised_since.and_then(text),
                ]
            })
            .collect(),
    };
    let grants = Projection {
        name: "authority_grant",
        columns: &["key_id", "domain", "schemas", "streams", "granted_at", "revoked_at"],
        key: 5,
        rows: rows
            .authority_grants
            .iter()
            .map(|row| {
                vec![
                    text(row.key_id),
                    text(&row.domain),
                    text(&row.schemas),
                    text(&row.streams),
                    text(row.granted_at),
                    row.revoked_at.and_then(text),
                ]
            })
            .collect(),
    };
    [ledger(registry), domains, schemas, keys, grants]
}

/// `ets.ledger` against the registry's first event.
fn ledger(registry: &Registry) -> Projection {
    let ledger = registry.ledger();
    Projection {
        name: "ledger",
        columns: &[
            "ledger_id",
            "origin",
            "root_key_id",
            "root_public_key",
            "server_key_id",
            "server_public_key",
        ],
        key: 1,
        rows: vec![vec![
            text(ledger.ledger_id),
            text(&ledger.origin),
            text(key_id(&ledger.root_public_key)),
            text(to_hex(&ledger.root_public_key)),
            text(key_id(&ledger.server_public_key)),
            text(to_hex(&ledger.server_public_key)),
        ]],
    }
}

fn text(value: impl ToString) -> Option<String> {
    Some(value.to_string())
}
