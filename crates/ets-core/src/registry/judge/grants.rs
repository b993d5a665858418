//! Grants and their revocations, and how far a signer's own reach.

use std::collections::BTreeSet;

use super::{Case, Effect};
use crate::key::KeyId;
use crate::name::{AUDIT, DomainName, REGISTRY};
use crate::registry::authority::{Grant, Pattern};
use crate::registry::{Denial, RegistryError};

impl Case<'_> {
    pub(super) fn grant(&self) -> Result<Effect, RegistryError> {
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

    pub(super) fn grant_revocation(&self) -> Result<Effect, RegistryError> {
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
    pub(super) fn check_scope(&self, domain: &DomainName) -> Result<(), RegistryError> {
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
    pub(super) fn check_root_is_left(
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
}
