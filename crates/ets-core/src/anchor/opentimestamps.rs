//! OpenTimestamps: from a digest, by operations that anybody can repeat, to the Merkle
//! root of a Bitcoin block.
//!
//! The format has no specification but its reference library, the Python package
//! `opentimestamps`; the limits here are that library's or stricter, so it reads
//! whatever is written here. A calendar first promises to commit to a digest; when its
//! transaction is in a block, it gives the operations that lead there. The promise
//! proves nothing. The operations prove, together with the block's header, that the
//! digest existed when the block was mined; see [`BlockHeader`] for what a header
//! proves.

mod bitcoin;
mod operation;
#[cfg(test)]
mod tests;
mod timestamp;
mod wire;

use std::fmt;

use super::AnchorStatement;
use crate::hash::{Digest, sha256};
use operation::{Message, Operation};
use timestamp::{Attestation, Timestamp};
use wire::{Reader, write_number};

pub use bitcoin::{BlockHeader, BlockHeaders, DEFAULT_MINIMUM_DIFFICULTY, HeaderError};

/// The first 31 bytes of a detached timestamp file.
const MAGIC: &[u8] = b"\x00OpenTimestamps\x00\x00Proof\x00\xbf\x89\xe2\xe8\x84\xe8\x92\x94";
/// The version behind them.
const VERSION: u64 = 1;

/// A detached timestamp file of a SHA-256 digest, an `.ots` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    digest: Digest,
    timestamp: Timestamp,
}

/// What is stamped of a statement: the SHA-256 of its canonical JSON, as of a file.
pub fn stamped(statement: &AnchorStatement) -> Digest {
    sha256(&[statement.to_jcs().as_bytes()])
}

/// What a calendar promised: to commit to these bytes in a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// The calendar's URI.
    pub calendar: String,
    /// What it is asked for: `GET {calendar}/timestamp/{commitment in hexadecimal}`.
    pub commitment: Vec<u8>,
}

/// How far a proof leads, given block headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// To the Merkle root of a block whose header is there: the earliest such block.
    Attested {
        /// The block's height, as the file of headers says.
        height: u32,
        /// The header's time, in seconds since 1970: see [`BlockHeader::time`].
        time: u32,
    },
    /// To a block whose header is not there.
    HeaderMissing {
        /// The block's height, as the proof says.
        height: u32,
    },
    /// To no block but some whose headers have another Merkle root: the calendar was
    /// wrong, or the block is not on the best chain any more.
    Contradicted {
        /// The lowest of their heights.
        height: u32,
    },
    /// To no block.
    Pending,
}

impl Proof {
    /// The longest file, in bytes.
    pub const MAX_BYTES: usize = 1 << 20;
    /// The longest answer of a calendar, in bytes: as in the reference library.
    pub const MAX_ANSWER_BYTES: usize = 10_000;

    /// What is sent to a calendar for `digest`: `SHA256( digest || nonce )`, so that
    /// nobody learns the digest from what calendars publish.
    pub fn submission(digest: &Digest, nonce: &[u8; 16]) -> Digest {
        sha256(&[&digest.0, nonce])
    }

    /// The proof of `digest` from a calendar's answer to its [`Proof::submission`].
    ///
    /// # Errors
    /// [`ProofError`]: the answer is no timestamp.
    pub fn submitted(digest: Digest, nonce: &[u8; 16], answer: &[u8]) -> Result<Self, ProofError> {
        let submission = Proof::submission(&digest, nonce);
        let answer = read_answer(submission.as_bytes(), answer)?;
        let hashed = Timestamp::below(Operation::Sha256, answer);
        let timestamp = Timestamp::below(Operation::Append(nonce.to_vec()), hashed);
        Proof { digest, timestamp }.checked()
    }

