//! OpenTimestamps as anchors: a calendar commits to the statement in a Bitcoin block.
//! The evidence is an `.ots` file of the statement.
//!
//! It is pending until the calendar gives the operations that lead to a block, and
//! until the block's header is there: a file of headers from a node of the verifier's
//! own, because a header does not say that it is on the best chain.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ets_core::anchor::AnchorStatement;
use ets_core::anchor::opentimestamps::{BlockHeaders, DEFAULT_MINIMUM_DIFFICULTY, Promise, Proof, Standing};

use super::service::{Failure, Outcome, Service, Source, Verdict, moment};
use crate::http::{Answer, Http, ServiceUrl};
use crate::output;

/// What calendars answer with.
const ACCEPT: &str = "application/vnd.opentimestamps.v1";

/// The calendars that are asked.
#[derive(clap::Args)]
pub struct CalendarArguments {
    /// An OpenTimestamps calendar, by its own URL and not a pool's; may be repeated
    #[arg(long, value_name = "URL")]
    ots: Vec<ServiceUrl>,
    /// Headers of Bitcoin blocks from a node of your own: lines HEIGHT HEX, of 160 digits
    #[arg(long, value_name = "FILE", requires = "ots")]
    block_headers: Option<PathBuf>,
    /// The least difficulty that these headers must have
    #[arg(long, value_name = "N", requires = "block_headers", default_value_t = DEFAULT_MINIMUM_DIFFICULTY)]
    minimum_difficulty: u64,
}

impl CalendarArguments {
    /// The calendars, the file of headers read and their work checked. `time_out` is for
    /// a whole answer, `authorities` the certificates to trust for https.
    ///
    /// # Errors
    /// A message for the user.
    pub fn open(&self, time_out: Duration, authorities: Option<&Path>) -> Result<Vec<Calendar>, String> {
        let headers = match &self.block_headers {
            None => BlockHeaders::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
                BlockHeaders::parse(&text, self.minimum_difficulty)
                    .map_err(|problem| format!("{}: {problem}", path.display()))?
            }
        };
        let calendar = |url: &ServiceUrl| {
            Ok(Calendar {
                url: url.clone(),
                headers: headers.clone(),
                http: Http::new(time_out, authorities)?,
            })
        };
        self.ots.iter().map(calendar).collect()
    }
}

/// A calendar, and the headers that are known.
pub struct Calendar {
    url: ServiceUrl,
    headers: BlockHeaders,
    http: Http,
}

impl Calendar {
    /// Whether a promise is this calendar's. No other is asked: an answer does not choose
    /// whom this program talks to.
    fn is_own(&self, promise: &Promise) -> bool {
        promise.calendar.trim_end_matches('/') == self.url.as_str().trim_end_matches('/')
    }

