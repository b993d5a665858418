//! Requests to anchoring services: bounded in time and in size, never redirected.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

/// A service's URL, `http` or `https`, without user, password, query or fragment:
/// it is recorded, and may hold no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceUrl(String);

impl ServiceUrl {
    /// The URL of a path below this one: `join("digest")`.
    pub fn join(&self, path: &str) -> String {
        format!("{}/{path}", self.0.trim_end_matches('/'))
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServiceUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let Some(rest) = rest.filter(|rest| !rest.is_empty() && !rest.starts_with('/')) else {
            return Err("it must begin with https:// or http://, and name a host".into());
        };
        if rest.contains(['@', '?', '#']) || rest.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err("it must have no user, query, fragment or space: it is recorded in the ledger".into());
        }
        if text.len() > 200 {
            return Err("it must not be longer than 200 characters".into());
        }
        Ok(ServiceUrl(text.to_owned()))
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header Content-Type without parameters, in lower case; empty if there was none.
    pub content_type: String,
    /// The body, whatever the status.
    pub body: Vec<u8>,
}

impl Answer {
    /// Whether the same request may be answered otherwise later: only what the server
    /// cannot do now may pass.
    pub fn may_change(&self) -> bool {
        self.status >= 500 || matches!(self.status, 408 | 429)
    }
}

/// A client of services.
pub struct Http {
    agent: Agent,
}

impl Http {
    /// A client that waits `time_out` for a whole answer. For https it trusts the
    /// certificates in the PEM file `authorities`, or the public ones if there is none.
    ///
    /// # Errors
    /// A message for the user: the file cannot be read, or has no certificate.
    pub fn new(time_out: Duration, authorities: Option<&Path>) -> Result<Self, String> {
        let roots = match authorities {
            None => RootCerts::WebPki,
            Some(path) => RootCerts::Specific(Arc::new(certificates(path)?)),
        };
        let config = Agent::config_builder()
            .timeout_global(Some(time_out))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("ets/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .build();
        Ok(Http { agent: config.new_agent() })
    }

    /// POST; an answer of more than `max_bytes` is an error.
    ///
    /// # Errors
    /// In one line: no connection, no certificate to trust, no answer in time, too much of one.
    pub fn post(
        &self,
        url: &str,
        content_type: &str,
        accept: &str,
        body: &[u8],
        max_bytes: u64,
    ) -> Result<Answer, String> {
        let request = self.agent.post(url).header("Content-Type", content_type).header("Accept", accept);
        answer(url, request.send(body), max_bytes)
    }

    /// GET; an answer of more than `max_bytes` is an error.
    ///
    /// # Errors
    /// As [`Http::post`].
    pub fn get(&self, url: &str, accept: &str, max_bytes: u64) -> Result<Answer, String> {
        answer(url, self.agent.get(url).header("Accept", accept).call(), max_bytes)
    }
}

fn answer(
    url: &str,
    came: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    max_bytes: u64,
) -> Result<Answer, String> {
    let failed = |error: ureq::Error| format!("{url}: {error}");
    let mut response = came.map_err(failed)?;
    let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
    let content_type = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    Ok(Answer {
        status: response.status().as_u16(),
        content_type: content_type.trim().to_ascii_lowercase(),
        body: response.body_mut().with_config().limit(max_bytes).read_to_vec().map_err(failed)?,
    })
}

/// The certificates in a PEM file, at least one.
///
/// # Errors
/// A message for the user.
pub fn certificates(path: &Path) -> Result<Vec<ureq::tls::Certificate<'static>>, String> {
    let pem = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let mut found = Vec::new();
    for item in parse_pem(&pem) {
        match item.map_err(|error| format!("{} is no PEM file: {error}", path.display()))? {
            PemItem::Certificate(certificate) => found.push(certificate),
            _ => return Err(format!("{} has something else than certificates", path.display())),
        }
    }
    if found.is_empty() { Err(format!("{} has no certificate", path.display())) } else { Ok(found) }
}
