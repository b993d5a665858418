//! Proof bundles and stream bundles: an event, or a whole stream, with all that
//! it takes to verify it without a network and without a database.
//!
//! `docs/formats.md` describes the members; [`crate::verify`] judges them. Here
//! a text either has exactly the members of its format or is refused.

use std::fmt::Write as _;

use serde_json::Value;

use crate::canonical::{self, Limits, MAX_PAYLOAD_DEPTH};
use crate::checkpoint::{DomainRoot, meta_root};
use crate::event::{Event, EventId, Header};
use crate::hash::{Digest, SPECIFICATION_VERSION};
pub use crate::members::FormatError;
use crate::members::Members;
use crate::name::{REGISTRY, SchemaVersion};
use crate::registry::Registry;
use crate::trust::TrustRoot;

/// The member `format` of a [`ProofBundle`].
pub const PROOF_BUNDLE_FORMAT: &str = "ets-proof-bundle/1";
/// The member `format` of a [`StreamBundle`].
pub const STREAM_BUNDLE_FORMAT: &str = "ets-stream-bundle/1";
/// What is read as a bundle: room for many events, and for one payload of the
/// deepest kind inside `registry.events`.
pub const BUNDLE_LIMITS: Limits = Limits { max_bytes: 64 << 20, max_depth: MAX_PAYLOAD_DEPTH + 4 };
/// The longest inclusion or consistency proof: two hashes for each of 63 levels.
pub const MAX_PROOF_HASHES: usize = 128;
/// The longest checkpoint note, in bytes.
pub const MAX_NOTE_BYTES: usize = 64 << 10;

/// One event, proved.
#[derive(Debug, Clone, PartialEq)]
pub struct ProofBundle {
    /// The event.
    pub event: Event,
    /// What proves it.
    pub evidence: Evidence,
}

/// All events of one stream, proved through the last one's leaf.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamBundle {
    /// The stream's events 1 to n; at least one.
    pub events: Vec<Event>,
    /// What proves the last of them.
    pub evidence: Evidence,
}

/// What both bundles carry beside their events.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// The root that the bundle claims; a verifier compares it with its own.
    pub trust_root: TrustRoot,
    /// The path from the event's leaf to its domain's root.
    pub inclusion: Inclusion,
    /// The checkpoint that has this root.
    pub checkpoint: Checkpoint,
    /// The registry, from which the event's authority follows.
    pub registry: RegistryPart,
}

/// An inclusion proof (RFC 9162, section 2.1.3); the tree's size is that of the
/// event's domain in the checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inclusion {
    /// The leaf's place, from 0.
    pub leaf_index: u64,
    /// The hashes from the leaf up.
    pub path: Vec<Digest>,
}

/// One MetaRoot and what it is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The ledger's number for it. A label: no hash covers it.
    pub checkpoint_id: u64,
    /// The greatest `event_id` in any of its trees.
    pub checkpoint_event_id: EventId,
    /// `SHA256( encode(version) || encode(checkpoint_event_id) || encode(ordered_domain_roots) )`.
    pub meta_root: Digest,
    /// The root of each domain, ascending by the bytes of the names.
    pub domain_roots: Vec<DomainRoot>,
    /// The signed note of the event's domain, if the server's key was at hand at
    /// the seal.
    pub note: Option<String>,
}

/// The registry's events 1 to n, and the proof that they begin the registry's
/// tree of the checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct RegistryPart {
    /// The events in the order of their sequence.
    pub events: Vec<RegistryEntry>,
    /// The consistency proof (RFC 9162, section 2.1.4) from size n to the size
    /// of `ets.registry` in the checkpoint.
    pub consistency: Vec<Digest>,
}

/// A registry event, or its header alone where authority does not need the payload.
// Nearly all entries are whole events, so the larger variant is the usual one.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, PartialEq)]
pub enum RegistryEntry {
    /// The whole event.
    Event(Event),
    /// Everything but the payload.
    Header(Header),
}

