//! Checkpoints cosigned by witnesses (C2SP tlog-witness): k of n must say that each
//! domain's tree extends what they signed before. A witness that says it does not is
//! the alarm that there are two histories.

use std::path::Path;
use std::time::Duration;

use ets_core::anchor::cosignature::{WitnessKey, add_checkpoint_request};
use ets_core::anchor::{AnchorStatement, WitnessPolicy, WitnessedCheckpoint};
use ets_core::checkpoint::DomainRoot;
use ets_core::merkle::verify_consistency;
use ets_core::note::{CheckpointBody, Note};

use super::service::{Failure, Outcome, Service, Source, Verdict, moment};
use crate::http::{Answer, Http, ServiceUrl};
use crate::output;

/// What a witness may answer: some signature lines, a size, or why not.
const MAX_ANSWER_BYTES: u64 = 64 << 10;
/// How often one note is sent to one witness: to learn its size, to meet that size, and
/// once more if somebody else submitted in between.
const ATTEMPTS: u32 = 3;

/// The witnesses, and how many must cosign.
#[derive(clap::Args)]
pub struct WitnessArguments {
    /// A witness (C2SP tlog-witness), the URL that add-checkpoint is below; with a --witness-key; may be repeated
    #[arg(long, value_name = "URL", requires = "witness_key")]
    witness: Vec<ServiceUrl>,
    /// The verifier key of the witness in the same place, as it publishes it: NAME+HASH+BASE64
    #[arg(long, value_name = "VKEY", requires = "witness", value_parser = verifier_key)]
    witness_key: Vec<WitnessKey>,
    /// How many witnesses must cosign; all of them by default
    #[arg(long, value_name = "K", requires = "witness")]
    witness_quorum: Option<usize>,
}

fn verifier_key(text: &str) -> Result<WitnessKey, String> {
    text.parse().map_err(|_| "it is no Ed25519 key of a witness (signature type 0x04)".to_owned())
}

impl WitnessArguments {
    /// The service, if a witness is named.
    ///
    /// # Errors
    /// A message for the user.
    pub fn open(&self, time_out: Duration, authorities: Option<&Path>) -> Result<Option<Witnesses>, String> {
        if self.witness.is_empty() {
            return Ok(None);
        }
        if self.witness.len() != self.witness_key.len() {
            return Err("each --witness needs its --witness-key, in the same order".into());
        }
        let quorum = self.witness_quorum.unwrap_or(self.witness.len());
        let policy =
            WitnessPolicy::new(self.witness_key.clone(), quorum).map_err(|error| error.to_string())?;
        let pairs = self.witness.iter().cloned().zip(self.witness_key.iter().cloned());
        let witnesses = pairs.map(|(url, key)| Witness { url, key }).collect();
        Ok(Some(Witnesses { policy, witnesses, http: Http::new(time_out, authorities)? }))
    }
}

/// Witnesses under one policy.
pub struct Witnesses {
    policy: WitnessPolicy,
    witnesses: Vec<Witness>,
    http: Http,
}

struct Witness {
    url: ServiceUrl,
    key: WitnessKey,
}

/// Why a witness did not cosign.
enum Refusal {
    /// It cannot be asked for other domains either: no connection, no sense in its answer.
    Unavailable(String),
    /// It would not, or could not, cosign this one.
    Refused(String),
    /// It has cosigned a later one, and never will cosign this.
    Superseded(String),
    /// It has cosigned another history.
    Fork(String),
    /// The ledger could not be asked, or what it says does not hold.
    Ledger(Failure),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Refusal::Ledger(failure)
    }
}

impl Witnesses {
    /// The notes of the statement's domains, with what `earlier` has of cosignatures.
    fn begin(
        &self,
        statement: &AnchorStatement,
        earlier: Option<&[u8]>,
        source: &mut dyn Source,
    ) -> Result<WitnessedCheckpoint, Failure> {
        let earlier = earlier.and_then(|evidence| std::str::from_utf8(evidence).ok());
        if let Some(found) = earlier.and_then(|text| WitnessedCheckpoint::parse(text).ok())
            && found.policy == self.policy
            && found.check_notes(statement).is_ok()
        {
            return Ok(found);
        }
        let mut notes = Vec::new();
        for root in statement.domain_roots() {
            notes.push(checkpoint_note(root, source)?);
        }
        let begun = WitnessedCheckpoint { policy: self.policy.clone(), notes };
        begun.check_notes(statement).map_err(|error| {
            Failure::passing(format!(
                "the ledger has gone on to another checkpoint, or changed this one: {error}"
            ))
        })?;
        Ok(begun)
    }

