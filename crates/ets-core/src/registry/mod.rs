//! The registry: domains, schemas, keys and grants, as a fold over the signed
//! events of the domain `ets.registry`.
//!
//! A [`Registry`] remembers from which version to which each thing held, so one
//! at version N answers for every version up to N: an event is judged at the
//! version that it names, however late. A version is the sequence of a registry
//! event; version 0 is the empty registry before the first.
//!
//! [`Registry::check`] holds every rule for the next registry event but two,
//! which are the same for events of any domain and are the caller's: that
//! `current_hash` is the hash, and that the signature verifies.

mod authority;
pub(crate) mod builtin;
mod compiled;
mod denial;
mod error;
mod judge;
pub mod payload;
mod projection;
mod record;

use std::collections::BTreeMap;
use std::ops::Bound;

pub use authority::{Grant, Pattern, PatternError};
pub use builtin::{
    Kind, SCHEMA_POINTER, Signer, schema as built_in_schema, schemas as built_in_schemas,
    validator as built_in_validator,
};
pub use compiled::{BodyError, CompileError, CompiledSchema, CompiledSchemas, engine_for};
pub use denial::Denial;
pub use error::RegistryError;
pub use projection::{DomainRow, GrantRow, KeyRow, Rows, SchemaRow};
pub use record::{Custody, DomainRecord, KeyRecord, Ledger, RouteError, RuleFunction, SchemaRecord};

use judge::Scrutiny;

use crate::event::{Event, Header};
use crate::hash::Digest;
use crate::key::{KeyId, PublicKey};
use crate::name::{AUDIT, DomainName, REGISTRY, SchemaVersion, StreamName};
use crate::time::Timestamp;

/// What the registry's events say, up to a version.
#[derive(Debug, Clone, PartialEq)]
pub struct Registry {
    ledger: Ledger,
    version: u64,
    head: Digest,
    domains: BTreeMap<DomainName, DomainRecord>,
    /// Users' schemas; the built-in ones are the same in every ledger.
    schemas: BTreeMap<SchemaVersion, SchemaRecord>,
    keys: BTreeMap<KeyId, KeyRecord>,
    grants: Vec<Grant>,
    /// Where a key's grants are in `grants`.
    grants_by_key: BTreeMap<KeyId, Vec<usize>>,
    /// The server's keys, each with the version from which it was.
    server_keys: Vec<(u64, KeyId)>,
    /// The domains with a schema, retired or not, whose rules mention `state`, and
    /// the version that registered the first such schema.
    state_rules: BTreeMap<DomainName, u64>,
}

/// An event to be judged by [`Registry::authorize`].
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The signer's key id.
    pub key_id: KeyId,
    /// The signer's public key, which must be the registered one.
    pub public_key: &'a [u8; 32],
    /// The event's time, which must lie within the key's validity.
    pub timestamp: Timestamp,
    /// The event's domain.
    pub domain: &'a DomainName,
    /// The event's schema version.
    pub schema_version: &'a SchemaVersion,
    /// The event's stream.
    pub stream: &'a StreamName,
}

impl<'a> Request<'a> {
    /// What the signer of an event claims the right to.
    pub fn of(header: &'a Header) -> Self {
        Request {
            key_id: header.key_id,
            public_key: &header.public_key,
            timestamp: header.timestamp,
            domain: &header.domain,
            schema_version: &header.schema_version,
            stream: &header.stream,
        }
    }
}

impl Registry {
    /// The registry after its first event, an `ets.ledger/1.0.0` signed by the
    /// root key that it names.
    ///
    /// # Errors
    /// [`RegistryError`] says what is wrong with it.
    pub fn start(first: &Event) -> Result<Registry, RegistryError> {
        judge::start(first)
    }

    /// The sequence of the last event.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The `current_hash` of the last event.
    pub fn head(&self) -> Digest {
        self.head
    }

    /// What the first event says.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Judges an event as the next of the registry, by all rules of the design's
    /// section 5. That its hash is right and its signature verifies is the
    /// caller's to check.
    ///
    /// # Errors
    /// [`RegistryError`], the first thing wrong.
    pub fn check(&self, event: &Event) -> Result<(), RegistryError> {
        judge::judge(self, event, Scrutiny::Full).map(drop)
    }

