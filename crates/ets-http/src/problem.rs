//! Refusals of the database as problem details (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ets_core::canonical::to_jcs;
use serde_json::{Value, json};

/// What a request that cannot be answered gets.
#[derive(Debug)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// What PostgreSQL calls it; empty for what never came so far.
    pub sqlstate: String,
    body: Value,
    /// Whether the same request may succeed in a moment.
    retry: bool,
}

impl Problem {
    /// A request that is wrong in itself.
    pub fn request(status: u16, title: impl Into<String>) -> Self {
        Problem::new(status, title.into(), None)
    }

    /// Something is wrong here, and no other request would help.
    pub fn server(title: impl Into<String>) -> Self {
        Problem::new(500, title.into(), None)
    }

    /// Something is not there now.
    pub fn unavailable(title: impl Into<String>) -> Self {
        Problem {
            retry: true,
            ..Problem::new(
                503,
                title.into(),
                Some("send the same again in a moment: nothing is appended twice"),
            )
        }
    }

    /// What the database said, or that it is gone.
    pub fn of(error: &tokio_postgres::Error) -> Self {
        let Some(refused) = error.as_db_error() else {
            return Problem::unavailable("the database cannot be reached");
        };
        let sqlstate = refused.code().code().to_owned();
        let body = body(&sqlstate, refused.message(), refused.detail(), refused.hint());
        let status = status(&sqlstate);
        // ET015 is 503, but no moment brings a key.
        Problem { status, retry: status == 503 && sqlstate != "ET015", sqlstate, body }
    }

    fn new(status: u16, title: String, hint: Option<&str>) -> Self {
        let mut body = json!({"type": "about:blank", "title": title, "status": status});
        if let Some(hint) = hint {
            body["hint"] = hint.into();
        }
        Problem { status, sqlstate: String::new(), body, retry: false }
    }

    /// The problem document.
    pub fn document(&self) -> &Value {
        &self.body
    }
}

/// Kept beside the response, for logs and metrics.
#[derive(Debug, Clone)]
pub struct Refused(pub String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, to_jcs(&self.body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.retry {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        match self.status {
            401 if self.sqlstate.is_empty() => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            // Of a path that does not take the method, the router knows which it takes.
            405 if !self.sqlstate.is_empty() => {
                headers.insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
            }
            _ => {}
        }
        response.extensions_mut().insert(Refused(self.sqlstate));
        response
    }
}

/// The media type of [`body`].
pub const MEDIA_TYPE: &str = "application/problem+json";

/// The HTTP status for a refusal: the classes of docs/errors.md, then
/// PostgreSQL's own. 503 may be tried again as it is; 500 is nobody's request.
pub fn status(sqlstate: &str) -> u16 {
    match sqlstate {
        "ET001" => 400,
        "ET003" => 401,
        "ET004" | "42501" => 403,
        "ET009" => 405,
        "ET011" => 404,
        "ET005" | "ET012" | "ET013" => 409,
        "ET002" | "ET006" | "ET007" | "ET008" | "ET010" | "ET014" | "ET016" => 422,
        // Deadlock, serialization failure, cancelled by its time limit, read-only server.
        "ET015" | "40001" | "40P01" | "57014" | "25006" => 503,
        // Connection lost, resources gone, server starting or stopping.
        _ if ["08", "53", "57"].contains(&sqlstate.get(..2).unwrap_or_default()) => 503,
        // Data exceptions: NULL, an argument out of its range, malformed text.
        _ if sqlstate.starts_with("22") => 400,
        _ => 500,
    }
}

/// The problem document. `detail` is the DETAIL of the refusal, kept as it is
/// where it is the JSON object that the ledger writes; PostgreSQL's own DETAIL
/// is prose that may quote values, and is left out.
pub fn body(sqlstate: &str, message: &str, detail: Option<&str>, hint: Option<&str>) -> Value {
    let mut body = json!({
        "type": "about:blank",
        "title": message,
        "status": status(sqlstate),
        "sqlstate": sqlstate,
    });
    if let Some(detail @ Value::Object(_)) = detail.and_then(|text| serde_json::from_str(text).ok()) {
        body["errors"] = detail;
    }
    if let Some(hint) = hint {
        body["hint"] = hint.into();
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_the_status_of_the_contract() {
        let statuses = [400, 422, 401, 403, 409, 422, 422, 422, 405, 422, 404, 409, 409, 422, 503, 422];
        for (number, expected) in (1..).zip(statuses) {
            assert_eq!(status(&format!("ET{number:03}")), expected, "ET{number:03}");
        }
        for (sqlstate, expected) in [
            ("22004", 400),
            ("42501", 403),
            ("57P01", 503),
            ("08006", 503),
            ("XX001", 500),
            ("", 500),
            ("é", 500),
        ] {
            assert_eq!(status(sqlstate), expected, "{sqlstate}");
        }
    }

    #[test]
    fn the_detail_for_programs_is_kept_and_prose_is_not() {
        let kept = body("ET005", "not the head", Some(r#"{"sequence":3}"#), Some("sign again"));
        assert_eq!(
            (&kept["status"], &kept["errors"], &kept["hint"]),
            (&json!(409), &json!({"sequence": 3}), &json!("sign again"))
        );
        let prose = body("22P02", "invalid input", Some("Token \"secret\" is invalid."), None);
        assert!(prose.get("errors").is_none() && prose.get("hint").is_none());
    }
}