/// The kinds of registry events whose payload a bundle may leave out: nobody's
/// authority follows from them.
pub const OMITTABLE_KINDS: [&str; 3] =
    ["ets.schema/1.0.0", "ets.schema_retirement/1.0.0", "ets.rule_function/1.0.0"];

/// Any file that the offline verifier reads.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, PartialEq)]
pub enum Proof {
    /// One event, proved.
    Event(ProofBundle),
    /// A stream, proved.
    Stream(StreamBundle),
    /// An event document, which proves only itself.
    Document(Event),
}

impl Proof {
    /// What proves it; nothing does a document on its own.
    pub fn evidence(&self) -> Option<&Evidence> {
        match self {
            Proof::Event(bundle) => Some(&bundle.evidence),
            Proof::Stream(bundle) => Some(&bundle.evidence),
            Proof::Document(_) => None,
        }
    }

    /// Reads a proof bundle, a stream bundle or an event document, whichever
    /// `text` is by its member `format` or the lack of it.
    ///
    /// # Errors
    /// [`FormatError`] names the member.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        Proof::from_value(canonical::parse_json(text, &BUNDLE_LIMITS)?)
    }

    /// As [`Proof::parse`], from a value that was parsed strictly.
    ///
    /// # Errors
    /// [`FormatError`] names the member.
    pub fn from_value(value: Value) -> Result<Self, FormatError> {
        match value.get("format").map(Value::as_str) {
            None => event_of(value, String::new()).map(Proof::Document),
            Some(Some(PROOF_BUNDLE_FORMAT)) => ProofBundle::from_value(value).map(Proof::Event),
            Some(Some(STREAM_BUNDLE_FORMAT)) => StreamBundle::from_value(value).map(Proof::Stream),
            Some(_) => Err(FormatError::Invalid("/format".into())),
        }
    }
}

impl ProofBundle {
    /// Reads a proof bundle.
    ///
    /// # Errors
    /// [`FormatError`] names the member.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        ProofBundle::from_value(canonical::parse_json(text, &BUNDLE_LIMITS)?)
    }

    /// As [`ProofBundle::parse`], from a value that was parsed strictly.
    ///
    /// # Errors
    /// [`FormatError`] names the member.
    pub fn from_value(value: Value) -> Result<Self, FormatError> {
        let mut members = Members::of(value, String::new())?;
        members.parsed_by("format", |format| (format == PROOF_BUNDLE_FORMAT).then_some(()))?;
        let event = event_of(members.value("event")?, "/event".into())?;
        let evidence = Evidence::take(&mut members)?;
        members.end()?;
        Ok(ProofBundle { event, evidence })
    }

    /// The JCS text.
    pub fn to_jcs(&self) -> String {
        self.evidence.to_jcs_around("event", &self.event.document(), PROOF_BUNDLE_FORMAT)
    }
}

impl StreamBundle {
    /// Reads a stream bundle.
    ///
    /// # Errors
    /// [`FormatError`] names the member.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        StreamBundle::from_value(canonical::parse_json(text, &BUNDLE_LIMITS)?)
    }

    /// As [`StreamBundle::parse`], from a value that was parsed strictly.
    ///
    /// # Errors
    /// [`FormatError`] names the member.
    pub fn from_value(value: Value) -> Result<Self, FormatError> {
        let mut members = Members::of(value, String::new())?;
        members.parsed_by("format", |format| (format == STREAM_BUNDLE_FORMAT).then_some(()))?;
        let events = members.list("events", event_of)?;
        if events.is_empty() {
            return Err(FormatError::Invalid("/events".into()));
        }
        let evidence = Evidence::take(&mut members)?;
        members.end()?;
        Ok(StreamBundle { events, evidence })
    }

    /// The JCS text.
    pub fn to_jcs(&self) -> String {
        let mut events = String::from("[");
        for (index, event) in self.events.iter().enumerate() {
            if index > 0 {
                events.push(',');
            }
            events.push_str(&event.document());
        }
        events.push(']');
        self.evidence.to_jcs_around("events", &events, STREAM_BUNDLE_FORMAT)
    }
}

