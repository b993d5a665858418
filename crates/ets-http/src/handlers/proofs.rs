//! What proves something.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use ets_core::canonical::to_jcs;
use ets_core::hash::to_hex;
use ets_core::verify::{Check, Verdict};
use serde_json::{Value, json};

use super::{Parameters, body, event_id, json, ok, passing};
use crate::problem::Problem;
use crate::router::Shared;

/// `GET /api/merkle/proof/{event_id}`: the proof bundle; with `Accept: text/plain` the tlog-proof.
///
/// # Errors
/// 404 if there is no such event, 409 if it is not sealed yet.
pub async fn proof(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = event_id(&id)?;
    let mut response = if prefers_text(&headers) {
        let text = shared.read.text("SELECT ets.tlog_proof($1)", &[&id]).await?;
        plain(text)
    } else {
        json(StatusCode::OK, shared.read.text("SELECT ets.proof_bundle($1)::text", &[&id]).await?)
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

/// `text/plain` is asked for, and JSON is not liked better.
fn prefers_text(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let quality = |kind: &str| {
        let ranges = accepted.split(',').map(|range| range.split(';').map(str::trim).collect::<Vec<_>>());
        let named = ranges.filter(|range| range.first().is_some_and(|name| name.eq_ignore_ascii_case(kind)));
        named
            .map(|range| {
                let quality = range.iter().find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
                quality.unwrap_or(1.0)
            })
            .fold(0.0, f32::max)
    };
    let text = quality("text/plain");
    text > 0.0 && text > quality("application/json")
}

/// Plain text.
pub fn plain(text: String) -> Response {
    let mut response = (StatusCode::OK, text).into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// `POST /api/ledger/verify`: an event id, an event's document, or a bundle. 200 and the verdict,
/// for a MISMATCH too. Whoever does not trust this server does the same himself.
///
/// # Errors
/// 400 for what is none of these, 404 for an unknown id.
pub async fn verify(
    State(shared): State<Shared>,
    bytes: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let value = body(bytes)?;
    let id = match &value {
        Value::String(text) => Some(event_id(text)?),
        Value::Object(members) if members.len() == 1 => {
            members.get("event_id").and_then(Value::as_str).map(event_id).transpose()?
        }
        _ => None,
    };
    let rows = if let Some(id) = id {
        shared.read.query("SELECT check_name, passed, detail FROM ets.verify_event($1)", &[&id]).await?
    } else if value.get("format").is_some() {
        let sql = "SELECT check_name, passed, detail FROM ets.verify_bundle(($1::text)::json)";
        shared.read.query(sql, &[&to_jcs(&value)]).await?
    } else if value.get("event_id").is_some() {
        let sql = "SELECT check_name, passed, detail FROM ets.verify_document(($1::text)::json)";
        shared.read.query(sql, &[&to_jcs(&value)]).await?
    } else {
        return Err(Problem::request(400, "this is no event id, event document or bundle"));
    };
    let mut passed = Vec::new();
    let mut checks = Vec::new();
    for row in &rows {
        let (name, holds, detail): (&str, Option<bool>, Option<&str>) = (row.get(0), row.get(1), row.get(2));
        passed.push(Check { name: "", passed: holds, detail: String::new() });
        checks.push(json!({"detail": detail, "name": name, "passed": holds}));
    }
    Ok(passing(ok(&json!({"checks": checks, "verdict": Verdict::of(&passed).as_str()}))))
}

/// `GET /api/ledger/consistency`: the proof that a tree begins with a smaller one (RFC 6962).
///
/// # Errors
/// 404 for an unknown domain, 400 for sizes that there are not.
pub async fn consistency(State(shared): State<Shared>, parameters: Parameters) -> Result<Response, Problem> {
    parameters.only(&["domain", "from", "to"])?;
    let domain = parameters.required("domain")?;
    let size =
        |name| parameters.number(name)?.ok_or_else(|| Problem::request(400, format!("{name} is missing")));
    let (from, to) = (size("from")?, size("to")?);
    let sql = "SELECT hash FROM ets.consistency_proof($1, $2, $3) ORDER BY step";
    let rows = shared.read.query(sql, &[&domain, &from, &to]).await?;
    let hashes: Vec<String> = rows.iter().map(|row| to_hex(row.get(0))).collect();
    Ok(ok(&json!({"proof": hashes})))
}

/// `GET /api/ledger/trust-root`: what a verifier must know, and should have from elsewhere.
///
/// # Errors
/// 409 without a ledger.
pub async fn trust_root(State(shared): State<Shared>) -> Result<Response, Problem> {
    let text = shared.read.text("SELECT ets.trust_root()::text", &[]).await?;
    let value: Value =
        serde_json::from_str(&text).map_err(|_| Problem::server("the database answered no JSON"))?;
    Ok(ok(&value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_answered_unless_text_is_asked_for() {
        for (accept, expected) in [
            (None, false),
            (Some("*/*"), false),
            (Some("application/json"), false),
            (Some("text/plain"), true),
            (Some("text/html, Text/Plain;q=0.9, */*;q=0.1"), true),
            (Some("text/plain;q=0.5, application/json"), false),
            (Some("text/plain;q=0"), false),
            (Some("application/json;q=0.2, text/plain; q=0.3"), true),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            }
            assert_eq!(prefers_text(&headers), expected, "{accept:?}");
        }
    }
}
