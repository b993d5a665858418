//! What the pass over all events remembers of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ets_core::event::{EventId, Header};
use ets_core::hash::Digest;
use ets_core::registry::Registry;
use ets_core::time::Timestamp;
use ets_core::verify::{Finding, FindingClass, compromised};
use uuid::Uuid;

use super::super::copy::Row;
use super::super::memory::Unsealed;
use super::super::multiset::Multiset;
use super::super::source::{LEAF_INDEX, SealPosition, TRANSACTION_ID};
use super::anchors::Declared;
use super::checkpoints::Covers;

/// What the pass over all events, stream by stream, remembers of them.
pub struct Pass {
    pub key: [u8; 32],
    pub events: u64,
    /// Every leaf with its place.
    pub in_streams: Multiset,
    /// Every id with its domain.
    pub ids: Multiset,
    /// The end of each stream.
    pub ends: HashMap<(String, String), End>,
    pub unsealed: u64,
    pub unsealed_ends: BTreeMap<(String, String), (u64, Digest)>,
    /// Ends of streams that the last audit saw, and this one not yet.
    pub remembered: BTreeSet<Unsealed>,
    pub position: Option<SealPosition>,
    /// Of each compromised key: the size of each domain that a checkpoint of before covers.
    pub compromise: Covers,
    pub last_id: Option<Uuid>,
    /// What was declared of anchors, in order.
    pub declared: Vec<Declared>,
}

/// The last event of a stream.
pub struct End {
    pub sequence: u64,
    pub current_hash: Digest,
    pub event_id: EventId,
    pub timestamp: Timestamp,
    pub registry_version: u64,
    pub state_hash: Option<Digest>,
}

impl Pass {
    pub fn new(key: [u8; 32]) -> Self {
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
            declared: Vec::new(),
        }
    }

    /// Takes note of a row in the order of streams; whether it is an event's first
    /// row, as it is unless the event has two leaves.
    pub fn place(
        &mut self,
        row: &Row,
        event: Option<(&Header, Digest)>,
        findings: &mut Vec<Finding>,
    ) -> bool {
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
    pub fn compromised(
        &self,
        registry: &Registry,
        header: &Header,
        leaf_index: Option<i64>,
    ) -> Option<Finding> {
        let covered = self.compromise.get(&header.key_id)?;
        let size = covered.get(header.domain.as_str()).copied().unwrap_or(0);
        if leaf_index.and_then(|index| u64::try_from(index).ok()).is_some_and(|index| index < size) {
            return None;
        }
        compromised(registry, header)
    }
}

pub fn add_leaf(set: &mut Multiset, domain: &str, index: i64, leaf: &Digest) {
    set.add(&[domain.as_bytes(), &index.to_be_bytes(), leaf.as_bytes()]);
}
