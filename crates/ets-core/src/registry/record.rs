//! What the registry knows of each thing, and from which version to which.

use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use super::compiled::{CompileError, CompiledSchema};
use crate::canonical;
use crate::hash::{Digest, sha256};
use crate::key::KeyId;
use crate::name::{DomainName, Origin, SchemaVersion, StreamName};
use crate::time::Timestamp;

/// What the first event says of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    /// The ledger.
    pub ledger_id: Uuid,
    /// Its name to the world.
    pub origin: Origin,
    /// The key that signed the first event.
    pub root_public_key: [u8; 32],
    /// The server's first key; may be the root key (local authority).
    pub server_public_key: [u8; 32],
}

/// A domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainRecord {
    /// Its name.
    pub domain: DomainName,
    /// What it holds.
    pub description: Option<String>,
    /// Whether the state of each stream is kept.
    pub keep_state: bool,
    /// The registry version that created it; 1 for the reserved ones.
    pub registered_at: u64,
}

/// Who holds the secret half of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Custody {
    /// The owner.
    Actor,
    /// The server.
    Server,
}

impl Custody {
    /// `actor` or `server`.
    pub fn as_str(self) -> &'static str {
        match self {
            Custody::Actor => "actor",
            Custody::Server => "server",
        }
    }
}

/// A public key and its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// SHA-256 of the public key.
    pub key_id: KeyId,
    /// The 32 bytes.
    pub public_key: [u8; 32],
    /// Whose it is.
    pub owner: String,
    /// Who holds the secret half.
    pub custody: Custody,
    /// The first moment at which it is valid.
    pub not_before: Option<Timestamp>,
    /// The last moment at which it is valid.
    pub not_after: Option<Timestamp>,
    /// The registry version that registered it.
    pub registered_at: u64,
    /// The time of that event.
    pub registered_on: Timestamp,
    /// The registry version at which another key took over.
    pub superseded_at: Option<u64>,
    /// The key that took over.
    pub superseded_by: Option<KeyId>,
    /// The registry version that revoked it, or a key that it was rotated out of.
    pub revoked_at: Option<u64>,
    /// The key that signed its takeover from itself: if that is revoked, so is this.
    pub rotated_from: Option<KeyId>,
    /// The moment from which it may have been in other hands.
    pub compromised_since: Option<Timestamp>,
    /// The registry version that said so.
    pub compromised_at: Option<u64>,
}

impl KeyRecord {
    /// The registry version at which its life ended, by takeover or revocation.
    pub fn ended_at(&self) -> Option<u64> {
        match (self.superseded_at, self.revoked_at) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        }
    }

    /// Whether it is registered, not superseded and not revoked at a registry version.
    pub fn is_live_at(&self, version: u64) -> bool {
        self.registered_at <= version && self.ended_at().is_none_or(|ended| version < ended)
    }
}

/// A schema version: what its events must be, and where they go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaRecord {
    /// Its name.
    pub name: SchemaVersion,
    /// The domain of its events.
    pub domain: DomainName,
    /// The JSON Schema.
    pub schema: Arc<Value>,
    /// RFC 6901 pointer to the string that names the stream; `main` without one.
    pub stream_pointer: Option<String>,
    /// RFC 6901 pointer to the string that must be the schema's own name.
    pub schema_pointer: Option<String>,
    /// The business rules, an array.
    pub rules: Value,
    /// How an event changes its stream's state: what [`crate::state::Reducer::compile`] reads.
    pub reducer: String,
    /// Dialect and profiles that schema, rules and reducer are evaluated with, as
    /// [`super::engine_for`] says.
    pub engine: String,
    /// SHA-256 of schema, rules, reducer and engine: what a cache of compiled
    /// schemas is keyed by.
    pub body_hash: Digest,
    /// SQL functions that are rules too, in the order of their registration.
    pub rule_functions: Vec<RuleFunction>,
    /// The registry version that registered it.
    pub registered_at: u64,
    /// The registry version that retired it: no new events from then on.
    pub retired_at: Option<u64>,
}

/// An SQL function that is a rule of a schema version. Only the database that has
/// it can evaluate it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFunction {
    /// Its name, schema-qualified, with its argument types.
    pub function: String,
    /// SHA-256 of its source, without which it is not called.
    pub prosrc_sha256: Digest,
    /// The registry version from which events have to satisfy it.
    pub registered_at: u64,
}

