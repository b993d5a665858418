//! Why the registry refuses, and the one place where a refusal's SQLSTATE is decided.

use std::fmt;

use serde_json::{Value, json};

use super::authority::Pattern;
use super::compiled::BodyError;
use super::denial::Denial;
use super::record::RouteError;
use crate::hash::{Digest, to_hex};
use crate::key::{KeyError, KeyId};
use crate::name::{DomainName, SchemaVersion, StreamName};
use crate::schema::compatibility::{Compatibility, Reason, reasons_json};
use crate::schema::{Violation, violations_json};
use crate::time::Timestamp;

/// Why the registry does not take an event.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // The members say what they are: what was met and what was expected.
pub enum RegistryError {
    /// The event is not in `ets.registry`, stream `main`.
    NotRegistry { domain: DomainName, stream: StreamName },
    /// The event's sequence is not the next one.
    Sequence { expected: u64, actual: u64 },
    /// The event's `previous_hash` is not the registry's head.
    PreviousHash { expected: Digest, actual: Digest },
    /// The event's `registry_version` is not its sequence less 1.
    RegistryVersion { expected: u64, actual: u64 },
    /// Not a kind of registry event.
    UnknownKind { schema_version: SchemaVersion },
    /// The first event is another than `ets.ledger/1.0.0`.
    NotLedger { schema_version: SchemaVersion },
    /// A second `ets.ledger/1.0.0`.
    AlreadyStarted,
    /// The payload does not name the event's schema version.
    Route(RouteError),
    /// The payload violates the kind's JSON Schema.
    Violations { schema_version: SchemaVersion, violations: Vec<Violation> },
    /// A member that its JSON Schema admits is not valid all the same.
    BadMember { member: &'static str },
    /// The signer has no authority for this.
    Denied(Denial),
    /// Not a public key that may be registered.
    BadPublicKey { member: &'static str, public_key: [u8; 32], error: KeyError },
    /// The new key's holder did not sign for the takeover.
    BadProof { key_id: KeyId },
    /// The public key was registered before.
    KeyTaken { key_id: KeyId },
    /// The domain exists.
    DomainTaken { domain: DomainName },
    /// The domain belongs to the system.
    DomainReserved { domain: DomainName },
    /// The ledger has as many domains as it can have.
    TooManyDomains { limit: usize },
    /// No such domain.
    UnknownDomain { domain: DomainName },
    /// The key that the event is about is not registered.
    UnknownKey { key_id: KeyId },
    /// The key that the event is about was revoked or replaced.
    DeadKey { key_id: KeyId },
    /// The schema version belongs to the system.
    SchemaReserved { name: SchemaVersion },
    /// The schema version is registered, with the same body.
    SchemaTaken { name: SchemaVersion },
    /// The schema version is registered with another body.
    SchemaChanged { name: SchemaVersion },
    /// No such schema version.
    UnknownSchema { name: SchemaVersion },
    /// The schema version is retired.
    SchemaRetired { name: SchemaVersion, retired_at: u64 },
    /// The other versions of this name belong to another domain.
    SchemaElsewhere { name: SchemaVersion, domain: DomainName },
    /// A greater version of this name is registered.
    SchemaNotNewest { name: SchemaVersion, newest: SchemaVersion },
    /// It does not accept all that the version before it accepted, or that cannot
    /// be decided.
    IncompatibleSchema { name: SchemaVersion, predecessor: SchemaVersion, compatibility: Compatibility },
    /// Schema, rules or reducer cannot be evaluated; every reason.
    MalformedSchema { name: SchemaVersion, errors: Vec<BodyError> },
    /// The recorded engine is not the one that schema, rules and reducer call for.
    WrongEngine { name: SchemaVersion, expected: &'static str },
    /// The recorded engine is one that this version does not have.
    UnknownEngine { name: SchemaVersion, engine: String },
    /// The SQL function is a rule of this schema already.
    RuleFunctionTaken { name: SchemaVersion, function: String },
    /// `ets.audit` is never granted.
    GrantOverAudit,
    /// The server's key has authority over `ets.audit` alone.
    GrantToServerKey { key_id: KeyId },
    /// A delegate may not grant to a key of its own owner.
    GrantToOwnOwner { key_id: KeyId, owner: String },
    /// No live grant is covered.
    NoSuchGrant { key_id: KeyId, domain: DomainName },
    /// A live grant is covered in part.
    PartOfGrant { key_id: KeyId, domain: DomainName, schemas: Pattern, streams: Pattern },
    /// A new key may end no later than the old one.
    OutlivesOldKey { not_after: Timestamp },
    /// A key that would never be valid.
    NeverValid { not_before: Timestamp, not_after: Timestamp },
    /// The server's key is replaced by `ets.server_key`.
    RotatesServerKey { key_id: KeyId },
    /// No root key that is valid now and has no `not_after` would be left.
    LastRoot,
}

impl RegistryError {
    /// The refusal's SQLSTATE.
    pub fn sqlstate(&self) -> &'static str {
        use RegistryError as E;
        match self {
            E::BadPublicKey { .. } | E::BadProof { .. } => "ET003",
            E::Denied(_) | E::UnknownKey { .. } | E::DeadKey { .. } => "ET004",
            E::PreviousHash { .. } => "ET005",
            E::UnknownKind { .. }
            | E::SchemaReserved { .. }
            | E::SchemaChanged { .. }
            | E::UnknownSchema { .. }
            | E::SchemaRetired { .. }
            | E::MalformedSchema { .. }
            | E::SchemaElsewhere { .. }
            | E::SchemaNotNewest { .. }
            | E::IncompatibleSchema { .. }
            | E::WrongEngine { .. }
            | E::UnknownEngine { .. } => "ET006",
            E::Route(_) | E::Violations { .. } | E::BadMember { .. } => "ET007",
            E::NotRegistry { .. }
            | E::Sequence { .. }
            | E::RegistryVersion { .. }
            | E::KeyTaken { .. }
            | E::DomainTaken { .. }
            | E::DomainReserved { .. }
            | E::TooManyDomains { .. }
            | E::SchemaTaken { .. }
            | E::RuleFunctionTaken { .. } => "ET010",
            E::UnknownDomain { .. } | E::NoSuchGrant { .. } => "ET011",
            E::NotLedger { .. } | E::AlreadyStarted => "ET013",
            E::GrantOverAudit
            | E::GrantToServerKey { .. }
            | E::GrantToOwnOwner { .. }
            | E::PartOfGrant { .. }
            | E::OutlivesOldKey { .. }
            | E::NeverValid { .. }
            | E::RotatesServerKey { .. }
            | E::LastRoot => "ET016",
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        use RegistryError as E;
        match self {
            E::NotRegistry { .. } => "registry events belong to domain ets.registry, stream main",
            E::Sequence { .. } | E::RegistryVersion { .. } => "leave it to the server to assign",
            E::PreviousHash { .. } => "sign again over the registry's head",
            E::UnknownKind { .. } => "registry events are made by the registry functions of schema ets",
            E::NotLedger { .. } => "the first event of a ledger is ets.ledger/1.0.0",
            E::AlreadyStarted => "a ledger starts once",
            E::Route(error) => error.hint(),
            E::Violations { .. } | E::BadMember { .. } => {
                "docs/formats.md describes the payload of each kind of registry event"
            }
            E::Denied(denial) => denial.hint(),
            E::BadPublicKey { .. } => {
                "a public key is the 32 bytes of an Ed25519 key made by a sound generator"
            }
            E::BadProof { .. } => {
                "the proof is the new key's signature over the key possession hash of ledger, old and new key"
            }
            E::KeyTaken { .. } => "a public key is registered once, for ever; make a new key",
            E::DomainTaken { .. } => "choose another name",
            E::DomainReserved { .. } => "names that start with ets. belong to the system",
            E::TooManyDomains { .. } => "use a stream for each tenant, not a domain",
            E::UnknownDomain { .. } => "create it with ets.create_domain",
            E::UnknownKey { .. } => "register the key with ets.register_key",
            E::DeadKey { .. } => "revocation is final; register another key",
            E::SchemaReserved { .. } => "names that start with ets. belong to the system",
            E::SchemaTaken { .. } => "there is nothing to do: the same body is registered",
            E::SchemaChanged { .. } => "a schema version never changes; register it under another version",
            E::UnknownSchema { .. } => "register it with ets.register_schema",
            E::SchemaRetired { .. } => "use a later version of the schema",
            E::SchemaElsewhere { .. } => "register it there, or under another name",
            E::SchemaNotNewest { .. } => "give it a version greater than all of its name",
            E::IncompatibleSchema { compatibility, .. } => compatibility.reasons().first().map_or(
                "a new version may allow more, never less; what is to be refused from now on needs a new name",
                Reason::hint,
            ),
            E::MalformedSchema { errors, .. } => errors.first().map_or("correct the schema", BodyError::hint),
            E::WrongEngine { .. } => {
                "the engine follows from the schema's $schema, and has +cel/1 if there is a rule or an expression"
            }
            E::UnknownEngine { .. } => "use a version of the software that has this engine",
            E::RuleFunctionTaken { .. } => "a changed function is a rule of a new schema version",
            E::GrantOverAudit => "what is in ets.audit is signed with the server's key alone",
            E::GrantToServerKey { .. } => "make a local key with ets.create_local_key and grant to that",
            E::GrantToOwnOwner { .. } => "let root, or a delegate of another owner, make this grant",
            E::NoSuchGrant { .. } => "ets.authority_at lists the live grants of a key",
            E::PartOfGrant { .. } => "revoke the whole grant, then grant what should remain",
            E::OutlivesOldKey { .. } => "give an earlier not_after, or none to take over the old key's",
            E::NeverValid { .. } => "not_after must not be before not_before",
            E::RotatesServerKey { .. } => "replace the server's key with ets.rotate_server_key",
            E::LastRoot => "give another key a grant over ets.registry with * and * first",
        }
    }

    /// A JSON object for programs: names, pointers and keywords, never payload values.
    pub fn detail(&self) -> Value {
        use RegistryError as E;
        match self {
            E::NotRegistry { domain, stream } => {
                json!({"domain": domain.as_str(), "stream": stream.as_str()})
            }
            E::Sequence { expected, actual } | E::RegistryVersion { expected, actual } => {
                json!({"expected": expected, "actual": actual})
            }
            E::PreviousHash { expected, actual } => {
                json!({"expected": expected, "actual": actual})
            }
            E::UnknownKind { schema_version } | E::NotLedger { schema_version } => {
                json!({"schema_version": schema_version.as_str()})
            }
            E::AlreadyStarted | E::GrantOverAudit | E::LastRoot => json!({}),
            E::Route(error) => json!({"pointer": error.pointer()}),
            E::Violations { schema_version, violations } => {
                json!({"schema_version": schema_version.as_str(), "violations": violations_json(violations)})
            }
            E::BadMember { member } => json!({"pointer": format!("/{member}")}),
            E::Denied(denial) => denial.detail(),
            E::BadPublicKey { member, public_key, .. } => {
                json!({"pointer": format!("/{member}"), "public_key": to_hex(public_key)})
            }
            E::BadProof { key_id }
            | E::KeyTaken { key_id }
            | E::UnknownKey { key_id }
            | E::DeadKey { key_id }
            | E::GrantToServerKey { key_id }
            | E::RotatesServerKey { key_id } => json!({"key_id": key_id}),
            E::DomainTaken { domain } | E::DomainReserved { domain } | E::UnknownDomain { domain } => {
                json!({"domain": domain.as_str()})
            }
            E::TooManyDomains { limit } => json!({"limit": limit}),
            E::SchemaReserved { name }
            | E::SchemaTaken { name }
            | E::SchemaChanged { name }
            | E::UnknownSchema { name } => json!({"schema_version": name.as_str()}),
            E::SchemaElsewhere { name, domain } => {
                json!({"schema_version": name.as_str(), "domain": domain.as_str()})
            }
            E::SchemaNotNewest { name, newest } => {
                json!({"schema_version": name.as_str(), "newest": newest.as_str()})
            }
            E::SchemaRetired { name, retired_at } => {
                json!({"schema_version": name.as_str(), "retired_at": retired_at})
            }
            E::IncompatibleSchema { name, predecessor, compatibility } => json!({
                "schema_version": name.as_str(), "predecessor": predecessor.as_str(),
                "compatibility": compatibility.word(), "reasons": reasons_json(compatibility.reasons()),
            }),
            // The first reason stands at the top, for programs that look for one.
            E::MalformedSchema { name, errors } => {
                let reasons: Vec<Value> = errors.iter().map(BodyError::detail).collect();
                let mut detail = json!({"schema_version": name.as_str(), "reasons": reasons});
                merge(&mut detail, errors.first().map_or(json!({}), BodyError::detail));
                detail
            }
            E::UnknownEngine { name, engine } => {
                json!({"schema_version": name.as_str(), "engine": engine})
            }
            E::RuleFunctionTaken { name, function } => {
                json!({"schema_version": name.as_str(), "function": function})
            }
            E::WrongEngine { name, expected } => {
                json!({"schema_version": name.as_str(), "expected": expected})
            }
            E::GrantToOwnOwner { key_id, owner } => json!({"key_id": key_id, "owner": owner}),
            E::NoSuchGrant { key_id, domain } => json!({"key_id": key_id, "domain": domain.as_str()}),
            E::PartOfGrant { key_id, domain, schemas, streams } => json!({
                "key_id": key_id, "domain": domain.as_str(),
                "schemas": schemas.as_str(), "streams": streams.as_str()
            }),
            E::OutlivesOldKey { not_after } => json!({"not_after": not_after.to_string()}),
            E::NeverValid { not_before, not_after } => {
                json!({"not_before": not_before.to_string(), "not_after": not_after.to_string()})
            }
        }
    }
}

impl From<Denial> for RegistryError {
    fn from(denial: Denial) -> Self {
        RegistryError::Denied(denial)
    }
}

impl From<RouteError> for RegistryError {
    fn from(error: RouteError) -> Self {
        RegistryError::Route(error)
    }
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use RegistryError as E;
        match self {
            E::NotRegistry { domain, stream } => {
                write!(f, "domain {domain}, stream {:?} is not the registry", stream.as_str())
            }
            E::Sequence { expected, actual } => {
                write!(f, "sequence is {actual} where the registry's next is {expected}")
            }
            E::PreviousHash { actual, .. } => {
                write!(f, "previous_hash {actual} is not the registry's head")
            }
            E::RegistryVersion { expected, actual } => {
                write!(f, "registry_version is {actual} where {expected} is due")
            }
            E::UnknownKind { schema_version } => {
                write!(f, "{schema_version} is no kind of registry event")
            }
            E::NotLedger { schema_version } => write!(f, "a ledger does not start with {schema_version}"),
            E::AlreadyStarted => f.write_str("the ledger has its first event already"),
            E::Route(error) => fmt::Display::fmt(error, f),
            E::Violations { schema_version, violations } => match violations.first() {
                Some(first) => {
                    write!(f, "payload violates {schema_version} at {:?}: {first}", first.instance_pointer)
                }
                None => write!(f, "payload violates {schema_version}"),
            },
            E::BadMember { member } => write!(f, "the payload's {member} is not valid"),
            E::Denied(denial) => fmt::Display::fmt(denial, f),
            E::BadPublicKey { member, public_key, error } => {
                write!(f, "{member} {} is {error}", to_hex(public_key))
            }
            E::BadProof { key_id } => write!(f, "the proof is no signature by the new key {key_id}"),
            E::KeyTaken { key_id } => write!(f, "key {key_id} was registered before"),
            E::DomainTaken { domain } => write!(f, "domain {domain} exists already"),
            E::DomainReserved { domain } => write!(f, "domain {domain} is reserved"),
            E::TooManyDomains { limit } => write!(f, "a ledger has at most {limit} domains"),
            E::UnknownDomain { domain } => write!(f, "domain {domain} does not exist"),
            E::UnknownKey { key_id } => write!(f, "key {key_id} is not registered"),
            E::DeadKey { key_id } => write!(f, "key {key_id} was revoked or replaced"),
            E::SchemaReserved { name } => write!(f, "schema {name} is reserved"),
            E::SchemaTaken { name } => write!(f, "schema {name} is registered already"),
            E::SchemaChanged { name } => write!(f, "schema {name} is registered with another body"),
            E::UnknownSchema { name } => write!(f, "schema {name} is not registered"),
            E::SchemaRetired { name, retired_at } => {
                write!(f, "schema {name} was retired at registry version {retired_at}")
            }
            E::SchemaElsewhere { name, domain } => {
                write!(f, "the versions before {name} belong to domain {domain}")
            }
            E::SchemaNotNewest { name, newest } => {
                write!(f, "schema {name} is not greater than {newest}, which is registered")
            }
            E::IncompatibleSchema { name, predecessor, compatibility } => {
                match compatibility {
                    Compatibility::Undecidable(_) => write!(
                        f,
                        "it cannot be decided whether schema {name} accepts all that {predecessor} accepted"
                    )?,
                    _ => write!(f, "schema {name} does not accept all that {predecessor} accepted")?,
                }
                match compatibility.reasons().split_first() {
                    None => Ok(()),
                    Some((first, [])) => write!(f, ": {:?} {first}", first.new_pointer),
                    Some((first, more)) => {
                        write!(f, ": {:?} {first} (and {} more)", first.new_pointer, more.len())
                    }
                }
            }
            E::MalformedSchema { name, errors } => match errors.split_first() {
                None => write!(f, "schema {name} cannot be evaluated"),
                Some((first, [])) => write!(f, "schema {name}: {first}"),
                Some((first, more)) => write!(f, "schema {name}: {first} (and {} more)", more.len()),
            },
            E::WrongEngine { name, expected } => {
                write!(f, "schema {name} is recorded with another engine than {expected}")
            }
            E::UnknownEngine { name, engine } => {
                write!(
                    f,
                    "schema {name} is recorded with the engine {engine:?}, which this version does not have"
                )
            }
            E::RuleFunctionTaken { name, function } => {
                write!(f, "schema {name} has the rule function {function:?} already")
            }
            E::GrantOverAudit => f.write_str("ets.audit is never granted"),
            E::GrantToServerKey { key_id } => {
                write!(f, "key {key_id} is the server's, which has authority over ets.audit alone")
            }
            E::GrantToOwnOwner { key_id, owner } => {
                write!(f, "a delegate may not grant to key {key_id} of its own owner {owner:?}")
            }
            E::NoSuchGrant { key_id, domain } => {
                write!(f, "key {key_id} has no live grant over domain {domain} that these patterns cover")
            }
            E::PartOfGrant { key_id, domain, schemas, streams } => write!(
                f,
                "the patterns cover only a part of key {key_id}'s grant over domain {domain}, schemas {schemas}, streams {streams}"
            ),
            E::OutlivesOldKey { not_after } => {
                write!(f, "not_after {not_after} is later than the old key's")
            }
            E::NeverValid { not_before, not_after } => {
                write!(f, "not_after {not_after} is before not_before {not_before}")
            }
            E::RotatesServerKey { key_id } => {
                write!(f, "key {key_id} is the server's and cannot rotate itself")
            }
            E::LastRoot => f.write_str("this would leave no root key that is valid now and has no not_after"),
        }
    }
}

impl std::error::Error for RegistryError {}

pub(super) fn merge(detail: &mut Value, more: Value) {
    if let (Value::Object(detail), Value::Object(more)) = (detail, more) {
        detail.extend(more);
    }
}
