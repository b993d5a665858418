//! The lines of an export that are no event documents.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::EXPORT_FORMAT;
use crate::canonical::to_jcs;
use crate::checkpoint::{DomainRoot, domain_roots_from_value, domain_roots_to_value};
use crate::event::EventId;
use crate::hash::{Digest, SPECIFICATION_VERSION, encode_bytes, sha256};
use crate::key::{PublicKey, SecretKey, Signature};
use crate::members::{FormatError, Members};
use crate::name::DomainName;
use crate::time::Timestamp;
use crate::trust::{TrustRoot, public_key_of};

/// The first line: whose export it is, and what it continues.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportHeader {
    /// The ledger.
    pub trust_root: TrustRoot,
    /// The one domain beside `ets.registry`; none: all domains.
    pub domain: Option<DomainName>,
    /// The checkpoint after which it begins; 0: at the ledger's beginning.
    pub from_checkpoint: u64,
    /// That checkpoint's roots, of all domains; none at the beginning.
    pub from_roots: Vec<DomainRoot>,
}

impl ExportHeader {
    /// Whether events of `domain` are in the export.
    pub fn covers(&self, domain: &DomainName) -> bool {
        *domain == DomainName::registry() || self.domain.as_ref().is_none_or(|only| only == domain)
    }

    pub(super) fn to_line(&self) -> String {
        let mut value = json!({
            "format": EXPORT_FORMAT,
            "from": {
                "checkpoint_id": self.from_checkpoint,
                "domain_roots": domain_roots_to_value(&self.from_roots),
            },
            "trust_root": {
                "ledger_id": self.trust_root.ledger_id.hyphenated().to_string(),
                "origin": self.trust_root.origin.as_str(),
                "root_public_key": self.trust_root.root_public_key.to_string(),
                "server_public_key": self.trust_root.server_public_key.to_string(),
            },
        });
        if let Some(domain) = &self.domain {
            value["domain"] = domain.as_str().into();
        }
        to_jcs(&value)
    }

    pub(super) fn take(mut members: Members) -> Result<Self, FormatError> {
        members.parsed_by("format", |format| (format == EXPORT_FORMAT).then_some(()))?;
        let domain = if members.has("domain") { Some(members.parsed("domain")?) } else { None };
        let mut root = members.object("trust_root")?;
        let trust_root = TrustRoot::take(&mut root)?;
        root.end()?;
        let mut from = members.object("from")?;
        let from_checkpoint = from.number("checkpoint_id")?;
        let from_roots = roots(&mut from)?;
        from.end()?;
        members.end()?;
        Ok(ExportHeader { trust_root, domain, from_checkpoint, from_roots })
    }
}

/// Leaves of a domain's tree, one after the other; their events follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaves {
    /// The domain.
    pub domain: DomainName,
    /// The index of the first one.
    pub first: u64,
    /// The leaf hashes.
    pub hashes: Vec<Digest>,
}

impl Leaves {
    pub(super) fn to_line(&self) -> String {
        let hashes: Vec<String> = self.hashes.iter().map(Digest::to_string).collect();
        to_jcs(&json!({"leaves": {"domain": self.domain.as_str(), "first": self.first, "hashes": hashes}}))
    }

    pub(super) fn take(mut members: Members) -> Result<Self, FormatError> {
        let mut leaves = members.object("leaves")?;
        members.end()?;
        let taken = Leaves {
            domain: leaves.parsed("domain")?,
            first: leaves.number("first")?,
            hashes: leaves.list("hashes", |value, at| {
                value.as_str().and_then(|text| text.parse().ok()).ok_or(FormatError::Invalid(at))
            })?,
        };
        leaves.end()?;
        Ok(taken)
    }
}

/// A checkpoint, as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct SealedCheckpoint {
    /// From 1, without gaps.
    pub checkpoint_id: u64,
    /// The greatest event id in any of its trees.
    pub checkpoint_event_id: EventId,
    /// The root over all domain roots.
    pub meta_root: Digest,
    /// When it was made; under no hash.
    pub created_at: Timestamp,
    /// The roots of all domains, each with its signed note if it has one.
    pub roots: Vec<(DomainRoot, Option<String>)>,
}

impl SealedCheckpoint {
    /// The roots without their notes.
    pub fn domain_roots(&self) -> Vec<DomainRoot> {
        self.roots.iter().map(|(root, _)| root.clone()).collect()
    }

    pub(super) fn to_line(&self) -> String {
        let notes: Map<String, Value> = self
            .roots
            .iter()
            .filter_map(|(root, note)| Some((root.domain.to_string(), note.clone()?.into())))
            .collect();
        to_jcs(&json!({"checkpoint": {
            "checkpoint_event_id": self.checkpoint_event_id.to_string(),
            "checkpoint_id": self.checkpoint_id,
            "created_at": self.created_at.to_string(),
            "domain_roots": domain_roots_to_value(&self.domain_roots()),
            "meta_root": self.meta_root.to_string(),
            "notes": notes,
            "version": SPECIFICATION_VERSION,
        }}))
    }

