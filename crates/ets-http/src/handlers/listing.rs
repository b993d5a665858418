//! What there is, in pages.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use ets_core::canonical::{Limits, parse_json, to_jcs};
use ets_core::hash::{from_hex, to_hex};
use ets_core::time::Timestamp;
use serde_json::{Value, json};
use tokio_postgres::Row;
use uuid::Uuid;

use super::events::{documents, list};
use super::{Parameters, json, ok, passing};
use crate::event_columns;
use crate::problem::Problem;
use crate::router::Shared;

/// A moment in microseconds since 1970 as the ledger writes it.
fn moment(micros: Option<i64>) -> Option<String> {
    micros.and_then(Timestamp::from_unix_micros).map(|moment| moment.to_string())
}

fn root(row: &Row, column: usize) -> Option<String> {
    row.get::<_, Option<&[u8]>>(column).map(to_hex)
}

/// `GET /api/ledger/domains`: each with its tree at the last checkpoint.
///
/// # Errors
/// What the database refuses.
pub async fn domains(State(shared): State<Shared>, parameters: Parameters) -> Result<Response, Problem> {
    parameters.only(&[])?;
    let sql = "SELECT domain.domain, coalesce(root.tree_size, 0), root.root_hash, root.checkpoint_id
                 FROM ets.domain AS domain
                 LEFT JOIN ets.domain_root AS root ON root.domain = domain.domain
                  AND root.checkpoint_id = (SELECT max(last.checkpoint_id) FROM ets.checkpoint AS last)
                ORDER BY domain.domain";
    let rows = shared.read.query(sql, &[]).await?;
    let domains: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "checkpoint_id": row.get::<_, Option<i64>>(3), "domain": row.get::<_, &str>(0), "root_hash": root(row, 2),
                "tree_size": row.get::<_, i64>(1),
            })
        })
        .collect();
    Ok(passing(ok(&json!({"domains": domains}))))
}

/// `GET /api/ledger/checkpoints`: the newest first.
///
/// # Errors
/// What the database refuses.
pub async fn checkpoints(State(shared): State<Shared>, parameters: Parameters) -> Result<Response, Problem> {
    parameters.only(&["before", "limit"])?;
    let (before, limit) = (parameters.at_least("before", 1, i64::MAX)?, parameters.limit()?);
    let sql = "SELECT checkpoint.checkpoint_id, checkpoint.checkpoint_event_id, checkpoint.meta_root,
                      (extract(epoch FROM checkpoint.created_at) * 1000000)::bigint, root.domain, root.tree_size, root.root_hash
                 FROM (SELECT * FROM ets.checkpoint AS each WHERE each.checkpoint_id < $1
                        ORDER BY each.checkpoint_id DESC LIMIT $2) AS checkpoint
                 LEFT JOIN ets.domain_root AS root USING (checkpoint_id)
                ORDER BY checkpoint.checkpoint_id DESC, root.domain";
    let rows = shared.read.query(sql, &[&before, &limit]).await?;
    let mut checkpoints: Vec<(i64, Value, Vec<Value>)> = Vec::new();
    for row in &rows {
        let id: i64 = row.get(0);
        if checkpoints.last().is_none_or(|(last, ..)| *last != id) {
            let checkpoint = json!({
                "checkpoint_event_id": row.get::<_, Uuid>(1).to_string(), "checkpoint_id": id,
                "created_at": moment(row.get(3)), "meta_root": to_hex(row.get(2)),
            });
            checkpoints.push((id, checkpoint, Vec::new()));
        }
        if let (Some((.., roots)), Some(domain)) = (checkpoints.last_mut(), row.get::<_, Option<&str>>(4)) {
            roots.push(
                json!({"domain": domain, "root_hash": root(row, 6), "tree_size": row.get::<_, i64>(5)}),
            );
        }
    }
    let last = checkpoints.last().map(|(id, ..)| *id);
    let next = last.filter(|last| checkpoints.len() as i64 == limit && *last > 1);
    let checkpoints: Vec<Value> = checkpoints
        .into_iter()
        .map(|(_, mut checkpoint, roots)| {
            checkpoint["domain_roots"] = roots.into();
            checkpoint
        })
        .collect();
    Ok(passing(ok(&json!({"checkpoints": checkpoints, "next": next}))))
}

