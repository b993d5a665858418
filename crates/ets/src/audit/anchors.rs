//! Whom the auditor believes about recorded anchors: authorities, calendars with block
//! headers, witnesses and other ledgers. Nobody is asked: evidence is verified as it is.

use std::time::Duration;

use ets_core::anchor::{AnchorStatement, verify_event_evidence};
use ets_core::key::PublicKey;
use ets_core::verify::Trust;

use crate::anchor::{self, JudgedArguments, Service};
use crate::keys::public_key;

/// Who is believed; the same options as of `ets anchor`.
#[derive(clap::Args)]
pub struct TrustArguments {
    #[command(flatten)]
    judged: JudgedArguments,
    /// The root key of a ledger that this one is anchored in; may be repeated
    #[arg(long, value_name = "HEX")]
    ledger_root_key: Vec<String>,
}

/// What a recorded anchor's evidence proves to this auditor.
pub enum Verdict {
    /// This, in one line.
    Proven(String),
    /// Not what it should, and why.
    Broken(String),
    /// It cannot be told, and why.
    Untold(String),
    /// Nobody said whom to believe about it.
    Unnamed,
    /// Its evidence is a place: what is published there is compared, not the row.
    Elsewhere,
}

/// Who is believed.
pub struct Trusted {
    services: Vec<Box<dyn Service>>,
    ledgers: Vec<PublicKey>,
}

impl TrustArguments {
    /// Reads the files that are named.
    ///
    /// # Errors
    /// A message for the user.
    pub fn open(&self) -> Result<Trusted, String> {
        // They are never asked here, so there is nothing to wait for.
        let services = self.judged.open(Duration::ZERO, None)?;
        let ledgers = self.ledger_root_key.iter().map(|hex| public_key("--ledger-root-key", hex));
        Ok(Trusted { services, ledgers: ledgers.collect::<Result<_, _>>()? })
    }
}

impl Trusted {
    /// Whether somebody is named.
    pub fn is_anybody(&self) -> bool {
        !self.services.is_empty() || !self.ledgers.is_empty()
    }

    /// What the evidence of an anchor at this service proves of the statement.
    pub fn verify(&self, service: &str, statement: &AnchorStatement, evidence: &[u8]) -> Verdict {
        if let Some(named) = self.services.iter().find(|named| named.name() == service) {
            return match named.verify(statement, evidence) {
                Ok(anchor::Verdict::Holds(proven)) => Verdict::Proven(proven),
                Ok(anchor::Verdict::Unknown(why)) => Verdict::Untold(why),
                Err(problem) => Verdict::Broken(problem),
            };
        }
        if let Some(key) = self.ledgers.iter().find(|key| service == format!("ledger {key}")) {
            let proven = std::str::from_utf8(evidence)
                .map_err(|_| "the evidence is not UTF-8".to_owned())
                .and_then(|bundle| verify_event_evidence(statement, bundle, &Trust::RootKey(key.clone())));
            return proven.map_or_else(Verdict::Broken, Verdict::Proven);
        }
        match service.split(' ').next() {
            Some("file" | "git") => Verdict::Elsewhere,
            _ => Verdict::Unnamed,
        }
    }
}
