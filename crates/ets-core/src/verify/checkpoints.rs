//! The checkpoints, one after the other: their MetaRoots, notes and domains.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::finding::{Finding, FindingClass, clipped};
use super::registry::VerifiedRegistry;
use crate::checkpoint::{DomainRoot, meta_root};
use crate::event::EventId;
use crate::hash::{Digest, SPECIFICATION_VERSION, to_hex};
use crate::key::PublicKey;
use crate::name::{DomainName, REGISTRY};
use crate::note;
use crate::registry::Registry;

/// Verifies the checkpoints, which come in the order of their numbers with all
/// their domains' roots. That each root is its tree's, [`super::TreeVerifier`] verifies.
pub struct CheckpointsVerifier<'r> {
    registry: Option<&'r Registry>,
    current: Option<Stored>,
    last_id: i64,
    /// The checkpoint before the first that is verified, 0 if there is none: it
    /// tells what those after it must continue.
    known: i64,
    /// Each domain's size at the checkpoint before.
    sizes: BTreeMap<DomainName, u64>,
    /// The greatest event id in any tree so far.
    greatest: Option<EventId>,
    /// Whether every leaf that could be the greatest was there.
    is_greatest_known: bool,
}

/// A row of `ets.checkpoint`, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointRow {
    /// `version`.
    pub version: String,
    /// `checkpoint_event_id`.
    pub checkpoint_event_id: Option<Uuid>,
    /// `meta_root`.
    pub meta_root: Vec<u8>,
}

/// A row of `ets.domain_root`, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootRow {
    /// `domain`.
    pub domain: String,
    /// `tree_size`.
    pub tree_size: Option<i64>,
    /// `root_hash`.
    pub root_hash: Option<Vec<u8>>,
    /// `note`, the signed note.
    pub note: Option<String>,
    /// The `event_id` of the tree's last leaf, if that leaf is there.
    pub last_event_id: Option<Uuid>,
}

/// A checkpoint as it is stored.
struct Stored {
    checkpoint_id: i64,
    /// None without a row in `ets.checkpoint`.
    row: Option<CheckpointRow>,
    roots: Vec<DomainRoot>,
    notes: Vec<(DomainName, String)>,
    /// Whether every root could be read.
    is_whole: bool,
}

impl<'r> CheckpointsVerifier<'r> {
    /// A verifier for the checkpoints from number `known` on, which is taken as it
    /// is; 0: from the first. Domains and notes are judged by an undamaged registry.
    pub fn new(verified: &'r VerifiedRegistry, known: i64) -> Self {
        CheckpointsVerifier {
            registry: verified.registry.as_ref().filter(|_| verified.damaged_from.is_none()),
            current: None,
            last_id: (known - 1).max(0),
            known,
            sizes: BTreeMap::new(),
            greatest: None,
            is_greatest_known: true,
        }
    }

    /// The next root, with the row of the checkpoint of its number. Either may be
    /// missing.
    pub fn push(
        &mut self,
        checkpoint_id: i64,
        row: Option<CheckpointRow>,
        root: Option<RootRow>,
        findings: &mut Vec<Finding>,
    ) {
        if self.current.as_ref().is_none_or(|current| current.checkpoint_id != checkpoint_id) {
            self.finish(findings);
            let (roots, notes) = (Vec::new(), Vec::new());
            self.current = Some(Stored { checkpoint_id, row, roots, notes, is_whole: true });
        }
        let (Some(current), Some(row)) = (&mut self.current, root) else { return };
        let root = row.domain.parse::<DomainName>().ok().and_then(|domain| {
            Some(DomainRoot {
                domain,
                tree_size: row.tree_size.and_then(|size| u64::try_from(size).ok())?,
                root: row.root_hash.and_then(|hash| Digest::try_from(&hash[..]).ok())?,
            })
        });
        let Some(root) = root else {
            current.is_whole = false;
            let detail = format!("checkpoint {checkpoint_id} has a root that is none at all");
            findings.push(Finding {
                domain: Some(clipped(&row.domain)),
                ..Finding::new(FindingClass::Seal, "root", detail)
            });
            return;
        };
        match row.last_event_id.and_then(EventId::from_uuid) {
            Some(last) => self.greatest = self.greatest.max(Some(last)),
            // Its absence is a finding of the tree's.
            None => self.is_greatest_known &= root.tree_size == 0,
        }
        if let Some(note) = row.note {
            current.notes.push((root.domain.clone(), note));
        }
        current.roots.push(root);
    }

