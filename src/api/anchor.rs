//! Anchors: recording what came of publishing a checkpoint, and verifying it.

use ets_core::anchor::{
    ANCHORING, AnchorRecord, AnchorState, AnchorStatement, MAX_REFERENCE_CHARACTERS, MAX_SERVICE_CHARACTERS,
};
use ets_core::canonical::{Limits, Payload};
use serde_json::json;

use crate::anchors;
use crate::api::append::sign_and_append;
use crate::api::verify::checks;
use crate::db::{self, View};
use crate::error::{self, Error, Result, sqlstate};
use crate::function::{Call, Rows};
use crate::value::{Type, Value};
use crate::{keys, ledger, receiver};

crate::sql_functions! {
    ets_record_anchor pg_finfo_ets_record_anchor => record_anchor;
    ets_verify_anchor pg_finfo_ets_verify_anchor => verify_anchor;
}

/// What came of an attempt to publish a checkpoint.
struct Outcome {
    service: String,
    state: AnchorState,
    statement: AnchorStatement,
    evidence: Option<Vec<u8>>,
    reason: Option<String>,
    reference: Option<String>,
    can_retry: bool,
}

fn record_anchor(call: &Call) -> Result<Value> {
    let checkpoint_id = call.required_count(0, "checkpoint_id")?;
    let outcome = Outcome::of(call)?;
    ledger::announced()?;
    require_table()?;
    receiver::refuse_own("record_anchor")?;
    let stored = anchors::statement_of(View::Latest, checkpoint_id)?;
    if stored != outcome.statement {
        return Err(Error::new(
            sqlstate::HASH,
            format!("the statement is not that of checkpoint {checkpoint_id} of this ledger"),
        )
        .detail(json!({"checkpoint_id": checkpoint_id, "meta_root": stored.meta_root().to_string()}))
        .hint("publish what the rows of the checkpoint say, as ets anchor does"));
    }
    // Numbers have no gaps, and a checkpoint has one row for each service.
    db::write("LOCK TABLE ets.anchor IN SHARE ROW EXCLUSIVE MODE", &[])?;
    let anchor_id = match find(checkpoint_id, &outcome.service)? {
        None => outcome.insert(checkpoint_id)?,
        Some(known) => outcome.update(&known)?,
    };
    if outcome.state == AnchorState::Confirmed {
        declare(anchor_id, &outcome.statement)?;
    }
    Ok(Value::Int(anchor_id))
}

impl Outcome {
    fn of(call: &Call) -> Result<Outcome> {
        let service = call.required_text(1, "service")?;
        let state = call.required_text(2, "state")?;
        let state = AnchorState::of(&state)
            .ok_or_else(|| Error::parameter("state", "must be pending, confirmed or failed"))?;
        let statement = call.required_text(3, "statement")?;
        let statement = AnchorStatement::parse(&statement).map_err(|error| {
            Error::parameter("statement", format_args!("is no statement of a checkpoint: {error}"))
        })?;
        line("service", &service, MAX_SERVICE_CHARACTERS)?;
        let (evidence, reason, reference) = (call.bytes(4), call.text(5), call.text(6));
        if let Some(reference) = &reference {
            line("reference", reference, MAX_REFERENCE_CHARACTERS)?;
        }
        match state {
            AnchorState::Confirmed if evidence.is_none() => return Err(Error::null("evidence")),
            AnchorState::Failed if reason.is_none() => return Err(Error::null("reason")),
            AnchorState::Pending | AnchorState::Confirmed if reason.is_some() => {
                return Err(Error::parameter("reason", "is for what failed"));
            }
            _ => {}
        }
        let can_retry = call.bool(7).ok_or_else(|| Error::null("retry"))?;
        Ok(Outcome { service, state, statement, evidence, reason, reference, can_retry })
    }

