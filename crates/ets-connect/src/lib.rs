//! Connections to PostgreSQL: libpq's connection strings and environment variables,
//! with its meaning of `sslmode`, for the programs of this project.

mod parameters;
mod tls;

use tokio_postgres::Config;
pub use tokio_postgres_rustls::MakeRustlsConnect;

/// Where the database is, and how to connect to it: without TLS where there is no connector.
#[derive(Clone)]
pub struct Settings {
    /// Hosts, ports, user, password, database.
    pub config: Config,
    /// What makes TLS connections.
    pub tls: Option<MakeRustlsConnect>,
}

/// The settings that `dsn` names, a libpq connection string or URL; what it leaves out comes
/// from `PGHOST`, `PGPORT`, `PGUSER`, `PGPASSWORD`, `PGDATABASE`, `PGSSLMODE`, `PGSSLROOTCERT`,
/// `PGSSLCERT` and `PGSSLKEY`, as for psql. `application` is what the server shows of it.
///
/// # Errors
/// A message for the user: the string is none, a variable holds nonsense, or a file of
/// certificates cannot be used.
pub fn settings(dsn: &str, application: &str) -> Result<Settings, String> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (dsn, parameters) = parameters::split(dsn)?;
    let parameters = parameters.or_environment(variable)?;
    let mut config: Config =
        dsn.parse().map_err(|error| format!("the connection string is wrong: {error}"))?;
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
    config.application_name(application);
    let tls = tls::connector(&mut config, &parameters)?;
    Ok(Settings { config, tls })
}
