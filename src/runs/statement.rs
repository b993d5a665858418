//! A run's statement: an `ets.verification/1.0.0` event in `ets.audit`, signed
//! with the server's key.

use ets_core::canonical::{Limits, Payload};
use ets_core::checkpoint::domain_roots_to_value;
use ets_core::event::EventId;
use ets_core::hash::{Digest, to_hex};
use ets_core::name::{DomainName, StreamName};
use ets_core::verify::Verdict;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::api::append::sign_and_append;
use crate::db::{self, Row, View};
use crate::error::{self, Error, Result};
use crate::{keys, receiver, seal};

const SCHEMA: &str = "ets.verification/1.0.0";
/// The most findings that a statement repeats.
const MOST_FINDINGS: usize = 100;

/// Appends the run's statement, and answers its id; none, with a WARNING, if it
/// could not be signed or the ledger is in no state to take it.
pub fn declare(
    run_id: i64,
    verdict: Verdict,
    state_roots: &[(DomainName, Digest)],
) -> Result<Option<EventId>> {
    // What it receives, it cannot add to.
    if receiver::receiving()?.is_some() {
        return Ok(None);
    }
    let payload = payload(run_id, verdict, state_roots)?;
    let declared = db::attempt(|| {
        let payload = Payload::from_value(payload, &Limits::CEILING)?;
        sign_and_append(payload, SCHEMA.parse()?, &keys::server_key()?)
    })?;
    Ok(match declared {
        Ok(event) => Some(event.header.event_id),
        Err(problem) => {
            error::warn(
                &format!("verification run {run_id} is recorded, but not declared in ets.audit: {problem}"),
                "ets.status shows what is wrong; a later incremental run begins before this one",
            );
            None
        }
    })
}

fn payload(run_id: i64, verdict: Verdict, state_roots: &[(DomainName, Digest)]) -> Result<Json> {
    let (mut members, checkpoint_id, only) = db::first(
        View::Latest,
        "SELECT run.check_name, run.domain, run.incremental, run.events, run.finding_count, run.checkpoint_id, run.meta_root
           FROM ets.verification_run AS run WHERE run.run_id OPERATOR(pg_catalog.=) $1",
        &[run_id.into()],
        |row| {
            let mut scope = json!({"check": row.text(1), "incremental": row.bool(3)});
            let only = row.text(2);
            if let Some(domain) = &only {
                scope["domain"] = json!(domain);
            }
            let mut members = json!({
                "schema_version": SCHEMA, "scope": scope, "verdict": verdict.as_str(),
                "events": row.int(4), "finding_count": row.int(5),
            });
            if let (Some(id), Some(meta_root)) = (row.int(6), row.bytes(7)) {
                members["checkpoint_id"] = json!(id);
                members["meta_root"] = json!(to_hex(&meta_root));
            }
            Ok((members, row.int(6), only))
        },
    )?
    .ok_or_else(super::lost)?;
    let roots = match checkpoint_id.and_then(|id| u64::try_from(id).ok()) {
        Some(id) => match seal::domain_roots(View::Latest, id) {
            Ok(roots) => roots,
            Err(Error::Postgres) => return Err(Error::Postgres),
            // That they cannot be read is a finding.
            Err(_) => Vec::new(),
        },
        None => Vec::new(),
    };
    let roots: Vec<_> = roots
        .into_iter()
        .filter(|root| only.as_ref().is_none_or(|only| only == root.domain.as_str()))
        .collect();
    members["domain_roots"] = domain_roots_to_value(&roots);
    if !state_roots.is_empty() {
        let root = |(domain, root): &(DomainName, Digest)| json!({"domain": domain.as_str(), "state_root": root.to_string()});
        members["state_roots"] = state_roots.iter().map(root).collect();
    }
    members["findings"] = db::query(
        View::Latest,
        "SELECT finding.class, finding.check_name, finding.domain, finding.stream, finding.sequence, finding.event_id,
                finding.expected, finding.actual
           FROM ets.finding AS finding WHERE finding.last_run_id OPERATOR(pg_catalog.=) $1
          ORDER BY finding.finding_id LIMIT $2",
        &[run_id.into(), (MOST_FINDINGS as u64).into()],
        |row| Ok(finding(row)),
    )?
    .into();
    Ok(members)
}

/// A finding as the schema has it. What does not fit, such as a domain that is no
/// name, is left out: `ets.finding` has it.
fn finding(row: &Row) -> Json {
    let mut members = Map::new();
    let mut put = |name: &str, value: Option<Json>| {
        if let Some(value) = value {
            members.insert(name.to_owned(), value);
        }
    };
    let clipped = |text: String| {
        let text: String = text.chars().take(1024).collect();
        (!text.is_empty()).then(|| json!(text))
    };
    put("class", row.text(1).map(Json::from));
    put("check", row.text(2).map(Json::from));
    put("domain", row.text(3).filter(|name| name.parse::<DomainName>().is_ok()).map(Json::from));
    put("stream", row.text(4).filter(|name| name.parse::<StreamName>().is_ok()).map(Json::from));
    put("sequence", row.int(5).filter(|number| (0..1 << 53).contains(number)).map(Json::from));
    put("event_id", row.uuid(6).map(|id| json!(Uuid::from_bytes(id).to_string())));
    put("expected", row.text(7).and_then(clipped));
    put("actual", row.text(8).and_then(clipped));
    Json::Object(members)
}
