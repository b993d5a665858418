//! The examination: everything that a ledger's rows claim, done again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::num::NonZero;

use ets_core::anchor::AnchorStatement;
use ets_core::checkpoint::DomainRoot;
use ets_core::conveyor::with_conveyor;
use ets_core::event::{EventId, Header};
use ets_core::hash::{Digest, genesis_hash};
use ets_core::key::KeyId;
use ets_core::merkle::Frontier;
use ets_core::name::{DomainName, REGISTRY, StreamName};
use ets_core::registry::Registry;
use ets_core::replay::StreamReplay;
use ets_core::state::state_hash;
use ets_core::time::Timestamp;
use ets_core::verify::{
    ChainVerifier, CheckpointRow, CheckpointsVerifier, Finding, FindingClass, Inspected, Inspector,
    RegistryVerifier, StoredLeaf, TreeVerifier, Verdict, VerifiedRegistry, clipped, compromised, leaf_of,
    projections,
};
use uuid::Uuid;

use super::copy::Row;
use super::evidence::{self, Evidence};
use super::memory::{Memory, Unsealed};
use super::multiset::Multiset;
use super::progress::Progress;
use super::server::{LEAF_INDEX, SealPosition, Server, TRANSACTION_ID, Tiles};

/// Leaves that are held in memory at once.
const LEAVES: i64 = 16_384;

/// What was found so far.
pub struct Findings {
    pub rows: Vec<Finding>,
    /// All of them, also those beyond `limit`.
    pub count: u64,
    limit: usize,
    /// What the worst of them makes of the verdict.
    pub verdict: Verdict,
    said: HashSet<String>,
    /// What was said of evidence that the ledger does not continue.
    broken: Vec<String>,
}

impl Findings {
    fn new(limit: usize) -> Self {
        Findings {
            rows: Vec::new(),
            count: 0,
            limit,
            verdict: Verdict::Match,
            said: HashSet::new(),
            broken: Vec::new(),
        }
    }

    fn add(&mut self, finding: Finding) {
        // Rules that nobody can evaluate outside are said once.
        if finding.class == FindingClass::Unverifiable
            && finding.check == "rules"
            && !self.said.insert(finding.detail.clone())
        {
            return;
        }
        self.count += 1;
        if finding.check == "kept_checkpoint" {
            self.broken.push(finding.detail.clone());
        }
        self.verdict = match (self.verdict, finding.class.verdict()) {
            (Verdict::Mismatch, _) | (_, Verdict::Mismatch) => Verdict::Mismatch,
            (Verdict::Match, other) => other,
            (verdict, _) => verdict,
        };
        if self.rows.len() < self.limit {
            self.rows.push(finding);
        }
    }

    fn extend(&mut self, found: Vec<Finding>) {
        found.into_iter().for_each(|finding| self.add(finding));
    }
}

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
}

