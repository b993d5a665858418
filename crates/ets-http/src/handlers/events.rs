//! Appending events, and one event.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use ets_core::canonical::{Limits, Payload, parse_json, to_jcs};
use ets_core::event::Event;
use ets_core::hash::{from_hex, to_hex};
use serde_json::{Map, Value, json};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{BODY, Parameters, body, event_id, json, ok, passing, text};
use crate::database::{event, header as header_of};
use crate::event_columns;
use crate::problem::Problem;
use crate::router::Shared;

/// A signed event of a request.
struct Signed {
    payload: Payload,
    schema_version: String,
    public_key: [u8; 32],
    previous_hash: [u8; 32],
    signature: [u8; 64],
    event_id: Option<Uuid>,
}

impl Signed {
    /// # Errors
    /// 400 and the member that is missing, not known or wrong.
    fn of(value: Value) -> Result<Self, Problem> {
        let Value::Object(mut members) = value else {
            return Err(Problem::request(400, "the event is no JSON object"));
        };
        let payload = members.remove("payload").ok_or_else(|| Problem::request(400, "payload is missing"))?;
        let payload = Payload::from_value(payload, &Limits::CEILING)
            .map_err(|error| Problem::request(400, format!("the payload: {error}")))?;
        let signed = Signed {
            payload,
            schema_version: string(&mut members, "schema_version")?,
            public_key: hex(&mut members, "public_key")?,
            previous_hash: hex(&mut members, "previous_hash")?,
            signature: hex(&mut members, "signature")?,
            event_id: match members.get("event_id") {
                None | Some(Value::Null) => None,
                Some(_) => Some(event_id(&string(&mut members, "event_id")?)?),
            },
        };
        members.remove("event_id");
        match members.keys().next() {
            Some(name) => Err(Problem::request(400, format!("{name:?} is no member of a signed event"))),
            None => Ok(signed),
        }
    }

    /// As `ets.append_batch` takes it.
    fn element(&self) -> Value {
        let mut element = json!({
            "payload": self.payload.value(),
            "previous_hash": to_hex(&self.previous_hash),
            "public_key": to_hex(&self.public_key),
            "schema_version": self.schema_version,
            "signature": to_hex(&self.signature),
        });
        if let Some(id) = self.event_id {
            element["event_id"] = id.to_string().into();
        }
        element
    }
}

fn string(members: &mut Map<String, Value>, name: &str) -> Result<String, Problem> {
    match members.remove(name) {
        Some(Value::String(text)) if !text.contains('\0') => Ok(text),
        Some(_) => Err(Problem::request(400, format!("{name} is no text"))),
        None => Err(Problem::request(400, format!("{name} is missing"))),
    }
}

fn hex<const N: usize>(members: &mut Map<String, Value>, name: &str) -> Result<[u8; N], Problem> {
    let text = string(members, name)?;
    from_hex(&text)
        .map_err(|_| Problem::request(400, format!("{name} must be {} lowercase hex digits", 2 * N)))
}

