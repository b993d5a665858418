//! Cosignatures of witnesses (C2SP tlog-cosignature, `cosignature/v1`).
//!
//! A witness signs a checkpoint note only if its tree extends every one that the
//! witness signed before. So two people who see the same witness's cosignature
//! were not shown two histories.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64;

use crate::hash::{Digest, sha256, to_hex};
use crate::key::{PublicKey, Signature};
use crate::note::{Note, NoteError, NoteName};

/// The signature type of a timestamped Ed25519 cosignature (C2SP signed-note,
/// "Signature Types").
const COSIGNATURE_V1: u8 = 0x04;
/// A cosignature behind the key hash: `uint64(time) || Ed25519 signature`.
const COSIGNATURE_BYTES: usize = 8 + 64;

/// The key of a witness, with its name. As text:
/// `<name>+<key hash in hex>+<base64 of 0x04 || public key>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessKey {
    /// The name that its signature lines give.
    pub name: NoteName,
    /// The Ed25519 key.
    pub public_key: PublicKey,
}

impl WitnessKey {
    /// The time at which the witness cosigned `note`, in seconds since 1970. Only
    /// the witness vouches for it. Of several, the earliest.
    ///
    /// # Errors
    /// [`NoteError::NotSigned`] if no signature line names the key,
    /// [`NoteError::Signature`] if one that does is not valid.
    pub fn verify(&self, note: &Note) -> Result<u64, NoteError> {
        let mut earliest: Option<u64> = None;
        for (name, bytes) in note.signatures() {
            let Some((hash, rest)) = bytes.split_first_chunk::<4>() else { continue };
            if *name != self.name || *hash != self.hash() {
                continue;
            }
            let time = self.verify_line(note.text(), rest).ok_or(NoteError::Signature)?;
            earliest = Some(earliest.map_or(time, |other| other.min(time)));
        }
        earliest.ok_or(NoteError::NotSigned)
    }

    /// `note` with this witness's cosignature out of `lines`, what it answered to the note,
    /// and the time of it. Lines of other keys are left out (C2SP tlog-witness: the client
    /// ignores them).
    ///
    /// # Errors
    /// [`NoteError::Note`] if they are no signature lines, else as [`WitnessKey::verify`].
    pub fn add_cosignature(&self, note: &Note, lines: &str) -> Result<(Note, u64), NoteError> {
        let mut answered = note.with_lines(lines)?;
        let before = note.signatures().count();
        let mut place = 0;
        let mut has_one = false;
        answered.retain(|name, bytes| {
            place += 1;
            let is_ours = *name == self.name && bytes.starts_with(&self.hash());
            place <= before && !is_ours || place > before && is_ours && !std::mem::replace(&mut has_one, true)
        });
        let time = self.verify(&answered)?;
        Ok((answered, time))
    }

    /// The first four bytes of the key's hash, which signatures carry:
    /// `SHA256( name || 0x0A || 0x04 || public key )`.
    pub fn hash(&self) -> [u8; 4] {
        let parts = [self.name.as_str().as_bytes(), b"\n", &[COSIGNATURE_V1], self.public_key.as_bytes()];
        let [a, b, c, d, ..] = sha256(&parts).0;
        [a, b, c, d]
    }

    /// The time of a cosignature over `text`, if it is valid.
    fn verify_line(&self, text: &str, bytes: &[u8]) -> Option<u64> {
        if bytes.len() != COSIGNATURE_BYTES {
            return None;
        }
        let (time, signature) = bytes.split_first_chunk::<8>()?;
        let time = u64::from_be_bytes(*time);
        let signature = Signature::try_from(signature).ok()?;
        // tlog-cosignature, "Format": the header lines, then the note's text.
        let message = format!("cosignature/v1\ntime {time}\n{text}");
        self.public_key.verify_message(message.as_bytes(), &signature).then_some(time)
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[COSIGNATURE_V1], self.public_key.as_bytes().as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, to_hex(&self.hash()), BASE64.encode(&key))
    }
}

