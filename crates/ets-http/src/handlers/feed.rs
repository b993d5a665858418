//! What happens, as it happens: server-sent events.
//!
//! Nothing is sent by an append. The feed of a domain follows its tree, in the order of leaf
//! indexes, and is woken by the seal's NOTIFY; the feed of a stream follows its sequence. Both
//! look by themselves every second, and both go on where a client says that it was: never by
//! event ids, which do not commit in their order.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::unfold;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};

use super::Parameters;
use super::listing::{OF_DOMAIN, OF_STREAM, POSITION};
use crate::database::event;
use crate::problem::Problem;
use crate::router::Shared;

/// How often a feed looks by itself.
const EVERY: Duration = Duration::from_secs(1);
/// How often a silent feed says that it is alive.
const ALIVE: Duration = Duration::from_secs(15);
/// Events that are read at once.
const PAGE: i32 = 100;

/// `GET /api/ledger/feed`: from where `Last-Event-ID` or `after` says, or from now on.
///
/// # Errors
/// 404 for an unknown domain, 503 if there are too many feeds.
pub async fn feed(
    State(shared): State<Shared>,
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<Response, Problem> {
    parameters.only(&["domain", "stream", "after"])?;
    let permit = shared.feeds.clone().try_acquire_owned();
    let permit = permit.map_err(|_| Problem::unavailable("there are too many live feeds"))?;
    let (domain, stream) =
        (parameters.required("domain")?.to_owned(), parameters.get("stream").map(str::to_owned));
    let said = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let said = said.map(|text| text.parse().map_err(|_| Problem::request(400, "Last-Event-ID is no number")));
    let position = match (said.transpose()?, parameters.number("after")?) {
        (Some(position), _) | (None, Some(position)) => position,
        (None, None) => newest(&shared, &domain, stream.as_deref()).await?,
    };
    if position < -1 {
        return Err(Problem::request(400, "the position must be at least -1"));
    }
    shared.metrics.feeds.inc();
    let mut following = Following {
        domain,
        stream,
        position,
        sealed: shared.sealed.clone(),
        ending: shared.ending.clone(),
        said: Instant::now(),
        shared: shared.clone(),
        _permit: permit,
    };
    // What is wrong with the domain is said with a status.
    let first = following.read().await?;
    let begin = format!(": here since {}\n\n{first}", following.position);
    let lines = unfold((following, Some(begin)), |(mut following, ready)| async move {
        let text = match ready {
            Some(text) => text,
            None => following.next().await?,
        };
        Some((Ok::<_, Infallible>(Bytes::from(text)), (following, None)))
    });
    let mut response = (StatusCode::OK, Body::from_stream(lines)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(super::passing(response))
}

/// The last leaf of a domain, or the last event of a stream.
async fn newest(shared: &Shared, domain: &str, stream: Option<&str>) -> Result<i64, Problem> {
    let rows = match stream {
        Some(stream) => {
            let sql =
                "SELECT streams.events FROM ets.streams WHERE streams.domain = $1 AND streams.stream = $2";
            shared.read.query(sql, &[&domain, &stream]).await?
        }
        None => {
            let sql = "SELECT coalesce(max(root.tree_size), 0) - 1 FROM ets.domain_root AS root
                        WHERE root.domain = $1
                          AND root.checkpoint_id = (SELECT max(last.checkpoint_id) FROM ets.checkpoint AS last)";
            shared.read.query(sql, &[&domain]).await?
        }
    };
    Ok(rows.first().map_or(-1, |row| row.get(0)))
}

struct Following {
    domain: String,
    stream: Option<String>,
    position: i64,
    sealed: tokio::sync::watch::Receiver<u64>,
    ending: tokio::sync::watch::Receiver<bool>,
    /// When something was sent last.
    said: Instant,
    shared: Shared,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.shared.metrics.feeds.dec();
    }
}

impl Following {
    /// What comes next, once there is something; none when the server ends.
    async fn next(&mut self) -> Option<String> {
        loop {
            if *self.ending.borrow() {
                return None;
            }
            // While the database is away the line stays open.
            let text = self.read().await.unwrap_or_default();
            if !text.is_empty() {
                self.said = Instant::now();
                return Some(text);
            }
            if self.said.elapsed() >= ALIVE {
                self.said = Instant::now();
                return Some(": alive\n\n".to_owned());
            }
            let woken = async {
                tokio::select! {
                    _ = self.sealed.changed() => {}
                    _ = self.ending.changed() => {}
                }
            };
            let _ = timeout(EVERY, woken).await;
        }
    }

    async fn read(&mut self) -> Result<String, Problem> {
        let rows = match &self.stream {
            Some(stream) => {
                let after = self.position.max(0);
                self.shared.read.query(OF_STREAM, &[&self.domain, stream, &after, &PAGE]).await?
            }
            None => self.shared.read.query(OF_DOMAIN, &[&self.domain, &self.position, &PAGE]).await?,
        };
        let mut text = String::new();
        for row in &rows {
            let position: i64 = row.get(POSITION);
            text.push_str(&format!("id: {position}\ndata: {}\n\n", event(row)?.document()));
            self.position = position;
        }
        Ok(text)
    }
}
