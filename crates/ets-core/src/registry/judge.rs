//! The rules of the design's section 5: what each registry event may say, who
//! may say it, and what it changes.

mod effect;
mod grants;
mod keys;
mod schemas;

use std::collections::BTreeMap;

use serde_json::Value;
use uuid::Uuid;

use super::authority::{Grant, Pattern};
use super::builtin::{self, Kind};
use super::denial::Denial;
use super::error::RegistryError;
use super::payload::Members;
use super::record::{Custody, DomainRecord, KeyRecord, Ledger};
use super::{Registry, Request};
use crate::event::{Event, Header};
use crate::hash::genesis_hash;
use crate::key::PublicKey;
use crate::name::{DomainName, MAIN, MAX_DOMAINS, REGISTRY, StreamName};
pub(super) use effect::{Effect, record};

/// The owner of the first root key.
const ROOT_OWNER: &str = "root";
/// The owner of a server key that is not root.
const SERVER_OWNER: &str = "server";
/// The first event; nothing before it could be asked about it.
pub(super) fn start(event: &Event) -> Result<Registry, RegistryError> {
    let header = &event.header;
    check_place(header, 1)?;
    if Kind::of(&header.schema_version) != Some(Kind::Ledger) {
        return Err(RegistryError::NotLedger { schema_version: header.schema_version.clone() });
    }
    let members = check_payload(event)?;
    let ledger_id: Uuid = members.parsed("ledger_id")?;
    let genesis = genesis_hash(&ledger_id, &DomainName::registry(), &StreamName::main());
    if header.previous_hash != genesis {
        return Err(RegistryError::PreviousHash { expected: genesis, actual: header.previous_hash });
    }
    let root = members.public_key("root_public_key")?;
    let server = members.public_key("server_public_key")?;
    if header.key_id != root.key_id() {
        let schema_version = header.schema_version.clone();
        return Err(Denial::NotRoot { key_id: header.key_id, schema_version }.into());
    }
    if header.public_key != *root.as_bytes() {
        return Err(Denial::OtherPublicKey { key_id: header.key_id }.into());
    }
    let local_authority = root == server;
    let mut registry = Registry {
        ledger: Ledger {
            ledger_id,
            origin: members.parsed("origin")?,
            root_public_key: *root.as_bytes(),
            server_public_key: *server.as_bytes(),
        },
        version: 1,
        head: header.current_hash,
        domains: BTreeMap::new(),
        schemas: BTreeMap::new(),
        keys: BTreeMap::new(),
        grants: Vec::new(),
        grants_by_key: BTreeMap::new(),
        server_keys: vec![(1, server.key_id())],
        state_rules: BTreeMap::new(),
    };
    for domain in [DomainName::registry(), DomainName::audit()] {
        let record =
            DomainRecord { domain: domain.clone(), description: None, keep_state: false, registered_at: 1 };
        registry.domains.insert(domain, record);
    }
    let custody = if local_authority { Custody::Server } else { Custody::Actor };
    for (key, owner, custody) in [(&server, SERVER_OWNER, Custody::Server), (&root, ROOT_OWNER, custody)] {
        // Under local authority the two are one, and root's record stands.
        registry.keys.insert(key.key_id(), new_key(key, owner, custody, header));
    }
    registry.add_grant(Grant {
        key_id: root.key_id(),
        domain: DomainName::registry(),
        schemas: Pattern::any(),
        streams: Pattern::any(),
        granted_at: 1,
        ended_at: None,
    });
    Ok(registry)
}

/// How closely an event is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scrutiny {
    /// As one that nobody has judged before.
    Full,
    /// As one that was admitted: costly judgements are not made again.
    Admitted,
}

/// The next event: what it changes, if it may.
pub(super) fn judge(registry: &Registry, event: &Event, scrutiny: Scrutiny) -> Result<Effect, RegistryError> {
    let header = &event.header;
    check_place(header, registry.version.saturating_add(1))?;
    if header.previous_hash != registry.head {
        return Err(RegistryError::PreviousHash { expected: registry.head, actual: header.previous_hash });
    }
    let kind = Kind::of(&header.schema_version)
        .ok_or_else(|| RegistryError::UnknownKind { schema_version: header.schema_version.clone() })?;
    let members = check_payload(event)?;
    check_signer(registry, header)?;
    let case = Case { registry, event, members };
    match kind {
        Kind::Ledger => Err(RegistryError::AlreadyStarted),
        Kind::Domain => case.domain(),
        Kind::Schema => case.schema(scrutiny),
        Kind::SchemaRetirement => case.schema_retirement(),
        Kind::Key => case.key(),
        Kind::KeyRotation => case.key_rotation(),
        Kind::KeyRevocation => case.key_revocation(),
        Kind::ServerKey => case.server_key(),
        Kind::Grant => case.grant(),
        Kind::GrantRevocation => case.grant_revocation(),
        Kind::RuleFunction => case.rule_function(),
    }
}