    /// [`Registry::check`], then records the event. A refused event changes nothing.
    ///
    /// # Errors
    /// [`RegistryError`], the first thing wrong.
    pub fn apply(&mut self, event: &Event) -> Result<(), RegistryError> {
        self.apply_with(event, Scrutiny::Full)
    }

    /// [`Registry::apply`] of an event that was admitted before, read back to know
    /// what holds. What is costly to judge is taken as judged: whether a schema,
    /// its rules and its reducer compile, and accept what their predecessor
    /// accepted. Verification takes nothing as judged, and uses
    /// [`Registry::apply`].
    ///
    /// # Errors
    /// [`RegistryError`], the first thing wrong.
    pub fn apply_admitted(&mut self, event: &Event) -> Result<(), RegistryError> {
        self.apply_with(event, Scrutiny::Admitted)
    }

    fn apply_with(&mut self, event: &Event, scrutiny: Scrutiny) -> Result<(), RegistryError> {
        let effect = judge::judge(self, event, scrutiny)?;
        self.version = event.header.sequence;
        self.head = event.header.current_hash;
        judge::record(self, effect);
        Ok(())
    }

    /// Goes past the next event, of which only the header is at hand: its place,
    /// and its signer's right to its kind, are judged as far as a header shows
    /// them. It must be of a kind from which no authority follows (a schema, a
    /// schema's retirement, a rule function), and nothing is recorded of it.
    ///
    /// # Errors
    /// [`RegistryError`], the first thing wrong.
    pub fn skip(&mut self, header: &Header) -> Result<(), RegistryError> {
        judge::check_skipped(self, header)?;
        self.version = header.sequence;
        self.head = header.current_hash;
        Ok(())
    }

    /// Continues after the event of this sequence and hash, whatever lies between
    /// and cannot be read. Only for verifying what follows a damaged row.
    pub(crate) fn resume_at(&mut self, version: u64, head: Digest) {
        self.version = version;
        self.head = head;
    }

    /// Whether a key may append an event, as of a registry version. A change
    /// made by the registry event of sequence N holds from version N on.
    ///
    /// For an event in `ets.registry` this is what can be said without its
    /// payload; [`Registry::check`] says the rest. The first event is judged by
    /// [`Registry::start`] alone: at version 0 there are no keys.
    ///
    /// # Errors
    /// [`Denial`] says why not.
    pub fn authorize(&self, at_version: u64, request: &Request<'_>) -> Result<(), Denial> {
        let key_id = request.key_id;
        let key = self.keys.get(&key_id).ok_or(Denial::UnknownKey { key_id })?;
        if key.public_key != *request.public_key {
            return Err(Denial::OtherPublicKey { key_id });
        }
        if at_version < key.registered_at {
            return Err(Denial::NotYetRegistered { key_id, registered_at: key.registered_at });
        }
        if let Some(revoked_at) = key.revoked_at.filter(|revoked| *revoked <= at_version) {
            return Err(Denial::Revoked { key_id, revoked_at });
        }
        if let Some(superseded_at) = key.superseded_at.filter(|superseded| *superseded <= at_version) {
            return Err(Denial::Superseded { key_id, superseded_at, superseded_by: key.superseded_by });
        }
        if let Some(not_before) = key.not_before.filter(|moment| request.timestamp < *moment) {
            return Err(Denial::NotYetValid { key_id, not_before });
        }
        if let Some(not_after) = key.not_after.filter(|moment| *moment < request.timestamp) {
            return Err(Denial::Expired { key_id, not_after });
        }
        match request.domain.as_str() {
            AUDIT if self.server_key_at(at_version) == Some(&key_id) => Ok(()),
            AUDIT => Err(Denial::NotServerKey { key_id }),
            REGISTRY => self.authorize_registry(at_version, request),
            _ if self
                .live_grants(&key_id, at_version)
                .any(|grant| grant.admits(request.domain, request.schema_version, request.stream)) =>
            {
                Ok(())
            }
            _ => Err(no_grant(request)),
        }
    }

