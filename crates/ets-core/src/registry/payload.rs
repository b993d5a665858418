//! The payloads of registry events: how they are written and read.
//!
//! Each is a closed object whose `schema_version` names its own schema, so that
//! no registry event can be read as another kind. Optional members are absent,
//! never null.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::authority::Pattern;
use super::builtin::Kind;
use super::error::RegistryError;
use super::record::Custody;
use crate::hash::Digest;
use crate::key::{ALGORITHM, KeyId, PublicKey, Signature};
use crate::name::{DomainName, Origin, SchemaVersion};
use crate::time::Timestamp;

/// `ets.ledger/1.0.0`: the first event, signed by the root key.
pub fn ledger(ledger_id: &Uuid, origin: &Origin, root: &PublicKey, server: &PublicKey) -> Value {
    Builder::new(Kind::Ledger)
        .text("ledger_id", ledger_id.hyphenated())
        .text("origin", origin)
        .text("specification", crate::hash::SPECIFICATION_VERSION)
        .text("algorithm", ALGORITHM)
        .text("root_public_key", root)
        .text("server_public_key", server)
        .build()
}

/// `ets.domain/1.0.0`: creates a domain. `keep_state` is written where it is true.
pub fn domain(domain: &DomainName, description: Option<&str>, keep_state: bool) -> Value {
    Builder::new(Kind::Domain)
        .text("domain", domain)
        .maybe("description", description)
        .value("keep_state", keep_state.then_some(Value::Bool(true)))
        .build()
}

/// What `ets.schema/1.0.0` registers.
#[derive(Debug, Clone)]
pub struct NewSchema<'a> {
    /// The schema version.
    pub name: &'a SchemaVersion,
    /// The domain of its events.
    pub domain: &'a DomainName,
    /// The JSON Schema.
    pub schema: Value,
    /// RFC 6901 pointer to the string that names the stream.
    pub stream_pointer: Option<&'a str>,
    /// RFC 6901 pointer to the string that must be the schema version.
    pub schema_pointer: Option<&'a str>,
    /// The business rules, an array.
    pub rules: Value,
    /// `merge`, `replace`, `none` or an expression.
    pub reducer: &'a str,
    /// As [`super::engine_for`] says.
    pub engine: &'a str,
}

/// `ets.schema/1.0.0`: registers a schema version.
pub fn schema(new: NewSchema<'_>) -> Value {
    Builder::new(Kind::Schema)
        .text("name", new.name)
        .text("domain", new.domain)
        .value("schema", Some(new.schema))
        .maybe("stream_pointer", new.stream_pointer)
        .maybe("schema_pointer", new.schema_pointer)
        .value("rules", Some(new.rules))
        .text("reducer", new.reducer)
        .text("engine", new.engine)
        .build()
}

/// `ets.schema_retirement/1.0.0`: ends a schema version for new events.
pub fn schema_retirement(name: &SchemaVersion, reason: &str) -> Value {
    Builder::new(Kind::SchemaRetirement).text("name", name).text("reason", reason).build()
}

/// `ets.key/1.0.0`: registers a public key.
pub fn key(
    public_key: &PublicKey,
    owner: &str,
    custody: Custody,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
) -> Value {
    Builder::new(Kind::Key)
        .text("public_key", public_key)
        .text("algorithm", ALGORITHM)
        .text("owner", owner)
        .text("custody", custody.as_str())
        .maybe("not_before", not_before)
        .maybe("not_after", not_after)
        .build()
}

/// `ets.key_rotation/1.0.0`, to be signed by the old key. `proof` is the new
/// key's signature over [`crate::key::key_possession_hash`].
pub fn key_rotation(
    old: &KeyId,
    public_key: &PublicKey,
    proof: &Signature,
    not_after: Option<Timestamp>,
) -> Value {
    Builder::new(Kind::KeyRotation)
        .text("key_id", old)
        .text("public_key", public_key)
        .text("algorithm", ALGORITHM)
        .text("proof", proof)
        .maybe("not_after", not_after)
        .build()
}

/// `ets.key_revocation/1.0.0`: ends a key and every key rotated out of it.
pub fn key_revocation(key_id: &KeyId, reason: &str, compromised_since: Option<Timestamp>) -> Value {
    Builder::new(Kind::KeyRevocation)
        .text("key_id", key_id)
        .text("reason", reason)
        .maybe("compromised_since", compromised_since)
        .build()
}

