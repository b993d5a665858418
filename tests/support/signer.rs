//! The actor's side: keys that the server never sees.

use ets_core::canonical::{Limits, Payload};
use ets_core::hash::{Digest, event_hash};
use ets_core::key::SecretKey;
use serde_json::Value;

/// A key held by a client.
pub struct Signer(SecretKey);

impl Signer {
    /// The key of a seed of 32 equal bytes: the same in every run.
    pub fn new(seed: u8) -> Self {
        Signer(SecretKey::from_seed(&[seed; 32]))
    }

    /// The 32 bytes of the public key.
    pub fn public_key(&self) -> Vec<u8> {
        self.0.public_key().as_bytes().to_vec()
    }

    /// SHA-256 of the public key, in hex.
    pub fn key_id(&self) -> String {
        self.0.public_key().key_id().to_string()
    }

    /// The signature of an event: over the hash of `payload` after `previous`.
    pub fn sign(&self, payload: &Value, previous: &[u8]) -> Vec<u8> {
        self.sign_hash(&hash_of(payload, previous))
    }

    /// The signature of `hash`.
    pub fn sign_hash(&self, hash: &Digest) -> Vec<u8> {
        self.0.sign(hash).0.to_vec()
    }
}

/// The canonical text of `payload`.
pub fn canonical(payload: &Value) -> String {
    let payload =
        Payload::from_value(payload.clone(), &Limits::CEILING).expect("tests sign canonical payloads");
    payload.canonical().to_owned()
}

/// `current_hash` of `payload` after `previous`.
pub fn hash_of(payload: &Value, previous: &[u8]) -> Digest {
    event_hash(canonical(payload).as_bytes(), &digest(previous))
}

/// 32 bytes as a hash.
pub fn digest(bytes: &[u8]) -> Digest {
    Digest::try_from(bytes).expect("a hash has 32 bytes")
}
