//! Timestamps of an authority (RFC 3161) as anchors: the evidence is the bare token.
//!
//! A token proves that its authority saw the SHA-256 of the statement at the time in
//! it, as far as the authority is believed and its key was its own then.

mod asn1;
mod certificate;
mod chain;
mod info;
mod request;
mod signature;
#[cfg(test)]
mod tests;
mod token;

use std::path::{Path, PathBuf};
use std::time::Duration;

use ets_core::anchor::AnchorStatement;

use super::service::{Failure, Outcome, Service, Source, Verdict};
use crate::http::{Http, ServiceUrl};
use certificate::Certificate;
use signature::Hash;
use token::Verified;

/// The longest answer that is read, in bytes.
const MAX_BYTES: u64 = 64 << 10;

/// The authorities that are asked.
#[derive(clap::Args)]
pub struct TimestampArguments {
    /// A timestamp authority (RFC 3161); may be repeated
    #[arg(long, value_name = "URL", requires = "tsa_ca")]
    tsa: Vec<ServiceUrl>,
    /// The PEM file with the certificates to which its chain must lead: one for each --tsa, or one for all
    #[arg(long, value_name = "FILE", requires = "tsa")]
    tsa_ca: Vec<PathBuf>,
}

impl TimestampArguments {
    /// The authorities, each with its certificates read. `time_out` is for a whole
    /// answer, `tls` the certificates to trust for https.
    ///
    /// # Errors
    /// A message for the user.
    pub fn open(&self, time_out: Duration, tls: Option<&Path>) -> Result<Vec<TimestampAuthority>, String> {
        let mut authorities = Vec::new();
        for (number, url) in self.tsa.iter().enumerate() {
            let file = match self.tsa_ca.as_slice() {
                [file] => file,
                files if files.len() == self.tsa.len() => &files[number],
                files => {
                    let (urls, files) = (self.tsa.len(), files.len());
                    return Err(format!(
                        "there are {urls} --tsa, and {files} --tsa-ca: one for each, or one for all"
                    ));
                }
            };
            authorities.push(TimestampAuthority {
                url: url.clone(),
                trusted: Certificate::read_file(file)?,
                http: Http::new(time_out, tls)?,
            });
        }
        Ok(authorities)
    }
}

/// A timestamp authority, and whom to trust that it is one.
pub struct TimestampAuthority {
    url: ServiceUrl,
    trusted: Vec<Certificate>,
    http: Http,
}

impl TimestampAuthority {
    /// Asks; what came back is not verified.
    fn ask(&self, request: &[u8]) -> Result<Vec<u8>, Failure> {
        let (query, reply) = ("application/timestamp-query", "application/timestamp-reply");
        let answer = self.http.post(self.url.as_str(), query, reply, request, MAX_BYTES);
        let answer = answer.map_err(Failure::passing)?;
        if answer.status != 200 {
            let reason = format!("{} answered with HTTP status {}", self.url, answer.status);
            return Err(Failure { reason, retry: answer.may_change() });
        }
        if answer.content_type != reply {
            return Err(Failure::passing(format!("{} answered with something else than {reply}", self.url)));
        }
        request::token(&answer.body)
    }

    /// Has the statement stamped: the bare token, which verified and answers this request.
    fn stamp(&self, statement: &AnchorStatement) -> Result<Vec<u8>, Failure> {
        let nonce =
            getrandom::u64().map_err(|error| Failure::passing(format!("no random bytes: {error}")))?;
        let digest = Hash::Sha256.digest(statement.to_jcs().as_bytes());
        let request =
            request::request(&digest, nonce).map_err(|error| Failure::lasting(error.to_string()))?;
        let token = self.ask(&request)?;
        // Whatever is wrong may be put right at the authority, or here; nothing is believed until then.
        let refused = |problem: String| {
            Failure::passing(format!("the answer of {} is not accepted: {problem}", self.url))
        };
        let verified = self.examine(statement, &token).map_err(refused)?;
        if verified.info.nonce != Some(nonce) {
            return Err(refused("it answers another request".into()));
        }
        Ok(verified.bare)
    }

    /// Whether the token is of the statement, and verifies.
    fn examine(&self, statement: &AnchorStatement, token: &[u8]) -> Result<Verified, String> {
        let verified = token::verify(token, &self.trusted)?;
        let (hash, digest) = &verified.info.imprint;
        if *hash != Hash::Sha256 || *digest != Hash::Sha256.digest(statement.to_jcs().as_bytes()) {
            return Err("it is the timestamp of something else".into());
        }
        Ok(verified)
    }
}

impl Service for TimestampAuthority {
    fn name(&self) -> String {
        format!("rfc3161 {}", self.url)
    }

    fn publish(
        &self,
        statement: &AnchorStatement,
        _: Option<&[u8]>,
        _: &mut dyn Source,
    ) -> Result<Outcome, Failure> {
        self.stamp(statement).map(Outcome::Confirmed)
    }

    fn verify(&self, statement: &AnchorStatement, evidence: &[u8]) -> Result<Verdict, String> {
        let verified = self.examine(statement, evidence)?;
        if verified.bare != evidence {
            return Err("it has something in it that nobody signed".into());
        }
        let accuracy = verified.info.accuracy.map(|micros| format!(" (± {} s)", seconds(micros)));
        Ok(Verdict::Holds(format!(
            "the statement existed at {}{}, says {}",
            verified.info.time,
            accuracy.unwrap_or_default(),
            verified.signer
        )))
    }
}

/// Microseconds as seconds, with the digits that are needed.
fn seconds(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