/// `ets.server_key/1.0.0`: replaces the server's key.
pub fn server_key(public_key: &PublicKey, reason: &str, compromised_since: Option<Timestamp>) -> Value {
    Builder::new(Kind::ServerKey)
        .text("public_key", public_key)
        .text("algorithm", ALGORITHM)
        .text("reason", reason)
        .maybe("compromised_since", compromised_since)
        .build()
}

/// `ets.grant/1.0.0`: gives a key authority.
pub fn grant(key_id: &KeyId, domain: &DomainName, schemas: &Pattern, streams: &Pattern) -> Value {
    Builder::new(Kind::Grant)
        .text("key_id", key_id)
        .text("domain", domain)
        .text("schemas", schemas)
        .text("streams", streams)
        .build()
}

/// `ets.grant_revocation/1.0.0`: ends the live grants that the patterns cover.
pub fn grant_revocation(
    key_id: &KeyId,
    domain: &DomainName,
    schemas: &Pattern,
    streams: &Pattern,
    reason: Option<&str>,
) -> Value {
    Builder::new(Kind::GrantRevocation)
        .text("key_id", key_id)
        .text("domain", domain)
        .text("schemas", schemas)
        .text("streams", streams)
        .maybe("reason", reason)
        .build()
}

/// `ets.rule_function/1.0.0`: pins an SQL function as a rule.
pub fn rule_function(name: &SchemaVersion, function: &str, prosrc_sha256: &Digest) -> Value {
    Builder::new(Kind::RuleFunction)
        .text("name", name)
        .text("function", function)
        .text("prosrc_sha256", prosrc_sha256)
        .build()
}

struct Builder(Map<String, Value>);

impl Builder {
    fn new(kind: Kind) -> Self {
        Builder(Map::new()).text("schema_version", kind.as_str())
    }

    fn text(self, name: &str, text: impl ToString) -> Self {
        self.maybe(name, Some(text))
    }

    fn maybe(self, name: &str, text: Option<impl ToString>) -> Self {
        self.value(name, text.map(|text| Value::String(text.to_string())))
    }

    fn value(mut self, name: &str, value: Option<Value>) -> Self {
        if let Some(value) = value {
            self.0.insert(name.to_owned(), value);
        }
        self
    }

    fn build(self) -> Value {
        Value::Object(self.0)
    }
}

/// Reads the members of a payload that its JSON Schema has admitted. What the
/// schema leaves open (a key that is no point, 30 February) fails here.
pub(super) struct Members<'a>(pub &'a Value);

impl<'a> Members<'a> {
    pub fn optional(&self, name: &'static str) -> Option<&'a str> {
        self.0.get(name)?.as_str()
    }

    pub fn text(&self, name: &'static str) -> Result<&'a str, RegistryError> {
        self.optional(name).ok_or(RegistryError::BadMember { member: name })
    }

    /// The member in its own type.
    pub fn parsed<T: std::str::FromStr>(&self, name: &'static str) -> Result<T, RegistryError> {
        self.text(name)?.parse().map_err(|_| RegistryError::BadMember { member: name })
    }

    pub fn parsed_optional<T: std::str::FromStr>(
        &self,
        name: &'static str,
    ) -> Result<Option<T>, RegistryError> {
        self.optional(name)
            .map(|text| text.parse().map_err(|_| RegistryError::BadMember { member: name }))
            .transpose()
    }

    pub fn public_key(&self, name: &'static str) -> Result<PublicKey, RegistryError> {
        let bytes = crate::hash::from_hex::<32>(self.text(name)?)
            .map_err(|_| RegistryError::BadMember { member: name })?;
        PublicKey::from_bytes(&bytes).map_err(|error| RegistryError::BadPublicKey {
            member: name,
            public_key: bytes,
            error,
        })
    }

    pub fn schemas(&self) -> Result<Pattern, RegistryError> {
        Pattern::of_schemas(self.text("schemas")?).map_err(|_| RegistryError::BadMember { member: "schemas" })
    }

    pub fn streams(&self, domain: &DomainName) -> Result<Pattern, RegistryError> {
        Pattern::of_streams(self.text("streams")?, domain)
            .map_err(|_| RegistryError::BadMember { member: "streams" })
    }

    pub fn value(&self, name: &str) -> Value {
        self.0.get(name).cloned().unwrap_or(json!(null))
    }
}
