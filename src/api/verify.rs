//! Verification: checks of one event, document or bundle, and findings of
//! streams.

use ets_core::bundle::FormatError;
use ets_core::bundle::Proof;
use ets_core::event::{DocumentError, Event};
use ets_core::name::{DomainName, StreamName};
use ets_core::verify::{self, Check, Finding, KeptCheckpoint, Trust};
use serde_json::json;

use crate::api::forest;
use crate::db::View;
use crate::error::{Error, Result, sqlstate};
use crate::function::{Call, Rows};
use crate::seal::{self, StoredTiles};
use crate::value::{Type, Value};
use crate::{ledger, verification};

crate::sql_functions! {
    ets_verify_event pg_finfo_ets_verify_event => verify_event;
    ets_verify_document pg_finfo_ets_verify_document => verify_document;
    ets_verify_bundle pg_finfo_ets_verify_bundle => verify_bundle;
    ets_verify_checkpoint pg_finfo_ets_verify_checkpoint => verify_checkpoint;
    ets_verify_chain pg_finfo_ets_verify_chain => verify_chain;
}

fn verify_event(call: &Call) -> Result<Rows> {
    let id = call.required_event_id(0, "event_id")?;
    checks(call, &verification::event(id)?)
}

fn verify_document(call: &Call) -> Result<Rows> {
    let event = Event::parse(&call.required_text(0, "document")?)?;
    checks(call, &verify::verify_document(&event))
}

/// A bundle of whatever ledger. It names its own root, and a pure function knows
/// no other, so that `trust_root` is never a pass.
fn verify_bundle(call: &Call) -> Result<Rows> {
    let proof = Proof::parse(&call.required_text(0, "bundle")?).map_err(no_bundle)?;
    checks(call, &verify::verify_proof(&proof, &Trust::Nothing))
}

/// A checkpoint note that somebody kept, held against the ledger as it is now.
///
/// # Errors
/// 22023 if it is no checkpoint note of this ledger.
fn verify_checkpoint(call: &Call) -> Result<Rows> {
    let note = call.required_text(0, "note")?;
    let kept = KeptCheckpoint::parse(&note, &*ledger::registry(View::Query)?).map_err(|error| {
        Error::parameter("note", format_args!("is no checkpoint note of this ledger: {error}"))
    })?;
    let domain = &kept.root.domain;
    let sealed = match seal::last_checkpoint(View::Query)? {
        Some(last) => forest::tree_size(View::Query, last.checkpoint_id, domain)?,
        None => 0,
    };
    checks(call, &kept.verify(sealed, &mut StoredTiles { domain, view: View::Query })?)
}

fn verify_chain(call: &Call) -> Result<Rows> {
    let domain: DomainName = call.required_text(0, "domain")?.parse()?;
    let stream: StreamName = call.required_text(1, "stream")?.parse()?;
    findings(call, &verification::stream(&domain, &stream)?)
}

/// Checks as rows of name, whether it passed, and detail.
pub fn checks(call: &Call, checks: &[Check]) -> Result<Rows> {
    let mut rows = Rows::open(call)?;
    for check in checks {
        rows.put(&[
            check.name.into(),
            Value::or_null(check.passed, Type::Bool),
            check.detail.as_str().into(),
        ])?;
    }
    Ok(rows)
}

/// Findings as rows of `ets.finding_info`.
pub fn findings(call: &Call, findings: &[Finding]) -> Result<Rows> {
    let mut rows = Rows::open(call)?;
    for finding in findings {
        rows.put(&[
            finding.class.as_str().into(),
            Value::or_null(finding.domain.as_deref(), Type::Text),
            Value::or_null(finding.stream.as_deref(), Type::Text),
            Value::or_null(finding.sequence, Type::Int),
            finding.event_id.map_or(Value::Null(Type::Uuid), |id| Value::Uuid(*id.as_bytes())),
            finding.check.into(),
            Value::or_null(finding.expected.as_deref(), Type::Text),
            Value::or_null(finding.actual.as_deref(), Type::Text),
            finding.detail.as_str().into(),
        ])?;
    }
    Ok(rows)
}

fn no_bundle(error: FormatError) -> Error {
    match error {
        FormatError::Json(error) | FormatError::Event(_, DocumentError::Json(error)) => error.into(),
        error => Error::new(sqlstate::PARAMETER, format!("not a bundle: {error}"))
            .detail(json!({"argument": "bundle"}))
            .hint("bundles are what ets.proof_bundle and ets.stream_bundle return"),
    }
}
