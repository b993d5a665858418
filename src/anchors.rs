//! Rows of `ets.anchor`: what was published of a checkpoint, held against the
//! checkpoint and against what the server declared.

use ets_core::anchor::{AnchorRecord, AnchorState, AnchorStatement, Declaration, SealedCheckpoint};
use ets_core::event::{Event, EventId};
use serde_json::json;
use uuid::Uuid;

use crate::db::{self, Row, View};
use crate::error::{Error, Result, sqlstate};
use crate::{ledger, rows, seal};

/// The statement that [`read`] reads; the rest of it follows `FROM ets.anchor AS anchor`.
#[macro_export]
macro_rules! select_anchors {
    ($rest:literal) => {
        concat!(
            "SELECT anchor.anchor_id, anchor.checkpoint_id, anchor.service, anchor.state, anchor.statement,
                    anchor.evidence, anchor.reference, anchor.declaration_id
               FROM ets.anchor AS anchor ",
            $rest
        )
    };
}

/// From a row of [`select_anchors!`].
pub fn read(row: &Row) -> AnchorRecord {
    AnchorRecord {
        anchor_id: row.int(1).unwrap_or(0),
        checkpoint_id: row.int(2).unwrap_or(0),
        service: row.text(3).unwrap_or_default(),
        state: row.text(4).and_then(|name| AnchorState::of(&name)),
        statement: row.text(5).unwrap_or_default(),
        evidence: row.bytes(6),
        reference: row.text(7),
        declaration_id: row.uuid(8).map(Uuid::from_bytes),
    }
}

/// What a row is held against.
pub struct Rows {
    /// The checkpoint of its number, or why there is none.
    pub sealed: std::result::Result<SealedCheckpoint, String>,
    /// The event that it names, or why that cannot be read.
    pub declared: std::result::Result<Option<Declaration>, String>,
}

/// Reads what a row is held against.
///
/// # Errors
/// Only of Postgres: what is wrong with rows is for the checks.
pub fn beside(anchor: &AnchorRecord) -> Result<Rows> {
    let sealed = match u64::try_from(anchor.checkpoint_id).ok().map(|id| statement_of(View::Query, id)) {
        Some(Err(Error::Postgres)) => return Err(Error::Postgres),
        Some(Err(error)) => Err(error.to_string()),
        Some(Ok(statement)) => Ok(SealedCheckpoint::from(&statement)),
        None => Err(format!("there is no checkpoint {}", anchor.checkpoint_id)),
    };
    let declared = match anchor.declaration_id.and_then(EventId::from_uuid).map(declared).transpose() {
        Err(Error::Postgres) => return Err(Error::Postgres),
        Err(error) => Err(error.to_string()),
        Ok(event) => Ok(event.flatten().map(|event| Declaration {
            event_id: *event.header.event_id.as_uuid(),
            schema_version: event.header.schema_version.to_string(),
            payload: event.payload.canonical().to_owned(),
            is_sound: event.check_hash() && event.header.check_signature(),
        })),
    };
    Ok(Rows { sealed, declared })
}

fn declared(id: EventId) -> Result<Option<Event>> {
    db::first(
        View::Query,
        crate::select_events!(
            "WHERE event.event_id OPERATOR(pg_catalog.=) $1 AND event.domain OPERATOR(pg_catalog.=) 'ets.audit'"
        ),
        &[id.into()],
        rows::event,
    )
}

/// The statement of a checkpoint, from its rows.
///
/// # Errors
/// ET011 if there is no such checkpoint, ET002 if its rows do not give its MetaRoot.
pub fn statement_of(view: View, checkpoint_id: u64) -> Result<AnchorStatement> {
    let announced = ledger::announced()?;
    let checkpoint = seal::checkpoint(view, checkpoint_id)?;
    let roots = seal::domain_roots(view, checkpoint_id)?;
    let different = |problem: String| {
        Error::new(sqlstate::HASH, format!("checkpoint {checkpoint_id} is not what was sealed: {problem}"))
            .detail(json!({"checkpoint_id": checkpoint_id}))
            .hint("run ets.verify_ledger() to see what was changed")
    };
    let statement = AnchorStatement::new(
        announced.ledger_id,
        announced.origin,
        checkpoint_id,
        checkpoint.checkpoint_event_id,
        roots,
    )
    .map_err(|error| different(error.to_string()))?;
    if *statement.meta_root() != checkpoint.meta_root {
        return Err(different("its domain roots give another MetaRoot".into()));
    }
    Ok(statement)
}

/// Whether there is the table: a ledger of an earlier layout has none until `ets.arm`.
pub fn exist() -> bool {
    ledger::table(c"anchor").is_some()
}
