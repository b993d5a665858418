//! The examination: everything that a ledger's rows claim, done again.

mod anchors;
mod checkpoints;
mod findings;
mod pass;
mod streams;
mod tables;
mod tree;

use std::collections::BTreeSet;
use std::num::NonZero;

use ets_core::anchor::AnchorStatement;
use ets_core::checkpoint::DomainRoot;
use ets_core::event::EventId;
use ets_core::merkle::Frontier;
use ets_core::name::DomainName;
use ets_core::time::Timestamp;
use ets_core::verify::{
    CheckpointRow, Finding, FindingClass, RegistryVerifier, TreeVerifier, VerifiedRegistry, clipped,
};
use uuid::Uuid;

use super::anchors::Trusted;
use super::evidence::{self, Evidence};
use super::memory::{Memory, Unsealed};
use super::multiset::Multiset;
use super::progress::Progress;
use super::source::{Source, Tiles};
use anchors::Anchors;
use checkpoints::{Checkpoints, checkpoints};
use findings::Findings;
use pass::Pass;
use tree::Tree;

/// What an examination has shown.
pub struct Examined {
    pub findings: Findings,
    /// The registry, unless its first event was unusable.
    pub verified: VerifiedRegistry,
    pub ledger_id: Uuid,
    pub events: u64,
    pub streams: u64,
    /// Events that have no leaf yet, and the ends of their streams.
    pub unsealed: u64,
    pub ends: Vec<Unsealed>,
    /// Each domain's leaves and the root over them, as the rows make it.
    pub trees: Vec<DomainRoot>,
    pub checkpoints: Vec<Seal>,
    /// The last checkpoint with all its roots.
    pub last: Option<(i64, CheckpointRow, Vec<DomainRoot>)>,
    /// Whether each piece of evidence holds, in their order.
    pub holds: Vec<bool>,
    /// What the anchors that the database recorded prove.
    pub anchors: Anchors,
    /// Whether there was all that a database makes of its events.
    pub is_database: bool,
    /// What of the ledger was not there to be examined.
    pub lacks: Vec<String>,
}

/// A checkpoint for the report.
pub struct Seal {
    pub checkpoint_id: i64,
    /// The event that declares it.
    pub event_id: Option<Uuid>,
    pub created_at: Option<Timestamp>,
    pub meta_root: Vec<u8>,
    /// Leaves in all its trees.
    pub leaves: u64,
}

/// The registry of a ledger, which all else is judged by, and where its rows stand.
pub struct Opened {
    pub verified: VerifiedRegistry,
    pub ledger_id: Uuid,
    findings: Findings,
    pass: Pass,
}

impl Opened {
    /// Adds a finding to those of the registry.
    pub fn add(&mut self, finding: Finding) {
        self.findings.add(finding);
    }
}

/// Reads and verifies the registry.
///
/// # Errors
/// A message: the server cannot be read, or there is no ledger.
pub fn open(source: &dyn Source, limit: usize) -> Result<Opened, String> {
    let mut findings = Findings::new(limit);
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| format!("no random bytes: {error}"))?;
    let mut pass = Pass::new(key);
    let mut verifier: Option<(RegistryVerifier, Uuid)> = None;
    source.registry(&mut |row| {
        let raw = row.event();
        if verifier.is_none() {
            // Its own word, which the genesis hash and so the root key's signature cover.
            let id = raw
                .payload
                .and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok())
                .and_then(|payload| Uuid::try_parse(payload.get("ledger_id")?.as_str()?).ok())
                .ok_or("the registry's first event names no ledger: nothing can be verified")?;
            verifier = Some((RegistryVerifier::new(id), id));
        }
        let Some((verifier, _)) = &mut verifier else { return Ok(()) };
        let mut found = Vec::new();
        verifier.push_raw(&raw, &mut found);
        let header = raw.parse().ok().map(|event| event.header);
        pass.place(&row, header.as_ref().map(|header| (header, header.leaf_hash())), &mut found);
        findings.extend(found);
        Ok(())
    })?;
    let (verifier, ledger_id) = verifier.ok_or("there is no ledger: the registry has no event")?;
    Ok(Opened { verified: verifier.finish(), ledger_id, findings, pass })
}

