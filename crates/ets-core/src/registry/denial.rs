//! Why a key may not append an event.

use std::fmt;

use serde_json::{Value, json};

use super::error::merge;
use crate::key::KeyId;
use crate::name::{DomainName, SchemaVersion, StreamName};
use crate::time::Timestamp;

/// Why a key may not append an event (ET004).
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // The members say what they are: the key, and what it met.
pub enum Denial {
    /// No such key is registered.
    UnknownKey { key_id: KeyId },
    /// The key of this id is another public key.
    OtherPublicKey { key_id: KeyId },
    /// The key was registered later than the version that the event is judged at.
    NotYetRegistered { key_id: KeyId, registered_at: u64 },
    /// Revoked, itself or with a key that it was rotated out of.
    Revoked { key_id: KeyId, revoked_at: u64 },
    /// Another key took over.
    Superseded { key_id: KeyId, superseded_at: u64, superseded_by: Option<KeyId> },
    /// The event is before the key's first moment.
    NotYetValid { key_id: KeyId, not_before: Timestamp },
    /// The event is after the key's last moment.
    Expired { key_id: KeyId, not_after: Timestamp },
    /// No live grant covers domain, schema and stream.
    NoGrant { key_id: KeyId, domain: DomainName, schema_version: SchemaVersion, stream: StreamName },
    /// Only root signs this kind of registry event.
    NotRoot { key_id: KeyId, schema_version: SchemaVersion },
    /// The key's grants over `ets.registry` do not reach this domain.
    OutsideScope { key_id: KeyId, schema_version: SchemaVersion, domain: DomainName },
    /// Only the server's key makes statements in `ets.audit`.
    NotServerKey { key_id: KeyId },
    /// A rotation is signed by the key that it replaces.
    NotItself { key_id: KeyId, replaced: KeyId },
}

impl Denial {
    /// A word for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Denial::UnknownKey { .. } => "unknown_key",
            Denial::OtherPublicKey { .. } => "other_public_key",
            Denial::NotYetRegistered { .. } => "not_yet_registered",
            Denial::Revoked { .. } => "revoked",
            Denial::Superseded { .. } => "superseded",
            Denial::NotYetValid { .. } => "not_yet_valid",
            Denial::Expired { .. } => "expired",
            Denial::NoGrant { .. } => "no_grant",
            Denial::NotRoot { .. } => "not_root",
            Denial::OutsideScope { .. } => "outside_scope",
            Denial::NotServerKey { .. } => "not_server_key",
            Denial::NotItself { .. } => "not_itself",
        }
    }

    /// The key that was refused.
    pub fn key_id(&self) -> &KeyId {
        match self {
            Denial::UnknownKey { key_id }
            | Denial::OtherPublicKey { key_id }
            | Denial::NotYetRegistered { key_id, .. }
            | Denial::Revoked { key_id, .. }
            | Denial::Superseded { key_id, .. }
            | Denial::NotYetValid { key_id, .. }
            | Denial::Expired { key_id, .. }
            | Denial::NoGrant { key_id, .. }
            | Denial::NotRoot { key_id, .. }
            | Denial::OutsideScope { key_id, .. }
            | Denial::NotServerKey { key_id }
            | Denial::NotItself { key_id, .. } => key_id,
        }
    }

    /// `ET004`.
    pub fn sqlstate(&self) -> &'static str {
        "ET004"
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Denial::UnknownKey { .. } | Denial::NotYetRegistered { .. } => {
                "register the key with ets.register_key and grant it authority with ets.grant_authority"
            }
            Denial::OtherPublicKey { .. } => "a key id is the SHA-256 of the 32 public key bytes",
            Denial::Revoked { .. } => "revocation is final; register another key",
            Denial::Superseded { .. } => "sign with the key that took over",
            Denial::NotYetValid { .. } | Denial::Expired { .. } => "sign with a key that is valid now",
            Denial::NoGrant { .. } => "grant it with ets.grant_authority",
            Denial::NotRoot { .. } => "sign with a live key that has a grant over ets.registry with * and *",
            Denial::OutsideScope { .. } => {
                "sign with a key whose grant over ets.registry covers this kind of event and the domain"
            }
            Denial::NotServerKey { .. } => "statements in ets.audit are made by the server itself",
            Denial::NotItself { .. } => "a key is rotated by an event that it signs itself",
        }
    }

    /// A JSON object for programs.
    pub fn detail(&self) -> Value {
        let mut detail = json!({"reason": self.reason(), "key_id": self.key_id()});
        let more = match self {
            Denial::NotYetRegistered { registered_at, .. } => json!({"registered_at": registered_at}),
            Denial::Revoked { revoked_at, .. } => json!({"revoked_at": revoked_at}),
            Denial::Superseded { superseded_at, superseded_by: Some(by), .. } => {
                json!({"superseded_at": superseded_at, "superseded_by": by})
            }
            Denial::NotYetValid { not_before, .. } => json!({"not_before": not_before.to_string()}),
            Denial::Expired { not_after, .. } => json!({"not_after": not_after.to_string()}),
            Denial::NoGrant { domain, schema_version, stream, .. } => json!({
                "domain": domain.as_str(), "schema_version": schema_version.as_str(), "stream": stream.as_str()
            }),
            Denial::NotRoot { schema_version, .. } => json!({"schema_version": schema_version.as_str()}),
            Denial::OutsideScope { schema_version, domain, .. } => {
                json!({"schema_version": schema_version.as_str(), "domain": domain.as_str()})
            }
            Denial::NotItself { replaced, .. } => json!({"replaced": replaced}),
            _ => json!({}),
        };
        merge(&mut detail, more);
        detail
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Denial::UnknownKey { key_id } => write!(f, "key {key_id} is not registered"),
            Denial::OtherPublicKey { key_id } => {
                write!(f, "key {key_id} is registered with another public key")
            }
            Denial::NotYetRegistered { key_id, registered_at } => {
                write!(f, "key {key_id} was registered later, at registry version {registered_at}")
            }
            Denial::Revoked { key_id, revoked_at } => {
                write!(f, "key {key_id} was revoked at registry version {revoked_at}")
            }
            Denial::Superseded { key_id, superseded_at, .. } => {
                write!(f, "key {key_id} was replaced by another key at registry version {superseded_at}")
            }
            Denial::NotYetValid { key_id, not_before } => {
                write!(f, "key {key_id} is not valid before {not_before}")
            }
            Denial::Expired { key_id, not_after } => write!(f, "key {key_id} is not valid after {not_after}"),
            Denial::NoGrant { key_id, domain, schema_version, stream } => write!(
                f,
                "key {key_id} has no authority over schema {schema_version}, domain {domain}, stream {:?}",
                stream.as_str()
            ),
            Denial::NotRoot { key_id, schema_version } => {
                write!(f, "key {key_id} is not root, which alone may sign {schema_version} here")
            }
            Denial::OutsideScope { key_id, schema_version, domain } => {
                write!(f, "key {key_id} may not sign {schema_version} for domain {domain}")
            }
            Denial::NotServerKey { key_id } => write!(f, "key {key_id} is not the server's key"),
            Denial::NotItself { key_id, replaced } => {
                write!(f, "key {key_id} may not rotate another key, {replaced}")
            }
        }
    }
}

impl std::error::Error for Denial {}
