//! What a log serves beside checkpoint notes and tiles, so that clients of the
//! C2SP transparency-log specifications can read a domain: entry bundles
//! (tlog-tiles, "Log entries") and proofs as text (tlog-proof).
//!
//! The log of a domain has the domain's events for entries. An entry is
//! [`Header::to_jcs`](crate::event::Header::to_jcs), the data under the event's
//! leaf hash; it holds no payload.

use std::fmt;

use data_encoding::BASE64;

use crate::hash::Digest;

/// The entries of a bundle, each after its length:
/// `uint16( length in bytes ) || entry`, big-endian (C2SP tlog-tiles, "Log
/// entries").
///
/// # Errors
/// [`EntryTooLong`] for an entry of more than 65,535 bytes. No header has as
/// many: its members are bounded by their types, and together have less than
/// 2,000.
pub fn entry_bundle<E: AsRef<[u8]>>(entries: &[E]) -> Result<Vec<u8>, EntryTooLong> {
    let bytes: usize = entries.iter().map(|entry| 2 + entry.as_ref().len()).sum();
    let mut bundle = Vec::with_capacity(bytes);
    for entry in entries.iter().map(AsRef::as_ref) {
        let length = u16::try_from(entry.len()).map_err(|_| EntryTooLong { bytes: entry.len() })?;
        bundle.extend(length.to_be_bytes());
        bundle.extend(entry);
    }
    Ok(bundle)
}

/// An entry that no bundle can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryTooLong {
    /// How many bytes it has.
    pub bytes: usize,
}

impl fmt::Display for EntryTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an entry of {} bytes, where an entry bundle takes {} at most", self.bytes, u16::MAX)
    }
}

impl std::error::Error for EntryTooLong {}

/// A proof that a log holds an entry, as text (C2SP tlog-proof):
///
/// ```text
/// c2sp.org/tlog-proof@v1
/// index 7                          the leaf's place, from 0
/// gSKyXoYZUgZ6jduWYrkDOARinOMG…    base64 of each hash of the inclusion proof,
/// B95lDa8R83lS8n0eG+o0buTxRKQT…    from the leaf's sibling to the root's child
///
/// acme.example/prod/decisions      the checkpoint note as it is
/// …
/// ```
///
/// The optional line `extra` is never written: the entry is the header of the
/// event document, which whoever asks for a proof has.
#[derive(Debug, Clone, Copy)]
pub struct TlogProof<'a> {
    /// The leaf's place, from 0.
    pub leaf_index: u64,
    /// The inclusion proof in the tree of the note's size, the leaf's sibling first.
    pub path: &'a [Digest],
    /// The signed checkpoint note, with its final line feed.
    pub note: &'a str,
}

/// The first line of a proof.
const TLOG_PROOF: &str = "c2sp.org/tlog-proof@v1\n";
/// The most hashes that a proof can have: a tree has fewer than 2^64 leaves.
const MAX_PATH: usize = 64;

impl<'a> TlogProof<'a> {
    /// Whether a text says that it is such a proof.
    pub fn is_named_by(text: &str) -> bool {
        text.starts_with(TLOG_PROOF)
    }

    /// Reads a proof strictly: written again it is the same text. `path` takes the hashes.
    ///
    /// # Errors
    /// [`NotATlogProof`]; also for one with a line `extra`, of which nothing could be checked.
    pub fn parse(text: &'a str, path: &'a mut Vec<Digest>) -> Result<Self, NotATlogProof> {
        let rest = text.strip_prefix(TLOG_PROOF).ok_or(NotATlogProof)?;
        let (head, note) = rest.split_once("\n\n").ok_or(NotATlogProof)?;
        let mut lines = head.split('\n');
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).ok_or(NotATlogProof)?;
        let leaf_index = index.parse().map_err(|_| NotATlogProof)?;
        path.clear();
        for line in lines {
            let hash = BASE64.decode(line.as_bytes()).map_err(|_| NotATlogProof)?;
            path.push(Digest::try_from(hash.as_slice()).map_err(|_| NotATlogProof)?);
            if path.len() > MAX_PATH {
                return Err(NotATlogProof);
            }
        }
        let proof = TlogProof { leaf_index, path, note };
        if proof.to_string() == text { Ok(proof) } else { Err(NotATlogProof) }
    }
}

/// A text that is no tlog-proof of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotATlogProof;

impl fmt::Display for NotATlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a tlog-proof: c2sp.org/tlog-proof@v1, the index, hashes in base64, an empty line, a signed note")
    }
}

impl std::error::Error for NotATlogProof {}

impl fmt::Display for TlogProof<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{TLOG_PROOF}index {}", self.leaf_index)?;
        for hash in self.path {
            writeln!(f, "{}", BASE64.encode(hash.as_bytes()))?;
        }
        write!(f, "\n{}", self.note)
    }
}
