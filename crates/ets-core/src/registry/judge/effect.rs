//! What an admitted registry event changes, and changing it.

use std::collections::BTreeSet;

use crate::key::KeyId;
use crate::name::SchemaVersion;
use crate::registry::Registry;
use crate::registry::authority::Grant;
use crate::registry::record::{DomainRecord, KeyRecord, RuleFunction, SchemaRecord};
use crate::rule;
use crate::time::Timestamp;

/// What an admitted event changes.
pub(in crate::registry) enum Effect {
    Domain(DomainRecord),
    Schema(Box<SchemaRecord>),
    RetireSchema(SchemaVersion),
    AddRuleFunction(SchemaVersion, RuleFunction),
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

/// Changes the registry, whose version is that of the event already.
pub(in crate::registry) fn record(registry: &mut Registry, effect: Effect) {
    let version = registry.version;
    match effect {
        Effect::Domain(domain) => {
            registry.domains.insert(domain.domain.clone(), domain);
        }
        Effect::Schema(schema) => {
            if rule::mention_state(&schema.rules) {
                registry.state_rules.entry(schema.domain.clone()).or_insert(version);
            }
            registry.schemas.insert(schema.name.clone(), *schema);
        }
        Effect::RetireSchema(name) => {
            if let Some(schema) = registry.schemas.get_mut(&name) {
                schema.retired_at = Some(version);
            }
        }
        Effect::AddRuleFunction(name, function) => {
            if let Some(schema) = registry.schemas.get_mut(&name) {
                schema.rule_functions.push(function);
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
                    note_compromise(registry, &old, compromised_since);
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
            note_compromise(registry, &key_id, compromised_since);
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

/// Notes from when on a key may have been in other hands, where an event says so; of
/// two moments the earlier, and the event that was the first to say so.
fn note_compromise(registry: &mut Registry, key_id: &KeyId, since: Option<Timestamp>) {
    let version = registry.version;
    if let (Some(key), Some(since)) = (registry.keys.get_mut(key_id), since) {
        key.compromised_since = Some(key.compromised_since.map_or(since, |earlier| earlier.min(since)));
        key.compromised_at.get_or_insert(version);
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
