//! Checkpoints as events of another pg_ets ledger, which its own checkpoints and anchors
//! cover. The evidence is the event's proof bundle; until that ledger has sealed the
//! event, it is the event's id.

use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ets_core::anchor::{AnchorStatement, verify_event_evidence};
use ets_core::canonical::{Limits, Payload};
use ets_core::hash::from_hex;
use ets_core::key::PublicKey;
use ets_core::name::SchemaVersion;
use ets_core::verify::Trust;
use postgres::Client;
use uuid::Uuid;

use super::service::{Failure, Outcome, Service, Source, Verdict};
use crate::ledger::{HEAD_MOVED, place};
use crate::passphrase::PassphraseArguments;
use crate::signer::Signer;
use crate::{database, keys};

/// ET011: there is no such event.
const NOT_FOUND: &str = "ET011";
/// ET012: the event is not sealed yet.
const NOT_SEALED: &str = "ET012";
/// How often the event is signed again because others append to the same stream.
const RETRIES: u32 = 10;
/// How much the clocks of two servers may differ, in milliseconds: an event from before
/// the checkpoint cannot anchor it.
const CLOCK_SKEW: u64 = 24 * 60 * 60 * 1000;
/// How many events are looked through at once.
const PAGE: i64 = 100;

/// The other ledger, and the key that appends there.
#[derive(clap::Args)]
pub struct LedgerArguments {
    /// The database of another pg_ets ledger, where each statement becomes an event
    #[arg(long, value_name = "DSN", requires_all = ["ledger_key", "ledger_schema", "ledger_root_key"])]
    ledger: Option<String>,
    /// The file of the key that signs there; a passphrase is in ETS_PASSPHRASE
    #[arg(long, value_name = "FILE", requires = "ledger")]
    ledger_key: Option<PathBuf>,
    /// The schema there that takes statements; it says in which domain and stream
    #[arg(long, value_name = "NAME/1.0.0", requires = "ledger")]
    ledger_schema: Option<SchemaVersion>,
    /// The root public key of the other ledger: what its proofs are held against
    #[arg(long, value_name = "HEX", requires = "ledger", value_parser = root_key)]
    ledger_root_key: Option<PublicKey>,
}

fn root_key(hex: &str) -> Result<PublicKey, String> {
    let bytes = from_hex::<32>(hex).map_err(|error| error.to_string())?;
    PublicKey::from_bytes(&bytes).map_err(|error| error.to_string())
}

impl LedgerArguments {
    /// The service, if another ledger is named. It is not connected to before there is
    /// something to publish.
    ///
    /// # Errors
    /// A message for the user.
    pub fn open(&self, time_out: Duration) -> Result<Option<OtherLedger>, String> {
        let (Some(dsn), Some(key), Some(schema_version), Some(root_key)) =
            (&self.ledger, &self.ledger_key, &self.ledger_schema, &self.ledger_root_key)
        else {
            return Ok(None);
        };
        let key = keys::read_secret(key, &PassphraseArguments::default())?;
        Ok(Some(OtherLedger {
            dsn: dsn.clone(),
            key: Signer::Key(key).into(),
            schema_version: schema_version.clone(),
            root_key: root_key.clone(),
            time_out,
        }))
    }
}

/// Another ledger, known by its root key.
pub struct OtherLedger {
    dsn: String,
    key: std::sync::Arc<Signer>,
    schema_version: SchemaVersion,
    root_key: PublicKey,
    time_out: Duration,
}

impl OtherLedger {
    /// Runs `exchange` on a connection, for no longer than the time-out: a server that
    /// hangs holds up its own thread, which ends with the program.
    fn with_client<T: Send + 'static>(
        &self,
        exchange: impl FnOnce(&mut Client) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let (sender, answer) = mpsc::channel();
        let dsn = self.dsn.clone();
        thread::spawn(move || {
            let came = database::connect(&dsn).map_err(Failure::passing);
            // Nobody listens after the time-out.
            let _ = sender.send(came.and_then(|mut client| exchange(&mut client)));
        });
        answer.recv_timeout(self.time_out).unwrap_or_else(|_| {
            let seconds = self.time_out.as_secs();
            Err(Failure::passing(format!("the other ledger gave no answer within {seconds} s")))
        })
    }
}

/// A statement to be appended.
struct Entry {
    statement: AnchorStatement,
    payload: Payload,
    key: std::sync::Arc<Signer>,
    schema_version: SchemaVersion,
}

impl Entry {
    /// The event of this statement: the one that an earlier attempt appended, whose answer
    /// was perhaps lost, or a new one.
    ///
    /// A new one is signed for the head that the stream had before it was looked through,
    /// so the server takes it only if nobody has appended since: never twice.
    fn appended(&self, client: &mut Client) -> Result<Uuid, Failure> {
        let sql = "SELECT event_id FROM ets.append(($1::text)::jsonb, $2, $3, $4, $5)";
        let mut left = RETRIES;
        loop {
            let (previous, current) =
                place(client, &self.payload, &self.schema_version).map_err(Failure::passing)?;
            if let Some(found) = self.found(client)? {
                return Ok(found);
            }
            let signature = self.key.sign(&current).map_err(Failure::passing)?;
            let appended = client.query_one(
                sql,
                &[
                    &self.payload.canonical(),
                    &self.schema_version.as_str(),
                    &self.key.public_key().as_bytes().as_slice(),
                    &previous.as_bytes().as_slice(),
                    &signature.0.as_slice(),
                ],
            );
            match appended {
                Ok(row) => return Ok(row.get(0)),
                Err(error) if left > 0 && is(&error, HEAD_MOVED) => left -= 1,
                Err(error) => return Err(said(&error)),
            }
        }
    }

