//! What the server is told on the command line and in its environment.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Serve a pg_ets ledger over HTTP.
///
/// Every request is one statement in the database; what is answered can be checked by whoever
/// asked, and the page at / does so. Without tokens whoever reaches the port may do what the
/// database's role may: listen on an address of this machine only, or name tokens.
#[derive(Debug, clap::Parser)]
#[command(name = "ets-http", version)]
pub struct Config {
    /// Where to listen
    #[arg(long, env = "ETS_HTTP_LISTEN", value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// The database for appends: a libpq connection string or URL; several hosts are tried in turn
    #[arg(long, env = "ETS_HTTP_DSN", value_name = "DSN", default_value = "")]
    pub dsn: String,
    /// The database for reads, as another role or on a standby; the same as --dsn by default
    #[arg(long, env = "ETS_HTTP_READ_DSN", value_name = "DSN")]
    pub read_dsn: Option<String>,
    /// Take no appends
    #[arg(long, env = "ETS_HTTP_READ_ONLY")]
    pub read_only: bool,
    /// The file of a token that whoever reads must bear
    #[arg(long, env = "ETS_HTTP_READ_TOKEN_FILE", value_name = "FILE")]
    pub read_token_file: Option<PathBuf>,
    /// The file of a token that whoever appends must bear; it may read, too
    #[arg(long, env = "ETS_HTTP_WRITE_TOKEN_FILE", value_name = "FILE")]
    pub write_token_file: Option<PathBuf>,
    /// Speak TLS with the certificate and its chain in this PEM file
    #[arg(long, env = "ETS_HTTP_TLS_CERTIFICATE", value_name = "FILE", requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,
    /// The secret key of the certificate, a PEM file
    #[arg(long, env = "ETS_HTTP_TLS_KEY", value_name = "FILE", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
    /// Connections to each database
    #[arg(long, env = "ETS_HTTP_CONNECTIONS", value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub connections: u16,
    /// Requests that may wait for a connection; more are answered with 503
    #[arg(long, env = "ETS_HTTP_WAITING", value_name = "N", default_value_t = 64)]
    pub waiting: u16,
    /// Clients connected at once; more wait to be accepted
    #[arg(long, env = "ETS_HTTP_CLIENTS", value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u16).range(1..))]
    pub clients: u16,
    /// Live feeds at once
    #[arg(long, env = "ETS_HTTP_FEEDS", value_name = "N", default_value_t = 128)]
    pub feeds: u16,
    /// The largest body of a request, in bytes
    #[arg(long, env = "ETS_HTTP_MAX_BODY", value_name = "BYTES", default_value_t = 8 << 20)]
    pub max_body: usize,
    /// How long a request may take, in seconds, and each of its statements, a replay too; feeds go on
    #[arg(long, env = "ETS_HTTP_TIME_OUT", value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub time_out: u64,
    /// The form of the log on standard error
    #[arg(long, env = "ETS_HTTP_LOG", value_name = "FORM", default_value = "text", value_parser = ["text", "json"])]
    pub log: String,
}