impl RegistryPart {
    /// How many of the registry's events a bundle about the event of this header
    /// needs, whose checkpoint has a registry tree of `tree_size`: all up to its
    /// `registry_version` (a registry event's own sequence), and the one that
    /// registered the server key that signed the checkpoint's notes.
    pub fn size_for(registry: &Registry, header: &Header, tree_size: u64) -> u64 {
        let judged_at = match header.domain.as_str() {
            REGISTRY => header.sequence,
            _ => header.registry_version,
        };
        let server_key = registry.server_key_at(tree_size).and_then(|key_id| registry.key(key_id));
        judged_at.max(server_key.map_or(1, |key| key.registered_at))
    }
}

impl Evidence {
    fn take(members: &mut Members) -> Result<Self, FormatError> {
        let mut root = members.object("trust_root")?;
        let trust_root = TrustRoot::take(&mut root)?;
        root.end()?;
        let mut proof = members.object("inclusion")?;
        let inclusion =
            Inclusion { leaf_index: proof.number("leaf_index")?, path: hashes(&mut proof, "path")? };
        proof.end()?;
        let checkpoint = checkpoint_of(members.value("checkpoint")?, "/checkpoint".into())?;
        let mut part = members.object("registry")?;
        let registry = RegistryPart {
            events: part.list("events", registry_entry_of)?,
            consistency: hashes(&mut part, "consistency")?,
        };
        part.end()?;
        Ok(Evidence { trust_root, inclusion, checkpoint, registry })
    }

    /// The bundle's members in the order of RFC 8785; `name` is `event` or
    /// `events`, which stands between `checkpoint` and `format`.
    fn to_jcs_around(&self, name: &str, events: &str, format: &str) -> String {
        let mut out = String::with_capacity(events.len() + 8192);
        let _ = write!(
            out,
            "{{\"checkpoint\":{},\"{name}\":{events},\"format\":\"{format}\",\"inclusion\":{{\"leaf_index\":{},\"path\":",
            self.checkpoint.to_jcs(),
            self.inclusion.leaf_index,
        );
        write_hashes(&mut out, &self.inclusion.path);
        out.push_str("},\"registry\":{\"consistency\":");
        write_hashes(&mut out, &self.registry.consistency);
        out.push_str(",\"events\":[");
        for (index, entry) in self.registry.events.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            out.push_str(&match entry {
                RegistryEntry::Event(event) => event.document(),
                RegistryEntry::Header(header) => header.to_jcs(),
            });
        }
        let _ = write!(out, "]}},\"trust_root\":{}}}", self.trust_root.to_jcs());
        out
    }
}

impl Checkpoint {
    /// The MetaRoot that the other members make; none if a domain is there twice.
    pub fn computed_meta_root(&self) -> Option<Digest> {
        meta_root(SPECIFICATION_VERSION, &self.checkpoint_event_id, &self.domain_roots).ok()
    }

    /// The root of a domain, if the checkpoint has one.
    pub fn domain_root(&self, domain: &str) -> Option<&DomainRoot> {
        self.domain_roots.iter().find(|root| root.domain.as_str() == domain)
    }

    /// The JCS text.
    pub fn to_jcs(&self) -> String {
        let mut out = format!(
            "{{\"checkpoint_event_id\":\"{}\",\"checkpoint_id\":{},\"domain_roots\":[",
            self.checkpoint_event_id, self.checkpoint_id,
        );
        for (index, root) in self.domain_roots.iter().enumerate() {
            let _ = write!(
                out,
                "{}{{\"domain\":\"{}\",\"root\":\"{}\",\"tree_size\":{}}}",
                if index > 0 { "," } else { "" },
                root.domain,
                root.root,
                root.tree_size,
            );
        }
        let _ = write!(out, "],\"meta_root\":\"{}\"", self.meta_root);
        if let Some(note) = &self.note {
            out.push_str(",\"note\":");
            canonical::write_string(&mut out, note);
        }
        let _ = write!(out, ",\"version\":\"{SPECIFICATION_VERSION}\"}}");
        out
    }
}