/// Examines everything else.
///
/// # Errors
/// A message: the server cannot be read.
pub fn examine(
    source: &dyn Source,
    opened: Opened,
    kept: &[Evidence],
    memory: Option<&Memory>,
    trusted: &Trusted,
    threads: Option<NonZero<usize>>,
    progress: &mut Progress,
) -> Result<Examined, String> {
    let Opened { verified, ledger_id, mut findings, mut pass } = opened;
    let threads = threads.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZero::get);
    pass.remembered = memory.map(|memory| memory.unsealed.clone()).unwrap_or_default().into_iter().collect();

    let Checkpoints { seals, last, meta_roots, covers } = checkpoints(source, &verified, &mut findings)?;
    pass.position = source.seal_position()?;
    pass.compromise = covers;
    progress.expect(source.estimate());
    streams::streams(source, ledger_id, &verified, threads, &mut pass, &mut findings, progress)?;
    for lost in std::mem::take(&mut pass.remembered) {
        findings.add(Finding {
            domain: Some(lost.domain),
            stream: Some(lost.stream),
            sequence: i64::try_from(lost.sequence).ok(),
            expected: Some(lost.current_hash.to_string()),
            ..Finding::new(FindingClass::Seal, "kept_head", "the event that the last audit saw here is gone")
        });
    }

    let mut names: BTreeSet<String> = source.domains()?.into_iter().collect();
    let by_domain = evidence::by_domain(kept);
    names.extend(by_domain.keys().map(DomainName::to_string));
    let mut trees = Vec::new();
    let mut in_leaves = Multiset::new(pass.key);
    let before = findings.count;
    let mut broken = Vec::new();
    for name in names {
        let Ok(domain) = name.parse::<DomainName>() else {
            findings.add(Finding {
                domain: Some(clipped(&name)),
                ..Finding::new(FindingClass::Seal, "domain", "a tree of no domain")
            });
            continue;
        };
        let registry = verified.registry.as_ref().filter(|_| verified.damaged_from.is_none());
        let sealed = source.sealed_roots(&name)?;
        let tiles = Tiles { source, domain: name.clone() };
        let kept = by_domain.get(&domain).cloned().unwrap_or_default();
        let verifier = TreeVerifier::new(domain.clone(), registry, Frontier::default(), sealed, tiles);
        let mut tree = Tree { verifier: verifier.continuing(kept), in_leaves: &mut in_leaves, threads };
        let root = tree.walk(source, &domain, &mut findings, progress)?;
        match root {
            Some(root) => trees.push(root),
            None => broken.push(domain),
        }
    }
    if in_leaves != pass.in_streams && findings.count == before && broken.is_empty() {
        findings.add(Finding::new(
            FindingClass::Tampering,
            "answers",
            "asked for its events by stream and by leaf, the server gave different ones",
        ));
    }
    tables::ids(source, &pass, &mut findings)?;
    let mut anchored = Anchors::default();
    if let Some(made) = source.tables() {
        tables::heads(made, ledger_id, &pass, &mut findings)?;
        tables::tables(made, &verified, &mut findings)?;
        let ledger = anchors::Ledger {
            ledger_id,
            origin: verified.registry.as_ref().map(|registry| &registry.ledger().origin),
            seals: &seals,
            declared: &pass.declared,
        };
        anchored = anchors::anchors(made, &ledger, trusted, &mut findings)?;
    }

    let holds = kept
        .iter()
        .map(|kept| {
            let is_there = kept.meta_root.is_none_or(|root| meta_roots.contains(&root.as_bytes()[..]));
            if !is_there {
                findings.add(Finding::new(
                    FindingClass::Seal,
                    "kept_checkpoint",
                    format!(
                        "no checkpoint has the MetaRoot of {}: it went back, or was replaced",
                        kept.source
                    ),
                ));
            }
            !findings.broken.iter().any(|said| said.contains(&kept.source))
        })
        .collect();
    let (events, streams, unsealed) = (pass.events, pass.ends.len() as u64, pass.unsealed);
    let ends = pass.unsealed_ends.into_iter().map(|((domain, stream), (sequence, current_hash))| Unsealed {
        domain,
        stream,
        sequence,
        current_hash,
    });
    let ends = ends.take(Memory::MAX_UNSEALED).collect();
    Ok(Examined {
        findings,
        verified,
        ledger_id,
        events,
        streams,
        unsealed,
        ends,
        trees,
        checkpoints: seals,
        last,
        holds,
        anchors: anchored,
        is_database: source.tables().is_some(),
        lacks: source.lacks(),
    })
}

impl Examined {
    /// The last checkpoint as a statement, to be remembered; none without one.
    pub fn statement(&self) -> Option<AnchorStatement> {
        let registry = self.verified.registry.as_ref()?;
        let (id, row, roots) = self.last.as_ref()?;
        AnchorStatement::new(
            self.ledger_id,
            registry.ledger().origin.clone(),
            u64::try_from(*id).ok()?,
            EventId::from_uuid(row.checkpoint_event_id?)?,
            roots.clone(),
        )
        .ok()
    }
}
