//! The checkpoints, one after the other: their MetaRoots, notes and domains.

use std::collections::BTreeMap;

use ets_core::checkpoint::{DomainRoot, meta_root};
use ets_core::event::EventId;
use ets_core::hash::{Digest, SPECIFICATION_VERSION, to_hex};
use ets_core::key::PublicKey;
use ets_core::name::{DomainName, REGISTRY};
use ets_core::note;
use ets_core::registry::Registry;
use ets_core::verify::{Finding, FindingClass, VerifiedRegistry};
use uuid::Uuid;

use super::chains::BATCH;
use super::{Findings, clipped, finding};
use crate::db::{self, Row, View};
use crate::error::Result;
use crate::high_water::{self, Standing};

/// Verifies the checkpoints of the numbers from `first` on. That each root is its
/// tree's, `trees` verifies.
pub fn verify(verified: &VerifiedRegistry, first: u64, findings: &mut Findings) -> Result<()> {
    if findings.is_full() {
        return Ok(());
    }
    let known = i64::try_from(first).unwrap_or(i64::MAX).max(1) - 1;
    let mut walk = Walk {
        registry: verified.registry.as_ref().filter(|_| verified.damaged_from.is_none()),
        current: None,
        last_id: (known - 1).max(0),
        known,
        sizes: BTreeMap::new(),
        greatest: None,
        is_greatest_known: true,
    };
    db::scan_while(
        View::Query,
        "SELECT checkpoint.checkpoint_id, checkpoint.version, checkpoint.checkpoint_event_id, checkpoint.meta_root,
                root.checkpoint_id, root.domain, root.tree_size, root.root_hash, root.note, leaf.event_id
           FROM (SELECT * FROM ets.checkpoint AS each WHERE each.checkpoint_id >= $1) AS checkpoint
           FULL JOIN (SELECT * FROM ets.domain_root AS each WHERE each.checkpoint_id >= $1) AS root
             ON root.checkpoint_id = checkpoint.checkpoint_id
           LEFT JOIN ets.merkle_leaf AS leaf
             ON leaf.domain = root.domain AND leaf.leaf_index = root.tree_size - 1
          ORDER BY coalesce(checkpoint.checkpoint_id, root.checkpoint_id), root.domain",
        // Before the first nothing may be, either.
        &[if known == 0 { i64::MIN } else { known }.into()],
        BATCH,
        |row| {
            walk.row(row, findings);
            Ok(!findings.is_full())
        },
    )?;
    walk.settle(findings);
    high_water(findings)
}

/// The file outside the data directory knows no checkpoint that is not here.
fn high_water(findings: &mut Findings) -> Result<()> {
    let standing = high_water::standing()?;
    let Some(problem) = standing.problem() else { return Ok(()) };
    let class = match standing {
        Standing::Unreadable(_) => FindingClass::Unverifiable,
        _ => FindingClass::Seal,
    };
    let (expected, actual) = match standing {
        Standing::Differs { kept, here, .. } => (Some(kept), here),
        _ => (None, None),
    };
    findings.add(Finding { expected, actual, ..finding(class, "high_water", problem) });
    Ok(())
}

struct Walk<'a> {
    registry: Option<&'a Registry>,
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

/// A checkpoint as it is stored.
struct Stored {
    checkpoint_id: i64,
    /// `version`, `checkpoint_event_id` and `meta_root`; none without a row in `ets.checkpoint`.
    row: Option<(String, Option<Uuid>, Vec<u8>)>,
    roots: Vec<DomainRoot>,
    notes: Vec<(DomainName, String)>,
    /// Whether every root could be read.
    is_whole: bool,
}

