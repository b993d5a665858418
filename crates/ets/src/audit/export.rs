//! An export as what is audited: a file of lines, read whole once and then by event.
//!
//! The first reading takes each line through [`ExportLines`], which holds every
//! header against its leaf and every checkpoint against its roots; the rest is
//! what an audit does with a server's rows.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use ets_core::event::{Event, EventId};
use ets_core::export::{ExportHeader, Manifest, SealedCheckpoint, Step};
use ets_core::hash::SPECIFICATION_VERSION;
use ets_core::merkle::{Frontier, Tile};
use ets_core::name::{DomainName, REGISTRY, StreamName};
use ets_core::registry::Registry;
use ets_core::trust::TrustRoot;
use ets_core::verify::{CheckpointRow, Finding, FindingClass, RootRow, SealedRoot};

use super::copy::Row;
use super::source::{EachCheckpoint, EachRow, SealPosition, Source, Tables};
use crate::lines::{Broken, ExportLines};

/// An export that was read once.
pub struct Export {
    file: File,
    header: ExportHeader,
    /// By domain, stream and sequence.
    entries: Vec<Entry>,
    domains: BTreeMap<DomainName, Domain>,
    checkpoints: Vec<SealedCheckpoint>,
    manifest: Option<Manifest>,
    /// Why it was read no further, if it was not.
    pub broken: Option<String>,
}

/// Where an event is, and where it belongs.
#[derive(Clone, Copy)]
struct Entry {
    offset: u64,
    length: u32,
    stream: u32,
    domain: u32,
    sequence: u64,
    leaf_index: Option<u64>,
    event_id: EventId,
}

/// A domain in the export.
#[derive(Default)]
struct Domain {
    number: u32,
    /// Its leaves in their order.
    leaves: Vec<Leaf>,
    /// The tree as it grows, and the tiles that it has filled.
    tree: Frontier,
    tiles: BTreeMap<(u8, u64), Vec<u8>>,
}

#[derive(Clone, Copy)]
struct Leaf {
    event_id: EventId,
    offset: u64,
    length: u32,
}

impl Domain {
    fn keep(&mut self, tiles: Vec<Tile>) {
        self.tiles.extend(tiles.into_iter().map(|tile| ((tile.level, tile.index), tile.to_bytes())));
    }
}

impl Export {
    /// Reads the file. What is wrong with a line ends the reading, and is found later.
    ///
    /// # Errors
    /// A message for the user: it cannot be read, is no export, or does not begin with
    /// the ledger's first event.
    pub fn read(path: &Path) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
        let file = File::open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(format!("{} is no file: it is read more than once", path.display()));
        }
        let mut lines = ExportLines::new(file.try_clone().map_err(failed)?);
        let mut reading = Reading::default();
        let mut offset = 0;
        let broken = loop {
            match lines.next_step() {
                Ok(Some(step)) => reading.take(step, offset, lines.line())?,
                Ok(None) => break None,
                Err(Broken::Line(problem)) => break Some(problem),
                Err(Broken::Input(error)) => return Err(failed(error)),
            }
            offset += lines.line().len() as u64;
        };
        let header = lines.header().cloned();
        let Some(header) = header else {
            let why = broken.unwrap_or_default();
            return Err(format!("{} is no export of a ledger: {why}", path.display()));
        };
        if header.from_checkpoint > 0 {
            return Err(format!(
                "{} continues checkpoint {}: what is before it is needed too (ets.export() without from_checkpoint)",
                path.display(),
                header.from_checkpoint
            ));
        }
        Ok(reading.finish(file, header, broken))
    }

    /// What is wrong with the file beside what its events say.
    pub fn findings(&self, registry: Option<&Registry>) -> Vec<Finding> {
        let mut found = Vec::new();
        if let Some(problem) = &self.broken {
            let detail = format!("the export was read no further: {problem}");
            found.push(Finding::new(FindingClass::Tampering, "export", detail));
        }
        let Some(registry) = registry else { return found };
        let own = TrustRoot::of(registry.ledger());
        if own.as_ref() != Some(&self.header.trust_root) {
            found.push(Finding {
                domain: Some(REGISTRY.to_owned()),
                sequence: Some(1),
                ..Finding::new(
                    FindingClass::Tampering,
                    "trust_root",
                    "the export's first line names another ledger than the registry's first event",
                )
            });
        }
        if let Some(manifest) = &self.manifest
            && registry.server_keys().all(|key| key != manifest.public_key)
        {
            found.push(Finding {
                actual: Some(manifest.public_key.to_string()),
                ..Finding::new(
                    FindingClass::Tampering,
                    "manifest",
                    "the manifest is signed by a key that was never the server's",
                )
            });
        }
        found
    }

    fn document(&self, offset: u64, length: u32) -> Result<Event, String> {
        let mut bytes = vec![0; length as usize];
        let again =
            |problem: &dyn std::fmt::Display| format!("the export changed while it was read: {problem}");
        self.file.read_exact_at(&mut bytes, offset).map_err(|error| again(&error))?;
        let text = String::from_utf8(bytes).map_err(|error| again(&error))?;
        Event::parse(&text).map_err(|error| again(&error))
    }

    fn events(&self, of_registry: bool, each: EachRow) -> Result<(), String> {
        let registry = self.domains.get(REGISTRY).map(|domain| domain.number);
        for entry in self.entries.iter().filter(|entry| (Some(entry.domain) == registry) == of_registry) {
            let event = self.document(entry.offset, entry.length)?;
            let leaf_index = entry.leaf_index.and_then(|index| i64::try_from(index).ok());
            each(Row::of_event(&event, true, leaf_index, None))?;
        }
        Ok(())
    }
}

