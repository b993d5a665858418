//! The checks of an event's place in a checkpoint, and of who made the checkpoint.

use super::proof::Trust;
use super::{Check, document::judged};
use crate::bundle::{Checkpoint, Evidence};
use crate::checkpoint::DomainRoot;
use crate::event::Event;
use crate::hash::Digest;
use crate::key::PublicKey;
use crate::merkle;
use crate::name::{AUDIT, REGISTRY};
use crate::note::{self, NoteError};
use crate::registry::Registry;

/// The checks from `inclusion` on.
pub(super) fn checks(
    event: &Event,
    evidence: &Evidence,
    registry: Option<&Registry>,
    trust: &Trust,
) -> Vec<Check> {
    let checkpoint = &evidence.checkpoint;
    let kept = kept_checkpoint(checkpoint, trust);
    let is_kept = trust.kept().iter().any(|kept| kept.meta_root == checkpoint.meta_root);
    let mut checks = vec![
        inclusion(event, evidence),
        registry_inclusion(evidence),
        meta_root(event, evidence, registry),
        note(event, evidence, registry, is_kept),
    ];
    checks.extend(kept);
    checks
}

fn inclusion(event: &Event, evidence: &Evidence) -> Check {
    const NAME: &str = "inclusion";
    let header = &event.header;
    let Some(root) = evidence.checkpoint.domain_root(header.domain.as_str()) else {
        return Check::failed(NAME, format!("the checkpoint has no domain {}", header.domain));
    };
    let proof = &evidence.inclusion;
    match merkle::verify_inclusion(
        &header.leaf_hash(),
        proof.leaf_index,
        root.tree_size,
        &proof.path,
        &root.root,
    ) {
        Ok(()) => Check::passed(
            NAME,
            format!("leaf {} of {} in the tree of {}", proof.leaf_index, root.tree_size, header.domain),
        ),
        Err(error) => Check::failed(NAME, error.to_string()),
    }
}

fn registry_inclusion(evidence: &Evidence) -> Check {
    const NAME: &str = "registry_inclusion";
    let Some(root) = evidence.checkpoint.domain_root(REGISTRY) else {
        return Check::failed(NAME, format!("the checkpoint has no domain {REGISTRY}"));
    };
    let part = &evidence.registry;
    let leaves: Vec<Digest> = part.events.iter().map(|entry| entry.header().leaf_hash()).collect();
    let size = u64::try_from(leaves.len()).unwrap_or(u64::MAX);
    let begins = merkle::root_of(&leaves);
    match merkle::verify_consistency(size, root.tree_size, &part.consistency, &begins, &root.root) {
        Ok(()) => Check::passed(
            NAME,
            format!("registry events 1 to {size} begin the checkpoint's {}", root.tree_size),
        ),
        Err(error) => Check::failed(NAME, error.to_string()),
    }
}

fn meta_root(event: &Event, evidence: &Evidence, registry: Option<&Registry>) -> Check {
    const NAME: &str = "meta_root";
    let checkpoint = &evidence.checkpoint;
    if checkpoint.computed_meta_root() != Some(checkpoint.meta_root) {
        return Check::failed(NAME, "the domain roots do not hash to the MetaRoot");
    }
    let version = registry.map_or(0, Registry::version);
    let registered = registry.map(|registry| registry.domains_at(version)).unwrap_or_default();
    let registered: Vec<&str> = registered.iter().map(|domain| domain.as_str()).collect();
    if let Some(absent) =
        [REGISTRY, AUDIT].iter().chain(&registered).find(|name| checkpoint.domain_root(name).is_none())
    {
        return Check::failed(NAME, format!("the checkpoint lacks the domain {absent}"));
    }
    // With the whole registry at hand it is known which domains there are.
    let is_whole = checkpoint.domain_root(REGISTRY).is_some_and(|root| root.tree_size == version);
    let is_known = |root: &&DomainRoot| registered.contains(&root.domain.as_str());
    if is_whole && let Some(more) = checkpoint.domain_roots.iter().find(|root| !is_known(root)) {
        return Check::failed(
            NAME,
            format!("the checkpoint has a domain {} that was never created", more.domain),
        );
    }
    let last =
        evidence.registry.events.last().map(|entry| entry.header().event_id).max(Some(event.header.event_id));
    if last > Some(checkpoint.checkpoint_event_id) {
        return Check::failed(NAME, "an event is later than the checkpoint's checkpoint_event_id");
    }
    Check::passed(NAME, format!("{} covers {} domains", checkpoint.meta_root, checkpoint.domain_roots.len()))
}

fn note(event: &Event, evidence: &Evidence, registry: Option<&Registry>, is_kept: bool) -> Check {
    const NAME: &str = "note";
    let (checkpoint, domain) = (&evidence.checkpoint, &event.header.domain);
    let Some(text) = &checkpoint.note else {
        return match is_kept {
            true => Check::passed(NAME, "the checkpoint has no note, but it is one that was kept"),
            false => Check::unknown(NAME, "the checkpoint has no note: nothing shows who made it"),
        };
    };
    let Some(registry) = registry else {
        return Check::unknown(NAME, "there is no registry that names the server's key");
    };
    let record = registry.server_key_at(registry.version()).and_then(|id| registry.key(id));
    let key = record.and_then(|record| PublicKey::from_bytes(&record.public_key).ok());
    let (Some(record), Some(key)) = (record, key) else {
        return Check::unknown(NAME, "the registry names no key of the server");
    };
    if !record.is_live_at(registry.version()) {
        return Check::failed(NAME, format!("the server's key {key} was revoked before this checkpoint"));
    }
    match note::open_checkpoint(text, &evidence.trust_root.origin, domain, &key) {
        Ok((root, meta_root)) => judged(
            NAME,
            checkpoint.domain_root(domain.as_str()) == Some(&root) && meta_root == checkpoint.meta_root,
            || format!("the server's key {key} signed this root and MetaRoot for {domain}"),
            || "the note is of another root or MetaRoot".into(),
        ),
        // A later key of the server may have signed it, unless the bundle has the whole registry.
        Err(NoteError::NotSigned)
            if checkpoint.domain_root(REGISTRY).is_none_or(|root| root.tree_size > registry.version()) =>
        {
            Check::unknown(NAME, "the note is signed by a key that the bundle's registry does not name")
        }
        Err(error) => Check::failed(NAME, error.to_string()),
    }
}

fn kept_checkpoint(checkpoint: &Checkpoint, trust: &Trust) -> Option<Check> {
    const NAME: &str = "kept_checkpoint";
    let mut compared = 0;
    for kept in trust.kept() {
        if kept.computed_meta_root() != Some(kept.meta_root) {
            return Some(Check::failed(
                NAME,
                format!("the kept checkpoint {} does not hash to its own MetaRoot", kept.checkpoint_id),
            ));
        }
        for root in &kept.domain_roots {
            match checkpoint.domain_root(root.domain.as_str()) {
                Some(shown) if shown.tree_size == root.tree_size && root.tree_size > 0 => {
                    if shown.root != root.root {
                        let detail = format!(
                            "the kept checkpoint {} has another root for the first {} events of {}",
                            kept.checkpoint_id, root.tree_size, root.domain
                        );
                        return Some(Check::failed(NAME, detail));
                    }
                    compared += 1;
                }
                _ => {}
            }
        }
    }
    (compared > 0)
        .then(|| Check::passed(NAME, format!("{compared} domain roots agree with kept checkpoints")))
}