    /// Has `witness` cosign each note that it has not; how many it did, and what went wrong.
    fn ask(
        &self,
        witness: &Witness,
        statement: &AnchorStatement,
        notes: &mut [Note],
        source: &mut dyn Source,
    ) -> (usize, Option<Refusal>) {
        let (mut added, mut problem) = (0, None);
        for (note, root) in notes.iter_mut().zip(statement.domain_roots()) {
            if witness.key.verify(note).is_ok() {
                continue;
            }
            match self.submit(witness, note, root, source) {
                Ok(cosigned) => {
                    *note = cosigned;
                    added += 1;
                }
                Err(refusal @ (Refusal::Refused(_) | Refusal::Superseded(_))) => {
                    problem.get_or_insert(refusal);
                }
                Err(refusal) => return (added, Some(refusal)),
            }
        }
        (added, problem)
    }

    /// Submits a note, with the proof that its tree extends the one the witness knows.
    fn submit(
        &self,
        witness: &Witness,
        note: &Note,
        root: &DomainRoot,
        source: &mut dyn Source,
    ) -> Result<Note, Refusal> {
        let (name, domain, size) = (&witness.key.name, &root.domain, root.tree_size);
        let mut old_size = 0;
        for _ in 0..ATTEMPTS {
            let body = request(old_size, note, root, name.as_str(), source)?;
            let answer = self
                .http
                .post(
                    &witness.url.join("add-checkpoint"),
                    "text/plain",
                    "*/*",
                    body.as_bytes(),
                    MAX_ANSWER_BYTES,
                )
                .map_err(Refusal::Unavailable)?;
            let known = match answer.status {
                200 => {
                    let lines = String::from_utf8_lossy(&answer.body);
                    return match witness.key.add_cosignature(note, &lines) {
                        Ok((cosigned, _)) => Ok(cosigned),
                        Err(error) => Err(Refusal::Unavailable(format!(
                            "witness {name}: its answer for domain {domain} is no cosignature: {error}"
                        ))),
                    };
                }
                409 => known_size(&answer).ok_or_else(|| unexpected(witness, root, &answer))?,
                // RFC 6962 proofs verified here before they were sent.
                422 if old_size > 0 => return Err(other_history(name.as_str(), root, old_size)),
                _ => return Err(unexpected(witness, root, &answer)),
            };
            if known > size {
                return Err(later(name.as_str(), root, known, source)?);
            }
            if known == old_size {
                // tlog-witness: the same size, and another root.
                return Err(match known == size && known > 0 {
                    true => other_history(name.as_str(), root, known),
                    false => unexpected(witness, root, &answer),
                });
            }
            old_size = known;
        }
        Err(Refusal::Refused(format!("witness {name}: its size of domain {domain} keeps changing")))
    }
}

/// The body of add-checkpoint (tlog-witness): old size, proof, note.
fn request(
    old_size: u64,
    note: &Note,
    root: &DomainRoot,
    witness: &str,
    source: &mut dyn Source,
) -> Result<String, Refusal> {
    let DomainRoot { domain, tree_size, root } = root;
    let mut proof = Vec::new();
    if (1..*tree_size).contains(&old_size) {
        let Some(old_root) = source.root_at(domain, old_size)? else {
            return Err(Refusal::Fork(format!(
                "witness {witness} has cosigned {old_size} events of domain {domain}, a size that this ledger, now at \
                 {tree_size}, never sealed: there are two histories"
            )));
        };
        proof = source.consistency_proof(domain, old_size, *tree_size)?;
        // A witness that is sent a wrong proof would have to cry fork.
        verify_consistency(old_size, *tree_size, &proof, &old_root, root).map_err(|error| {
            Failure::lasting(format!(
                "domain {domain}: the ledger's own proof from {old_size} to {tree_size} events does not hold: {error}"
            ))
        })?;
    }
    Ok(add_checkpoint_request(old_size, &proof, note))
}

/// The size in an answer 409 (tlog-witness: decimal, a line feed, its own content type).
fn known_size(answer: &Answer) -> Option<u64> {
    let text = std::str::from_utf8(&answer.body).ok()?;
    let size: u64 = text.strip_suffix('\n').unwrap_or(text).parse().ok()?;
    // Strictly as it is written: no sign, no zeros before it.
    let is_plain = text.trim_end_matches('\n') == size.to_string();
    (answer.content_type == "text/x.tlog.size" && is_plain).then_some(size)
}

fn other_history(witness: &str, root: &DomainRoot, known: u64) -> Refusal {
    let DomainRoot { domain, tree_size, .. } = root;
    Refusal::Fork(format!(
        "witness {witness} has cosigned another history of domain {domain}: its {known} events are not the first of \
         the {tree_size} here"
    ))
}

