//! Which path is answered by whom, and what holds for all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use tokio::sync::Semaphore;

use crate::auth::{Access, Tokens};
use crate::handlers::{events, explorer, feed, health, listing, proofs, replay, tlog};
use crate::metrics::Metrics;
use crate::pool::Pool;
use crate::problem::{Problem, Refused};

/// What every handler has.
#[derive(Clone)]
pub struct Shared(pub Arc<Parts>);

/// See [`Shared`].
pub struct Parts {
    /// For what only reads.
    pub read: Pool,
    /// For appends.
    pub write: Pool,
    /// Who may ask.
    pub tokens: Tokens,
    /// The figures.
    pub metrics: Metrics,
    /// Whether appends are taken.
    pub read_only: bool,
    /// How long a request may take.
    pub time_out: Duration,
    /// Places for live feeds.
    pub feeds: Arc<Semaphore>,
    /// Changes whenever something was sealed.
    pub sealed: tokio::sync::watch::Receiver<u64>,
    /// Becomes true when the server ends: what goes on for ever ends too.
    pub ending: tokio::sync::watch::Receiver<bool>,
    requests: AtomicU64,
}

impl std::ops::Deref for Shared {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// What [`Parts`] is made of.
pub struct Given {
    /// See [`Parts::read`].
    pub read: Pool,
    /// See [`Parts::write`].
    pub write: Pool,
    /// See [`Parts::tokens`].
    pub tokens: Tokens,
    /// See [`Parts::read_only`].
    pub read_only: bool,
    /// See [`Parts::time_out`].
    pub time_out: Duration,
    /// How many live feeds there may be.
    pub feeds: usize,
    /// The largest body, in bytes.
    pub max_body: usize,
    /// See [`Parts::sealed`].
    pub sealed: tokio::sync::watch::Receiver<u64>,
    /// See [`Parts::ending`].
    pub ending: tokio::sync::watch::Receiver<bool>,
}

/// The whole service.
pub fn router(given: Given) -> Router {
    let max_body = given.max_body;
    let shared = Shared(Arc::new(Parts {
        read: given.read,
        write: given.write,
        tokens: given.tokens,
        metrics: Metrics::default(),
        read_only: given.read_only,
        time_out: given.time_out,
        feeds: Arc::new(Semaphore::new(given.feeds)),
        sealed: given.sealed,
        ending: given.ending,
        requests: AtomicU64::new(0),
    }));
    Router::new()
        .route("/api/ledger/event", post(events::append))
        .route("/api/ledger/events", post(events::append_batch).get(listing::events))
        .route("/api/ledger/event/{event_id}", get(events::document))
        .route("/api/ledger/head", get(events::head))
        .route("/api/ledger/prepare", post(events::prepare))
        .route("/api/ledger/verify", post(proofs::verify))
        .route("/api/merkle/proof/{event_id}", get(proofs::proof))
        .route("/api/ledger/consistency", get(proofs::consistency))
        .route("/api/ledger/trust-root", get(proofs::trust_root))
        .route("/api/ledger/replay", get(replay::replay))
        .route("/api/ledger/domains", get(listing::domains))
        .route("/api/ledger/checkpoints", get(listing::checkpoints))
        .route("/api/ledger/streams", get(listing::streams))
        .route("/api/ledger/search", get(listing::search))
        .route("/api/ledger/status", get(listing::status))
        .route("/api/ledger/activity", get(listing::activity))
        .route("/api/ledger/feed", get(feed::feed))
        .route("/tlog/{domain}/checkpoint", get(tlog::checkpoint))
        .route("/tlog/{domain}/tile/{*tile}", get(tlog::tile))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(health::openapi))
        .route("/", get(explorer::page))
        .route("/assets/{*name}", get(explorer::asset))
        .fallback(|| async { Problem::request(404, "there is no such path: see /openapi.json") })
        .method_not_allowed_fallback(|| async {
            Problem::request(405, "this path does not take that method")
        })
        .layer(from_fn_with_state(shared.clone(), guard))
        .layer(DefaultBodyLimit::max(max_body))
        .with_state(shared)
}

/// Tokens, the time limit, the figures and the log. A log line has no payload, no token
/// and no query.
async fn guard(State(shared): State<Shared>, request: Request<Body>, next: Next) -> Response {
    let begun = Instant::now();
    let number = shared.requests.fetch_add(1, Ordering::Relaxed);
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let mut response = match admitted(&shared, &route, &request) {
        Err(problem) => problem.into_response(),
        Ok(()) => match tokio::time::timeout(shared.time_out, next.run(request)).await {
            Ok(response) => response,
            Err(_) => Problem::unavailable("this took too long").into_response(),
        },
    };
    let status = response.status().as_u16();
    let refused = response.extensions().get::<Refused>().map(|refused| refused.0.clone());
    let took = begun.elapsed();
    shared.metrics.answered(&route, status, refused.as_deref(), took);
    tracing::info!(
        number,
        method = method.as_str(),
        route,
        status,
        sqlstate = refused.as_deref().unwrap_or_default(),
        milliseconds = took.as_secs_f64() * 1000.0,
        "request"
    );
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    response
}

fn admitted(shared: &Shared, route: &str, request: &Request<Body>) -> Result<(), Problem> {
    // The page brings its token along when it asks; its files are no secret.
    if matches!(route, "/healthz" | "/readyz" | "/openapi.json" | "/" | "/assets/{*name}") {
        return Ok(());
    }
    let appends =
        request.method() == Method::POST && matches!(route, "/api/ledger/event" | "/api/ledger/events");
    shared.tokens.check(request.headers(), if appends { Access::Write } else { Access::Read })?;
    match appends && shared.read_only {
        true => Err(Problem::request(403, "this server takes no appends")),
        false => Ok(()),
    }
}
