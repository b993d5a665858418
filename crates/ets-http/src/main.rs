//! `ets-http`: a ledger over HTTP.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use ets_http::auth::Tokens;
use ets_http::config::Config;
use ets_http::listen::{self, Places};
use ets_http::pool::Pool;
use ets_http::router::{Given, router};
use ets_http::{database, notice};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How long requests may go on once the server was told to end.
const LAST: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> ExitCode {
    let config = Config::parse();
    log(&config);
    match serve(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("ets-http: {message}");
            ExitCode::from(2)
        }
    }
}

fn log(config: &Config) {
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false);
    match config.log.as_str() {
        "json" => log.json().flatten_event(true).init(),
        _ => log.with_ansi(false).init(),
    }
}

async fn serve(config: Config) -> Result<(), String> {
    let tokens = Tokens::of(config.read_token_file.as_deref(), config.write_token_file.as_deref())?;
    let time_out = Duration::from_secs(config.time_out);
    let pool = |dsn: &str| -> Result<Pool, String> {
        let settings = database::settings(dsn, config.time_out)?;
        // Whoever waits for a connection still needs the time to use it.
        Ok(Pool::new(settings, config.connections.into(), config.waiting.into(), time_out / 2))
    };
    let acceptor = match (&config.tls_certificate, &config.tls_key) {
        (Some(certificate), Some(key)) => Some(listen::tls(certificate, key)?),
        _ => None,
    };
    let write = pool(&config.dsn)?;
    let read = match &config.read_dsn {
        Some(dsn) => pool(dsn)?,
        None => write.clone(),
    };
    let (end, ending) = watch::channel(false);
    let sealed = notice::listen(read.settings().clone());
    let service = router(Given {
        read,
        write,
        tokens,
        read_only: config.read_only,
        time_out,
        feeds: config.feeds.into(),
        max_body: config.max_body,
        sealed,
        ending: ending.clone(),
    });
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", config.listen))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    // The one line on standard output: with port 0 it says which one it became.
    println!("{}://{address}", if acceptor.is_some() { "https" } else { "http" });
    tracing::info!(%address, "listening");
    let mut ended = ending.clone();
    let places = Places::new(listener, config.clients.into(), acceptor).map_err(|error| error.to_string())?;
    let serving = axum::serve(places, service).with_graceful_shutdown(async move {
        let _ = ended.wait_for(|is_ending| *is_ending).await;
    });
    let serving = tokio::spawn(async move { serving.await });
    told_to_end().await?;
    tracing::info!("ending: no new requests are taken");
    let _ = end.send(true);
    match tokio::time::timeout(LAST, serving).await {
        Ok(Ok(Ok(()))) => tracing::info!("ended"),
        Ok(_) => return Err("the server broke down".to_owned()),
        Err(_) => tracing::warn!("ended before every answer was given"),
    }
    Ok(())
}

/// SIGTERM or SIGINT.
async fn told_to_end() -> Result<(), String> {
    let mut stop =
        signal(SignalKind::terminate()).map_err(|error| format!("cannot wait for signals: {error}"))?;
    let mut interrupt =
        signal(SignalKind::interrupt()).map_err(|error| format!("cannot wait for signals: {error}"))?;
    tokio::select! {
        _ = stop.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
