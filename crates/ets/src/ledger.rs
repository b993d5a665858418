//! `ets head`, `ets prepare` and `ets append`: an actor at a ledger's database. The
//! server is asked where an event goes; what is signed is computed here.

use std::path::{Path, PathBuf};

use ets_core::canonical::{Limits, Payload, parse_json, to_jcs};
use ets_core::event::Event;
use ets_core::hash::{Digest, event_hash};
use ets_core::name::SchemaVersion;
use postgres::{Client, Row};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::signer::{self, Signer};
use crate::{database, output};

/// ET005: somebody else was faster.
pub const HEAD_MOVED: &str = "ET005";

/// Of payloads in a file; each has its own limit.
const MAX_BYTES: usize = 1 << 30;

/// Where the database is.
#[derive(clap::Args)]
struct Database {
    /// The database: a libpq connection string or URL; PGHOST, PGUSER, … fill the gaps
    #[arg(long, value_name = "DSN", default_value = "")]
    dsn: String,
}

impl Database {
    fn connect(&self) -> Result<Client, String> {
        database::connect(&self.dsn)
    }
}

/// Print the head of a stream: its last hash and sequence.
#[derive(clap::Args)]
pub struct HeadArguments {
    #[command(flatten)]
    database: Database,
    /// The domain
    domain: String,
    /// The stream
    #[arg(default_value = "main")]
    stream: String,
}

/// Print what is to be signed to append a payload: payload, schema_version, previous_hash
/// and current_hash. `ets authority sign` takes it for events of the registry; for others give
/// the previous_hash to `ets sign`.
#[derive(clap::Args)]
pub struct PrepareArguments {
    #[command(flatten)]
    database: Database,
    /// The schema that the payload is appended under
    #[arg(long, value_name = "NAME/1.0.0")]
    schema_version: SchemaVersion,
    /// The payload, a JSON file; `-` is standard input
    #[arg(value_name = "FILE")]
    payload: PathBuf,
}

/// Sign payloads and append them.
///
/// Asks the server for the head of the stream, computes hash and signature here, and
/// appends. If somebody else was faster, it signs again for the new head. Prints a
/// JSON object a line for each event.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  ets append --key me.pem --schema-version order/1.0.0 order.json
  ets append --key me.pem --schema-version order/1.0.0 --lines orders.ndjson
  ets append --signed signed.json                     what ets sign or ets authority made

After a lost answer, send the same again with the same --event-id: an event that is there
already is answered, not appended twice (the role must be allowed to read it).")]
pub struct AppendArguments {
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    signer: signer::SignerArguments,
    /// The schema that the payloads are appended under
    #[arg(long, value_name = "NAME/1.0.0", required_unless_present = "signed", conflicts_with = "signed")]
    schema_version: Option<SchemaVersion>,
    /// The id that the event shall have, a UUID of version 7
    #[arg(long, value_name = "UUID", conflicts_with_all = ["signed", "lines"])]
    event_id: Option<Uuid>,
    /// Each line of the file is a payload
    #[arg(long, conflicts_with = "signed")]
    lines: bool,
    /// The stream's head as you know it, 64 lowercase hex digits: nothing is signed for another
    #[arg(long, value_name = "HASH", conflicts_with_all = ["signed", "lines"])]
    after: Option<Digest>,
    /// How often to sign again if the head has moved
    #[arg(long, value_name = "TIMES", default_value_t = 10)]
    retries: u32,
    /// The file holds signed events, an array or one JSON object a line; they are appended all or none
    #[arg(long, conflicts_with_all = ["key", "signer"])]
    signed: bool,
    /// The file; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Runs `ets head`.
///
/// # Errors
/// A message for the user: no connection, or what the server said.
pub fn head(arguments: &HeadArguments) -> Result<u8, String> {
    let mut client = arguments.database.connect()?;
    let sql = "SELECT encode(head_hash, 'hex'), sequence FROM ets.head($1, $2)";
    let row = client.query_one(sql, &[&arguments.domain, &arguments.stream]);
    let row = row.map_err(|error| database::message(&error))?;
    let (hash, sequence): (String, i64) = (row.get(0), row.get(1));
    output::line(
        &json!({
            "domain": arguments.domain, "stream": arguments.stream, "head_hash": hash, "sequence": sequence,
        })
        .to_string(),
    )?;
    Ok(0)
}

/// Runs `ets prepare`.
///
/// # Errors
/// A message for the user, as [`append`].
pub fn prepare(arguments: &PrepareArguments) -> Result<u8, String> {
    let payload = parse(&read(&arguments.payload)?, &arguments.payload, 1)?;
    let mut client = arguments.database.connect()?;
    let (previous, current) = place(&mut client, &payload, &arguments.schema_version)?;
    output::line(&format!(
        "{{\"current_hash\":\"{current}\",\"payload\":{},\"previous_hash\":\"{previous}\",\"schema_version\":\"{}\"}}",
        payload.canonical(),
        arguments.schema_version,
    ))?;
    Ok(0)
}

/// Runs `ets append`. What was appended before an error stays.
///
/// # Errors
/// A message for the user: a file, key or payload cannot be used, no connection, what
/// the server said, or that it does not fit what was sent.
pub fn append(arguments: &AppendArguments) -> Result<u8, String> {
    let text = read(&arguments.file)?;
    let Some(schema_version) = &arguments.schema_version else {
        return append_signed(&mut arguments.database.connect()?, &text, &arguments.file);
    };
    let numbered: Vec<(usize, &str)> = match arguments.lines {
        true => text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).collect(),
        false => vec![(0, text.as_str())],
    };
    // All are read before one is sent.
    let payloads: Vec<(usize, Payload)> = numbered
        .into_iter()
        .map(|(index, line)| Ok((index + 1, parse(line, &arguments.file, index + 1)?)))
        .collect::<Result<_, String>>()?;
    let key = arguments.signer.open()?;
    let mut client = arguments.database.connect()?;
    for (number, payload) in &payloads {
        let event = Signed {
            key: &key,
            payload,
            schema_version,
            event_id: arguments.event_id,
            after: arguments.after,
        };
        let appended =
            event.append(&mut client, arguments.retries).map_err(|message| match arguments.lines {
                true => format!("line {number}: {message}"),
                false => message,
            })?;
        output::line(&appended)?;
    }
    Ok(0)
}