impl Walk<'_> {
    fn row(&mut self, row: &Row, findings: &mut Findings) {
        let id = row.int(1).or(row.int(5)).unwrap_or(0);
        if self.current.as_ref().is_none_or(|current| current.checkpoint_id != id) {
            self.settle(findings);
            let stored = row.int(1).map(|_| {
                (
                    row.text(2).unwrap_or_default(),
                    row.uuid(3).map(Uuid::from_bytes),
                    row.bytes(4).unwrap_or_default(),
                )
            });
            self.current = Some(Stored {
                checkpoint_id: id,
                row: stored,
                roots: Vec::new(),
                notes: Vec::new(),
                is_whole: true,
            });
        }
        let Some(current) = &mut self.current else { return };
        let Some(name) = row.text(6) else { return };
        let root = name.parse::<DomainName>().ok().and_then(|domain| {
            Some(DomainRoot {
                domain,
                tree_size: row.int(7).and_then(|size| u64::try_from(size).ok())?,
                root: row.bytes(8).and_then(|hash| Digest::try_from(&hash[..]).ok())?,
            })
        });
        let Some(root) = root else {
            current.is_whole = false;
            findings.add(Finding {
                domain: Some(clipped(&name)),
                ..finding(
                    FindingClass::Seal,
                    "root",
                    format!("checkpoint {id} has a root that is none at all"),
                )
            });
            return;
        };
        match row.uuid(10).and_then(|id| EventId::from_slice(&id)) {
            Some(last) => self.greatest = self.greatest.max(Some(last)),
            // Its absence is a finding of the tree's.
            None => self.is_greatest_known &= root.tree_size == 0,
        }
        if let Some(note) = row.text(9) {
            current.notes.push((root.domain.clone(), note));
        }
        current.roots.push(root);
    }

    /// Verifies the checkpoint whose roots have all come in.
    fn settle(&mut self, findings: &mut Findings) {
        let Some(stored) = self.current.take() else { return };
        if self.known > 0 && stored.checkpoint_id == self.known {
            self.greatest = stored.row.as_ref().and_then(|(_, id, _)| id.and_then(EventId::from_uuid));
            self.is_greatest_known = self.greatest.is_some();
            self.last_id = self.known;
            self.check_sizes(&stored, &mut Findings::ignored());
            return;
        }
        let id = stored.checkpoint_id;
        if id != self.last_id + 1 {
            findings.add(Finding {
                expected: Some((self.last_id + 1).to_string()),
                actual: Some(id.to_string()),
                ..finding(FindingClass::Seal, "checkpoint", format!("checkpoints before {id} are missing"))
            });
        }
        self.last_id = id;
        self.check_sizes(&stored, findings);
        self.check_domains(&stored, findings);
        let Some((version, event_id, root)) = &stored.row else {
            findings.add(finding(
                FindingClass::Seal,
                "checkpoint",
                format!("checkpoint {id} has domain roots, but no row"),
            ));
            return;
        };
        if version != SPECIFICATION_VERSION {
            findings.add(Finding {
                expected: Some(SPECIFICATION_VERSION.into()),
                actual: Some(clipped(version)),
                ..finding(FindingClass::Seal, "version", format!("checkpoint {id} is of another version"))
            });
        }
        if self.is_greatest_known && *event_id != self.greatest.map(|id| *id.as_uuid()) {
            findings.add(Finding {
                event_id: *event_id,
                expected: self.greatest.map(|id| id.to_string()),
                actual: event_id.map(|id| id.to_string()),
                ..finding(
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
            findings.add(Finding {
                expected: computed.map(|root| root.to_string()),
                actual: Some(clipped(&to_hex(root))),
                ..finding(
                    FindingClass::Seal,
                    "meta_root",
                    format!("the domain roots of checkpoint {id} do not hash to its MetaRoot"),
                )
            });
        }
        self.check_notes(&stored, root, findings);
    }

    /// A checkpoint has every domain of the one before, and none is smaller.
    fn check_sizes(&mut self, stored: &Stored, findings: &mut Findings) {
        let id = stored.checkpoint_id;
        let mut sizes = BTreeMap::new();
        for root in &stored.roots {
            if let Some(before) = self.sizes.remove(&root.domain)
                && before > root.tree_size
            {
                findings.add(Finding {
                    domain: Some(root.domain.to_string()),
                    expected: Some(format!("at least {before}")),
                    actual: Some(root.tree_size.to_string()),
                    ..finding(FindingClass::Seal, "tree_size", format!("the tree shrinks in checkpoint {id}"))
                });
            }
            sizes.insert(root.domain.clone(), root.tree_size);
        }
        for domain in self.sizes.keys() {
            findings.add(Finding {
                domain: Some(domain.to_string()),
                ..finding(
                    FindingClass::Seal,
                    "domains",
                    format!("checkpoint {id} lacks a domain of the one before"),
                )
            });
        }
        self.sizes = sizes;
    }

    /// A checkpoint has the domains that its own registry tree has created.
    fn check_domains(&self, stored: &Stored, findings: &mut Findings) {
        let Some(registry) = self.registry else { return };
        let id = stored.checkpoint_id;
        let created = registry.domains_at(registry_size(stored));
        let sealed = |name: &DomainName| stored.roots.iter().any(|root| root.domain == *name);
        for domain in created.iter().filter(|domain| !sealed(domain)) {
            findings.add(Finding {
                domain: Some(domain.to_string()),
                ..finding(FindingClass::Seal, "domains", format!("checkpoint {id} lacks a domain"))
            });
        }
        for root in stored.roots.iter().filter(|root| !created.contains(&root.domain)) {
            findings.add(Finding {
                domain: Some(root.domain.to_string()),
                ..finding(
                    FindingClass::Seal,
                    "domains",
                    format!("checkpoint {id} has a domain that was not created by then"),
                )
            });
        }
    }

    /// Notes, where there are any, are signed by the server's key of that time
    /// and state the roots of their checkpoint.
    fn check_notes(&self, stored: &Stored, meta_root: &[u8], findings: &mut Findings) {
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
                findings.add(Finding {
                    domain: Some(domain.to_string()),
                    ..finding(
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
