//! SHA-256 and every byte string that the ledger hashes.
//!
//! `encode(x)` (specification, section 4): strings and byte arrays as a 4-byte
//! unsigned big-endian length followed by the bytes; numbers fixed-width
//! big-endian.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::name::{DomainName, StreamName};

/// The version of the specification, part of genesis hashes and MetaRoots.
pub const SPECIFICATION_VERSION: &str = "1.1";

/// `SHA256("")`, the root of a Merkle tree without leaves (RFC 6962, section 2.1).
pub const EMPTY_ROOT: Digest = Digest([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
    0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

/// `current_hash = SHA256( JCS(payload) || previous_hash )`.
///
/// `canonical_payload` is the RFC 8785 text of the payload; `previous_hash` goes
/// in as 32 raw bytes.
pub fn event_hash(canonical_payload: &[u8], previous_hash: &Digest) -> Digest {
    sha256(&[canonical_payload, &previous_hash.0])
}

/// The `previous_hash` of a stream's first event:
/// `SHA256( encode("ETS genesis") || encode("1.1") || encode(ledger_id) || encode(domain) || encode(stream) )`,
/// with the ledger id as lowercase hyphenated UUID text.
pub fn genesis_hash(ledger_id: &Uuid, domain: &DomainName, stream: &StreamName) -> Digest {
    let mut bytes = Vec::with_capacity(96 + domain.as_str().len() + stream.as_str().len());
    encode_bytes(&mut bytes, b"ETS genesis");
    encode_bytes(&mut bytes, SPECIFICATION_VERSION.as_bytes());
    encode_bytes(&mut bytes, ledger_id.hyphenated().to_string().as_bytes());
    encode_bytes(&mut bytes, domain.as_str().as_bytes());
    encode_bytes(&mut bytes, stream.as_str().as_bytes());
    sha256(&[&bytes])
}

/// `SHA256( 0x00 || data )`, the hash of a leaf (RFC 6962, section 2.1). For an
/// event, `data` is the JCS text of its header.
pub fn leaf_hash(data: &[u8]) -> Digest {
    sha256(&[&[0x00], data])
}

/// `SHA256( 0x01 || left || right )`, the hash of a node (RFC 6962, section 2.1).
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut bytes = [0x01; 65];
    bytes[1..33].copy_from_slice(&left.0);
    bytes[33..].copy_from_slice(&right.0);
    Digest(Sha256::digest(bytes).into())
}

/// SHA-256 of the concatenation of `parts`.
pub fn sha256(parts: &[&[u8]]) -> Digest {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    Digest(hasher.finalize().into())
}

/// `encode` of a string or byte array.
///
/// Everything encoded here is limited far below 4 GiB by its own type; a longer
/// input would saturate its length, which no honest encoding can contain.
pub fn encode_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    encode_u32(out, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(bytes);
}

/// `encode` of a count: 4 bytes, big-endian.
pub fn encode_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// `encode` of a counter or size: 8 bytes, big-endian.
pub fn encode_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// A SHA-256 hash: 32 bytes; in JSON and text, 64 lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Digest(bytes)
    }
}

impl TryFrom<&[u8]> for Digest {
    type Error = LengthError;

    fn try_from(bytes: &[u8]) -> Result<Self, LengthError> {
        bytes_of(bytes).map(Digest)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = HexError;

    fn from_str(text: &str) -> Result<Self, HexError> {
        from_hex(text).map(Digest)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A byte string of another length than its type has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LengthError {
    /// The length that the type has, in bytes.
    pub expected: usize,
    /// The length that was given, in bytes.
    pub actual: usize,
}

impl fmt::Display for LengthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes where {} are needed", self.actual, self.expected)
    }
}

impl std::error::Error for LengthError {}

/// Text that is not exactly the lowercase hexadecimal form of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HexError {
    /// The number of digits that the value has.
    pub digits: usize,
}

impl fmt::Display for HexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not {} lowercase hexadecimal digits", self.digits)
    }
}

impl std::error::Error for HexError {}

/// `bytes` as an array of exactly `N`.
///
/// # Errors
/// [`LengthError`] if there are more or fewer.
pub fn bytes_of<const N: usize>(bytes: &[u8]) -> Result<[u8; N], LengthError> {
    bytes.try_into().map_err(|_| LengthError { expected: N, actual: bytes.len() })
}

/// Lowercase hexadecimal text of `bytes`.
pub fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    write_hex(&mut text, bytes);
    text
}

/// Appends bytes in lowercase hexadecimal.
pub fn write_hex(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    const AT_ONCE: usize = 64;
    let mut digits = [0; 2 * AT_ONCE];
    for bytes in bytes.chunks(AT_ONCE) {
        let (pairs, _) = digits.as_chunks_mut::<2>();
        for (pair, byte) in pairs.iter_mut().zip(bytes) {
            *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
        }
        let digits = digits.get(..2 * bytes.len()).unwrap_or_default();
        out.push_str(std::str::from_utf8(digits).unwrap_or_default());
    }
}

/// The `N` bytes that `text` denotes in lowercase hexadecimal; no other spelling
/// is accepted, so that a value has one text only.
///
/// # Errors
/// [`HexError`] for any other text.
pub fn from_hex<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    let error = HexError { digits: N * 2 };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return Err(error);
    }
    let mut bytes = [0; N];
    let mut seen = 0;
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let (high, low) = (DIGITS[usize::from(*high)], DIGITS[usize::from(*low)]);
        seen |= high | low;
        *byte = high << 4 | low & 15;
    }
    if seen < NO_DIGIT { Ok(bytes) } else { Err(error) }
}

/// What no digit is worth: more than any.
const NO_DIGIT: u8 = 16;

/// What each character is worth.
const DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let mut value = 0;
    while value < NO_DIGIT {
        digits[b"0123456789abcdef"[value as usize] as usize] = value;
        value += 1;
    }
    digits
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_root_is_the_hash_of_nothing() {
        assert_eq!(sha256(&[]), EMPTY_ROOT);
    }

    #[test]
    fn hex_has_one_spelling() {
        let digest = sha256(&[b"abc"]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        for bad in [
            digest.to_string().to_uppercase(),
            digest.to_string() + "00",
            "zz".repeat(32),
            String::new(),
            "é".repeat(32),
        ] {
            assert_eq!(bad.parse::<Digest>(), Err(HexError { digits: 64 }));
        }
    }
}
