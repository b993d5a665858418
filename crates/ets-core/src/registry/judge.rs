//! The rules of the design's section 5: what each registry event may say, who
//! may say it, and what it changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use super::authority::{Grant, Pattern};
use super::builtin::{self, Kind};
use super::error::{Denial, RegistryError};
use super::payload::Members;
use super::record::{Custody, DomainRecord, KeyRecord, Ledger, SchemaRecord};
use super::{Registry, Request};
use crate::event::{Event, Header};
use crate::hash::genesis_hash;
use crate::key::{KeyId, PublicKey, Signature, key_possession_hash};
use crate::name::{AUDIT, DomainName, MAIN, MAX_DOMAINS, REGISTRY, SchemaVersion, StreamName};
use crate::schema::{Validator, engine_of};
use crate::time::Timestamp;

/// The owner of the first root key.
const ROOT_OWNER: &str = "root";
/// The owner of a server key that is not root.
const SERVER_OWNER: &str = "server";

/// What an admitted event changes.
pub(super) enum Effect {
    Domain(DomainRecord),
    Schema(Box<SchemaRecord>),
    RetireSchema(SchemaVersion),
    Key(Box<KeyRecord>),
    /// The new key takes over from the old one.
    Rotate {
        old: KeyId,
        new: Box<KeyRecord>,
    },
    /// The same, of the server's key, which may be dead already.
    ServerKey {
        old: Option<KeyId>,
        new: Box<KeyRecord>,
        compromised_since: Option<Timestamp>,
    },
    Revoke {
        key_id: KeyId,
        /// The key and all that were rotated out of it, as far as not yet revoked.
        keys: BTreeSet<KeyId>,
        compromised_since: Option<Timestamp>,
    },
    Grant(Grant),
    /// The grants at these indices end.
    EndGrants(BTreeSet<usize>),
}

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
    };
    for domain in [DomainName::registry(), DomainName::audit()] {
        let record =
            DomainRecord { domain: domain.clone(), description: None, keep_state: false, registered_at: 1 };
        registry.domains.insert(domain, record);
    }
    let custody = if local_authority { Custody::Server } else { Custody::Actor };
    for (key, owner, custody) in [(&server, SERVER_OWNER, Custody::Server), (&root, ROOT_OWNER, custody)] {
        // Under local authority the two are one, and root's record stands.
        registry.keys.insert(key.key_id(), new_key(key, owner, custody, 1));
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

/// The next event: what it changes, if it may.
pub(super) fn judge(registry: &Registry, event: &Event) -> Result<Effect, RegistryError> {
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
        Kind::Schema => case.schema(),
        Kind::SchemaRetirement => case.schema_retirement(),
        Kind::Key => case.key(),
        Kind::KeyRotation => case.key_rotation(),
        Kind::KeyRevocation => case.key_revocation(),
        Kind::ServerKey => case.server_key(),
        Kind::Grant => case.grant(),
        Kind::GrantRevocation => case.grant_revocation(),
        Kind::RuleFunction => {
            Err(RegistryError::RuleFunctionsNotSupported { name: case.members.parsed("name")? })
        }
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
    let request = Request {
        key_id: header.key_id,
        public_key: &header.public_key,
        timestamp: header.timestamp,
        domain: &header.domain,
        schema_version: &header.schema_version,
        stream: &header.stream,
    };
    Ok(registry.authorize(registry.version, &request)?)
}

/// Changes the registry, whose version is that of the event already.
pub(super) fn record(registry: &mut Registry, effect: Effect) {
    let version = registry.version;
    match effect {
        Effect::Domain(domain) => {
            registry.domains.insert(domain.domain.clone(), domain);
        }
        Effect::Schema(schema) => {
            registry.schemas.insert(schema.name.clone(), *schema);
        }
        Effect::RetireSchema(name) => {
            if let Some(schema) = registry.schemas.get_mut(&name) {
                schema.retired_at = Some(version);
            }
        }
        Effect::Key(key) => {
            registry.keys.insert(key.key_id, *key);
        }
        Effect::Rotate { old, new } => take_over(registry, &old, *new),
        Effect::ServerKey { old, new, compromised_since } => {
            registry.server_keys.push((version, new.key_id));
            match old {
                Some(old) => {
                    if let Some(key) = registry.keys.get_mut(&old) {
                        key.compromised_since = compromised_since;
                    }
                    take_over(registry, &old, *new);
                }
                None => {
                    registry.keys.insert(new.key_id, *new);
                }
            }
        }
        Effect::Revoke { key_id, keys, compromised_since } => {
            for key_id in &keys {
                if let Some(key) = registry.keys.get_mut(key_id) {
                    key.revoked_at = Some(version);
                }
                end_grants(registry, key_id);
            }
            if let Some(key) = registry.keys.get_mut(&key_id) {
                key.compromised_since = compromised_since.or(key.compromised_since);
            }
        }
        Effect::Grant(grant) => registry.add_grant(grant),
        Effect::EndGrants(indices) => {
            for index in indices {
                if let Some(grant) = registry.grants.get_mut(index) {
                    grant.ended_at = Some(version);
                }
            }
        }
    }
}

/// The old key retires; the new one has its grants from here on.
fn take_over(registry: &mut Registry, old: &KeyId, new: KeyRecord) {
    let version = registry.version;
    if let Some(key) = registry.keys.get_mut(old) {
        key.superseded_at = Some(version);
        key.superseded_by = Some(new.key_id);
    }
    let mut taken: Vec<Grant> = Vec::new();
    for grant in end_grants(registry, old) {
        let grant = Grant { key_id: new.key_id, granted_at: version, ended_at: None, ..grant };
        if !taken.contains(&grant) {
            taken.push(grant);
        }
    }
    for grant in taken {
        registry.add_grant(grant);
    }
    registry.keys.insert(new.key_id, new);
}

/// Ends the live grants of a key, and says which they were.
fn end_grants(registry: &mut Registry, key_id: &KeyId) -> Vec<Grant> {
    let version = registry.version;
    let live: Vec<usize> = registry
        .grants_with_index(key_id)
        .filter(|(_, grant)| grant.ended_at.is_none())
        .map(|(index, _)| index)
        .collect();
    let mut ended = Vec::with_capacity(live.len());
    for index in live {
        if let Some(grant) = registry.grants.get_mut(index) {
            ended.push(grant.clone());
            grant.ended_at = Some(version);
        }
    }
    ended
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

fn new_key(key: &PublicKey, owner: &str, custody: Custody, registered_at: u64) -> KeyRecord {
    KeyRecord {
        key_id: key.key_id(),
        public_key: *key.as_bytes(),
        owner: owner.to_owned(),
        custody,
        not_before: None,
        not_after: None,
        registered_at,
        superseded_at: None,
        superseded_by: None,
        revoked_at: None,
        rotated_from: None,
        compromised_since: None,
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

    fn schema(&self) -> Result<Effect, RegistryError> {
        let members = &self.members;
        let name: SchemaVersion = members.parsed("name")?;
        if name.is_reserved() {
            return Err(RegistryError::SchemaReserved { name });
        }
        let domain = self.user_domain()?;
        self.check_scope(&domain)?;
        let Ok(reducer) = members.parsed("reducer") else {
            return Err(RegistryError::UnknownReducer { name });
        };
        let schema = members.value("schema");
        let record = SchemaRecord {
            schema_hash: SchemaRecord::hash_of(&schema),
            schema: Arc::new(schema),
            name: name.clone(),
            domain,
            stream_pointer: members.optional("stream_pointer").map(str::to_owned),
            schema_pointer: members.optional("schema_pointer").map(str::to_owned),
            rules: members.value("rules"),
            reducer,
            engine: members.text("engine")?.to_owned(),
            registered_at: self.version(),
            retired_at: None,
        };
        if let Some(old) = self.registry.schemas.get(&name) {
            let same = SchemaRecord { registered_at: 0, retired_at: None, ..old.clone() }
                == SchemaRecord { registered_at: 0, ..record };
            return Err(if same {
                RegistryError::SchemaTaken { name }
            } else {
                RegistryError::SchemaChanged { name }
            });
        }
        if record.rules.as_array().is_none_or(|rules| !rules.is_empty()) {
            return Err(RegistryError::RulesNotSupported { name });
        }
        let malformed = |error| RegistryError::MalformedSchema { name: name.clone(), error };
        let engine = engine_of(&record.schema).map_err(malformed)?;
        if record.engine != engine {
            return Err(RegistryError::WrongEngine { name, expected: engine });
        }
        Validator::compile(&record.schema).map_err(malformed)?;
        // Here belongs the judgement whether the new version accepts whatever
        // its predecessor of the same name accepted.
        Ok(Effect::Schema(Box::new(record)))
    }

    fn schema_retirement(&self) -> Result<Effect, RegistryError> {
        let name: SchemaVersion = self.members.parsed("name")?;
        if name.is_reserved() {
            return Err(RegistryError::SchemaReserved { name });
        }
        let Some(schema) = self.registry.schemas.get(&name) else {
            return Err(RegistryError::UnknownSchema { name });
        };
        self.check_scope(&schema.domain)?;
        match schema.retired_at {
            Some(retired_at) => Err(RegistryError::SchemaRetired { name, retired_at }),
            None => Ok(Effect::RetireSchema(name)),
        }
    }

    fn key(&self) -> Result<Effect, RegistryError> {
        let members = &self.members;
        let public_key = self.unused_key()?;
        let custody = match members.text("custody")? {
            "actor" => Custody::Actor,
            "server" => Custody::Server,
            _ => return Err(RegistryError::BadMember { member: "custody" }),
        };
        let (not_before, not_after) =
            (members.parsed_optional("not_before")?, members.parsed_optional("not_after")?);
        if let (Some(not_before), Some(not_after)) = (not_before, not_after)
            && not_after < not_before
        {
            return Err(RegistryError::NeverValid { not_before, not_after });
        }
        let key = new_key(&public_key, members.text("owner")?, custody, self.version());
        Ok(Effect::Key(Box::new(KeyRecord { not_before, not_after, ..key })))
    }

    /// The only registry event that a key without a registry grant signs, and
    /// for itself only.
    fn key_rotation(&self) -> Result<Effect, RegistryError> {
        let key_id: KeyId = self.members.parsed("key_id")?;
        let signer = self.signer()?;
        if key_id != signer.key_id {
            return Err(Denial::NotItself { key_id: signer.key_id, replaced: key_id }.into());
        }
        // Else statements in ets.audit would have no signer, and nobody would notice.
        if self.registry.server_key_at(self.registry.version) == Some(&key_id) {
            return Err(RegistryError::RotatesServerKey { key_id });
        }
        let public_key = self.unused_key()?;
        let possession =
            key_possession_hash(&self.registry.ledger.ledger_id, &signer.public_key, public_key.as_bytes());
        let proof: Signature = self.members.parsed("proof")?;
        if !public_key.verify(&possession, &proof) {
            return Err(RegistryError::BadProof { key_id: public_key.key_id() });
        }
        let not_after = match (self.members.parsed_optional("not_after")?, signer.not_after) {
            (Some(new), Some(old)) if old < new => {
                return Err(RegistryError::OutlivesOldKey { not_after: new });
            }
            (new, old) => new.or(old),
        };
        if not_after.is_some() && self.registry.is_root(&key_id, self.registry.version) {
            self.check_root_is_left(&BTreeSet::from([key_id]), &BTreeSet::new())?;
        }
        let key = new_key(&public_key, &signer.owner, signer.custody, self.version());
        let new = Box::new(KeyRecord { not_after, rotated_from: Some(key_id), ..key });
        Ok(Effect::Rotate { old: key_id, new })
    }

    fn key_revocation(&self) -> Result<Effect, RegistryError> {
        let key_id: KeyId = self.members.parsed("key_id")?;
        let key = self.registry.keys.get(&key_id).ok_or(RegistryError::UnknownKey { key_id })?;
        // A key that was rotated away can still be revoked: whoever stole it
        // may be the one who rotated it.
        if key.revoked_at.is_some() {
            return Err(RegistryError::DeadKey { key_id });
        }
        let compromised_since = self.members.parsed_optional("compromised_since")?;
        let keys = self.with_descendants(key_id);
        self.check_root_is_left(&keys, &BTreeSet::new())?;
        Ok(Effect::Revoke { key_id, keys, compromised_since })
    }

    /// The key and whatever was rotated out of it, and out of that, as far as
    /// not yet revoked.
    fn with_descendants(&self, key_id: KeyId) -> BTreeSet<KeyId> {
        let mut children: BTreeMap<KeyId, Vec<KeyId>> = BTreeMap::new();
        for key in self.registry.keys.values() {
            if let Some(parent) = key.rotated_from {
                children.entry(parent).or_default().push(key.key_id);
            }
        }
        let mut keys = BTreeSet::new();
        let mut todo = vec![key_id];
        while let Some(next) = todo.pop() {
            keys.insert(next);
            todo.extend(children.remove(&next).unwrap_or_default());
        }
        keys.retain(|key_id| self.registry.keys.get(key_id).is_some_and(|key| key.revoked_at.is_none()));
        keys
    }

    /// The server's next key. What the old one held besides, which is root under
    /// local authority, goes over to it.
    fn server_key(&self) -> Result<Effect, RegistryError> {
        let public_key = self.unused_key()?;
        let compromised_since = self.members.parsed_optional("compromised_since")?;
        let version = self.registry.version;
        let old = self.registry.server_key_at(version).and_then(|key_id| self.registry.keys.get(key_id));
        let old = old.filter(|key| key.is_live_at(version));
        let owner = old.map_or(SERVER_OWNER, |key| &key.owner);
        let mut new = new_key(&public_key, owner, Custody::Server, self.version());
        // Signed by another root, it is that root's doing, and does not fall
        // with the key that it replaces.
        new.rotated_from = old.map(|key| key.key_id).filter(|key_id| *key_id == self.event.header.key_id);
        let old = old.map(|key| key.key_id);
        Ok(Effect::ServerKey { old, new: Box::new(new), compromised_since })
    }

    fn grant(&self) -> Result<Effect, RegistryError> {
        let (key_id, domain, schemas, streams) = self.grant_members()?;
        if domain.as_str() == AUDIT {
            return Err(RegistryError::GrantOverAudit);
        }
        let version = self.registry.version;
        let key = self.registry.keys.get(&key_id).ok_or(RegistryError::UnknownKey { key_id })?;
        if !key.is_live_at(version) {
            return Err(RegistryError::DeadKey { key_id });
        }
        if self.registry.server_key_at(version) == Some(&key_id) {
            return Err(RegistryError::GrantToServerKey { key_id });
        }
        let signer = self.signer()?;
        // Or a delegate would widen itself through another key of its own.
        if !self.registry.is_root(&signer.key_id, version) && signer.owner == key.owner {
            return Err(RegistryError::GrantToOwnOwner { key_id, owner: key.owner.clone() });
        }
        let granted_at = self.version();
        Ok(Effect::Grant(Grant { key_id, domain, schemas, streams, granted_at, ended_at: None }))
    }

    fn grant_revocation(&self) -> Result<Effect, RegistryError> {
        let (key_id, domain, schemas, streams) = self.grant_members()?;
        if !self.registry.keys.contains_key(&key_id) {
            return Err(RegistryError::UnknownKey { key_id });
        }
        let mut covered = BTreeSet::new();
        for (index, grant) in self.registry.grants_with_index(&key_id) {
            if grant.ended_at.is_some() || grant.domain != domain {
                continue;
            }
            if schemas.covers(&grant.schemas) && streams.covers(&grant.streams) {
                covered.insert(index);
            } else if schemas.overlaps(&grant.schemas) && streams.overlaps(&grant.streams) {
                return Err(RegistryError::PartOfGrant {
                    key_id,
                    domain,
                    schemas: grant.schemas.clone(),
                    streams: grant.streams.clone(),
                });
            }
        }
        if covered.is_empty() {
            return Err(RegistryError::NoSuchGrant { key_id, domain });
        }
        if domain.as_str() == REGISTRY {
            self.check_root_is_left(&BTreeSet::new(), &covered)?;
        }
        Ok(Effect::EndGrants(covered))
    }

    /// What grants and their revocations say, for a domain within the signer's reach.
    fn grant_members(&self) -> Result<(KeyId, DomainName, Pattern, Pattern), RegistryError> {
        let domain: DomainName = self.members.parsed("domain")?;
        let (schemas, streams) = (self.members.schemas()?, self.members.streams(&domain)?);
        if !self.registry.domains.contains_key(&domain) {
            return Err(RegistryError::UnknownDomain { domain });
        }
        self.check_scope(&domain)?;
        Ok((self.members.parsed("key_id")?, domain, schemas, streams))
    }

    /// The signer's grants over `ets.registry` cover this kind of event and this
    /// domain. Over the registry itself only root has a say.
    fn check_scope(&self, domain: &DomainName) -> Result<(), RegistryError> {
        let header = &self.event.header;
        let (key_id, schema_version) = (header.key_id, header.schema_version.clone());
        let version = self.registry.version;
        if self.registry.is_root(&key_id, version) {
            return Ok(());
        }
        if domain.as_str() == REGISTRY {
            return Err(Denial::NotRoot { key_id, schema_version }.into());
        }
        if self.registry.live_grants(&key_id, version).any(|grant| grant.delegates(&schema_version, domain)) {
            return Ok(());
        }
        Err(Denial::OutsideScope { key_id, schema_version, domain: domain.clone() }.into())
    }

    /// Some root key is left that is valid now and has no `not_after`, once these
    /// keys and the grants at these indices are gone.
    fn check_root_is_left(
        &self,
        lost_keys: &BTreeSet<KeyId>,
        ended_grants: &BTreeSet<usize>,
    ) -> Result<(), RegistryError> {
        let now = self.event.header.timestamp;
        let is_left = self.registry.grants.iter().enumerate().any(|(index, grant)| {
            grant.is_root()
                && grant.ended_at.is_none()
                && !ended_grants.contains(&index)
                && !lost_keys.contains(&grant.key_id)
                && self.registry.keys.get(&grant.key_id).is_some_and(|key| {
                    key.ended_at().is_none()
                        && key.not_after.is_none()
                        && key.not_before.is_none_or(|not_before| not_before <= now)
                })
        });
        if is_left { Ok(()) } else { Err(RegistryError::LastRoot) }
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

    /// The payload's public key, which no event has registered before.
    fn unused_key(&self) -> Result<PublicKey, RegistryError> {
        let key = self.members.public_key("public_key")?;
        let key_id = key.key_id();
        if self.registry.keys.contains_key(&key_id) {
            return Err(RegistryError::KeyTaken { key_id });
        }
        Ok(key)
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