impl FromStr for WitnessKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        // A name has no `+`; base64 may.
        let (name, rest) = text.split_once('+').ok_or(NoteError::Key)?;
        let (_, base64) = rest.split_once('+').ok_or(NoteError::Key)?;
        let bytes = BASE64.decode(base64.as_bytes()).map_err(|_| NoteError::Key)?;
        let [COSIGNATURE_V1, key @ ..] = bytes.as_slice() else { return Err(NoteError::Key) };
        let key = key.try_into().map_err(|_| NoteError::Key)?;
        let public_key = PublicKey::from_bytes(key).map_err(|_| NoteError::Key)?;
        let parsed = WitnessKey { name: name.parse()?, public_key };
        // Compares the key hash too.
        if parsed.to_string() == text { Ok(parsed) } else { Err(NoteError::Key) }
    }
}

/// The body of a request `add-checkpoint` (C2SP tlog-witness): `old_size` is how many
/// leaves the witness knows, `proof` the consistency proof from there to the note's size;
/// it is empty if the witness knows none, or as many as the note says.
pub fn add_checkpoint_request(old_size: u64, proof: &[Digest], note: &Note) -> String {
    let lines: String = proof.iter().map(|hash| BASE64.encode(hash.as_bytes()) + "\n").collect();
    format!("old {old_size}\n{lines}\n{note}")
}

/// Whether at least `quorum` of `witnesses` cosigned `note`; the latest time of
/// the `quorum` earliest cosignatures, in seconds since 1970. Witnesses with one
/// and the same key count once.
///
/// # Errors
/// [`QuorumError`]: too few did, or `quorum` is 0 or more than there are keys.
pub fn quorum(note: &Note, witnesses: &[WitnessKey], quorum: usize) -> Result<u64, QuorumError> {
    let mut distinct: Vec<&WitnessKey> = Vec::new();
    for witness in witnesses {
        if distinct.iter().all(|other| other.public_key.as_bytes() != witness.public_key.as_bytes()) {
            distinct.push(witness);
        }
    }
    let mut times: Vec<u64> = distinct.iter().filter_map(|witness| witness.verify(note).ok()).collect();
    times.sort_unstable();
    let missed = QuorumError { valid: times.len(), quorum, witnesses: distinct.len() };
    quorum.checked_sub(1).and_then(|last| times.get(last)).copied().ok_or(missed)
}

/// Too few witnesses cosigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuorumError {
    /// How many valid cosignatures there are.
    pub valid: usize,
    /// How many were asked for.
    pub quorum: usize,
    /// How many distinct keys there are.
    pub witnesses: usize,
}

impl fmt::Display for QuorumError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let QuorumError { valid, quorum, witnesses } = self;
        write!(f, "{valid} of {witnesses} witnesses cosigned, where {quorum} must")
    }
}

