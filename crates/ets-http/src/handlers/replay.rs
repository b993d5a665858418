//! States, computed again from their events.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use ets_core::canonical::{Limits, parse_json, to_jcs};
use ets_core::hash::to_hex;
use futures_util::StreamExt as _;
use futures_util::stream::unfold;
use serde_json::json;
use tokio_postgres::{Row, RowStream};
use uuid::Uuid;

use super::{Parameters, event_id};
use crate::pool::Lease;
use crate::problem::Problem;
use crate::router::Shared;

/// `GET /api/ledger/replay`: a line of JSON for each stream. When the client goes, the
/// statement is cancelled; when it fails on the way, the last line is `{"problem": …}`.
///
/// # Errors
/// 404 for an unknown domain, and what the ledger refuses before the first line.
pub async fn replay(State(shared): State<Shared>, parameters: Parameters) -> Result<Response, Problem> {
    parameters.only(&["domain", "stream", "until"])?;
    let domain = parameters.required("domain")?;
    let (stream, until) = (parameters.get("stream"), parameters.get("until").map(event_id).transpose()?);
    let mut lease = shared.read.get().await?;
    let sql = "SELECT stream, sequence, state::text, state_hash FROM ets.replay($1, $2, $3)";
    let parameters: [crate::pool::Parameter<'_>; 3] = [&domain, &stream, &until as &Option<Uuid>];
    let mut rows = Box::pin(lease.stream(sql, &parameters).await?);
    // The first row decides about the status.
    let first = rows.next().await.transpose().map_err(|error| {
        lease.done();
        Problem::of(&error)
    })?;
    let state = Reading { rows, lease, next: first, is_over: false };
    let lines = unfold(state, |mut reading| async move {
        let line = reading.line().await?;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(line)), reading))
    });
    let mut response = (StatusCode::OK, Body::from_stream(lines)).into_response();
    let kind = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(super::passing(response))
}

struct Reading {
    rows: std::pin::Pin<Box<RowStream>>,
    lease: Lease,
    next: Option<Row>,
    is_over: bool,
}

impl Reading {
    async fn line(&mut self) -> Option<String> {
        if self.is_over {
            return None;
        }
        let Some(row) = self.next.take() else {
            self.lease.done();
            self.is_over = true;
            return None;
        };
        match self.rows.next().await {
            None => {}
            Some(Ok(next)) => self.next = Some(next),
            Some(Err(error)) => {
                self.lease.done();
                self.is_over = true;
                let problem = json!({"problem": Problem::of(&error).document()});
                return Some(format!("{}{}\n", line_of(&row), to_jcs(&problem)));
            }
        }
        Some(line_of(&row))
    }
}

fn line_of(row: &Row) -> String {
    let state: Option<&str> = row.get(2);
    let state = state.and_then(|text| parse_json(text, &Limits::CEILING).ok());
    let line = json!({
        "sequence": row.get::<_, i64>(1), "state": state, "state_hash": to_hex(row.get(3)), "stream": row.get::<_, &str>(0),
    });
    format!("{}\n", to_jcs(&line))
}