    fn authorize_registry(&self, at_version: u64, request: &Request<'_>) -> Result<(), Denial> {
        let key_id = request.key_id;
        match Kind::of(request.schema_version).map(Kind::signer) {
            Some(Signer::Itself) => Ok(()),
            Some(Signer::Root) if self.is_root(&key_id, at_version) => Ok(()),
            Some(Signer::Root) => {
                Err(Denial::NotRoot { key_id, schema_version: request.schema_version.clone() })
            }
            Some(Signer::Delegate)
                if self.live_grants(&key_id, at_version).any(|grant| {
                    grant.is_over_registry() && grant.schemas.matches(request.schema_version.as_str())
                }) =>
            {
                Ok(())
            }
            _ => Err(no_grant(request)),
        }
    }

    /// A schema, a user's or a built-in one, whatever its state.
    pub fn schema(&self, name: &SchemaVersion) -> Option<&SchemaRecord> {
        self.schemas.get(name).or_else(|| builtin::schema(name))
    }

    /// The greatest version of a user's schema of this name, retired or not.
    pub fn newest_of(&self, name: &str) -> Option<&SchemaRecord> {
        let start = format!("{name}/");
        let versions = self.schemas.range::<str, _>((Bound::Included(start.as_str()), Bound::Unbounded));
        let versions = versions.take_while(|(version, _)| version.as_str().starts_with(&start));
        versions.map(|(_, record)| record).max_by_key(|record| record.name.numbers())
    }

    /// The schema that an event may name that is judged at a registry version.
    ///
    /// # Errors
    /// [`RegistryError::UnknownSchema`] if it was not registered by then,
    /// [`RegistryError::SchemaRetired`] if it was retired by then.
    pub fn schema_at(&self, name: &SchemaVersion, at_version: u64) -> Result<&SchemaRecord, RegistryError> {
        let schema = self.schema(name).filter(|schema| schema.registered_at <= at_version);
        let schema = schema.ok_or_else(|| RegistryError::UnknownSchema { name: name.clone() })?;
        match schema.retired_at.filter(|retired| *retired <= at_version) {
            Some(retired_at) => Err(RegistryError::SchemaRetired { name: name.clone(), retired_at }),
            None => Ok(schema),
        }
    }

    /// A key, whatever its state.
    pub fn key(&self, id: &KeyId) -> Option<&KeyRecord> {
        self.keys.get(id)
    }

    /// A domain, a user's or a reserved one.
    pub fn domain(&self, name: &str) -> Option<&DomainRecord> {
        self.domains.get(name)
    }

    /// Whether the state of each stream of a domain is kept: the domain says so, or
    /// a rule of one of its schemas mentions `state`. A retired schema counts: its
    /// domain does not stop keeping.
    pub fn keeps_state(&self, domain: &DomainName) -> bool {
        self.keeps_state_since(domain).is_some()
    }

    /// The registry version from which on a domain's states are kept: the gate has
    /// reduced the events that were judged at it or later.
    pub fn keeps_state_since(&self, domain: &DomainName) -> Option<u64> {
        let kept = self.domains.get(domain).filter(|record| record.keep_state);
        let asked = self.state_rules.get(domain).copied();
        kept.map(|record| record.registered_at).or(asked)
    }

    /// Whether a rule of one of a domain's schemas mentions `state`.
    pub(crate) fn rules_need_state(&self, domain: &DomainName) -> bool {
        self.state_rules.contains_key(domain)
    }

    /// Whose key it is, if it was registered by a registry version. A key never
    /// changes its owner.
    pub fn owner_at(&self, key_id: &KeyId, version: u64) -> Option<&str> {
        let key = self.keys.get(key_id).filter(|key| key.registered_at <= version);
        key.map(|key| key.owner.as_str())
    }

