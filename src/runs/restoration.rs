//! The statement of a restore: an `ets.restore/1.0.0` event in `ets.audit`, once
//! a full verification has passed where the ledger was not made.

use ets_core::canonical::{Limits, Payload};
use serde_json::{Value as Json, json};

use crate::api::append::sign_and_append;
use crate::db::{self, Row, View};
use crate::error::{self, Result};
use crate::{keys, receiver, seal};

const SCHEMA: &str = "ets.restore/1.0.0";

/// Declares that the ledger was restored here, if it was and no full verification
/// has passed here before the run of this number. A WARNING if it cannot be signed.
pub fn declare(run_id: i64) -> Result<()> {
    // What receives another's events declares nothing of its own.
    if receiver::receiving()?.is_some() {
        return Ok(());
    }
    let Some((recorded, found)) = db::first(
        View::Latest,
        "SELECT ledger.system_identifier, ledger.timeline::pg_catalog.int8, ledger.database_oid::pg_catalog.int8,
                system.system_identifier, checkpoint.timeline_id::pg_catalog.int8, database.oid::pg_catalog.int8
           FROM ets.ledger AS ledger, pg_catalog.pg_control_system() AS system,
                pg_catalog.pg_control_checkpoint() AS checkpoint, pg_catalog.pg_database AS database
          WHERE database.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
            AND (ledger.system_identifier OPERATOR(pg_catalog.<>) system.system_identifier
              OR ledger.database_oid OPERATOR(pg_catalog.<>) database.oid
              OR EXISTS (SELECT FROM ets.seal_position AS position
                          WHERE position.relation_oid OPERATOR(pg_catalog.<>) 'ets.ledger_event'::pg_catalog.regclass))
            AND NOT EXISTS (
                  SELECT FROM ets.verification_run AS run
                   WHERE run.run_id OPERATOR(pg_catalog.<>) $1 AND run.check_name OPERATOR(pg_catalog.=) 'verify'
                     AND run.verdict OPERATOR(pg_catalog.=) 'MATCH' AND NOT run.incremental AND run.domain IS NULL
                     AND run.system_identifier OPERATOR(pg_catalog.=) system.system_identifier
                     AND run.database_oid OPERATOR(pg_catalog.=) database.oid
                     AND run.relation_oid OPERATOR(pg_catalog.=) 'ets.ledger_event'::pg_catalog.regclass)",
        &[run_id.into()],
        |row| Ok((place(row, 1), place(row, 4))),
    )?
    else {
        return Ok(());
    };
    let mut members = json!({"schema_version": SCHEMA, "recorded": recorded, "found": found});
    if let Some(last) = seal::last_checkpoint(View::Latest)? {
        members["checkpoint_id"] = json!(last.checkpoint_id);
    }
    let declared = db::attempt(|| {
        let payload = Payload::from_value(members, &Limits::CEILING)?;
        sign_and_append(payload, SCHEMA.parse()?, &keys::server_key()?)
    })?;
    if let Err(problem) = declared {
        error::warn(
            &format!("the restore is not declared in ets.audit: {problem}"),
            "put the server's key file back from its own backup; ets.server_key_directory says where",
        );
    }
    Ok(())
}

/// Three columns from `first` on, as the schema has them.
fn place(row: &Row, first: usize) -> Json {
    // The catalog's identifier is signed, the cluster's is not.
    let identifier = row.int(first).unwrap_or(0) as u64;
    json!({
        "system_identifier": identifier.to_string(),
        "timeline": row.int(first + 1).unwrap_or(0),
        "database_oid": row.int(first + 2).unwrap_or(0),
    })
}
