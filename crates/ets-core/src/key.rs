//! Ed25519 keys and signatures (RFC 8032), verified strictly.
//!
//! Strict means: the signature is canonical, and neither the key nor `R` is one
//! of the small-order points, so every implementation of the rule answers
//! alike. Batch verification has another accept set and is never used.

mod known;
mod multiples;

use std::fmt;

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha512};
use uuid::Uuid;

pub use self::known::{Claim, KnownKeys};
use self::multiples::{Multiples, double_product};
use crate::hash::{
    Digest, HexError, LengthError, SPECIFICATION_VERSION, bytes_of, encode_bytes, from_hex, sha256, to_hex,
};

/// The name of the one signature algorithm, as registrations spell it.
pub const ALGORITHM: &str = "ed25519";

/// Whether `signature` is a strictly valid Ed25519 signature of `message` under
/// the 32 bytes `public_key`. A key that is no point, or weak, verifies nothing.
pub fn verify_strict(public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    VerifyingKey::from_bytes(public_key)
        .is_ok_and(|key| key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok())
}

/// What a new key signs to show that its holder takes over from an old one:
/// `SHA256( encode("ETS key possession") || encode("1.1") || encode(ledger_id) || encode(old key) || encode(new key) )`.
pub fn key_possession_hash(ledger_id: &Uuid, old: &[u8; 32], new: &[u8; 32]) -> Digest {
    let mut bytes = Vec::with_capacity(160);
    encode_bytes(&mut bytes, b"ETS key possession");
    encode_bytes(&mut bytes, SPECIFICATION_VERSION.as_bytes());
    encode_bytes(&mut bytes, ledger_id.hyphenated().to_string().as_bytes());
    encode_bytes(&mut bytes, old);
    encode_bytes(&mut bytes, new);
    sha256(&[&bytes])
}

/// `key_id` of any 32 public key bytes: their SHA-256.
pub fn key_id(public_key: &[u8; 32]) -> KeyId {
    KeyId(sha256(&[public_key]))
}

/// A public key that may be registered: a point in its canonical encoding that
/// is not of small order. Holds the decompressed point, so that verifying with
/// it costs no second decompression.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Reads 32 bytes.
    ///
    /// # Errors
    /// [`KeyError`] if they are no point, encode it in a second way, or the
    /// point has a small order (anybody can sign for such a key).
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::NotAPoint)?;
        if key.is_weak() {
            return Err(KeyError::Weak);
        }
        if key.to_edwards().compress().to_bytes() != *bytes {
            return Err(KeyError::NotCanonical);
        }
        Ok(PublicKey(key))
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The SHA-256 of the 32 bytes.
    pub fn key_id(&self) -> KeyId {
        key_id(self.as_bytes())
    }

    /// Whether `signature` is this key's over the 32 bytes of `hash`, strictly.
    pub fn verify(&self, hash: &Digest, signature: &Signature) -> bool {
        self.verify_message(hash.as_bytes(), signature)
    }

    /// Whether `signature` is this key's over `message`, strictly. Events are
    /// signed over a hash ([`PublicKey::verify`]); notes over their text.
    pub fn verify_message(&self, message: &[u8], signature: &Signature) -> bool {
        self.recompute_r(message, signature, None)
            .is_some_and(|point| signature.has_r(&point, &point.compress()))
    }

    /// `s · B − k · A`, which is `R` if the signature is valid (RFC 8032, section 5.1.7, without
    /// the cofactor); none if `s` is not reduced. `multiples` are those of [`PublicKey::multiples`].
    fn recompute_r(
        &self,
        message: &[u8],
        signature: &Signature,
        multiples: Option<&Multiples>,
    ) -> Option<EdwardsPoint> {
        let (r, s) = signature.halves();
        let s = Option::<Scalar>::from(Scalar::from_canonical_bytes(*s))?;
        let hash = Sha512::new().chain_update(r).chain_update(self.as_bytes()).chain_update(message);
        let k = Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
        Some(match multiples {
            Some(multiples) => double_product(&k, multiples, &s),
            None => EdwardsPoint::vartime_double_scalar_mul_basepoint(&k, &-self.0.to_edwards(), &s),
        })
    }

    /// The multiples of the negated key.
    fn multiples(&self) -> Multiples {
        Multiples::of(&-self.0.to_edwards())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(self.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why 32 bytes are no public key of a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyError {
    /// They encode no point of the curve.
    NotAPoint,
    /// They are a second encoding of a point.
    NotCanonical,
    /// The point has small order.
    Weak,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyError::NotAPoint => "not a point of the curve",
            KeyError::NotCanonical => "not the canonical encoding of its point",
            KeyError::Weak => "a point of small order",
        })
    }
}

impl std::error::Error for KeyError {}

/// The name of a key: SHA-256 of its 32 bytes; in text, lowercase hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(pub Digest);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::str::FromStr for KeyId {
    type Err = HexError;

    fn from_str(text: &str) -> Result<Self, HexError> {
        text.parse().map(KeyId)
    }
}

/// An Ed25519 signature: 64 bytes; in JSON, lowercase hex.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl Signature {
    /// `R` and `s` (RFC 8032, section 5.1.6), 32 bytes each.
    fn halves(&self) -> (&[u8; 32], &[u8; 32]) {
        let (halves, _) = self.0.as_chunks::<32>();
        (&halves[0], &halves[1])
    }

    /// Whether `point`, which `encoding` encodes, is `R`. The 32 bytes of `R` need not be
    /// decoded: what they are equal to is canonical. The order of `R` must not be small. So
    /// what is accepted is exactly what [`verify_strict`] accepts.
    fn has_r(&self, point: &EdwardsPoint, encoding: &CompressedEdwardsY) -> bool {
        encoding.as_bytes() == self.halves().0 && !point.is_small_order()
    }
}

impl TryFrom<&[u8]> for Signature {
    type Error = LengthError;

    fn try_from(bytes: &[u8]) -> Result<Self, LengthError> {
        bytes_of(bytes).map(Signature)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Signature {
    type Err = HexError;

    fn from_str(text: &str) -> Result<Self, HexError> {
        from_hex(text).map(Signature)
    }
}

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A secret key, wiped from memory when dropped.
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key of a 32-byte seed (RFC 8032, section 5.1.5).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        SecretKey(SigningKey::from_bytes(seed))
    }

    /// The 32-byte seed.
    pub fn seed(&self) -> zeroize::Zeroizing<[u8; 32]> {
        zeroize::Zeroizing::new(self.0.to_bytes())
    }

    /// The public half, 32 bytes.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs the 32 bytes of `hash`.
    pub fn sign(&self, hash: &Digest) -> Signature {
        self.sign_message(hash.as_bytes())
    }

    /// Signs `message`.
    pub fn sign_message(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey of {}", self.public_key())
    }
}