    /// The statement's event, if this key appended it before: the stream is looked through
    /// from its end back to the time of the checkpoint.
    fn found(&self, client: &mut Client) -> Result<Option<Uuid>, Failure> {
        let sql = "SELECT prepared.domain, prepared.stream, head.sequence
                     FROM ets.prepare(($1::text)::jsonb, $2) AS prepared, ets.head(prepared.domain, prepared.stream) AS head";
        let row = client.query_one(sql, &[&self.payload.canonical(), &self.schema_version.as_str()]);
        let row = row.map_err(|error| said(&error))?;
        let (domain, stream, mut end): (String, String, i64) = (row.get(0), row.get(1), row.get(2));
        let sql = "SELECT event.event_id, event.payload = ($5::text)::jsonb AND event.public_key = $6 AND event.schema_version = $7
                     FROM ets.read_stream($1, $2, $3, $4) AS event ORDER BY event.sequence DESC";
        let public_key = self.key.public_key();
        let oldest = self.statement.checkpoint_event_id().unix_millis().saturating_sub(CLOCK_SKEW);
        while end > 0 {
            let after = (end - PAGE).max(0);
            let count = i32::try_from(end - after).unwrap_or(i32::MAX);
            let rows = client.query(
                sql,
                &[
                    &domain,
                    &stream,
                    &after,
                    &count,
                    &self.payload.canonical(),
                    &public_key.as_bytes().as_slice(),
                    &self.schema_version.as_str(),
                ],
            );
            for row in rows.map_err(|error| said(&error))? {
                let id: Uuid = row.get(0);
                if row.get(1) {
                    return Ok(Some(id));
                }
                // The first 48 bits of a UUID of version 7 (RFC 9562, section 5.7).
                if id.as_u64_pair().0 >> 16 < oldest {
                    return Ok(None);
                }
            }
            end = after;
        }
        Ok(None)
    }
}

/// The event's proof bundle; none if the ledger has not sealed the event yet.
///
/// # Errors
/// [`Lost::Event`] if there is no such event.
fn bundle(client: &mut Client, id: Uuid) -> Result<Option<String>, Lost> {
    match client.query_one("SELECT ets.proof_bundle($1)::text", &[&id]) {
        Ok(row) => Ok(Some(row.get(0))),
        Err(error) if is(&error, NOT_SEALED) => Ok(None),
        Err(error) if is(&error, NOT_FOUND) => Err(Lost::Event),
        Err(error) => Err(Lost::Other(said(&error))),
    }
}

enum Lost {
    Event,
    Other(Failure),
}

fn is(error: &postgres::Error, code: &str) -> bool {
    error.code().is_some_and(|found| found.code() == code)
}

fn said(error: &postgres::Error) -> Failure {
    Failure::passing(format!("the other ledger: {}", database::message(error)))
}

impl Service for OtherLedger {
    fn name(&self) -> String {
        format!("ledger {}", self.root_key)
    }

    fn publish(
        &self,
        statement: &AnchorStatement,
        earlier: Option<&[u8]>,
        _: &mut dyn Source,
    ) -> Result<Outcome, Failure> {
        let payload = Payload::parse(statement.to_jcs(), &Limits::CEILING)
            .map_err(|error| Failure::lasting(format!("the statement is no payload: {error}")))?;
        let entry = Entry {
            statement: statement.clone(),
            payload,
            key: self.key.clone(),
            schema_version: self.schema_version.clone(),
        };
        let earlier = earlier.and_then(|text| std::str::from_utf8(text).ok()?.parse::<Uuid>().ok());
        let (id, proof) = self.with_client(move |client| {
            let kept = earlier.map(|id| (id, bundle(client, id)));
            match kept {
                Some((id, Ok(proof))) => return Ok((id, proof)),
                Some((_, Err(Lost::Other(failure)))) => return Err(failure),
                // What it had, it has not any more: a copy that was restored, perhaps.
                Some((_, Err(Lost::Event))) | None => {}
            }
            let id = entry.appended(client)?;
            match bundle(client, id) {
                Ok(proof) => Ok((id, proof)),
                // It is in: what cannot be proven now can be later.
                Err(_) => Ok((id, None)),
            }
        })?;
        let Some(proof) = proof else {
            let awaits = format!("the other ledger has not sealed event {id}");
            return Ok(Outcome::Pending { evidence: id.to_string().into_bytes(), awaits });
        };
        let evidence = proof.into_bytes();
        self.verify(statement, &evidence).map_err(|problem| {
            Failure::lasting(format!("the other ledger's proof of event {id}: {problem}"))
        })?;
        Ok(Outcome::Confirmed(evidence))
    }

    fn verify(&self, statement: &AnchorStatement, evidence: &[u8]) -> Result<Verdict, String> {
        let bundle = std::str::from_utf8(evidence).map_err(|_| "the evidence is not UTF-8")?;
        verify_event_evidence(statement, bundle, &Trust::RootKey(self.root_key.clone())).map(Verdict::Holds)
    }
}