    /// Asks for a promise: the first file.
    fn submit(&self, statement: &AnchorStatement) -> Result<Proof, Failure> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|error| Failure::passing(format!("no random bytes: {error}")))?;
        let digest = statement.digest();
        let submission = Proof::submission(&digest, &nonce);
        let (url, max) = (self.url.join("digest"), Proof::MAX_ANSWER_BYTES as u64);
        let answer = self.http.post(&url, "application/octet-stream", ACCEPT, submission.as_bytes(), max);
        let answer = answer.map_err(Failure::passing)?;
        if answer.status != 200 {
            let reason = format!("{url} answered with HTTP status {}{}", answer.status, said(&answer));
            return Err(Failure { reason, retry: answer.may_change() });
        }
        let proof = Proof::submitted(digest, &nonce, &answer.body)
            .map_err(|error| Failure::passing(format!("the answer of {url} is no timestamp: {error}")))?;
        let promises = proof.promises();
        if promises.iter().any(|promise| self.is_own(promise)) || proof.leads_to_a_block() {
            return Ok(proof);
        }
        Err(match promises.first() {
            Some(other) => Failure::lasting(format!(
                "{} promises for the calendar {}: name that one with --ots",
                self.url, other.calendar
            )),
            None => Failure::passing(format!("the answer of {url} promises nothing")),
        })
    }

    /// Asks the calendar for what it promised; the file with what came, and what it says
    /// where nothing did.
    fn upgrade(&self, mut proof: Proof) -> Result<(Proof, String), Failure> {
        let mut waiting = String::new();
        for promise in proof.promises() {
            if !self.is_own(&promise) {
                continue;
            }
            let commitment = ets_core::hash::to_hex(&promise.commitment);
            let url = self.url.join(&format!("timestamp/{commitment}"));
            let answer = self.http.get(&url, ACCEPT, Proof::MAX_ANSWER_BYTES as u64);
            let answer = answer.map_err(Failure::passing)?;
            match answer.status {
                // Not yet in a block; or not known at all, which looks the same.
                404 => waiting = said(&answer),
                200 => {
                    let fulfilled = proof.clone().fulfilled(&promise, &answer.body);
                    let fulfilled = fulfilled.map_err(|error| {
                        Failure::passing(format!("the answer of {url} is no timestamp: {error}"))
                    })?;
                    // Another promise is no progress, and would be kept for ever.
                    if fulfilled.leads_to_a_block() {
                        proof = fulfilled;
                    }
                }
                status => {
                    return Err(Failure::passing(format!(
                        "{url} answered with HTTP status {status}{}",
                        said(&answer)
                    )));
                }
            }
        }
        Ok((proof, waiting))
    }

    /// The file of an earlier attempt, without what turned out to lead to no block of
    /// ours; nothing if there is nothing to go on from.
    fn kept(&self, statement: &AnchorStatement, earlier: &[u8]) -> Option<Proof> {
        let proof = Proof::parse(earlier).ok().filter(|proof| *proof.digest() == statement.digest())?;
        proof.without_contradicted(&self.headers)
    }
}

impl Service for Calendar {
    fn name(&self) -> String {
        format!("opentimestamps {}", self.url)
    }

    fn publish(
        &self,
        statement: &AnchorStatement,
        earlier: Option<&[u8]>,
        _: &mut dyn Source,
    ) -> Result<Outcome, Failure> {
        let (proof, waiting) = match earlier.and_then(|earlier| self.kept(statement, earlier)) {
            None => (self.submit(statement)?, String::new()),
            Some(proof) if proof.leads_to_a_block() => (proof, String::new()),
            Some(proof) => self.upgrade(proof)?,
        };
        let evidence = proof.to_bytes();
        match proof.standing(&self.headers) {
            Standing::Attested { .. } => Ok(Outcome::Confirmed(evidence)),
            Standing::HeaderMissing { height } => Ok(Outcome::Pending { evidence, awaits: missing(height) }),
            Standing::Pending => {
                let awaits = format!("{} has not brought it into a block{waiting}", self.url);
                Ok(Outcome::Pending { evidence, awaits })
            }
            // What was kept before stays: the calendar may have a better answer later.
            Standing::Contradicted { height } => Err(Failure::passing(contradicted(height))),
        }
    }

    fn verify(&self, statement: &AnchorStatement, evidence: &[u8]) -> Result<Verdict, String> {
        let proof =
            Proof::parse(evidence).map_err(|error| format!("the evidence is no timestamp: {error}"))?;
        if *proof.digest() != statement.digest() {
            return Err("it is the timestamp of something else".into());
        }
        match proof.standing(&self.headers) {
            Standing::Attested { height, time } => Ok(Verdict::Holds(format!(
                "the statement existed when Bitcoin block {height} was mined, at {} by its header",
                moment(time.into())
            ))),
            Standing::HeaderMissing { height } => Ok(Verdict::Unknown(missing(height))),
            Standing::Contradicted { height } => Err(contradicted(height)),
            Standing::Pending => Err("the evidence leads to no block".into()),
        }
    }
}

fn missing(height: u32) -> String {
    format!("it leads to Bitcoin block {height}, whose header --block-headers does not give")
}

fn contradicted(height: u32) -> String {
    format!("it does not lead to the Merkle root of Bitcoin block {height} in --block-headers")
}

/// What a calendar has to say for itself, in some words of its first line.
fn said(answer: &Answer) -> String {
    let text = String::from_utf8_lossy(&answer.body);
    let line: String = text.lines().next().unwrap_or_default().chars().take(100).collect();
    if line.trim().is_empty() { line } else { format!(": {}", output::printable(line.trim())) }
}