    /// Reads a detached timestamp file.
    ///
    /// # Errors
    /// [`ProofError`]: it is none, is not of a SHA-256 digest, or is beyond a limit.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofError> {
        if bytes.len() > Proof::MAX_BYTES {
            return Err(ProofError::Size);
        }
        let rest = bytes.strip_prefix(MAGIC).ok_or(ProofError::Magic)?;
        let mut reader = Reader::new(rest);
        if reader.number()? != VERSION {
            return Err(ProofError::Version);
        }
        if Operation::read(reader.byte()?, &mut reader)? != Operation::Sha256 {
            return Err(ProofError::FileHash);
        }
        let digest = Digest(reader.array()?);
        let timestamp = Timestamp::read(&mut reader, &message(&digest))?;
        reader.end()?;
        Ok(Proof { digest, timestamp })
    }

    /// The file, in the reference library's order.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        write_number(&mut out, VERSION);
        Operation::Sha256.write(&mut out);
        out.extend_from_slice(&self.digest.0);
        self.timestamp.write(&mut out);
        out
    }

    /// The digest that it is about: the SHA-256 of the stamped file.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// What calendars promised.
    pub fn promises(&self) -> Vec<Promise> {
        let mut promises = Vec::new();
        self.timestamp.walk(&message(&self.digest), &mut |bytes, attestation| {
            if let Attestation::Pending(uri) = attestation {
                promises.push(Promise { calendar: uri.clone(), commitment: bytes.to_vec() });
            }
        });
        promises
    }

    /// The proof with what a calendar answered to a promise of its own.
    ///
    /// # Errors
    /// [`ProofError`]: the answer is no timestamp, or the proof becomes too large.
    pub fn fulfilled(mut self, promise: &Promise, answer: &[u8]) -> Result<Self, ProofError> {
        let answer = read_answer(&promise.commitment, answer)?;
        self.timestamp.fulfil(&message(&self.digest), &promise.calendar, &promise.commitment, &answer);
        self.checked()
    }

    /// Whether it leads to a block at all, whatever the block's header.
    pub fn leads_to_a_block(&self) -> bool {
        self.standing(&BlockHeaders::default()) != Standing::Pending
    }

    /// How far the proof leads.
    pub fn standing(&self, headers: &BlockHeaders) -> Standing {
        let (mut attested, mut missing, mut contradicted) = (None, None, None);
        self.timestamp.walk(&message(&self.digest), &mut |bytes, attestation| {
            let Attestation::Bitcoin(height) = *attestation else { return };
            let least = |found: Option<u32>| Some(found.map_or(height, |other| other.min(height)));
            match headers.get(height) {
                None => missing = least(missing),
                Some(header) if header.merkle_root().0 == *bytes => {
                    let candidate = (header.time(), height);
                    attested = Some(attested.map_or(candidate, |other| candidate.min(other)));
                }
                Some(_) => contradicted = least(contradicted),
            }
        });
        match (attested, missing, contradicted) {
            (Some((time, height)), ..) => Standing::Attested { height, time },
            (_, Some(height), _) => Standing::HeaderMissing { height },
            (_, _, Some(height)) => Standing::Contradicted { height },
            _ => Standing::Pending,
        }
    }

    /// The proof without what leads to a block whose header has another Merkle root;
    /// nothing if that was all of it.
    pub fn without_contradicted(mut self, headers: &BlockHeaders) -> Option<Self> {
        self.timestamp.retain(&message(&self.digest), &|bytes, attestation| match attestation {
            Attestation::Bitcoin(height) => {
                headers.get(*height).is_none_or(|header| header.merkle_root().0 == *bytes)
            }
            _ => true,
        });
        (!self.timestamp.is_empty()).then_some(self)
    }

    /// The proof, if it is within the limits when it is read again.
    fn checked(self) -> Result<Self, ProofError> {
        Proof::parse(&self.to_bytes())
    }
}

fn message(digest: &Digest) -> Message {
    Message::Known(digest.0.to_vec())
}

/// What a calendar says of `message`.
fn read_answer(message: &[u8], answer: &[u8]) -> Result<Timestamp, ProofError> {
    if answer.len() > Proof::MAX_ANSWER_BYTES {
        return Err(ProofError::Size);
    }
    let mut reader = Reader::new(answer);
    let timestamp = Timestamp::read(&mut reader, &Message::Known(message.to_vec()))?;
    reader.end()?;
    Ok(timestamp)
}

/// Why bytes are no timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofError {
    /// It ends too early.
    Truncated,
    /// There is something behind its end.
    Trailing,
    /// It does not begin like a detached timestamp file.
    Magic,
    /// Its version is not 1.
    Version,
    /// It is of a digest other than SHA-256.
    FileHash,
    /// A number is too large, or not in its shortest spelling.
    Number,
    /// An operand, a message or a payload is too short or too long.
    Length,
    /// There is no operation of this tag.
    Operation(u8),
    /// A calendar's URI has other characters than the format allows.
    Uri,
    /// Too many operations follow one another.
    Depth,
    /// It is too long, or has too many operations.
    Size,
}

impl fmt::Display for ProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = match self {
            ProofError::Truncated => "it ends too early",
            ProofError::Trailing => "something follows its end",
            ProofError::Magic => "it does not begin like one",
            ProofError::Version => "its version is not 1",
            ProofError::FileHash => "it is not of a SHA-256 digest",
            ProofError::Number => "a number is too large, or not in its shortest spelling",
            ProofError::Length => "an operand, a message or a payload has a wrong length",
            ProofError::Operation(tag) => return write!(f, "no operation has the tag 0x{tag:02x}"),
            ProofError::Uri => "a calendar's URI has characters that it may not have",
            ProofError::Depth => "too many operations follow one another",
            ProofError::Size => "it is too long, or has too many operations",
        };
        f.write_str(problem)
    }
}

impl std::error::Error for ProofError {}
