//! The connection to a ledger's database.

use postgres::{Client, Config, NoTls};

use crate::{connection_string, tls};

/// Connects to `dsn`, a libpq connection string or URL; what it leaves out comes
/// from `PGHOST`, `PGPORT`, `PGUSER`, `PGPASSWORD`, `PGDATABASE`, `PGSSLMODE`, `PGSSLROOTCERT`,
/// `PGSSLCERT` and `PGSSLKEY`, as for psql.
///
/// # Errors
/// A message for the user: the string is none, or no connection came about.
pub fn connect(dsn: &str) -> Result<Client, String> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (dsn, parameters) = connection_string::split(dsn)?;
    let parameters = parameters.or_environment(variable)?;
    let mut config: Config =
        dsn.parse().map_err(|error| format!("the connection string is wrong: {error}"))?;
    if config.get_hosts().is_empty() {
        config.host(&variable("PGHOST").unwrap_or_else(|| "/var/run/postgresql".to_owned()));
    }
    if config.get_ports().is_empty()
        && let Some(port) = variable("PGPORT")
    {
        config.port(port.parse().map_err(|_| format!("PGPORT is no port: {port}"))?);
    }
    if config.get_user().is_none()
        && let Some(user) = variable("PGUSER").or_else(|| variable("USER"))
    {
        config.user(&user);
    }
    if config.get_password().is_none()
        && let Some(password) = variable("PGPASSWORD")
    {
        config.password(password);
    }
    if config.get_dbname().is_none()
        && let Some(name) = variable("PGDATABASE")
    {
        config.dbname(&name);
    }
    config.application_name("ets");
    let connected = match tls::connector(&mut config, &parameters)? {
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