    /// Verifies the checkpoint whose roots have all come in; to be called once more
    /// after the last.
    pub fn finish(&mut self, findings: &mut Vec<Finding>) {
        let Some(stored) = self.current.take() else { return };
        if self.known > 0 && stored.checkpoint_id == self.known {
            self.greatest =
                stored.row.as_ref().and_then(|row| row.checkpoint_event_id.and_then(EventId::from_uuid));
            self.is_greatest_known = self.greatest.is_some();
            self.last_id = self.known;
            self.check_sizes(&stored, &mut Vec::new());
            return;
        }
        let id = stored.checkpoint_id;
        if id != self.last_id + 1 {
            findings.push(Finding {
                expected: Some((self.last_id + 1).to_string()),
                actual: Some(id.to_string()),
                ..Finding::new(
                    FindingClass::Seal,
                    "checkpoint",
                    format!("checkpoints before {id} are missing"),
                )
            });
        }
        self.last_id = id;
        self.check_sizes(&stored, findings);
        self.check_domains(&stored, findings);
        let Some(CheckpointRow { version, checkpoint_event_id: event_id, meta_root: root }) = &stored.row
        else {
            findings.push(Finding::new(
                FindingClass::Seal,
                "checkpoint",
                format!("checkpoint {id} has domain roots, but no row"),
            ));
            return;
        };
        if version != SPECIFICATION_VERSION {
            findings.push(Finding {
                expected: Some(SPECIFICATION_VERSION.into()),
                actual: Some(clipped(version)),
                ..Finding::new(
                    FindingClass::Seal,
                    "version",
                    format!("checkpoint {id} is of another version"),
                )
            });
        }
        if self.is_greatest_known && *event_id != self.greatest.map(|id| *id.as_uuid()) {
            findings.push(Finding {
                event_id: *event_id,
                expected: self.greatest.map(|id| id.to_string()),
                actual: event_id.map(|id| id.to_string()),
                ..Finding::new(
                    FindingClass::Seal,
                    "checkpoint_event_id",
                    format!("checkpoint {id} does not name the greatest event id in its trees"),
                )
            });
        }
        let computed = event_id
            .and_then(EventId::from_uuid)
            .filter(|_| stored.is_whole)
            .and_then(|event_id| meta_root(version, &event_id, &stored.roots).ok());
        if computed.is_none_or(|computed| computed.as_bytes()[..] != root[..]) {
            findings.push(Finding {
                expected: computed.map(|root| root.to_string()),
                actual: Some(clipped(&to_hex(root))),
                ..Finding::new(
                    FindingClass::Seal,
                    "meta_root",
                    format!("the domain roots of checkpoint {id} do not hash to its MetaRoot"),
                )
            });
        }
        self.check_notes(&stored, root, findings);
    }

    /// A checkpoint has every domain of the one before, and none is smaller.
    fn check_sizes(&mut self, stored: &Stored, findings: &mut Vec<Finding>) {
        let id = stored.checkpoint_id;
        let mut sizes = BTreeMap::new();
        for root in &stored.roots {
            if let Some(before) = self.sizes.remove(&root.domain)
                && before > root.tree_size
            {
                findings.push(Finding {
                    domain: Some(root.domain.to_string()),
                    expected: Some(format!("at least {before}")),
                    actual: Some(root.tree_size.to_string()),
                    ..Finding::new(
                        FindingClass::Seal,
                        "tree_size",
                        format!("the tree shrinks in checkpoint {id}"),
                    )
                });
            }
            sizes.insert(root.domain.clone(), root.tree_size);
        }
        for domain in self.sizes.keys() {
            findings.push(Finding {
                domain: Some(domain.to_string()),
                ..Finding::new(
                    FindingClass::Seal,
                    "domains",
                    format!("checkpoint {id} lacks a domain of the one before"),
                )
            });
        }
        self.sizes = sizes;
    }

    /// A checkpoint has the domains that its own registry tree has created.
    fn check_domains(&self, stored: &Stored, findings: &mut Vec<Finding>) {
        let Some(registry) = self.registry else { return };
        let id = stored.checkpoint_id;
        let created = registry.domains_at(registry_size(stored));
        let sealed = |name: &DomainName| stored.roots.iter().any(|root| root.domain == *name);
        for domain in created.iter().filter(|domain| !sealed(domain)) {
            findings.push(Finding {
                domain: Some(domain.to_string()),
                ..Finding::new(FindingClass::Seal, "domains", format!("checkpoint {id} lacks a domain"))
            });
        }
        for root in stored.roots.iter().filter(|root| !created.contains(&root.domain)) {
            findings.push(Finding {
                domain: Some(root.domain.to_string()),
                ..Finding::new(
                    FindingClass::Seal,
                    "domains",
                    format!("checkpoint {id} has a domain that was not created by then"),
                )
            });
        }
    }

    /// Notes, where there are any, are signed by the server's key of that time
    /// and state the roots of their checkpoint.
    fn check_notes(&self, stored: &Stored, meta_root: &[u8], findings: &mut Vec<Finding>) {
        let Some(registry) = self.registry else { return };
        let key = registry
            .server_key_at(registry_size(stored))
            .and_then(|id| registry.key(id))
            .and_then(|record| PublicKey::from_bytes(&record.public_key).ok());
        for (domain, text) in &stored.notes {
            let problem = match &key {
                None => Some("there was no server key to sign it".to_owned()),
                Some(key) => match note::open_checkpoint(text, &registry.ledger().origin, domain, key) {
                    Err(error) => Some(error.to_string()),
                    Ok((root, stated)) => (!stored.roots.contains(&root)
                        || stated.as_bytes()[..] != *meta_root)
                        .then(|| "it states another root or MetaRoot".to_owned()),
                },
            };
            if let Some(problem) = problem {
                findings.push(Finding {
                    domain: Some(domain.to_string()),
                    ..Finding::new(
                        FindingClass::Seal,
                        "note",
                        format!("the note of checkpoint {} does not hold: {problem}", stored.checkpoint_id),
                    )
                });
            }
        }
    }
}

fn registry_size(stored: &Stored) -> u64 {
    stored.roots.iter().find(|root| root.domain.as_str() == REGISTRY).map_or(0, |root| root.tree_size)
}