/// A checkpoint for the report.
pub struct Seal {
    pub checkpoint_id: i64,
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
pub fn open(server: &Server, limit: usize) -> Result<Opened, String> {
    let mut findings = Findings::new(limit);
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| format!("no random bytes: {error}"))?;
    let mut pass = Pass::new(key);
    let mut verifier: Option<(RegistryVerifier, Uuid)> = None;
    server.registry(|row| {
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
    server: &Server,
    opened: Opened,
    kept: &[Evidence],
    memory: Option<&Memory>,
    threads: Option<NonZero<usize>>,
    progress: &mut Progress,
) -> Result<Examined, String> {
    let Opened { verified, ledger_id, mut findings, mut pass } = opened;
    let threads = threads.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZero::get);
    pass.remembered = memory.map(|memory| memory.unsealed.clone()).unwrap_or_default().into_iter().collect();

    let Checkpoints { seals, last, meta_roots, covers } = checkpoints(server, &verified, &mut findings)?;
    pass.position = server.seal_position()?;
    pass.compromise = covers;
    progress.expect(server.estimate());
    streams(server, ledger_id, &verified, threads, &mut pass, &mut findings, progress)?;
    for lost in std::mem::take(&mut pass.remembered) {
        findings.add(Finding {
            domain: Some(lost.domain),
            stream: Some(lost.stream),
            sequence: i64::try_from(lost.sequence).ok(),
            expected: Some(lost.current_hash.to_string()),
            ..Finding::new(FindingClass::Seal, "kept_head", "the event that the last audit saw here is gone")
        });
    }

    let mut names: BTreeSet<String> = server.domains()?.into_iter().collect();
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
        let sealed = server.sealed_roots(&name)?;
        let tiles = Tiles { server, domain: name.clone() };
        let kept = by_domain.get(&domain).cloned().unwrap_or_default();
        let verifier = TreeVerifier::new(domain.clone(), registry, Frontier::default(), sealed, tiles);
        let mut tree = Tree { verifier: verifier.continuing(kept), in_leaves: &mut in_leaves, threads };
        let root = tree.walk(server, &domain, &mut findings, progress)?;
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
    ids(server, &pass, &mut findings)?;
    heads(server, ledger_id, &pass, &mut findings)?;
    tables(server, &verified, &mut findings)?;

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

/// What the pass over all events, stream by stream, remembers of them.
struct Pass {
    key: [u8; 32],
    events: u64,
    /// Every leaf with its place.
    in_streams: Multiset,
    /// Every id with its domain.
    ids: Multiset,
    /// The end of each stream.
    ends: HashMap<(String, String), End>,
    unsealed: u64,
    unsealed_ends: BTreeMap<(String, String), (u64, Digest)>,
    /// Ends of streams that the last audit saw, and this one not yet.
    remembered: BTreeSet<Unsealed>,
    position: Option<SealPosition>,
    /// Of each compromised key: the size of each domain that a checkpoint of before covers.
    compromise: Covers,
    last_id: Option<Uuid>,
}

/// The last event of a stream.
struct End {
    sequence: u64,
    current_hash: Digest,
    event_id: EventId,
    timestamp: Timestamp,
    registry_version: u64,
    state_hash: Option<Digest>,
}

impl Pass {
    fn new(key: [u8; 32]) -> Self {
        Pass {
            key,
            events: 0,
            in_streams: Multiset::new(key),
            ids: Multiset::new(key),
            ends: HashMap::new(),
            unsealed: 0,
            unsealed_ends: BTreeMap::new(),
            remembered: BTreeSet::new(),
            position: None,
            compromise: HashMap::new(),
            last_id: None,
        }
    }

    /// Takes note of a row in the order of streams; whether it is an event's first
    /// row, as it is unless the event has two leaves.
    fn place(&mut self, row: &Row, event: Option<(&Header, Digest)>, findings: &mut Vec<Finding>) -> bool {
        let leaf_index = row.int(LEAF_INDEX);
        if let (Some((header, leaf)), Some(index)) = (event, leaf_index) {
            add_leaf(&mut self.in_streams, header.domain.as_str(), index, &leaf);
        }
        let id = row.uuid(0);
        let raw = row.event();
        if id.is_some() && self.last_id == id && leaf_index.is_some() {
            findings.push(Finding {
                domain: raw.domain.map(str::to_owned),
                stream: raw.stream.map(str::to_owned),
                sequence: raw.sequence,
                event_id: id,
                ..Finding::new(FindingClass::Seal, "leaf", "the event has more than one leaf")
            });
            return false;
        }
        self.last_id = id;
        self.events += 1;
        self.ids.add(&[id.unwrap_or_default().as_bytes(), raw.domain.unwrap_or_default().as_bytes()]);
        let Some((header, _)) = event else { return true };
        let place = (header.domain.to_string(), header.stream.to_string());
        if leaf_index.is_none() {
            self.unsealed += 1;
            self.unsealed_ends.insert(place.clone(), (header.sequence, header.current_hash));
            if let (Some(position), Some(transaction)) = (&self.position, row.int(TRANSACTION_ID))
                && position.saw(transaction)
            {
                findings.push(Finding {
                    domain: Some(place.0.clone()),
                    stream: Some(place.1.clone()),
                    sequence: raw.sequence,
                    event_id: id,
                    ..Finding::new(
                        FindingClass::Unsealed,
                        "leaf",
                        "the last seal saw this event, but it has no leaf",
                    )
                });
            }
        }
        if !self.remembered.is_empty() {
            self.remembered.remove(&Unsealed {
                domain: place.0.clone(),
                stream: place.1.clone(),
                sequence: header.sequence,
                current_hash: header.current_hash,
            });
        }
        let end = End {
            sequence: header.sequence,
            current_hash: header.current_hash,
            event_id: header.event_id,
            timestamp: header.timestamp,
            registry_version: header.registry_version,
            state_hash: None,
        };
        self.ends.insert(place, end);
        true
    }

    /// The finding that a key which may have been in other hands signed this.
    fn compromised(&self, registry: &Registry, header: &Header, leaf_index: Option<i64>) -> Option<Finding> {
        let covered = self.compromise.get(&header.key_id)?;
        let size = covered.get(header.domain.as_str()).copied().unwrap_or(0);
        if leaf_index.and_then(|index| u64::try_from(index).ok()).is_some_and(|index| index < size) {
            return None;
        }
        compromised(registry, header)
    }
}

fn add_leaf(set: &mut Multiset, domain: &str, index: i64, leaf: &Digest) {
    set.add(&[domain.as_bytes(), &index.to_be_bytes(), leaf.as_bytes()]);
}

/// A row with what can be said of it alone.
struct Seen {
    row: Row,
    inspected: Inspected,
    /// For a domain whose states are kept.
    replayed: Option<Inspected>,
    leaf: Option<Digest>,
}

/// Verifies every stream but the registry's: what can be said of a row alone on all
/// threads, the rest in order.
fn streams(
    server: &Server,
    ledger_id: Uuid,
    verified: &VerifiedRegistry,
    threads: usize,
    pass: &mut Pass,
    findings: &mut Findings,
    progress: &mut Progress,
) -> Result<(), String> {
    const ROWS: usize = 512;
    const BYTES: usize = 1 << 20;
    let keeping: HashSet<String> = verified
        .registry
        .iter()
        .filter(|_| verified.damaged_from.is_none())
        .flat_map(|registry| {
            registry.domains_at(registry.version()).into_iter().map(move |name| (registry, name))
        })
        .filter(|(registry, name)| registry.keeps_state(name))
        .map(|(_, name)| name.to_string())
        .collect();
    let inspectors = (0..threads).map(|_| {
        let replaying = Inspector::judging_by(verified).replaying().trusting_signatures();
        (Inspector::judging_by(verified), replaying)
    });
    let work = |(gate, replaying): &mut (Inspector<'_>, Inspector<'_>), rows: Vec<Row>| -> Vec<Seen> {
        let raw: Vec<_> = rows.iter().map(Row::event).collect();
        let inspected = gate.inspect_each(&raw);
        let replayed: Vec<_> = raw
            .iter()
            .map(|raw| raw.domain.is_some_and(|name| keeping.contains(name)).then(|| replaying.inspect(raw)))
            .collect();
        drop(raw);
        rows.into_iter()
            .zip(inspected)
            .zip(replayed)
            .map(|((row, inspected), replayed)| {
                let leaf = inspected.header().map(Header::leaf_hash);
                Seen { row, inspected, replayed, leaf }
            })
            .collect()
    };
    let mut follow = Follow {
        chain: ChainVerifier::judging_by(ledger_id, verified),
        replay: StreamReplay::judging_by(ledger_id, verified).trusting_signatures(),
        registry: verified.registry.as_ref(),
        replayed: None,
    };
    with_conveyor(
        inspectors.collect(),
        work,
        |start| start(),
        |belt| {
            let (mut rows, mut bytes) = (Vec::new(), 0);
            server.others(|row| {
                bytes += row.size();
                rows.push(row);
                if rows.len() >= ROWS || bytes >= BYTES {
                    bytes = 0;
                    belt.put(std::mem::take(&mut rows));
                    while let Some(seen) = belt.take() {
                        follow.rows(seen, pass, findings, progress);
                    }
                }
                Ok(())
            })?;
            belt.put(rows);
            while let Some(seen) = belt.take_last() {
                follow.rows(seen, pass, findings, progress);
            }
            follow.end_stream(pass);
            Ok(())
        },
    )
}

/// Holds each row against the one before it.
struct Follow<'r> {
    chain: ChainVerifier<'r>,
    replay: StreamReplay<'r>,
    registry: Option<&'r Registry>,
    /// The stream whose states are being computed.
    replayed: Option<(String, String)>,
}

impl Follow<'_> {
    fn rows(&mut self, seen: Vec<Seen>, pass: &mut Pass, findings: &mut Findings, progress: &mut Progress) {
        let mut found = Vec::new();
        progress.add(seen.len() as u64);
        for Seen { row, inspected, replayed, leaf } in seen {
            let stream = inspected.stream().map(|(domain, stream)| (domain.to_owned(), stream.to_owned()));
            if self.replayed.is_some() && self.replayed != stream {
                self.end_stream(pass);
            }
            let header = inspected.header();
            if !pass.place(&row, header.zip(leaf), &mut found) {
                continue;
            }
            if let (Some(registry), Some(header)) = (self.registry, header) {
                found.extend(pass.compromised(registry, header, row.int(LEAF_INDEX)));
            }
            self.chain.push_inspected(inspected, &mut found);
            if let Some(replayed) = replayed {
                // What is wrong with the rows is said above.
                self.replay.push_inspected(replayed, &mut Vec::new());
                self.replayed = stream;
            }
            found.drain(..).for_each(|finding| findings.add(finding));
        }
        findings.extend(found);
    }

