//! Where the database is, and rows as what they mean.

use ets_core::event::Event;
use ets_core::verify::RawEvent;
use tokio_postgres::{Config, Row};

use crate::problem::Problem;

/// The settings of `dsn`, a libpq connection string or URL; what it leaves out comes
/// from `PGHOST`, `PGPORT`, `PGUSER`, `PGPASSWORD` and `PGDATABASE`, as for psql.
/// Statements end after `time_out` seconds.
///
/// # Errors
/// A message for the user: the string is none.
pub fn config(dsn: &str, time_out: u64) -> Result<Config, String> {
    let mut config: Config =
        dsn.parse().map_err(|error| format!("the connection string is wrong: {error}"))?;
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    if config.get_hosts().is_empty() {
        config.host(variable("PGHOST").unwrap_or_else(|| "/var/run/postgresql".to_owned()));
    }
    if config.get_ports().is_empty()
        && let Some(port) = variable("PGPORT")
    {
        config.port(port.parse().map_err(|_| format!("PGPORT is no port: {port}"))?);
    }
    if config.get_user().is_none()
        && let Some(user) = variable("PGUSER").or_else(|| variable("USER"))
    {
        config.user(user);
    }
    if config.get_password().is_none()
        && let Some(password) = variable("PGPASSWORD")
    {
        config.password(password);
    }
    if config.get_dbname().is_none()
        && let Some(name) = variable("PGDATABASE")
    {
        config.dbname(name);
    }
    let options = config.get_options().map(|given| format!("{given} ")).unwrap_or_default();
    config.options(format!(
        "{options}-c statement_timeout={time_out}s -c default_transaction_isolation=read\\ committed"
    ));
    config.application_name("ets-http");
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(std::time::Duration::from_secs(5));
    }
    Ok(config)
}

/// The columns of an event, in the order that [`event`] reads; `$event` is an `ets.event`.
#[macro_export]
macro_rules! event_columns {
    () => {
        "event.event_id, event.domain, event.stream, event.sequence, event.payload::text, event.schema_version, event.key_id,
         event.public_key, event.previous_hash, event.current_hash, event.signature,
         (extract(epoch FROM event.\"timestamp\") * 1000000)::bigint, event.registry_version"
    };
}

/// The event in the columns of [`event_columns!`].
///
/// # Errors
/// A problem of the server: the row holds no event.
pub fn event(row: &Row) -> Result<Event, Problem> {
    let broken = |_| Problem::server("a row of the ledger holds no event: run ets.verify_ledger()");
    let raw = RawEvent {
        event_id: row.try_get(0).map_err(broken)?,
        domain: row.try_get(1).map_err(broken)?,
        stream: row.try_get(2).map_err(broken)?,
        sequence: row.try_get(3).map_err(broken)?,
        payload: row.try_get(4).map_err(broken)?,
        schema_version: row.try_get(5).map_err(broken)?,
        key_id: row.try_get(6).map_err(broken)?,
        public_key: row.try_get(7).map_err(broken)?,
        previous_hash: row.try_get(8).map_err(broken)?,
        current_hash: row.try_get(9).map_err(broken)?,
        signature: row.try_get(10).map_err(broken)?,
        timestamp: row.try_get(11).map_err(broken)?,
        registry_version: row.try_get(12).map_err(broken)?,
    };
    raw.parse().map_err(|_| Problem::server("a row of the ledger holds no event: run ets.verify_ledger()"))
}
