//! The tables that are made from the registry, row by row against the registry
//! that was folded from its events.

use std::collections::BTreeMap;

use ets_core::canonical::{Limits, parse_json, to_jcs};
use ets_core::hash::to_hex;
use ets_core::key::key_id;
use ets_core::registry::Registry;
use ets_core::time::Timestamp;
use ets_core::verify::{Finding, FindingClass, VerifiedRegistry};

use super::{Findings, clipped, finding};
use crate::db::{self, Row, View};
use crate::error::Result;

/// The columns of a row as text, in the order of the table's `columns`.
type Columns = Vec<Option<String>>;

/// A table as it should be and as it is, by primary key.
struct Table {
    name: &'static str,
    columns: &'static [&'static str],
    /// How many of the columns, from the first, are the key.
    key: usize,
    expected: Vec<Columns>,
    stored: Vec<Columns>,
}

/// Compares every projection.
pub fn compare(verified: &VerifiedRegistry, findings: &mut Findings) -> Result<()> {
    let Some(registry) = verified.registry.as_ref().filter(|_| verified.damaged_from.is_none()) else {
        findings.add(finding(
            FindingClass::Unverifiable,
            "projections",
            "the registry is damaged: the tables made from it cannot be compared",
        ));
        return Ok(());
    };
    for table in tables(registry)? {
        table.compare(findings);
    }
    Ok(())
}

impl Table {
    fn compare(self, findings: &mut Findings) {
        let key = self.key;
        let by_key = |rows: &[Columns]| -> BTreeMap<Columns, Columns> {
            rows.iter().map(|row| (row.iter().take(key).cloned().collect(), row.clone())).collect()
        };
        let (expected, stored) = (by_key(&self.expected), by_key(&self.stored));
        for (key, row) in &expected {
            match stored.get(key) {
                None => findings.add(self.finding(key, "is missing".into())),
                Some(other) => {
                    for ((column, right), actual) in self.columns.iter().zip(row).zip(other) {
                        if right != actual {
                            findings.add(Finding {
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
            findings.add(self.finding(key, "was never made by an event of the registry".into()));
        }
        if stored.len() < self.stored.len() {
            findings.add(finding(
                FindingClass::Projection,
                self.name,
                format!("ets.{} has a row twice", self.name),
            ));
        }
    }

    fn finding(&self, key: &Columns, problem: String) -> Finding {
        let key: Vec<String> =
            key.iter().map(|column| column.as_deref().map_or("NULL".to_owned(), clipped)).collect();
        finding(
            FindingClass::Projection,
            self.name,
            format!("the row ({}) of ets.{} {problem}", key.join(", "), self.name),
        )
    }
}

fn tables(registry: &Registry) -> Result<[Table; 5]> {
    let rows = registry.rows();
    let domains = Table {
        name: "domain",
        columns: &["domain", "description", "keep_state", "registered_at"],
        key: 1,
        expected: rows
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
        stored: db::query(
            View::Query,
            "SELECT kept.domain, kept.description, kept.keep_state, kept.registered_at FROM ets.domain AS kept",
            &[],
            |row| Ok(vec![row.text(1), row.text(2), row.bool(3).and_then(text), int(row, 4)]),
        )?,
    };
    let schemas = Table {
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
        expected: rows
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
        stored: db::query(
            View::Query,
            "SELECT kept.name, kept.domain, kept.schema, kept.stream_pointer, kept.schema_pointer, kept.rules, kept.reducer,
                    kept.engine, kept.registered_at, kept.retired_at, kept.rule_functions FROM ets.schema_version AS kept",
            &[],
            |row| {
                Ok(vec![
                    row.text(1),
                    row.text(2),
                    json(row, 3),
                    row.text(4),
                    row.text(5),
                    json(row, 6),
                    row.text(7),
                    row.text(8),
                    int(row, 9),
                    int(row, 10),
                    json(row, 11),
                ])
            },
        )?,
    };
    let keys = Table {
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
        expected: rows
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
        stored: db::query(
            View::Query,
            "SELECT kept.key_id, kept.public_key, kept.algorithm, kept.owner, kept.custody, kept.not_before, kept.not_after,
                    kept.registered_at, kept.revoked_at, kept.rotated_from, kept.superseded_by, kept.compromised_since
               FROM ets.signing_key AS kept",
            &[],
            |row| {
                Ok(vec![
                    row.text(1),
                    hex(row, 2),
                    row.text(3),
                    row.text(4),
                    row.text(5),
                    time(row, 6),
                    time(row, 7),
                    int(row, 8),
                    int(row, 9),
                    row.text(10),
                    row.text(11),
                    time(row, 12),
                ])
            },
        )?,
    };
    let grants = Table {
        name: "authority_grant",
        columns: &["key_id", "domain", "schemas", "streams", "granted_at", "revoked_at"],
        key: 5,
        expected: rows
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
        stored: db::query(
            View::Query,
            "SELECT kept.key_id, kept.domain, kept.schemas, kept.streams, kept.granted_at, kept.revoked_at
               FROM ets.authority_grant AS kept",
            &[],
            |row| Ok(vec![row.text(1), row.text(2), row.text(3), row.text(4), int(row, 5), int(row, 6)]),
        )?,
    };
    Ok([ledger(registry)?, domains, schemas, keys, grants])
}

/// `ets.ledger` against the registry's first event.
fn ledger(registry: &Registry) -> Result<Table> {
    let ledger = registry.ledger();
    Ok(Table {
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
        expected: vec![vec![
            text(ledger.ledger_id),
            text(&ledger.origin),
            text(key_id(&ledger.root_public_key)),
            text(to_hex(&ledger.root_public_key)),
            text(key_id(&ledger.server_public_key)),
            text(to_hex(&ledger.server_public_key)),
        ]],
        stored: db::query(
            View::Query,
            "SELECT kept.ledger_id, kept.origin, kept.root_key_id, kept.root_public_key, kept.server_key_id,
                    kept.server_public_key FROM ets.ledger AS kept",
            &[],
            |row| {
                let id = row.uuid(1).map(uuid::Uuid::from_bytes);
                Ok(vec![id.and_then(text), row.text(2), row.text(3), hex(row, 4), row.text(5), hex(row, 6)])
            },
        )?,
    })
}

fn text(value: impl ToString) -> Option<String> {
    Some(value.to_string())
}

fn int(row: &Row, column: usize) -> Option<String> {
    row.int(column).and_then(text)
}

fn hex(row: &Row, column: usize) -> Option<String> {
    row.bytes(column).map(|bytes| to_hex(&bytes))
}

fn time(row: &Row, column: usize) -> Option<String> {
    let micros = row.unix_micros(column)?;
    Some(Timestamp::from_unix_micros(micros).map_or_else(|| "no moment".to_owned(), |time| time.to_string()))
}

/// A jsonb column in canonical form, or as it is if it has none.
fn json(row: &Row, column: usize) -> Option<String> {
    let stored = row.jsonb(column)?;
    Some(parse_json(&stored, &Limits::CEILING).map_or(stored.clone(), |value| to_jcs(&value)))
}