/// An event whose payload is not at hand, and need not be.
pub(super) fn check_skipped(registry: &Registry, header: &Header) -> Result<(), RegistryError> {
    check_place(header, registry.version.saturating_add(1))?;
    if header.previous_hash != registry.head {
        return Err(RegistryError::PreviousHash { expected: registry.head, actual: header.previous_hash });
    }
    match Kind::of(&header.schema_version) {
        Some(Kind::Schema | Kind::SchemaRetirement | Kind::RuleFunction) => check_signer(registry, header),
        _ => Err(RegistryError::UnknownKind { schema_version: header.schema_version.clone() }),
    }
}

/// The signer may sign this kind of event, as far as a header shows.
fn check_signer(registry: &Registry, header: &Header) -> Result<(), RegistryError> {
    Ok(registry.authorize(registry.version, &Request::of(header))?)
}

/// Domain, stream, sequence and registry_version.
fn check_place(header: &Header, sequence: u64) -> Result<(), RegistryError> {
    if header.domain.as_str() != REGISTRY || header.stream.as_str() != MAIN {
        let (domain, stream) = (header.domain.clone(), header.stream.clone());
        return Err(RegistryError::NotRegistry { domain, stream });
    }
    if header.sequence != sequence {
        return Err(RegistryError::Sequence { expected: sequence, actual: header.sequence });
    }
    // `sequence` is at least 1.
    let expected = sequence.saturating_sub(1);
    if header.registry_version != expected {
        return Err(RegistryError::RegistryVersion { expected, actual: header.registry_version });
    }
    Ok(())
}

/// The payload names the event's schema, and satisfies it.
fn check_payload(event: &Event) -> Result<Members<'_>, RegistryError> {
    let name = &event.header.schema_version;
    let payload = event.payload.value();
    let (Some(schema), Some(validator)) = (builtin::schema(name), builtin::validator(name)) else {
        return Err(RegistryError::UnknownKind { schema_version: name.clone() });
    };
    schema.check_pointer(payload)?;
    let violations = validator.validate(payload);
    if violations.is_empty() {
        Ok(Members(payload))
    } else {
        Err(RegistryError::Violations { schema_version: name.clone(), violations })
    }
}

/// A key as the event with this header registers it.
fn new_key(key: &PublicKey, owner: &str, custody: Custody, header: &Header) -> KeyRecord {
    KeyRecord {
        key_id: key.key_id(),
        public_key: *key.as_bytes(),
        owner: owner.to_owned(),
        custody,
        not_before: None,
        not_after: None,
        registered_at: header.sequence,
        registered_on: header.timestamp,
        superseded_at: None,
        superseded_by: None,
        revoked_at: None,
        rotated_from: None,
        compromised_since: None,
        compromised_at: None,
    }
}

/// An event of the right form, by a live key that may sign its kind.
struct Case<'a> {
    registry: &'a Registry,
    event: &'a Event,
    members: Members<'a>,
}

impl Case<'_> {
    fn domain(&self) -> Result<Effect, RegistryError> {
        let domain: DomainName = self.members.parsed("domain")?;
        if domain.is_reserved() {
            return Err(RegistryError::DomainReserved { domain });
        }
        if self.registry.domains.contains_key(&domain) {
            return Err(RegistryError::DomainTaken { domain });
        }
        if self.registry.domains.len() >= MAX_DOMAINS {
            return Err(RegistryError::TooManyDomains { limit: MAX_DOMAINS });
        }
        Ok(Effect::Domain(DomainRecord {
            domain,
            description: self.members.optional("description").map(str::to_owned),
            keep_state: self.members.value("keep_state") == Value::Bool(true),
            registered_at: self.version(),
        }))
    }

    /// A domain of users, which exists.
    fn user_domain(&self) -> Result<DomainName, RegistryError> {
        let domain: DomainName = self.members.parsed("domain")?;
        if domain.is_reserved() {
            return Err(RegistryError::DomainReserved { domain });
        }
        if !self.registry.domains.contains_key(&domain) {
            return Err(RegistryError::UnknownDomain { domain });
        }
        Ok(domain)
    }

    fn signer(&self) -> Result<&KeyRecord, RegistryError> {
        let key_id = self.event.header.key_id;
        self.registry.keys.get(&key_id).ok_or_else(|| Denial::UnknownKey { key_id }.into())
    }

    /// The registry version that this event makes.
    fn version(&self) -> u64 {
        self.event.header.sequence
    }
}
