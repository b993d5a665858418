//! The answers, each one statement in the database.

pub mod events;
pub mod explorer;
pub mod feed;
pub mod health;
pub mod listing;
pub mod proofs;
pub mod replay;
pub mod tlog;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use ets_core::canonical::{Limits, parse_json, to_jcs};
use serde_json::Value;
use uuid::Uuid;

use crate::problem::Problem;

/// What a body may be: a document around a payload of any size that the ledger takes.
const BODY: Limits = Limits { max_bytes: 64 << 20, max_depth: Limits::DOCUMENT.max_depth + 2 };

/// JSON text as it is.
fn json(status: StatusCode, text: String) -> Response {
    let mut response = (status, text).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A value as JCS text.
fn ok(value: &Value) -> Response {
    json(StatusCode::OK, to_jcs(value))
}

/// A response that nothing may keep: it is different in a moment.
fn passing(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The JSON in a body. It is read strictly: what has a duplicate key, a number that no double
/// has, or anything else without one meaning is refused, never repaired.
///
/// # Errors
/// 413 if it is too large, 400 if it is no such JSON.
fn body(bytes: Result<Bytes, BytesRejection>) -> Result<Value, Problem> {
    parse_json(&text(bytes)?, &BODY).map_err(|error| Problem::request(400, format!("the body: {error}")))
}

fn text(bytes: Result<Bytes, BytesRejection>) -> Result<String, Problem> {
    let bytes = bytes.map_err(|error| match error.status().as_u16() {
        413 => Problem::request(413, "the body is too large"),
        _ => Problem::request(400, "the body broke off"),
    })?;
    String::from_utf8(bytes.into()).map_err(|_| Problem::request(400, "the body is not UTF-8 text"))
}

/// An event's id in a path.
fn event_id(text: &str) -> Result<Uuid, Problem> {
    Uuid::try_parse(text).map_err(|_| Problem::request(400, "the event id is no UUID"))
}

/// The parameters of a query, each at most once.
pub struct Parameters(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let Query(all) =
            query.map_err(|_: QueryRejection| Problem::request(400, "the query cannot be read"))?;
        for (index, (name, value)) in all.iter().enumerate() {
            if all.iter().take(index).any(|(other, _)| other == name) {
                return Err(Problem::request(400, format!("{name} is there twice")));
            }
            // PostgreSQL's text cannot hold it.
            if value.contains('\0') {
                return Err(Problem::request(400, format!("{name} has a NUL character")));
            }
        }
        Ok(Parameters(all))
    }
}

impl Parameters {
    /// Refuses what nobody asked for: a typing error shall not be taken for a default.
    ///
    /// # Errors
    /// 400, with its name.
    fn only(&self, known: &[&str]) -> Result<(), Problem> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => Err(Problem::request(400, format!("{name} is no parameter of this path"))),
            None => Ok(()),
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn required(&self, name: &str) -> Result<&str, Problem> {
        self.get(name).ok_or_else(|| Problem::request(400, format!("{name} is missing")))
    }

    fn number(&self, name: &str) -> Result<Option<i64>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Problem::request(400, format!("{name} is no number")))
    }

    fn at_least(&self, name: &str, least: i64, otherwise: i64) -> Result<i64, Problem> {
        match self.number(name)? {
            None => Ok(otherwise),
            Some(number) if number >= least => Ok(number),
            Some(_) => Err(Problem::request(400, format!("{name} must be at least {least}"))),
        }
    }

    /// `limit`: from 1 to 1000, 100 unless it is given.
    fn limit(&self) -> Result<i64, Problem> {
        match self.at_least("limit", 1, 100)? {
            limit if limit <= 1000 => Ok(limit),
            _ => Err(Problem::request(400, "limit must be at most 1000")),
        }
    }
}
