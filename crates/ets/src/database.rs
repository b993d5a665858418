//! The connection to a ledger's database.

use postgres::{Client, Config, NoTls};

/// Connects to `dsn`, a libpq connection string or URL; what it leaves out comes from the
/// environment, as for psql ([`ets_connect::settings`]).
///
/// # Errors
/// A message for the user: the string is none, or no connection came about.
pub fn connect(dsn: &str) -> Result<Client, String> {
    let settings = ets_connect::settings(dsn, "ets")?;
    let config = Config::from(settings.config);
    let connected = match settings.tls {
        Some(connector) => config.connect(connector),
        None => config.connect(NoTls),
    };
    connected.map_err(|error| format!("cannot connect: {}", message(&error)))
}

/// What the server said, with detail and hint on lines of their own, or the driver
/// where the server said nothing.
pub fn message(error: &postgres::Error) -> String {
    match error.as_db_error() {
        Some(refused) => {
            let more =
                |name, text: Option<&str>| text.map(|text| format!("\n{name}: {text}")).unwrap_or_default();
            let (detail, hint) = (more("detail", refused.detail()), more("hint", refused.hint()));
            format!("{} {}{detail}{hint}", refused.code().code(), refused.message())
        }
        None => std::error::Error::source(error)
            .map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}")),
    }
}