impl RegistryEntry {
    /// The entry for a bundle about events of schema `needed`: whole, unless it
    /// is the body of another schema, which is most of a registry's bytes and
    /// none of the reader's business.
    pub fn for_bundle(event: Event, needed: &[SchemaVersion]) -> Self {
        let is_other_schema = event.header.schema_version.as_str() == "ets.schema/1.0.0"
            && !event
                .payload
                .value()
                .get("name")
                .and_then(Value::as_str)
                .is_some_and(|name| needed.iter().any(|needed| needed.as_str() == name));
        if is_other_schema { RegistryEntry::Header(event.header) } else { RegistryEntry::Event(event) }
    }

    /// Everything but the payload.
    pub fn header(&self) -> &Header {
        match self {
            RegistryEntry::Event(event) => &event.header,
            RegistryEntry::Header(header) => header,
        }
    }
}

/// Reads a checkpoint that stands at `pointer`.
pub(crate) fn checkpoint_of(value: Value, pointer: String) -> Result<Checkpoint, FormatError> {
    let mut members = Members::of(value, pointer)?;
    members.parsed_by("version", |version| (version == SPECIFICATION_VERSION).then_some(()))?;
    let checkpoint = Checkpoint {
        checkpoint_id: members.number("checkpoint_id")?,
        checkpoint_event_id: members.parsed("checkpoint_event_id")?,
        meta_root: members.parsed("meta_root")?,
        domain_roots: ascending(members.list("domain_roots", domain_root_of)?)
            .ok_or_else(|| FormatError::Invalid(members.at("domain_roots")))?,
        note: match members.has("note") {
            true => Some(
                members.parsed_by("note", |note| (note.len() <= MAX_NOTE_BYTES).then(|| note.to_owned()))?,
            ),
            false => None,
        },
    };
    members.end()?;
    Ok(checkpoint)
}

/// The roots, if each name is greater than the one before.
fn ascending(roots: Vec<DomainRoot>) -> Option<Vec<DomainRoot>> {
    roots.windows(2).all(|pair| matches!(pair, [one, two] if one.domain < two.domain)).then_some(roots)
}

fn domain_root_of(value: Value, pointer: String) -> Result<DomainRoot, FormatError> {
    let mut members = Members::of(value, pointer)?;
    let root = DomainRoot {
        domain: members.parsed("domain")?,
        tree_size: members.number("tree_size")?,
        root: members.parsed("root")?,
    };
    members.end()?;
    Ok(root)
}

fn event_of(value: Value, pointer: String) -> Result<Event, FormatError> {
    Event::from_value(value).map_err(|error| FormatError::Event(pointer, error))
}

/// A registry event; without the member `payload`, a header of a kind that may
/// go without.
fn registry_entry_of(value: Value, pointer: String) -> Result<RegistryEntry, FormatError> {
    if value.get("payload").is_some() {
        return event_of(value, pointer).map(RegistryEntry::Event);
    }
    let header = Header::from_value(value).map_err(|error| FormatError::Event(pointer.clone(), error))?;
    if OMITTABLE_KINDS.contains(&header.schema_version.as_str()) {
        Ok(RegistryEntry::Header(header))
    } else {
        Err(FormatError::Missing(pointer + "/payload"))
    }
}

fn hashes(members: &mut Members, name: &str) -> Result<Vec<Digest>, FormatError> {
    let hashes = members.list(name, |value, pointer| {
        value.as_str().and_then(|text| text.parse().ok()).ok_or(FormatError::Invalid(pointer))
    })?;
    if hashes.len() > MAX_PROOF_HASHES { Err(FormatError::Invalid(members.at(name))) } else { Ok(hashes) }
}

fn write_hashes(out: &mut String, hashes: &[Digest]) {
    out.push('[');
    for (index, hash) in hashes.iter().enumerate() {
        let _ = write!(out, "{}\"{hash}\"", if index > 0 { "," } else { "" });
    }
    out.push(']');
}