/// An export while it is read for the first time.
#[derive(Default)]
struct Reading {
    entries: Vec<Entry>,
    domains: BTreeMap<DomainName, Domain>,
    streams: BTreeMap<StreamName, u32>,
    checkpoints: Vec<SealedCheckpoint>,
    manifest: Option<Manifest>,
}

impl Reading {
    /// Takes note of what stands at `offset`, with its line feed.
    fn take(&mut self, step: Step, offset: u64, line: &[u8]) -> Result<(), String> {
        match step {
            Step::Header(_) | Step::Leaves => {}
            Step::Checkpoint(checkpoint) => self.checkpoints.push(checkpoint),
            Step::Manifest(manifest) => self.manifest = Some(manifest),
            Step::Event(event, leaf_index) => {
                let header = event.header;
                let many = |_| "the export has more than 4 billion streams, or a line as long".to_owned();
                let length = u32::try_from(line.strip_suffix(b"\n").unwrap_or(line).len()).map_err(many)?;
                let (next_stream, next_domain) = (
                    u32::try_from(self.streams.len()).map_err(many)?,
                    u32::try_from(self.domains.len()).map_err(many)?,
                );
                let stream = *self.streams.entry(header.stream.clone()).or_insert(next_stream);
                let hash = leaf_index.map(|_| header.leaf_hash());
                let domain = self
                    .domains
                    .entry(header.domain)
                    .or_insert_with(|| Domain { number: next_domain, ..Domain::default() });
                let (event_id, sequence) = (header.event_id, header.sequence);
                if let Some(hash) = hash {
                    domain.tree.append(hash);
                    let filled = domain.tree.take_full_tiles();
                    domain.keep(filled);
                    domain.leaves.push(Leaf { event_id, offset, length });
                }
                let domain = domain.number;
                self.entries.push(Entry { offset, length, stream, domain, sequence, leaf_index, event_id });
            }
        }
        Ok(())
    }

    fn finish(mut self, file: File, header: ExportHeader, broken: Option<String>) -> Export {
        // Numbers by the order of names, so that entries sort as a server would give them.
        let mut rank = vec![0; self.streams.len()];
        for (place, number) in self.streams.values().enumerate() {
            if let Some(rank) = rank.get_mut(*number as usize) {
                *rank = place;
            }
        }
        let mut of_domain = vec![0; self.domains.len()];
        for (place, domain) in self.domains.values().enumerate() {
            if let Some(rank) = of_domain.get_mut(domain.number as usize) {
                *rank = place;
            }
        }
        for domain in self.domains.values_mut() {
            let rest = std::mem::take(&mut domain.tree).finish().tiles;
            domain.keep(rest);
        }
        let place = |ranks: &[usize], number: u32| ranks.get(number as usize).copied().unwrap_or(usize::MAX);
        self.entries.sort_unstable_by_key(|entry| {
            (place(&of_domain, entry.domain), place(&rank, entry.stream), entry.sequence, entry.event_id)
        });
        Export {
            file,
            header,
            entries: self.entries,
            domains: self.domains,
            checkpoints: self.checkpoints,
            manifest: self.manifest,
            broken,
        }
    }
}

impl Source for Export {
    fn registry(&self, each: EachRow) -> Result<(), String> {
        self.events(true, each)
    }

    fn others(&self, each: EachRow) -> Result<(), String> {
        self.events(false, each)
    }

    fn leaves(&self, domain: &str, (from, to): (i64, i64), each: EachRow) -> Result<(), String> {
        let leaves = self.domains.get(domain).map_or(&[][..], |domain| &domain.leaves);
        let within = |index: i64| usize::try_from(index.max(0)).unwrap_or(usize::MAX).min(leaves.len());
        for index in within(from)..within(to) {
            let Some(leaf) = leaves.get(index) else { break };
            let event = self.document(leaf.offset, leaf.length)?;
            each(Row::of_event(&event, false, i64::try_from(index).ok(), Some(1)))?;
        }
        Ok(())
    }

