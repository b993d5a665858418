//! Where the database is, and rows as what they mean.

use std::time::Duration;

use ets_connect::Settings;
use ets_core::event::{Event, Header};
use ets_core::verify::RawEvent;
use tokio_postgres::{Client, NoTls, Row};

use crate::problem::Problem;

/// The settings of `dsn`, a libpq connection string or URL; what it leaves out comes from the
/// environment, as for psql. Statements end after `time_out` seconds.
///
/// # Errors
/// A message for the user: the string is none, or a file that it names cannot be used.
pub fn settings(dsn: &str, time_out: u64) -> Result<Settings, String> {
    let mut settings = ets_connect::settings(dsn, "ets-http")?;
    let config = &mut settings.config;
    let options = config.get_options().map(|given| format!("{given} ")).unwrap_or_default();
    config.options(format!("{options}-c statement_timeout={time_out}s"));
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_secs(5));
    }
    Ok(settings)
}

/// A connection with the task that serves it.
///
/// # Errors
/// No connection came about.
pub async fn connect(settings: &Settings) -> Result<Client, tokio_postgres::Error> {
    // Two types of connection, and one task for either.
    match settings.tls.clone() {
        Some(tls) => {
            let (client, connection) = settings.config.connect(tls).await?;
            tokio::spawn(ended(connection));
            Ok(client)
        }
        None => {
            let (client, connection) = settings.config.connect(NoTls).await?;
            tokio::spawn(ended(connection));
            Ok(client)
        }
    }
}

async fn ended(connection: impl Future<Output = Result<(), tokio_postgres::Error>>) {
    if let Err(error) = connection.await {
        tracing::warn!(%error, "a connection to the database ended");
    }
}

/// The columns of an `ets.event`, in the order that [`event`] reads; what stands for the
/// payload may be left out by `NULL::text`, for [`header`].
#[macro_export]
macro_rules! event_columns {
    () => {
        $crate::event_columns!("event.payload::text")
    };
    ($payload:literal) => {
        concat!(
            "event.event_id, event.domain, event.stream, event.sequence, ",
            $payload,
            ", event.schema_version, event.key_id, event.public_key, event.previous_hash, event.current_hash,
             event.signature, (extract(epoch FROM event.\"timestamp\") * 1000000)::bigint, event.registry_version"
        )
    };
}

/// The event in the columns of [`event_columns!`].
///
/// # Errors
/// A problem of the server: the row holds no event.
pub fn event(row: &Row) -> Result<Event, Problem> {
    raw(row).ok().and_then(|raw| raw.parse().ok()).ok_or_else(no_event)
}

/// The header of the event there, whose payload need not be.
///
/// # Errors
/// As [`event`].
pub fn header(row: &Row) -> Result<Header, Problem> {
    raw(row).ok().and_then(|raw| raw.parse_header().ok()).ok_or_else(no_event)
}

fn no_event() -> Problem {
    Problem::server("a row of the ledger holds no event: run ets.verify_ledger()")
}

fn raw(row: &Row) -> Result<RawEvent<'_>, tokio_postgres::Error> {
    Ok(RawEvent {
        event_id: row.try_get(0)?,
        domain: row.try_get(1)?,
        stream: row.try_get(2)?,
        sequence: row.try_get(3)?,
        payload: row.try_get(4)?,
        schema_version: row.try_get(5)?,
        key_id: row.try_get(6)?,
        public_key: row.try_get(7)?,
        previous_hash: row.try_get(8)?,
        current_hash: row.try_get(9)?,
        signature: row.try_get(10)?,
        timestamp: row.try_get(11)?,
        registry_version: row.try_get(12)?,
    })
}
