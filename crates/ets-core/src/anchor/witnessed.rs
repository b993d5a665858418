//! A checkpoint that k of n witnesses cosigned: the note of each of its domains with
//! their signatures on it.

use std::fmt;

use serde_json::json;

use super::AnchorStatement;
use super::cosignature::{QuorumError, WitnessKey, quorum};
use crate::canonical::{CanonicalError, Limits, Payload, parse_json};
use crate::hash::{sha256, to_hex};
use crate::members::{FormatError, Members};
use crate::name::DomainName;
use crate::note::{Note, checkpoint_body};

/// Which witnesses count, and how many of them must cosign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessPolicy {
    /// Ascending by their text, no public key twice.
    witnesses: Vec<WitnessKey>,
    quorum: usize,
}

impl WitnessPolicy {
    /// The most witnesses of one policy: a note carries their signatures.
    pub const MAX_WITNESSES: usize = 32;

    /// `quorum` of `witnesses`, in any order.
    ///
    /// # Errors
    /// [`PolicyError`]: too many witnesses, one twice, or a quorum that is 0 or more than there are.
    pub fn new(mut witnesses: Vec<WitnessKey>, quorum: usize) -> Result<Self, PolicyError> {
        witnesses.sort_by_cached_key(WitnessKey::to_string);
        let mut keys: Vec<&[u8; 32]> =
            witnesses.iter().map(|witness| witness.public_key.as_bytes()).collect();
        keys.sort_unstable();
        keys.dedup();
        if keys.len() != witnesses.len() {
            return Err(PolicyError::Twice);
        }
        if witnesses.len() > WitnessPolicy::MAX_WITNESSES {
            return Err(PolicyError::TooMany);
        }
        if !(1..=witnesses.len()).contains(&quorum) {
            return Err(PolicyError::Quorum { quorum, witnesses: witnesses.len() });
        }
        Ok(WitnessPolicy { witnesses, quorum })
    }

    /// The witnesses, ascending by the text of their keys.
    pub fn witnesses(&self) -> &[WitnessKey] {
        &self.witnesses
    }

    /// How many must cosign.
    pub fn quorum(&self) -> usize {
        self.quorum
    }
}

/// `2-of-3 1f2e3d4c`: the digits are the first four bytes of the SHA-256 of the keys'
/// texts, each with a line feed. So another set of keys has another name.
impl fmt::Display for WitnessPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: String = self.witnesses.iter().map(|witness| format!("{witness}\n")).collect();
        let [a, b, c, d, ..] = sha256(&[keys.as_bytes()]).0;
        write!(f, "{}-of-{} {}", self.quorum, self.witnesses.len(), to_hex(&[a, b, c, d]))
    }
}

/// The evidence: the policy, and the note of every domain of a statement. As text it is
/// canonical JSON (RFC 8785): `{"notes":[…],"quorum":k,"witnesses":[…]}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessedCheckpoint {
    /// The witnesses that were asked.
    pub policy: WitnessPolicy,
    /// A note for each domain, in the statement's order. Cosignatures may be missing.
    pub notes: Vec<Note>,
}

impl WitnessedCheckpoint {
    /// The longest text, in bytes: 1,024 domains with 32 cosignatures each are some 8 MiB.
    pub const MAX_BYTES: usize = 16 << 20;

    /// Reads the canonical text.
    ///
    /// # Errors
    /// [`WitnessedError`]: it is no such document, or spelled otherwise.
    pub fn parse(text: &str) -> Result<Self, WitnessedError> {
        let value = parse_json(text, &WitnessedCheckpoint::limits())?;
        let mut members = Members::of(value, String::new())?;
        let notes = members.list("notes", |value, at| {
            value.as_str().and_then(|note| note.parse().ok()).ok_or(FormatError::Invalid(at))
        })?;
        let witnesses = members.list("witnesses", |value, at| {
            value.as_str().and_then(|key| key.parse().ok()).ok_or(FormatError::Invalid(at))
        })?;
        let quorum = usize::try_from(members.number("quorum")?).unwrap_or(usize::MAX);
        members.end()?;
        let parsed = WitnessedCheckpoint { policy: WitnessPolicy::new(witnesses, quorum)?, notes };
        if parsed.to_jcs()? == text { Ok(parsed) } else { Err(WitnessedError::Spelling) }
    }

    /// The canonical text.
    ///
    /// # Errors
    /// [`WitnessedError::Format`] if it is too long.
    pub fn to_jcs(&self) -> Result<String, WitnessedError> {
        let value = json!({
            "notes": self.notes.iter().map(Note::to_string).collect::<Vec<_>>(),
            "quorum": self.policy.quorum,
            "witnesses": self.policy.witnesses.iter().map(WitnessKey::to_string).collect::<Vec<_>>(),
        });
        Ok(Payload::from_value(value, &WitnessedCheckpoint::limits())?.canonical().to_owned())
    }