    fn ids(&self, each: EachRow) -> Result<(), String> {
        let names: BTreeMap<u32, &str> =
            self.domains.iter().map(|(name, domain)| (domain.number, name.as_str())).collect();
        let mut ids: Vec<(EventId, &str)> = self
            .entries
            .iter()
            .map(|entry| (entry.event_id, names.get(&entry.domain).copied().unwrap_or_default()))
            .collect();
        ids.sort_unstable();
        ids.into_iter().try_for_each(|(id, domain)| {
            each(Row::of_columns(&[Some(id.as_uuid().as_bytes()), Some(domain.as_bytes())]))
        })
    }

    fn checkpoints(&self, each: EachCheckpoint) -> Result<(), String> {
        for sealed in &self.checkpoints {
            let id = i64::try_from(sealed.checkpoint_id).unwrap_or(i64::MAX);
            let row = CheckpointRow {
                version: SPECIFICATION_VERSION.to_owned(),
                checkpoint_event_id: Some(*sealed.checkpoint_event_id.as_uuid()),
                meta_root: sealed.meta_root.as_bytes().to_vec(),
            };
            if sealed.roots.is_empty() {
                each(id, Some(row.clone()), None, Some(sealed.created_at))?;
            }
            for (root, note) in &sealed.roots {
                let last = root.tree_size.checked_sub(1).and_then(|index| usize::try_from(index).ok());
                let last = last.and_then(|index| self.domains.get(&root.domain)?.leaves.get(index));
                let root = RootRow {
                    domain: root.domain.to_string(),
                    tree_size: i64::try_from(root.tree_size).ok(),
                    root_hash: Some(root.root.as_bytes().to_vec()),
                    note: note.clone(),
                    last_event_id: last.map(|leaf| *leaf.event_id.as_uuid()),
                };
                each(id, Some(row.clone()), Some(root), Some(sealed.created_at))?;
            }
        }
        Ok(())
    }

    fn sealed_roots(&self, domain: &str) -> Result<Vec<SealedRoot>, String> {
        let mut sealed: Vec<SealedRoot> = Vec::new();
        let mut registry_before = 0;
        for checkpoint in &self.checkpoints {
            let size_of = |name: &str| checkpoint.roots.iter().find(|(root, _)| root.domain.as_str() == name);
            if let Some((root, _)) = size_of(domain) {
                let (tree_size, root) = (root.tree_size, root.root.as_bytes().to_vec());
                if sealed.last().is_none_or(|last| last.tree_size != tree_size || last.root != root) {
                    let checkpoint_id = i64::try_from(checkpoint.checkpoint_id).unwrap_or(i64::MAX);
                    sealed.push(SealedRoot { tree_size, root, checkpoint_id, registry_before });
                }
            }
            registry_before = size_of(REGISTRY).map_or(registry_before, |(root, _)| root.tree_size);
        }
        sealed.sort_by_key(|sealed| (sealed.tree_size, sealed.checkpoint_id));
        Ok(sealed)
    }

    fn domains(&self) -> Result<Vec<String>, String> {
        let sealed = self.checkpoints.last().into_iter().flat_map(|last| &last.roots);
        let sealed = sealed.map(|(root, _)| &root.domain).filter(|domain| self.header.covers(domain));
        Ok(sealed.chain(self.domains.keys()).map(DomainName::to_string).collect())
    }

    /// An export has leaves: its tiles are those that they make, so there is none to find fault with.
    fn tiles(&self, _: &str, _: EachRow) -> Result<(), String> {
        Ok(())
    }

    fn tile(&self, domain: &str, level: u8, index: u64) -> Result<Option<Vec<u8>>, String> {
        Ok(self.domains.get(domain).and_then(|domain| domain.tiles.get(&(level, index)).cloned()))
    }

    fn seal_position(&self) -> Result<Option<SealPosition>, String> {
        Ok(None)
    }

    fn estimate(&self) -> u64 {
        self.entries.len() as u64
    }

    fn tables(&self) -> Option<&dyn Tables> {
        None
    }

    fn lacks(&self) -> Vec<String> {
        let mut lacks = vec![
            "heads of streams, kept states, tiles and the tables made from the registry: an export has none"
                .to_owned(),
        ];
        let sealed = self.checkpoints.last().into_iter().flat_map(|last| &last.roots);
        let others: Vec<String> = sealed
            .map(|(root, _)| &root.domain)
            .filter(|domain| !self.header.covers(domain))
            .map(DomainName::to_string)
            .collect();
        if !others.is_empty() {
            lacks.push(format!("the events of {}: they are not in the export", others.join(", ")));
        }
        lacks
    }
}
