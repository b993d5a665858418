//! The page.

use axum::extract::Path;
use axum::response::Response;

use crate::assets;
use crate::problem::Problem;

/// `GET /`: the page.
///
/// # Errors
/// None in a whole build.
pub async fn page() -> Result<Response, Problem> {
    assets::answer("")
}

/// `GET /assets/{name}`: a file that it loads.
///
/// # Errors
/// 404 if there is none.
pub async fn asset(Path(name): Path<String>) -> Result<Response, Problem> {
    assets::answer(&name)
}