impl SchemaRecord {
    /// `SHA256( JCS({"engine":…,"reducer":…,"rules":…,"schema":…}) )`.
    pub fn body_hash_of(schema: &Value, rules: &Value, reducer: &str, engine: &str) -> Digest {
        let mut text = String::from("{\"engine\":");
        canonical::write_string(&mut text, engine);
        text.push_str(",\"reducer\":");
        canonical::write_string(&mut text, reducer);
        text.push_str(",\"rules\":");
        canonical::write_jcs(&mut text, rules);
        text.push_str(",\"schema\":");
        canonical::write_jcs(&mut text, schema);
        text.push('}');
        sha256(&[text.as_bytes()])
    }

    /// The SQL functions that an event judged at a registry version has to satisfy.
    pub fn rule_functions_at(&self, version: u64) -> impl Iterator<Item = &RuleFunction> {
        self.rule_functions.iter().filter(move |function| function.registered_at <= version)
    }

    /// Whether it says the same as `other`, whatever became of them since.
    pub fn has_same_body(&self, other: &SchemaRecord) -> bool {
        self.domain == other.domain
            && self.stream_pointer == other.stream_pointer
            && self.schema_pointer == other.schema_pointer
            && self.body_hash == other.body_hash
    }

    /// The stream that an event of this payload belongs to.
    ///
    /// # Errors
    /// [`RouteError`] if the pointer leads to no string, or to no stream name.
    pub fn stream_of(&self, payload: &Value) -> Result<StreamName, RouteError> {
        let Some(pointer) = &self.stream_pointer else { return Ok(StreamName::main()) };
        match payload.pointer(pointer) {
            Some(Value::String(text)) => {
                text.parse().map_err(|_| RouteError::NotAStream { pointer: pointer.clone() })
            }
            _ => Err(RouteError::NoStream { pointer: pointer.clone() }),
        }
    }

    /// Checks that the payload names this schema version, where it has to.
    ///
    /// # Errors
    /// [`RouteError`] if the pointer leads to no string, or to another name.
    pub fn check_pointer(&self, payload: &Value) -> Result<(), RouteError> {
        let Some(pointer) = &self.schema_pointer else { return Ok(()) };
        match payload.pointer(pointer) {
            Some(Value::String(text)) if text == self.name.as_str() => Ok(()),
            Some(Value::String(_)) => {
                Err(RouteError::OtherSchema { pointer: pointer.clone(), expected: self.name.clone() })
            }
            _ => Err(RouteError::NoSchema { pointer: pointer.clone(), expected: self.name.clone() }),
        }
    }

    /// Compiles schema, rules and reducer.
    ///
    /// # Errors
    /// [`CompileError`]; of a schema that a registry of this version has
    /// accepted, never.
    pub fn compile(&self) -> Result<CompiledSchema, CompileError> {
        CompiledSchema::of(self)
    }
}

/// Why a payload does not say where it belongs (ET007).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteError {
    /// The `stream_pointer` leads to no string.
    NoStream {
        /// The pointer.
        pointer: String,
    },
    /// The `stream_pointer` leads to a string that is no stream name.
    NotAStream {
        /// The pointer.
        pointer: String,
    },
    /// The `schema_pointer` leads to no string.
    NoSchema {
        /// The pointer.
        pointer: String,
        /// What should be there.
        expected: SchemaVersion,
    },
    /// The `schema_pointer` leads to another string.
    OtherSchema {
        /// The pointer.
        pointer: String,
        /// What should be there.
        expected: SchemaVersion,
    },
}

impl RouteError {
    /// The pointer into the payload.
    pub fn pointer(&self) -> &str {
        match self {
            RouteError::NoStream { pointer }
            | RouteError::NotAStream { pointer }
            | RouteError::NoSchema { pointer, .. }
            | RouteError::OtherSchema { pointer, .. } => pointer,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            RouteError::NoStream { .. } => "put the name of the stream there, as a string",
            RouteError::NotAStream { .. } => {
                "a stream is 1 to 255 bytes of UTF-8 without control characters and *"
            }
            RouteError::NoSchema { .. } | RouteError::OtherSchema { .. } => {
                "put the schema version there that the event is appended under"
            }
        }
    }
}

impl std::fmt::Display for RouteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RouteError::NoStream { pointer } => write!(f, "the payload names no stream at {pointer:?}"),
            RouteError::NotAStream { pointer } => {
                write!(f, "the payload's string at {pointer:?} is no valid stream")
            }
            RouteError::NoSchema { pointer, expected } => {
                write!(f, "the payload does not name its schema version {expected} at {pointer:?}")
            }
            RouteError::OtherSchema { pointer, expected } => {
                write!(f, "the payload names another schema version than {expected} at {pointer:?}")
            }
        }
    }
}

impl std::error::Error for RouteError {}