/// The witness knows more than the statement says: either this ledger has gone on, or it
/// has lost what was sealed.
fn later(witness: &str, root: &DomainRoot, known: u64, source: &mut dyn Source) -> Result<Refusal, Failure> {
    let DomainRoot { domain, tree_size, .. } = root;
    let note = checkpoint_note(root, source)?;
    let body: CheckpointBody =
        note.text().parse().map_err(|error| Failure::passing(format!("domain {domain}: {error}")))?;
    Ok(match known <= body.tree_size {
        true => Refusal::Superseded(format!(
            "witness {witness} has cosigned {known} events of domain {domain}, as this ledger has them now, and never \
             goes back to {tree_size}"
        )),
        false => Refusal::Fork(format!(
            "witness {witness} has cosigned {known} events of domain {domain}, and this ledger has sealed only {}: \
             it was restored from an older copy, or there are two",
            body.tree_size
        )),
    })
}

fn unexpected(witness: &Witness, root: &DomainRoot, answer: &Answer) -> Refusal {
    let (name, domain, status) = (&witness.key.name, &root.domain, answer.status);
    let why = match status {
        403 => ": it does not know the ledger's key",
        404 => ": it does not know the domain's log",
        _ => "",
    };
    let body = String::from_utf8_lossy(&answer.body);
    let said: String = body.lines().next().unwrap_or_default().chars().take(100).collect();
    let reason =
        output::printable(&format!("witness {name} answered {status} for domain {domain}{why} ({said})"));
    match status {
        403 | 404 => Refusal::Refused(reason),
        _ => Refusal::Unavailable(reason),
    }
}

fn checkpoint_note(root: &DomainRoot, source: &mut dyn Source) -> Result<Note, Failure> {
    let note = source.checkpoint_note(&root.domain)?;
    note.parse().map_err(|error| Failure::passing(format!("domain {}: {error}", root.domain)))
}

impl Service for Witnesses {
    fn name(&self) -> String {
        format!("witness {}", self.policy)
    }

    fn publish(
        &self,
        statement: &AnchorStatement,
        earlier: Option<&[u8]>,
        source: &mut dyn Source,
    ) -> Result<Outcome, Failure> {
        let mut checkpoint = self.begin(statement, earlier, source)?;
        let (mut added, mut forks, mut problems, mut can_retry) = (0, Vec::new(), Vec::new(), false);
        // Each is asked, also where fewer would do: every one of them can find a fork.
        for witness in &self.witnesses {
            let (cosigned, refusal) = self.ask(witness, statement, &mut checkpoint.notes, source);
            added += cosigned;
            match refusal {
                None => {}
                Some(Refusal::Fork(reason)) => forks.push(reason),
                Some(Refusal::Superseded(reason)) => problems.push(reason),
                Some(Refusal::Unavailable(reason) | Refusal::Refused(reason)) => {
                    problems.push(reason);
                    can_retry = true;
                }
                Some(Refusal::Ledger(failure)) => return Err(failure),
            }
        }
        if !forks.is_empty() {
            return Err(Failure::lasting(forks.join("; ")));
        }
        let evidence = checkpoint.to_jcs().map_err(|error| Failure::lasting(error.to_string()))?.into_bytes();
        match checkpoint.verify(statement) {
            Ok(_) => Ok(Outcome::Confirmed(evidence)),
            Err(_) if added > 0 => Ok(Outcome::Pending { evidence, awaits: problems.join("; ") }),
            // Nothing came: what there was stays, and the reason is recorded.
            Err(error) if problems.is_empty() => Err(Failure::lasting(error.to_string())),
            Err(_) => Err(Failure { reason: problems.join("; "), retry: can_retry }),
        }
    }

    /// The ledger has notes of its last checkpoint only.
    fn proves_later(&self) -> bool {
        false
    }

    fn verify(&self, statement: &AnchorStatement, evidence: &[u8]) -> Result<Verdict, String> {
        let text = std::str::from_utf8(evidence).map_err(|_| "the evidence is not UTF-8")?;
        let found = WitnessedCheckpoint::parse(text).map_err(|error| error.to_string())?;
        if found.policy != self.policy {
            return Err(format!("the evidence is of other witnesses: {}", found.policy));
        }
        let seconds = found.verify(statement).map_err(|error| error.to_string())?;
        Ok(Verdict::Holds(format!(
            "{} of {} witnesses cosigned every domain by {}",
            self.policy.quorum(),
            self.policy.witnesses().len(),
            moment(seconds),
        )))
    }
}
