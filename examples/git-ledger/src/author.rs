//! An author: a key that the server never sees, and the head of a stream.

use ets_core::canonical::{Limits, Payload};
use ets_core::hash::{Digest, event_hash, to_hex};
use ets_core::key::SecretKey;
use serde_json::{Value, json};

use crate::git::Commit;

/// Who signs, and after what.
pub struct Author {
    secret: SecretKey,
    head: Digest,
}

impl Author {
    /// An author with a new key, whose stream stands at `head`.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn new(head: Digest) -> Result<Self, String> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| format!("no randomness: {error}"))?;
        Ok(Author { secret: SecretKey::from_seed(&seed), head })
    }

    /// The 32 bytes to register.
    pub fn public_key(&self) -> [u8; 32] {
        *self.secret.public_key().as_bytes()
    }

    /// SHA-256 of the public key, in hex.
    pub fn key_id(&self) -> String {
        self.secret.public_key().key_id().to_string()
    }

    /// Signs `commit` as this author's next event: an element of what
    /// `ets.append_batch` takes.
    ///
    /// # Errors
    /// If the payload has no canonical form.
    pub fn sign(&mut self, commit: &Commit, schema: &str) -> Result<Value, String> {
        let payload = Payload::from_value(commit.payload.clone(), &Limits::CEILING)
            .map_err(|error| format!("commit {}: {error}", commit.id))?;
        let previous = self.head;
        self.head = event_hash(payload.canonical().as_bytes(), &previous);
        Ok(json!({
            "payload": commit.payload,
            "schema_version": schema,
            "public_key": to_hex(&self.public_key()),
            "previous_hash": previous.to_string(),
            "signature": self.secret.sign(&self.head).to_string(),
        }))
    }
}
