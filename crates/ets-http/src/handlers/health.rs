//! Whether the server is well.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use ets_core::canonical::to_jcs;
use serde_json::json;

use super::proofs::plain;
use super::{json, ok, passing};
use crate::problem::Problem;
use crate::router::Shared;

/// `GET /healthz`: this process answers.
pub async fn alive() -> Response {
    passing(ok(&json!({"status": "ok"})))
}

/// `GET /readyz`: the database answers, and has a ledger.
///
/// # Errors
/// 503 if not.
pub async fn ready(State(shared): State<Shared>) -> Result<Response, Problem> {
    let asked = shared.read.text("SELECT (ets.trust_root()->>'ledger_id')::text", &[]).await;
    let ledger_id = asked.map_err(|_| Problem::unavailable("the ledger does not answer"))?;
    Ok(passing(ok(&json!({"ledger_id": ledger_id, "status": "ok"}))))
}

/// `GET /metrics`: figures for Prometheus.
pub async fn metrics(State(shared): State<Shared>) -> Response {
    let text = shared.metrics.text([("read", &shared.read), ("write", &shared.write)]).await;
    let mut response = plain(text);
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    passing(response)
}

/// `GET /openapi.json`: what this server answers.
pub async fn openapi() -> Response {
    json(StatusCode::OK, to_jcs(&crate::openapi::document()))
}
