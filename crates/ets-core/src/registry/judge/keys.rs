//! Keys: registered, rotated, revoked; and the server's key.

use std::collections::{BTreeMap, BTreeSet};

use super::{Case, Effect, SERVER_OWNER, new_key};
use crate::key::{KeyId, PublicKey, Signature, key_possession_hash};
use crate::registry::record::{Custody, KeyRecord};
use crate::registry::{Denial, RegistryError};

impl Case<'_> {
    pub(super) fn key(&self) -> Result<Effect, RegistryError> {
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
        let key = new_key(&public_key, members.text("owner")?, custody, &self.event.header);
        Ok(Effect::Key(Box::new(KeyRecord { not_before, not_after, ..key })))
    }

    /// The only registry event that a key without a registry grant signs, and
    /// for itself only.
    pub(super) fn key_rotation(&self) -> Result<Effect, RegistryError> {
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
        let key = new_key(&public_key, &signer.owner, signer.custody, &self.event.header);
        let new = Box::new(KeyRecord { not_after, rotated_from: Some(key_id), ..key });
        Ok(Effect::Rotate { old: key_id, new })
    }

    pub(super) fn key_revocation(&self) -> Result<Effect, RegistryError> {
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
    pub(super) fn server_key(&self) -> Result<Effect, RegistryError> {
        let public_key = self.unused_key()?;
        let compromised_since = self.members.parsed_optional("compromised_since")?;
        let version = self.registry.version;
        let old = self.registry.server_key_at(version).and_then(|key_id| self.registry.keys.get(key_id));
        let old = old.filter(|key| key.is_live_at(version));
        let owner = old.map_or(SERVER_OWNER, |key| &key.owner);
        let mut new = new_key(&public_key, owner, Custody::Server, &self.event.header);
        // Signed by another root, it is that root's doing, and does not fall
        // with the key that it replaces.
        new.rotated_from = old.map(|key| key.key_id).filter(|key_id| *key_id == self.event.header.key_id);
        let old = old.map(|key| key.key_id);
        Ok(Effect::ServerKey { old, new: Box::new(new), compromised_since })
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
}