    /// The domains that a registry tree of this size has created, the reserved
    /// ones too, in ascending order of their names' bytes: those of a MetaRoot.
    pub fn domains_at(&self, version: u64) -> Vec<DomainName> {
        let created = self.domains.values().filter(|domain| domain.registered_at <= version);
        created.map(|domain| domain.domain.clone()).collect()
    }

    /// The server's key at a registry version; whether it is live is another question.
    pub fn server_key_at(&self, version: u64) -> Option<&KeyId> {
        self.server_keys.iter().rev().find(|(since, _)| *since <= version).map(|(_, key_id)| key_id)
    }

    /// Every key that is or was the server's, the first one first.
    pub fn server_keys(&self) -> impl Iterator<Item = PublicKey> {
        let records = self.server_keys.iter().filter_map(|(_, key_id)| self.keys.get(key_id));
        records.filter_map(|record| PublicKey::from_bytes(&record.public_key).ok())
    }

    /// Whether a key is root at a registry version: live, with a grant over
    /// `ets.registry` with `*` and `*`. Its validity in time is not looked at.
    pub fn is_root(&self, key_id: &KeyId, at_version: u64) -> bool {
        self.keys.get(key_id).is_some_and(|key| key.is_live_at(at_version))
            && self.live_grants(key_id, at_version).any(Grant::is_root)
    }

    /// The root keys at a registry version.
    pub fn root_keys(&self, at_version: u64) -> Vec<&KeyRecord> {
        self.keys.values().filter(|key| self.is_root(&key.key_id, at_version)).collect()
    }

    /// The moment from which on a key may have been in other hands: its own
    /// `compromised_since`, or that of a key out of which it had been rotated by
    /// then. Whoever had the old key may have been the one who rotated it. A key
    /// that took over by the very event that says so is the remedy, and is not
    /// meant.
    pub fn compromised_since(&self, key_id: &KeyId) -> Option<Timestamp> {
        let mut key = self.keys.get(key_id)?;
        let mut moment = key.compromised_since;
        // A key is rotated out of one that was registered before it: this ends.
        while let Some(parent) = key.rotated_from.and_then(|id| self.keys.get(&id)) {
            let was_there = parent.compromised_at.is_some_and(|said| key.registered_at < said);
            let since = parent.compromised_since.filter(|since| was_there && *since <= key.registered_on);
            moment = match (moment, since) {
                (Some(one), Some(two)) => Some(one.min(two)),
                (one, two) => one.or(two),
            };
            key = parent;
        }
        moment
    }

    /// The keys that may have been in other hands, each with the moment from which on.
    pub fn compromised_keys(&self) -> impl Iterator<Item = (KeyId, Timestamp)> {
        self.keys.keys().filter_map(|key_id| Some((*key_id, self.compromised_since(key_id)?)))
    }

    /// The grants of a key that held at a registry version; none of a dead key.
    pub fn grants_of(&self, key_id: &KeyId, at_version: u64) -> Vec<&Grant> {
        if self.keys.get(key_id).is_some_and(|key| key.is_live_at(at_version)) {
            self.live_grants(key_id, at_version).collect()
        } else {
            Vec::new()
        }
    }

    fn live_grants(&self, key_id: &KeyId, at_version: u64) -> impl Iterator<Item = &Grant> {
        self.grants_with_index(key_id)
            .map(|(_, grant)| grant)
            .filter(move |grant| grant.is_live_at(at_version))
    }

    fn grants_with_index(&self, key_id: &KeyId) -> impl Iterator<Item = (usize, &Grant)> {
        let indices = self.grants_by_key.get(key_id).map_or(&[][..], Vec::as_slice);
        indices.iter().filter_map(|index| self.grants.get(*index).map(|grant| (*index, grant)))
    }

    fn add_grant(&mut self, grant: Grant) {
        self.grants_by_key.entry(grant.key_id).or_default().push(self.grants.len());
        self.grants.push(grant);
    }
}

fn no_grant(request: &Request<'_>) -> Denial {
    Denial::NoGrant {
        key_id: request.key_id,
        domain: request.domain.clone(),
        schema_version: request.schema_version.clone(),
        stream: request.stream.clone(),
    }
}

#[cfg(test)]
mod tests;
