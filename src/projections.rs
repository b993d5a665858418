//! The registry's projections: the tables in which people read what the
//! registry's events made. Written here, in the event's own transaction.

use ets_core::canonical::to_jcs;
use ets_core::registry::{DomainRow, GrantRow, KeyRow, Rows, SchemaRow};

use crate::db;
use crate::error::Result;
use crate::value::{Type, Value};

/// Writes rows that an event made or changed.
pub fn write(rows: &Rows) -> Result<()> {
    for row in &rows.domains {
        write_domain(row)?;
    }
    for row in &rows.schema_versions {
        write_schema(row)?;
    }
    for row in &rows.signing_keys {
        write_key(row)?;
    }
    for row in &rows.authority_grants {
        write_grant(row)?;
    }
    Ok(())
}

fn write_domain(row: &DomainRow) -> Result<()> {
    db::write(
        "INSERT INTO ets.domain (domain, description, keep_state, registered_at) VALUES ($1, $2, $3, $4)",
        &[
            row.domain.as_str().into(),
            Value::or_null(row.description.as_deref(), Type::Text),
            row.keep_state.into(),
            row.registered_at.into(),
        ],
    )?;
    Ok(())
}

fn write_schema(row: &SchemaRow) -> Result<()> {
    db::write(
        "INSERT INTO ets.schema_version (name, domain, schema, stream_pointer, schema_pointer, rules, reducer,
                engine, registered_at, retired_at, rule_functions)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             ON CONFLICT (name) DO UPDATE SET retired_at = excluded.retired_at,
                                              rule_functions = excluded.rule_functions",
        &[
            row.name.as_str().into(),
            row.domain.as_str().into(),
            Value::Jsonb(to_jcs(&row.schema)),
            Value::or_null(row.stream_pointer.as_deref(), Type::Text),
            Value::or_null(row.schema_pointer.as_deref(), Type::Text),
            Value::Jsonb(to_jcs(&row.rules)),
            row.reducer.as_str().into(),
            row.engine.as_str().into(),
            row.registered_at.into(),
            Value::or_null(row.retired_at, Type::Int),
            Value::Jsonb(to_jcs(&row.rule_functions)),
        ],
    )?;
    Ok(())
}

fn write_key(row: &KeyRow) -> Result<()> {
    db::write(
        "INSERT INTO ets.signing_key (key_id, public_key, algorithm, owner, custody, not_before, not_after,
                registered_at, revoked_at, rotated_from, superseded_by, compromised_since)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
             ON CONFLICT (key_id) DO UPDATE SET revoked_at = excluded.revoked_at,
                superseded_by = excluded.superseded_by, compromised_since = excluded.compromised_since",
        &[
            row.key_id.into(),
            row.public_key.into(),
            row.algorithm.into(),
            row.owner.as_str().into(),
            row.custody.into(),
            Value::or_null(row.not_before, Type::Timestamp),
            Value::or_null(row.not_after, Type::Timestamp),
            row.registered_at.into(),
            Value::or_null(row.revoked_at, Type::Int),
            Value::or_null(row.rotated_from, Type::Text),
            Value::or_null(row.superseded_by, Type::Text),
            Value::or_null(row.compromised_since, Type::Timestamp),
        ],
    )?;
    Ok(())
}

fn write_grant(row: &GrantRow) -> Result<()> {
    db::write(
        "INSERT INTO ets.authority_grant (key_id, domain, schemas, streams, granted_at, revoked_at)
         VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (key_id, domain, schemas, streams, granted_at) DO UPDATE
            SET revoked_at = excluded.revoked_at",
        &[
            row.key_id.into(),
            row.domain.as_str().into(),
            row.schemas.as_str().into(),
            row.streams.as_str().into(),
            row.granted_at.into(),
            Value::or_null(row.revoked_at, Type::Int),
        ],
    )?;
    Ok(())
}