    /// Whether the notes are those of the statement's domains, each with the size, the
    /// root and the MetaRoot that it states, and a signature under the ledger's name. That
    /// signature is the witnesses' business and is not verified here.
    ///
    /// # Errors
    /// [`WitnessedError::Notes`] or [`WitnessedError::OtherNote`].
    pub fn check_notes(&self, statement: &AnchorStatement) -> Result<(), WitnessedError> {
        let roots = statement.domain_roots();
        if self.notes.len() != roots.len() {
            return Err(WitnessedError::Notes { notes: self.notes.len(), domains: roots.len() });
        }
        for (note, root) in self.notes.iter().zip(roots) {
            let body = checkpoint_body(statement.origin(), root, statement.meta_root());
            let is_signed = note.signatures().any(|(name, _)| name.as_str() == body.origin);
            if note.text() != body.to_string() || !is_signed {
                return Err(WitnessedError::OtherNote(root.domain.clone()));
            }
        }
        Ok(())
    }

    /// The time by which the quorum had cosigned every domain of the statement, in seconds
    /// since 1970; the witnesses vouch for it. With no domain there is none, and so no proof.
    ///
    /// It counts the witnesses that the evidence itself names: whoever relies on it
    /// compares [`WitnessedCheckpoint::policy`] with the one that was meant.
    ///
    /// # Errors
    /// [`WitnessedError`] says why it proves nothing.
    pub fn verify(&self, statement: &AnchorStatement) -> Result<u64, WitnessedError> {
        self.check_notes(statement)?;
        let mut latest = None;
        for (note, root) in self.notes.iter().zip(statement.domain_roots()) {
            let time = quorum(note, &self.policy.witnesses, self.policy.quorum)
                .map_err(|error| WitnessedError::Quorum(root.domain.clone(), error))?;
            latest = latest.max(Some(time));
        }
        latest.ok_or(WitnessedError::Notes { notes: 0, domains: 0 })
    }

    fn limits() -> Limits {
        Limits { max_bytes: WitnessedCheckpoint::MAX_BYTES, max_depth: 2 }
    }
}

/// Why keys and a number are no policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyError {
    /// Two witnesses have one key.
    Twice,
    /// More than [`WitnessPolicy::MAX_WITNESSES`].
    TooMany,
    /// Nobody can be that many, or everybody is.
    Quorum {
        /// How many must cosign.
        quorum: usize,
        /// How many there are.
        witnesses: usize,
    },
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PolicyError::Twice => f.write_str("two witnesses have one key"),
            PolicyError::TooMany => write!(f, "more than {} witnesses", WitnessPolicy::MAX_WITNESSES),
            PolicyError::Quorum { quorum, witnesses } => {
                write!(f, "{quorum} of {witnesses} witnesses is no quorum")
            }
        }
    }
}

impl std::error::Error for PolicyError {}

/// Why a text is no evidence of witnesses, or proves nothing of a statement.
#[derive(Debug, Clone, PartialEq)]
pub enum WitnessedError {
    /// It is not of the format.
    Format(FormatError),
    /// Its witnesses and quorum are no policy.
    Policy(PolicyError),
    /// It is not the canonical text.
    Spelling,
    /// There is not one note for each domain, or there is no domain.
    Notes {
        /// How many notes there are.
        notes: usize,
        /// How many domains the statement has.
        domains: usize,
    },
    /// The note in this domain's place has another size, root, MetaRoot or name.
    OtherNote(DomainName),
    /// Too few cosigned the domain's note.
    Quorum(DomainName, QuorumError),
}

impl From<FormatError> for WitnessedError {
    fn from(error: FormatError) -> Self {
        WitnessedError::Format(error)
    }
}

impl From<CanonicalError> for WitnessedError {
    fn from(error: CanonicalError) -> Self {
        WitnessedError::Format(error.into())
    }
}

impl From<PolicyError> for WitnessedError {
    fn from(error: PolicyError) -> Self {
        WitnessedError::Policy(error)
    }
}

impl fmt::Display for WitnessedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WitnessedError::Format(error) => error.fmt(f),
            WitnessedError::Policy(error) => error.fmt(f),
            WitnessedError::Spelling => f.write_str("the evidence is not in canonical form"),
            WitnessedError::Notes { notes, domains } => write!(f, "{notes} notes for {domains} domains"),
            WitnessedError::OtherNote(domain) => {
                write!(f, "the note of domain {domain} is not that of the statement")
            }
            WitnessedError::Quorum(domain, error) => write!(f, "domain {domain}: {error}"),
        }
    }
}

impl std::error::Error for WitnessedError {}

#[cfg(test)]
mod tests;