    fn end_stream(&mut self, pass: &mut Pass) {
        let Some(stream) = self.replayed.take() else { return };
        let state = self.replay.take_state();
        if let (Some(end), Some(state)) = (pass.ends.get_mut(&stream), state) {
            end.state_hash = Some(state_hash(&state));
        }
    }
}

/// A tree under examination.
struct Tree<'a, 'r> {
    verifier: TreeVerifier<'r, Tiles<'a>>,
    in_leaves: &'a mut Multiset,
    threads: usize,
}

impl Tree<'_, '_> {
    /// Every leaf, tile and root of the tree; its root as the rows make it.
    fn walk(
        &mut self,
        server: &Server,
        domain: &DomainName,
        findings: &mut Findings,
        progress: &mut Progress,
    ) -> Result<Option<DomainRoot>, String> {
        let name = domain.as_str();
        let mut found = Vec::new();
        self.verifier.begin(&mut found);
        let size = i64::try_from(self.verifier.tree_size()).unwrap_or(i64::MAX);
        let mut from = i64::MIN;
        loop {
            // The first part looks before leaf 0, and the last behind the end, where nothing may be.
            let next = from.max(0).saturating_add(LEAVES);
            let to = if next < size { next } else { i64::MAX };
            let mut rows = Vec::new();
            server.leaves(name, (from, to), |row| {
                rows.push(row);
                Ok(())
            })?;
            progress.add(rows.len() as u64);
            self.part(&rows, &mut found)?;
            findings.extend(std::mem::take(&mut found));
            if to == i64::MAX {
                break;
            }
            from = to;
        }
        self.verifier.fill(self.verifier.tree_size(), &mut found)?;
        self.verifier.finish(&mut found)?;
        let mut further = Vec::new();
        server.tiles(name, |row| {
            further.extend(self.verifier.further_tile(row.int(0).unwrap_or(-1), row.int(1).unwrap_or(-1)));
            Ok(())
        })?;
        findings.extend(found);
        findings.extend(further);
        let tree_size = self.verifier.size();
        Ok(self.verifier.rebuilt_root().map(|root| DomainRoot { domain: domain.clone(), tree_size, root }))
    }

