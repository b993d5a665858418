//! The page at `/`, which verifies what it shows. It is part of the program and loads
//! nothing from anywhere else.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

/// What the browser may load for the page: what comes from this server.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The file of this name, or the page itself for the empty one.
///
/// # Errors
/// 404 if there is none.
pub fn answer(name: &str) -> Result<Response, Problem> {
    let name = if name.is_empty() { "index.html" } else { name };
    let found = ASSETS.iter().find(|(asset, _)| *asset == name);
    let (_, bytes) = found.ok_or_else(|| Problem::request(404, "there is no such page"))?;
    let kind = match name.rsplit_once('.').map(|(_, end)| end) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        _ => "text/plain; charset=utf-8",
    };
    let mut response = (StatusCode::OK, *bytes).into_response();
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // The files of one version fit together.
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}