/// An event to be signed for whatever head its stream has.
struct Signed<'a> {
    key: &'a Signer,
    payload: &'a Payload,
    schema_version: &'a SchemaVersion,
    event_id: Option<Uuid>,
    after: Option<Digest>,
}

impl Signed<'_> {
    /// Appends it; what to print.
    fn append(&self, client: &mut Client, retries: u32) -> Result<String, String> {
        let sql = "SELECT event_id, domain, stream, sequence, encode(current_hash, 'hex'), registry_version
                     FROM ets.append(($1::text)::jsonb, $2, $3, $4, $5, $6)";
        let mut left = retries;
        loop {
            let (previous, current) = place(client, self.payload, self.schema_version)?;
            if let Some(after) = self.after.filter(|after| *after != previous) {
                let stored = self.stored(client);
                return stored.ok_or_else(|| {
                    format!("the server would have it signed after {previous}, not after {after}: nothing is signed")
                });
            }
            let public_key = self.key.public_key();
            let signature = self.key.sign(&current)?;
            let appended = client.query_one(
                sql,
                &[
                    &self.payload.canonical(),
                    &self.schema_version.as_str(),
                    &public_key.as_bytes().as_slice(),
                    &previous.as_bytes().as_slice(),
                    &signature.0.as_slice(),
                    &self.event_id,
                ],
            );
            match appended {
                Ok(row) if row.get::<_, String>(4) == current.to_string() => return Ok(line_of(&row)),
                Ok(_) => return Err("the server answered another event".into()),
                Err(error) if left > 0 && error.code().is_some_and(|code| code.code() == HEAD_MOVED) => {
                    left -= 1
                }
                Err(error) => return self.stored(client).ok_or_else(|| database::message(&error)),
            }
        }
    }

    /// The event of this id, if an earlier try has appended it: the same payload under the
    /// same schema, signed by the same key for the place that it has.
    fn stored(&self, client: &mut Client) -> Option<String> {
        let sql = "SELECT ets.event_document($1)::text";
        let text: String = client.query_one(sql, &[&self.event_id?]).ok()?.get(0);
        let event = Event::parse(&text).ok()?;
        let header = &event.header;
        let is_same = event.payload.canonical() == self.payload.canonical()
            && header.schema_version == *self.schema_version
            && header.public_key == *self.key.public_key().as_bytes()
            && header.current_hash == event.computed_hash()
            && self.key.public_key().verify(&header.current_hash, &header.signature);
        is_same.then(|| {
            line(
                header.event_id.as_uuid(),
                header.domain.as_str(),
                header.stream.as_str(),
                header.sequence,
                &header.current_hash.to_string(),
                header.registry_version,
            )
        })
    }
}

