//! Every checkpoint: numbers, MetaRoots, domains, notes.

use std::collections::{BTreeMap, HashMap, HashSet};

use ets_core::checkpoint::DomainRoot;
use ets_core::hash::Digest;
use ets_core::key::KeyId;
use ets_core::name::DomainName;
use ets_core::registry::Registry;
use ets_core::verify::{CheckpointRow, CheckpointsVerifier, VerifiedRegistry};

use super::super::source::Source;
use super::Seal;
use super::findings::Findings;

/// Of each compromised key: the size of each domain's tree in the last checkpoint of
/// before the moment from which on it was in other hands.
pub type Covers = HashMap<KeyId, BTreeMap<String, u64>>;

/// What the checkpoints are.
#[derive(Default)]
pub struct Checkpoints {
    pub seals: Vec<Seal>,
    pub last: Option<(i64, CheckpointRow, Vec<DomainRoot>)>,
    pub meta_roots: HashSet<Vec<u8>>,
    pub covers: Covers,
}

/// Every checkpoint: numbers, MetaRoots, domains, notes.
pub fn checkpoints(
    source: &dyn Source,
    verified: &VerifiedRegistry,
    findings: &mut Findings,
) -> Result<Checkpoints, String> {
    let mut verifier = CheckpointsVerifier::new(verified, 0);
    let mut found = Vec::new();
    let mut all = Checkpoints::default();
    let compromised: Vec<_> = verified.registry.iter().flat_map(Registry::compromised_keys).collect();
    all.covers = compromised.iter().map(|(key, _)| (*key, BTreeMap::new())).collect();
    source.checkpoints(&mut |id, row, root, created_at| {
        if all.seals.last().is_none_or(|seal| seal.checkpoint_id != id) {
            let meta_root = row.as_ref().map(|row| row.meta_root.clone()).unwrap_or_default();
            all.meta_roots.insert(meta_root.clone());
            all.seals.push(Seal { checkpoint_id: id, created_at, meta_root, leaves: 0 });
            all.last = row.clone().map(|row| (id, row, Vec::new()));
        }
        if let (Some(seal), Some(root)) = (all.seals.last_mut(), &root) {
            let size = root.tree_size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
            seal.leaves = seal.leaves.saturating_add(size);
            for (key, since) in &compromised {
                if seal.created_at.is_some_and(|at| at < *since)
                    && let Some(sizes) = all.covers.get_mut(key)
                {
                    sizes.insert(root.domain.clone(), size);
                }
            }
            if let (Some((_, _, roots)), Ok(domain), Some(Ok(hash))) = (
                &mut all.last,
                root.domain.parse::<DomainName>(),
                root.root_hash.as_deref().map(Digest::try_from),
            ) {
                roots.push(DomainRoot { domain, tree_size: size, root: hash });
            }
        }
        verifier.push(id, row, root, &mut found);
        findings.extend(std::mem::take(&mut found));
        Ok(())
    })?;
    verifier.finish(&mut found);
    findings.extend(found);
    Ok(all)
}