    pub(super) fn take(mut members: Members) -> Result<Self, FormatError> {
        let mut sealed = members.object("checkpoint")?;
        members.end()?;
        sealed.parsed_by("version", |version| (version == SPECIFICATION_VERSION).then_some(()))?;
        let mut notes = sealed.object("notes")?;
        let mut with_notes = Vec::new();
        for root in roots(&mut sealed)? {
            let name = root.domain.to_string();
            let note = if notes.has(&name) { Some(notes.parsed(&name)?) } else { None };
            with_notes.push((root, note));
        }
        notes.end()?;
        let taken = SealedCheckpoint {
            checkpoint_id: sealed.number("checkpoint_id")?,
            checkpoint_event_id: sealed.parsed("checkpoint_event_id")?,
            meta_root: sealed.parsed("meta_root")?,
            created_at: sealed.parsed("created_at")?,
            roots: with_notes,
        };
        sealed.end()?;
        Ok(taken)
    }
}

/// The last line: what there was before it, signed with the server's key.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The ledger's id.
    pub ledger_id: Uuid,
    /// The number of lines before this one.
    pub lines: u64,
    /// SHA-256 over them, each with its newline.
    pub lines_sha256: Digest,
    /// The number of events.
    pub events: u64,
    /// The events of each domain that has some, in ascending order of its name.
    pub domains: Vec<DomainTally>,
    /// The last checkpoint; 0 if there is none.
    pub checkpoint_id: u64,
    /// That checkpoint's roots, of all domains.
    pub domain_roots: Vec<DomainRoot>,
    /// Its MetaRoot; none without a checkpoint.
    pub meta_root: Option<Digest>,
    /// The server's key.
    pub public_key: PublicKey,
    /// Its signature of [`Manifest::hash`].
    pub signature: Signature,
}

/// What a manifest says of one domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainTally {
    /// The domain.
    pub domain: DomainName,
    /// The number of its events in the export.
    pub events: u64,
    /// `current_hash` of the first of them.
    pub first_hash: Digest,
    /// `current_hash` of the last.
    pub last_hash: Digest,
}

impl Manifest {
    /// What the server signs:
    /// `SHA256( encode("ETS export") || encode("1.1") || encode(JCS of the manifest without signature) )`.
    pub fn hash(&self) -> Digest {
        let mut bytes = Vec::with_capacity(1024);
        encode_bytes(&mut bytes, b"ETS export");
        encode_bytes(&mut bytes, SPECIFICATION_VERSION.as_bytes());
        encode_bytes(&mut bytes, to_jcs(&Value::Object(self.unsigned())).as_bytes());
        sha256(&[&bytes])
    }

    /// With the signature of `key`, which becomes its public key.
    pub(super) fn signed_by(mut self, key: &SecretKey) -> Self {
        self.public_key = key.public_key();
        self.signature = key.sign(&self.hash());
        self
    }

    /// Whether `signature` is the public key's.
    pub fn check_signature(&self) -> bool {
        self.public_key.verify(&self.hash(), &self.signature)
    }

    fn unsigned(&self) -> Map<String, Value> {
        let domains: Vec<Value> = self
            .domains
            .iter()
            .map(|tally| {
                json!({
                    "domain": tally.domain.as_str(),
                    "events": tally.events,
                    "first_hash": tally.first_hash.to_string(),
                    "last_hash": tally.last_hash.to_string(),
                })
            })
            .collect();
        let mut members = Map::from_iter([
            ("checkpoint_id".to_owned(), self.checkpoint_id.into()),
            ("domain_roots".to_owned(), domain_roots_to_value(&self.domain_roots)),
            ("domains".to_owned(), domains.into()),
            ("events".to_owned(), self.events.into()),
            ("ledger_id".to_owned(), self.ledger_id.hyphenated().to_string().into()),
            ("lines".to_owned(), self.lines.into()),
            ("lines_sha256".to_owned(), self.lines_sha256.to_string().into()),
            ("public_key".to_owned(), self.public_key.to_string().into()),
        ]);
        if let Some(meta_root) = &self.meta_root {
            members.insert("meta_root".to_owned(), meta_root.to_string().into());
        }
        members
    }

    pub(super) fn to_line(&self) -> String {
        let mut members = self.unsigned();
        members.insert("signature".to_owned(), self.signature.to_string().into());
        to_jcs(&json!({ "manifest": members }))
    }

    pub(super) fn take(mut members: Members) -> Result<Self, FormatError> {
        let mut manifest = members.object("manifest")?;
        members.end()?;
        let taken = Manifest {
            ledger_id: manifest.parsed_by("ledger_id", |text| {
                Uuid::try_parse(text).ok().filter(|id| id.hyphenated().to_string() == text)
            })?,
            lines: manifest.number("lines")?,
            lines_sha256: manifest.parsed("lines_sha256")?,
            events: manifest.number("events")?,
            domains: manifest.list("domains", |value, at| {
                let mut tally = Members::of(value, at)?;
                let taken = DomainTally {
                    domain: tally.parsed("domain")?,
                    events: tally.number("events")?,
                    first_hash: tally.parsed("first_hash")?,
                    last_hash: tally.parsed("last_hash")?,
                };
                tally.end()?;
                Ok(taken)
            })?,
            checkpoint_id: manifest.number("checkpoint_id")?,
            domain_roots: roots(&mut manifest)?,
            meta_root: if manifest.has("meta_root") { Some(manifest.parsed("meta_root")?) } else { None },
            public_key: manifest.parsed_by("public_key", public_key_of)?,
            signature: manifest.parsed("signature")?,
        };
        manifest.end()?;
        Ok(taken)
    }
}

fn roots(members: &mut Members) -> Result<Vec<DomainRoot>, FormatError> {
    let at = members.at("domain_roots");
    let value = members.value("domain_roots")?;
    domain_roots_from_value(&value).map_err(|_| FormatError::Invalid(at))
}