/// The hash before the payload's place, and the payload's hash there, which is to be signed.
///
/// # Errors
/// What the server said, or that it would have something else signed.
pub fn place(
    client: &mut Client,
    payload: &Payload,
    schema_version: &SchemaVersion,
) -> Result<(Digest, Digest), String> {
    let sql = "SELECT canonical_payload, previous_hash, current_hash FROM ets.prepare(($1::text)::jsonb, $2)";
    let row = client
        .query_one(sql, &[&payload.canonical(), &schema_version.as_str()])
        .map_err(|error| database::message(&error))?;
    let (canonical, previous, current): (String, Vec<u8>, Vec<u8>) = (row.get(0), row.get(1), row.get(2));
    let previous = Digest::try_from(previous.as_slice())
        .map_err(|error| format!("the server's previous_hash is {error}"))?;
    let hash = event_hash(payload.canonical().as_bytes(), &previous);
    if canonical != payload.canonical() || current != hash.as_bytes() {
        return Err("the server would have another payload signed: nothing is signed".into());
    }
    Ok((previous, hash))
}

/// Events that were signed elsewhere, in one transaction: an array, or one JSON object a line.
fn append_signed(client: &mut Client, text: &str, file: &Path) -> Result<u8, String> {
    let limits = Limits { max_bytes: MAX_BYTES, max_depth: Limits::CEILING.max_depth + 2 };
    let elements = if text.trim_start().starts_with('[') {
        let array =
            parse_json(text.trim(), &limits).map_err(|error| format!("{}: {error}", file.display()))?;
        array.as_array().cloned().unwrap_or_default()
    } else {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        lines
            .map(|(index, line)| {
                let wrong = |error| format!("{}, line {}: {error}", file.display(), index + 1);
                parse_json(line.trim(), &limits).map_err(wrong)
            })
            .collect::<Result<_, _>>()?
    };
    let signed = elements.iter().enumerate().map(|(index, element)| {
        signed_hash(element).ok_or_else(|| {
            format!(
                "{}: element {} is no signed event: it has no payload or previous_hash",
                file.display(),
                index + 1
            )
        })
    });
    let signed: Vec<Digest> = signed.collect::<Result<_, _>>()?;
    let sql = "SELECT event_id, domain, stream, sequence, encode(current_hash, 'hex'), registry_version
                 FROM ets.append_batch(($1::text)::json)";
    let mut transaction = client.transaction().map_err(|error| database::message(&error))?;
    let rows = transaction.query(sql, &[&to_jcs(&Value::Array(elements))]);
    let rows = rows.map_err(|error| database::message(&error))?;
    let appended: Vec<String> = rows.iter().map(|row| row.get(4)).collect();
    if appended != signed.iter().map(Digest::to_string).collect::<Vec<_>>() {
        return Err("the server answered other events than were sent: nothing is appended".into());
    }
    transaction.commit().map_err(|error| database::message(&error))?;
    rows.iter().try_for_each(|row| output::line(&line_of(row)))?;
    Ok(0)
}

/// What was signed: the hash of an element's payload behind its previous_hash.
fn signed_hash(element: &Value) -> Option<Digest> {
    let payload = Payload::from_value(element.get("payload")?.clone(), &Limits::CEILING).ok()?;
    let previous: Digest = element.get("previous_hash")?.as_str()?.parse().ok()?;
    Some(event_hash(payload.canonical().as_bytes(), &previous))
}

fn line_of(row: &Row) -> String {
    let counter = |column| u64::try_from(row.get::<_, i64>(column)).unwrap_or(0);
    line(&row.get(0), row.get(1), row.get(2), counter(3), row.get(4), counter(5))
}

fn line(
    event_id: &Uuid,
    domain: &str,
    stream: &str,
    sequence: u64,
    current_hash: &str,
    registry_version: u64,
) -> String {
    json!({
        "event_id": event_id.to_string(), "domain": domain, "stream": stream, "sequence": sequence,
        "current_hash": current_hash, "registry_version": registry_version,
    })
    .to_string()
}

fn read(file: &Path) -> Result<String, String> {
    output::read_text(file, MAX_BYTES)
}

fn parse(text: &str, file: &Path, line: usize) -> Result<Payload, String> {
    Payload::parse(text, &Limits::CEILING)
        .map_err(|error| format!("{}, line {line}: {error}", file.display()))
}
