//! The tables that are made from the registry, against what its events make.

use ets_core::canonical::{Limits, parse_json, to_jcs};
use ets_core::hash::to_hex;
use ets_core::time::Timestamp;
use ets_core::verify::{Columns, FindingClass, VerifiedRegistry, projections};

use super::{Findings, finding};
use crate::db::{self, Row, View};
use crate::error::Result;

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
    for table in projections(registry) {
        let stored = stored(table.name)?;
        findings.collect(|found| table.compare(&stored, found));
    }
    Ok(())
}

/// What a table holds.
fn stored(table: &str) -> Result<Vec<Columns>> {
    match table {
        "domain" => db::query(
            View::Query,
            "SELECT kept.domain, kept.description, kept.keep_state, kept.registered_at FROM ets.domain AS kept",
            &[],
            |row| Ok(vec![row.text(1), row.text(2), row.bool(3).and_then(text), int(row, 4)]),
        ),
        "schema_version" => db::query(
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
        ),
        "signing_key" => db::query(
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
        ),
        "authority_grant" => db::query(
            View::Query,
            "SELECT kept.key_id, kept.domain, kept.schemas, kept.streams, kept.granted_at, kept.revoked_at
               FROM ets.authority_grant AS kept",
            &[],
            |row| Ok(vec![row.text(1), row.text(2), row.text(3), row.text(4), int(row, 5), int(row, 6)]),
        ),
        _ => db::query(
            View::Query,
            "SELECT kept.ledger_id, kept.origin, kept.root_key_id, kept.root_public_key, kept.server_key_id,
                    kept.server_public_key FROM ets.ledger AS kept",
            &[],
            |row| {
                let id = row.uuid(1).map(uuid::Uuid::from_bytes);
                Ok(vec![id.and_then(text), row.text(2), row.text(3), hex(row, 4), row.text(5), hex(row, 6)])
            },
        ),
    }
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