    fn part(&mut self, rows: &[Row], findings: &mut Vec<Finding>) -> Result<(), String> {
        let has_event = |row: &Row| row.int(LEAF_INDEX + 1).is_some();
        let make =
            |row: &Row| if has_event(row) { leaf_of(&row.event(), false, &mut Vec::new()) } else { None };
        let chunk = rows.len().div_ceil(self.threads).max(1);
        let made: Vec<_> = std::thread::scope(|scope| {
            let parts: Vec<_> = rows
                .chunks(chunk)
                .map(|part| scope.spawn(move || part.iter().map(make).collect::<Vec<_>>()))
                .collect();
            parts.into_iter().flat_map(|part| part.join().unwrap_or_default()).collect()
        });
        if made.len() != rows.len() {
            return Err("a thread was lost".to_owned());
        }
        for (row, made) in rows.iter().zip(made) {
            let leaf_index = row.int(LEAF_INDEX).unwrap_or(-1);
            if let Some(made) = &made {
                add_leaf(self.in_leaves, made.header.domain.as_str(), leaf_index, &made.leaf);
            }
            let raw = has_event(row).then(|| row.event());
            let leaf = StoredLeaf { leaf_index, event_id: row.uuid(0), row: raw, made, findings: Vec::new() };
            self.verifier.push(leaf, findings)?;
        }
        Ok(())
    }
}

