//! The page.

use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use crate::explorer::{self, CONTENT_SECURITY_POLICY};
use crate::problem::Problem;

/// `GET /`: the page.
///
/// # Errors
/// None: it is part of the program.
pub async fn page() -> Result<Response, Problem> {
    answer("/")
}

/// `GET /assets/{name}`: a file that it loads.
///
/// # Errors
/// 404 if there is none.
pub async fn asset(Path(name): Path<String>) -> Result<Response, Problem> {
    answer(&format!("/assets/{name}"))
}

fn answer(path: &str) -> Result<Response, Problem> {
    let asset = explorer::asset(path).ok_or_else(|| Problem::request(404, "there is no such page"))?;
    let mut response = (StatusCode::OK, asset.body).into_response();
    for (name, value) in [
        (header::CONTENT_TYPE, asset.media_type),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        // The files of one version fit together.
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}