    fn insert(&self, checkpoint_id: u64) -> Result<i64> {
        let made = db::write_returning(
            "INSERT INTO ets.anchor (anchor_id, checkpoint_id, service, state, statement, evidence, reference, reason,
                attempts, created_at, updated_at, next_attempt)
             SELECT coalesce(pg_catalog.max(known.anchor_id), 0) OPERATOR(pg_catalog.+) 1, $1, $2, $3, $4, $5, $6, $7,
                1, pg_catalog.clock_timestamp(), pg_catalog.clock_timestamp(),
                CASE WHEN $8 THEN pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) interval '1 minute' END
               FROM ets.anchor AS known
             RETURNING anchor_id",
            &[
                checkpoint_id.into(),
                self.service.as_str().into(),
                self.state.as_str().into(),
                self.statement.to_jcs().into(),
                self.evidence(),
                Value::or_null(self.reference.as_deref(), Type::Text),
                Value::or_null(self.reason.as_deref(), Type::Text),
                self.is_open().into(),
            ],
            |row| Ok(row.int(1)),
        )?;
        made.flatten().ok_or_else(lost)
    }

    /// Goes on with a row. What is confirmed stays as it is; the same again is answered.
    fn update(&self, known: &AnchorRecord) -> Result<i64> {
        if known.state == Some(AnchorState::Confirmed) {
            if self.state == AnchorState::Confirmed && self.evidence == known.evidence {
                return Ok(known.anchor_id);
            }
            return Err(Error::new(
                sqlstate::FIELD,
                format!("anchor {} is confirmed and stays as it is", known.anchor_id),
            )
            .detail(json!({"anchor_id": known.anchor_id, "state": "confirmed"}))
            .hint("record other evidence under another service"));
        }
        // Evidence that waits for a proof is not lost by an attempt that failed.
        db::write(
            "UPDATE ets.anchor AS anchor
                SET state = $2, evidence = coalesce($3, anchor.evidence), reference = coalesce($4, anchor.reference),
                    reason = $5, attempts = anchor.attempts OPERATOR(pg_catalog.+) 1,
                    updated_at = pg_catalog.clock_timestamp(),
                    next_attempt = CASE WHEN $6 THEN pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) least(interval '1 hour',
                      interval '1 minute' OPERATOR(pg_catalog.*) pg_catalog.power(2::pg_catalog.float8, least(anchor.attempts, 10)::pg_catalog.float8)) END
              WHERE anchor.anchor_id OPERATOR(pg_catalog.=) $1",
            &[
                known.anchor_id.into(),
                self.state.as_str().into(),
                self.evidence(),
                Value::or_null(self.reference.as_deref(), Type::Text),
                Value::or_null(self.reason.as_deref(), Type::Text),
                self.is_open().into(),
            ],
        )?;
        Ok(known.anchor_id)
    }

    fn evidence(&self) -> Value {
        self.evidence.clone().map_or(Value::Null(Type::Bytes), Value::Bytes)
    }

    /// Whether it is to be asked for again.
    fn is_open(&self) -> bool {
        match self.state {
            AnchorState::Pending => true,
            AnchorState::Confirmed => false,
            AnchorState::Failed => self.can_retry,
        }
    }
}

/// Declares an anchor in `ets.audit`, if it is not yet; a WARNING if it cannot be signed.
fn declare(anchor_id: i64, statement: &AnchorStatement) -> Result<()> {
    let Some(anchor) = by_id(View::Latest, anchor_id)?.filter(|anchor| anchor.declaration_id.is_none())
    else {
        return Ok(());
    };
    let declared = db::attempt(|| {
        let payload = Payload::from_value(anchor.declared_payload(statement), &Limits::CEILING)?;
        let event = sign_and_append(payload, ANCHORING.parse()?, &keys::server_key()?)?;
        db::write(
            "UPDATE ets.anchor SET declaration_id = $2 WHERE anchor_id OPERATOR(pg_catalog.=) $1",
            &[anchor_id.into(), event.header.event_id.into()],
        )
    })?;
    if let Err(problem) = declared {
        error::warn(
            &format!("anchor {anchor_id} is recorded, but not declared in ets.audit: {problem}"),
            "with the server's key back, record the same again",
        );
    }
    Ok(())
}

fn verify_anchor(call: &Call) -> Result<Rows> {
    let anchor_id = call.required_int(0, "anchor_id")?;
    ledger::announced()?;
    require_table()?;
    let anchor = by_id(View::Query, anchor_id)?.ok_or_else(|| {
        Error::new(sqlstate::NOT_FOUND, format!("no anchor {anchor_id}"))
            .detail(json!({"anchor_id": anchor_id}))
            .hint("ets.anchor lists those there are; ets anchor makes one")
    })?;
    let rows = anchors::beside(&anchor)?;
    checks(call, &anchor.checks(&rows.sealed, &rows.declared))
}

fn find(checkpoint_id: u64, service: &str) -> Result<Option<AnchorRecord>> {
    db::first(
        View::Latest,
        crate::select_anchors!(
            "WHERE anchor.checkpoint_id OPERATOR(pg_catalog.=) $1 AND anchor.service OPERATOR(pg_catalog.=) $2"
        ),
        &[checkpoint_id.into(), service.into()],
        |row| Ok(anchors::read(row)),
    )
}

fn by_id(view: View, anchor_id: i64) -> Result<Option<AnchorRecord>> {
    db::first(
        view,
        crate::select_anchors!("WHERE anchor.anchor_id OPERATOR(pg_catalog.=) $1"),
        &[anchor_id.into()],
        |row| Ok(anchors::read(row)),
    )
}

fn require_table() -> Result<()> {
    if anchors::exist() {
        return Ok(());
    }
    Err(Error::new(sqlstate::STATE, "the ledger's tables are of an older layout, without ets.anchor")
        .detail(json!({"state": "older layout"}))
        .hint("SELECT ets.arm()"))
}

/// A name of one line, of 1 to `longest` characters.
fn line(argument: &str, text: &str, longest: usize) -> Result<()> {
    let length = text.chars().count();
    if length == 0 || length > longest || text.chars().any(char::is_control) {
        return Err(Error::parameter(
            argument,
            format_args!("must be of 1 to {longest} characters without control characters"),
        ));
    }
    Ok(())
}

fn lost() -> Error {
    Error::new(sqlstate::CORRUPTED, "the anchor's row was not stored").hint("see the server's log")
}