/// `GET /api/ledger/streams`: of a domain, by name.
///
/// # Errors
/// What the database refuses.
pub async fn streams(State(shared): State<Shared>, parameters: Parameters) -> Result<Response, Problem> {
    parameters.only(&["domain", "after", "limit"])?;
    let (domain, after, limit) =
        (parameters.required("domain")?, parameters.get("after"), parameters.limit()?);
    let sql = "SELECT stream, events, last_event_id, head_hash FROM ets.streams
                WHERE domain = $1 AND ($2::text IS NULL OR stream > $2) ORDER BY stream LIMIT $3";
    let rows = shared.read.query(sql, &[&domain, &after, &limit]).await?;
    let streams: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "domain": domain, "event_hash": to_hex(row.get(3)), "event_id": row.get::<_, Uuid>(2).to_string(),
                "sequence": row.get::<_, i64>(1), "stream": row.get::<_, &str>(0),
            })
        })
        .collect();
    let next = rows.last().filter(|_| rows.len() as i64 == limit).map(|row| row.get::<_, &str>(0));
    Ok(passing(ok(&json!({"next": next, "streams": streams}))))
}

/// The events of a stream after a sequence.
pub const OF_STREAM: &str = concat!(
    "SELECT ",
    event_columns!(),
    ", event.sequence FROM ets.read_stream($1, $2, $3, $4) AS event ORDER BY event.sequence"
);
/// The sealed events of a domain after a leaf.
pub const OF_DOMAIN: &str = "SELECT event.event_id, event.event_domain, event.stream, event.sequence, event.payload::text, event.schema_version,
       event.key_id, event.public_key, event.previous_hash, event.current_hash, event.signature,
       (extract(epoch FROM event.\"timestamp\") * 1000000)::bigint, event.registry_version, event.leaf_index
  FROM ets.read_domain($1, $2, $3) AS event ORDER BY event.leaf_index";
/// The column of either behind the event's: where to go on.
pub const POSITION: usize = 13;

/// `GET /api/ledger/events`: of a stream after a sequence, or the sealed ones of a domain
/// after a leaf index.
///
/// # Errors
/// 404 for an unknown domain.
pub async fn events(State(shared): State<Shared>, parameters: Parameters) -> Result<Response, Problem> {
    parameters.only(&["domain", "stream", "after", "limit"])?;
    let (domain, limit) = (parameters.required("domain")?, parameters.limit()?);
    let page = i32::try_from(limit).unwrap_or(i32::MAX);
    let rows = match parameters.get("stream") {
        Some(stream) => {
            let after = parameters.at_least("after", 0, 0)?;
            shared.read.query(OF_STREAM, &[&domain, &stream, &after, &page]).await?
        }
        None => {
            let after = parameters.at_least("after", -1, -1)?;
            shared.read.query(OF_DOMAIN, &[&domain, &after, &page]).await?
        }
    };
    let next = rows.last().filter(|_| rows.len() as i64 == limit).map(|row| row.get::<_, i64>(POSITION));
    let next = next.map_or("null".to_owned(), |next| next.to_string());
    Ok(passing(json(StatusCode::OK, list("events", &documents(&rows)?, &format!(",\"next\":{next}")))))
}

/// `GET /api/ledger/search`: events by their id or hash. A hash is in no index: all events are read.
///
/// # Errors
/// 400 for what is neither, 503 if reading all events takes too long.
pub async fn search(State(shared): State<Shared>, parameters: Parameters) -> Result<Response, Problem> {
    const BY_ID: &str =
        concat!("SELECT ", event_columns!(), " FROM ets.ledger_event AS event WHERE event.event_id = $1");
    const BY_HASH: &str = concat!(
        "SELECT ",
        event_columns!(),
        " FROM ets.ledger_event AS event WHERE event.current_hash = $1 LIMIT 100"
    );
    parameters.only(&["q"])?;
    let wanted = parameters.required("q")?.trim();
    let rows = if let Ok(hash) = from_hex::<32>(wanted) {
        shared.read.query(BY_HASH, &[&&hash[..]]).await?
    } else if let Ok(id) = Uuid::try_parse(wanted) {
        shared.read.query(BY_ID, &[&id]).await?
    } else {
        return Err(Problem::request(400, "q must be an event id, or the 64 hex digits of an event's hash"));
    };
    Ok(passing(json(StatusCode::OK, list("events", &documents(&rows)?, ""))))
}

/// `GET /api/ledger/status`: `ets.status` and the open findings, at most a hundred.
///
/// # Errors
/// 403 if the role may not read them.
pub async fn status(State(shared): State<Shared>, parameters: Parameters) -> Result<Response, Problem> {
    parameters.only(&[])?;
    let sql = "SELECT jsonb_build_object(
                 'status', (SELECT coalesce(jsonb_agg(to_jsonb(status)), '[]') FROM ets.status AS status),
                 'findings', (SELECT coalesce(jsonb_agg(to_jsonb(finding)), '[]')
                                FROM (SELECT * FROM ets.open_findings ORDER BY finding_id LIMIT 100) AS finding))::text";
    let text = shared.read.text(sql, &[]).await?;
    let value =
        parse_json(&text, &Limits::DOCUMENT).map_err(|_| Problem::server("the database answered no JSON"))?;
    Ok(passing(json(StatusCode::OK, to_jcs(&value))))
}

/// `GET /api/ledger/activity`: appends and seals of the last hours, in 96 parts.
///
/// # Errors
/// 403 if the role may not read the events.
pub async fn activity(State(shared): State<Shared>, parameters: Parameters) -> Result<Response, Problem> {
    const PARTS: i64 = 96;
    parameters.only(&["hours"])?;
    let hours = parameters.at_least("hours", 1, 24)?.min(24 * 366);
    let width = hours * 3_600_000 / PARTS;
    // An event id begins with its milliseconds since 1970 (RFC 9562), so the primary key is an
    // index of time; it is the client's time, which the gate holds near the server's.
    let sql = "WITH now AS (SELECT (extract(epoch FROM now()) * 1000)::bigint AS milliseconds),
                    part AS (
                      SELECT number, now.milliseconds - ($1::bigint - number) * $2::bigint AS begins
                        FROM now, generate_series(0::bigint, $1::bigint - 1) AS number),
                    appended AS (
                      SELECT ((('x' || substr(replace(event.event_id::text, '-', ''), 1, 12))::bit(48)::bigint
                               - now.milliseconds) / $2::bigint + $1::bigint - 1) AS number, count(*) AS events
                        FROM now, ets.ledger_event AS event
                       WHERE event.event_id >= (lpad(to_hex(now.milliseconds - $1::bigint * $2::bigint), 12, '0') || '70008000000000000000')::uuid
                       GROUP BY 1),
                    sealed AS (
                      SELECT (((extract(epoch FROM checkpoint.created_at) * 1000)::bigint - now.milliseconds) / $2::bigint + $1::bigint - 1) AS number,
                             count(*) AS seals
                        FROM now, ets.checkpoint AS checkpoint
                       WHERE checkpoint.created_at > to_timestamp((now.milliseconds - $1::bigint * $2::bigint) / 1000.0)
                       GROUP BY 1)
               SELECT part.begins * 1000, coalesce(appended.events, 0)::bigint, coalesce(sealed.seals, 0)::bigint
                 FROM part LEFT JOIN appended USING (number) LEFT JOIN sealed USING (number) ORDER BY part.number";
    let rows = shared.read.query(sql, &[&PARTS, &width]).await?;
    let buckets: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({"appends": row.get::<_, i64>(1), "from": moment(row.get(0)), "seals": row.get::<_, i64>(2)})
        })
        .collect();
    Ok(passing(ok(&json!({"buckets": buckets}))))
}