/// Of each compromised key: the size of each domain's tree in the last checkpoint of
/// before the moment from which on it was in other hands.
type Covers = HashMap<KeyId, BTreeMap<String, u64>>;

/// What the checkpoints are.
#[derive(Default)]
struct Checkpoints {
    seals: Vec<Seal>,
    last: Option<(i64, CheckpointRow, Vec<DomainRoot>)>,
    meta_roots: HashSet<Vec<u8>>,
    covers: Covers,
}

/// Every checkpoint: numbers, MetaRoots, domains, notes.
fn checkpoints(
    server: &Server,
    verified: &VerifiedRegistry,
    findings: &mut Findings,
) -> Result<Checkpoints, String> {
    let mut verifier = CheckpointsVerifier::new(verified, 0);
    let mut found = Vec::new();
    let mut all = Checkpoints::default();
    let compromised: Vec<_> = verified.registry.iter().flat_map(Registry::compromised_keys).collect();
    all.covers = compromised.iter().map(|(key, _)| (*key, BTreeMap::new())).collect();
    server.checkpoints(|id, row, root, created_at| {
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

/// An id is one event's, in one domain.
fn ids(server: &Server, pass: &Pass, findings: &mut Findings) -> Result<(), String> {
    let mut before: Option<(Uuid, String)> = None;
    let mut ids = Multiset::new(pass.key);
    server.ids(|row| {
        let (id, domain) = (row.uuid(0).unwrap_or_default(), row.text(1).unwrap_or_default().to_owned());
        ids.add(&[id.as_bytes(), domain.as_bytes()]);
        match &before {
            Some((other, also_in)) if *other == id => findings.add(Finding {
                domain: Some(domain.clone()),
                event_id: Some(id),
                expected: Some("1".into()),
                ..Finding::new(
                    FindingClass::Tampering,
                    "event_id",
                    format!("the id is there twice, also in {also_in}"),
                )
            }),
            Some((other, _)) if *other > id => {
                return Err("the server does not give ids in their order".to_owned());
            }
            _ => {}
        }
        before = Some((id, domain));
        Ok(())
    })?;
    if ids != pass.ids {
        findings.add(Finding::new(
            FindingClass::Tampering,
            "answers",
            "asked for its events by stream and by id, the server gave different ones",
        ));
    }
    Ok(())
}

/// Every head, and every state that is kept, against the end of its stream.
fn heads(server: &Server, ledger_id: Uuid, pass: &Pass, findings: &mut Findings) -> Result<(), String> {
    let mut seen = HashSet::new();
    server.heads(|row| {
        let place = (row.text(0).unwrap_or_default().to_owned(), row.text(1).unwrap_or_default().to_owned());
        let at = |check, sequence: Option<u64>, detail: String| Finding {
            domain: Some(place.0.clone()),
            stream: Some(place.1.clone()),
            sequence: sequence.and_then(|sequence| i64::try_from(sequence).ok()),
            ..Finding::new(FindingClass::Projection, check, detail)
        };
        match pass.ends.get(&place) {
            // A head that was locked before the first event of its stream.
            None if is_unused(&row, ledger_id, &place) => return Ok(()),
            None => findings.add(at("stream_head", None, "the head of a stream that has no event".into())),
            Some(end) => {
                let is_right = row.int(2).and_then(|n| u64::try_from(n).ok()) == Some(end.sequence)
                    && row.bytes(3) == Some(end.current_hash.as_bytes())
                    && row.uuid(4).as_ref() == Some(end.event_id.as_uuid())
                    && row.unix_micros(5).and_then(Timestamp::from_unix_micros) == Some(end.timestamp)
                    && row.int(6).and_then(|n| u64::try_from(n).ok()) == Some(end.registry_version);
                if !is_right {
                    let detail = "the head is not the stream's last event".to_owned();
                    findings.add(at("stream_head", Some(end.sequence), detail));
                }
                if let (Some(expected), Some(text)) = (end.state_hash, row.jsonb(7)) {
                    let kept = ets_core::canonical::parse_json(text, &ets_core::canonical::Limits::CEILING);
                    let kept = kept.ok().map(|state| state_hash(&state));
                    if kept != Some(expected) {
                        findings.add(Finding {
                            expected: Some(expected.to_string()),
                            actual: kept.map(|hash| hash.to_string()),
                            ..at("state", Some(end.sequence), "the kept state is not the replayed one".into())
                        });
                    }
                }
            }
        }
        seen.insert(place);
        Ok(())
    })?;
    let mut missing: Vec<_> = pass.ends.iter().filter(|(place, _)| !seen.contains(*place)).collect();
    missing.sort_by_key(|(place, _)| *place);
    for ((domain, stream), end) in missing {
        findings.add(Finding {
            domain: Some(domain.clone()),
            stream: Some(stream.clone()),
            sequence: i64::try_from(end.sequence).ok(),
            ..Finding::new(FindingClass::Projection, "stream_head", "the head is missing")
        });
    }
    Ok(())
}

fn is_unused(row: &Row, ledger_id: Uuid, (domain, stream): &(String, String)) -> bool {
    let (Ok(domain), Ok(stream)) = (domain.parse::<DomainName>(), stream.parse::<StreamName>()) else {
        return false;
    };
    row.int(2) == Some(0) && row.bytes(3) == Some(genesis_hash(&ledger_id, &domain, &stream).as_bytes())
}

/// The tables that are made from the registry.
fn tables(server: &Server, verified: &VerifiedRegistry, findings: &mut Findings) -> Result<(), String> {
    let Some(registry) = verified.registry.as_ref().filter(|_| verified.damaged_from.is_none()) else {
        findings.add(Finding {
            domain: Some(REGISTRY.to_owned()),
            ..Finding::new(
                FindingClass::Unverifiable,
                "projections",
                "the registry is damaged: the tables made from it cannot be compared",
            )
        });
        return Ok(());
    };
    for table in projections(registry) {
        let stored = server.projection(table.name, table.columns)?;
        let mut found = Vec::new();
        table.compare(&stored, &mut found);
        findings.extend(found);
    }
    Ok(())
}