impl std::error::Error for QuorumError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SecretKey;

    const TEXT: &str = "acme.example/prod/orders\n15\nJdSXaPO3URGpj2IcbV\n";

    fn key(seed: u8) -> (SecretKey, WitnessKey) {
        let secret = SecretKey::from_seed(&[seed; 32]);
        let name = format!("witness.example/{seed}").parse().unwrap();
        let key = WitnessKey { name, public_key: secret.public_key() };
        (secret, key)
    }

    /// The signature line, built from the words of tlog-cosignature.
    fn line(secret: &SecretKey, key: &WitnessKey, time: u64, text: &str) -> String {
        let message = format!("cosignature/v1\ntime {time}\n{text}");
        let mut bytes = key.hash().to_vec();
        bytes.extend(time.to_be_bytes());
        bytes.extend(secret.sign_message(message.as_bytes()).0);
        format!("— {} {}\n", key.name, BASE64.encode(&bytes))
    }

    fn note(lines: &[String]) -> Note {
        format!("{TEXT}\n{}", lines.concat()).parse().unwrap()
    }

    #[test]
    fn a_cosignature_is_of_this_text_this_time_and_this_key() {
        let ((secret, witness), (other_secret, other)) = (key(1), key(2));
        let good = line(&secret, &witness, 1_700_000_000, TEXT);
        assert_eq!(witness.verify(&note(std::slice::from_ref(&good))), Ok(1_700_000_000));
        assert_eq!(other.verify(&note(&[good])), Err(NoteError::NotSigned));
        let fork = line(&secret, &witness, 1_700_000_000, &TEXT.replace("15", "16"));
        assert_eq!(witness.verify(&note(&[fork])), Err(NoteError::Signature));
        let forged = line(&other_secret, &witness, 1_700_000_000, TEXT);
        assert_eq!(witness.verify(&note(&[forged])), Err(NoteError::Signature));
    }

    #[test]
    fn a_cosignature_of_another_length_or_time_is_not_valid() {
        let (secret, witness) = key(1);
        let good = line(&secret, &witness, 7, TEXT);
        let base64 = good.trim_end().rsplit_once(' ').unwrap().1;
        let bytes = BASE64.decode(base64.as_bytes()).unwrap();
        let with = |bytes: &[u8]| note(&[format!("— {} {}\n", witness.name, BASE64.encode(bytes))]);
        assert_eq!(witness.verify(&with(&bytes)), Ok(7));
        let mut later = bytes.clone();
        later[11] += 1;
        assert_eq!(witness.verify(&with(&later)), Err(NoteError::Signature));
        for length in [5, 11, 12, 75] {
            assert_eq!(witness.verify(&with(&bytes[..length])), Err(NoteError::Signature), "{length}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(witness.verify(&with(&longer)), Err(NoteError::Signature));
    }

    #[test]
    fn a_request_is_spelled_as_the_specification_has_it() {
        let (secret, witness) = key(1);
        let note = note(&[line(&secret, &witness, 7, TEXT)]);
        assert_eq!(add_checkpoint_request(0, &[], &note), format!("old 0\n\n{note}"));
        let proof = [Digest([0; 32]), Digest([255; 32])];
        let (zeros, ones) = ("A".repeat(43) + "=", "/".repeat(42) + "8=");
        assert_eq!(add_checkpoint_request(14, &proof, &note), format!("old 14\n{zeros}\n{ones}\n\n{note}"));
    }

    #[test]
    fn a_quorum_counts_each_key_once() {
        let ((s1, w1), (s2, w2), (_, w3)) = (key(1), key(2), key(3));
        let signed = note(&[line(&s1, &w1, 20, TEXT), line(&s2, &w2, 10, TEXT)]);
        let all = [w1.clone(), w2.clone(), w3.clone()];
        assert_eq!(quorum(&signed, &all, 1), Ok(10));
        assert_eq!(quorum(&signed, &all, 2), Ok(20));
        assert_eq!(quorum(&signed, &all, 3), Err(QuorumError { valid: 2, quorum: 3, witnesses: 3 }));
        assert!(quorum(&signed, &all, 0).is_err());
        let renamed = WitnessKey { name: "another.example".parse().unwrap(), ..w1.clone() };
        let twice = note(&[line(&s1, &w1, 20, TEXT), line(&s1, &renamed, 20, TEXT)]);
        let error = QuorumError { valid: 1, quorum: 2, witnesses: 1 };
        assert_eq!(quorum(&twice, &[w1, renamed], 2), Err(error));
    }

    #[test]
    fn a_key_is_read_as_it_is_written() {
        let (_, witness) = key(1);
        let text = witness.to_string();
        assert_eq!(text.parse(), Ok(witness));
        for bad in ["", "a", "a+b", &text.replace("+", ""), &text.replacen("/1", "/2", 1)] {
            assert!(bad.parse::<WitnessKey>().is_err(), "{bad}");
        }
        // The key of a log is not a witness's.
        let log = crate::note::VerifierKey {
            name: "witness.example/1".parse().unwrap(),
            public_key: SecretKey::from_seed(&[1; 32]).public_key(),
        };
        assert_eq!(log.to_string().parse::<WitnessKey>(), Err(NoteError::Key));
    }
}