/// `POST /api/ledger/event`: 201 and the event's document, for a retry too.
///
/// # Errors
/// What the gate refuses, as a problem; 400 for what is no signed event.
pub async fn append(
    State(shared): State<Shared>,
    bytes: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let signed = Signed::of(body(bytes)?)?;
    const SQL: &str = concat!(
        "SELECT ",
        event_columns!("NULL::text"),
        " FROM ets.append(($1::text)::jsonb, $2, $3, $4, $5, $6) AS event"
    );
    let rows = shared
        .write
        .query(
            SQL,
            &[
                &signed.payload.canonical(),
                &signed.schema_version,
                &&signed.public_key[..],
                &&signed.previous_hash[..],
                &&signed.signature[..],
                &signed.event_id,
            ],
        )
        .await?;
    let header = header_of(rows.first().ok_or_else(|| Problem::server("the database answered no event"))?)?;
    // The payload is the one that was signed: what the ledger has it equals.
    let appended = Event { header, payload: signed.payload };
    shared.metrics.appended(1);
    let mut response = json(StatusCode::CREATED, appended.document());
    let place = format!("/api/ledger/event/{}", appended.header.event_id);
    if let Ok(place) = HeaderValue::from_str(&place) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// `POST /api/ledger/events`: an array, or an event a line; all are appended, or none.
///
/// # Errors
/// As [`append`], with the place of the first that is refused.
pub async fn append_batch(
    State(shared): State<Shared>,
    bytes: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let text = text(bytes)?;
    let parse = |text: &str| parse_json(text, &BODY).map_err(|error| error.to_string());
    let values = match text.trim_start().starts_with('[') {
        true => {
            match parse(text.trim()).map_err(|error| Problem::request(400, format!("the body: {error}")))? {
                Value::Array(values) => values,
                _ => return Err(Problem::request(400, "the body is no array")),
            }
        }
        false => {
            let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
            lines
                .map(|(number, line)| {
                    parse(line.trim())
                        .map_err(|error| Problem::request(400, format!("line {}: {error}", number + 1)))
                })
                .collect::<Result<_, _>>()?
        }
    };
    let elements = values.into_iter().map(|value| Signed::of(value).map(|signed| signed.element()));
    let elements: Vec<Value> = elements.collect::<Result<_, _>>()?;
    const SQL: &str =
        concat!("SELECT ", event_columns!(), " FROM ets.append_batch(($1::text)::json) AS event");
    let rows = shared.write.query(SQL, &[&to_jcs(&Value::Array(elements))]).await?;
    shared.metrics.appended(rows.len() as u64);
    Ok(json(StatusCode::CREATED, list("events", &documents(&rows)?, "")))
}

/// `GET /api/ledger/event/{event_id}`: its document.
///
/// # Errors
/// 404 if there is none, 422 if it is not what was signed.
pub async fn document(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Response, Problem> {
    let document = shared.read.text("SELECT ets.event_document($1)::text", &[&event_id(&id)?]).await?;
    Ok(json(StatusCode::OK, document))
}

/// `GET /api/ledger/head`: the hash to sign onto.
///
/// # Errors
/// 404 for an unknown domain.
pub async fn head(State(shared): State<Shared>, parameters: Parameters) -> Result<Response, Problem> {
    parameters.only(&["domain", "stream"])?;
    let (domain, stream) = (parameters.required("domain")?, parameters.get("stream").unwrap_or("main"));
    // The database for appends: a standby may be behind.
    let rows =
        shared.write.query("SELECT head_hash, sequence FROM ets.head($1, $2)", &[&domain, &stream]).await?;
    let row = rows.first().ok_or_else(|| Problem::server("the database answered no head"))?;
    let (hash, sequence): (&[u8], i64) = (row.get(0), row.get(1));
    Ok(passing(ok(
        &json!({"domain": domain, "head_hash": to_hex(hash), "sequence": sequence, "stream": stream}),
    )))
}

/// `POST /api/ledger/prepare`: what is to be signed for a payload.
///
/// # Errors
/// 400 for what is no payload with a schema version, and what the ledger refuses.
pub async fn prepare(
    State(shared): State<Shared>,
    bytes: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let Value::Object(mut members) = body(bytes)? else {
        return Err(Problem::request(400, "the body is no JSON object"));
    };
    let payload = members.remove("payload").ok_or_else(|| Problem::request(400, "payload is missing"))?;
    let payload = Payload::from_value(payload, &Limits::CEILING)
        .map_err(|error| Problem::request(400, format!("the payload: {error}")))?;
    let schema_version = string(&mut members, "schema_version")?;
    if let Some(name) = members.keys().next() {
        return Err(Problem::request(400, format!("{name:?} is no member of what is prepared")));
    }
    let sql = "SELECT domain, stream, canonical_payload, previous_hash, current_hash FROM ets.prepare(($1::text)::jsonb, $2)";
    let rows = shared.write.query(sql, &[&payload.canonical(), &schema_version]).await?;
    let row = rows.first().ok_or_else(|| Problem::server("the database answered nothing"))?;
    Ok(passing(ok(&json!({
        "canonical_payload": row.get::<_, &str>(2),
        "current_hash": to_hex(row.get(4)),
        "domain": row.get::<_, &str>(0),
        "previous_hash": to_hex(row.get(3)),
        "stream": row.get::<_, &str>(1),
    }))))
}

/// The documents of rows that begin with the columns of an event.
pub fn documents(rows: &[Row]) -> Result<Vec<String>, Problem> {
    rows.iter().map(|row| event(row).map(|event| event.document())).collect()
}

/// `{"NAME":[…]REST}`, of documents as they are: their texts are what is verified.
pub fn list(name: &str, documents: &[String], rest: &str) -> String {
    format!("{{\"{name}\":[{}]{rest}}}", documents.join(","))
}
