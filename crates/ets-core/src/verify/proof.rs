//! Proof bundles and stream bundles: the checks of `docs/formats.md`, section 8,
//! in that order.

use super::document::{judged, verify_document};
use super::finding::{FindingClass, Flaw};
use super::judge::{self, Memory, Signatures};
use super::rules::{RuleReplay, States};
use super::{ChainVerifier, Check, checkpoint};
use crate::anchor::AnchorStatement;
use crate::bundle::{Checkpoint, Evidence, Proof, ProofBundle, RegistryEntry, RegistryPart, StreamBundle};
use crate::event::Event;
use crate::hash::genesis_hash;
use crate::key::PublicKey;
use crate::name::REGISTRY;
use crate::registry::{Kind, Registry, RegistryError};
use crate::trust::{TrustFile, TrustRoot};

/// The kind of registry event that is mostly left out of bundles.
const SCHEMA: &str = "ets.schema/1.0.0";

/// What the verifier was told by somebody it trusts.
#[derive(Debug, Clone, PartialEq)]
pub enum Trust {
    /// Nothing: a bundle vouches for itself, and cannot be more than
    /// [`super::Verdict::Unverifiable`].
    Nothing,
    /// The key that signed the ledger's first event.
    RootKey(PublicKey),
    /// All of the trust root.
    Root(TrustRoot),
    /// The trust root and checkpoints that were kept.
    File(TrustFile),
}

impl Trust {
    pub(super) fn kept(&self) -> &[Checkpoint] {
        match self {
            Trust::File(file) => &file.checkpoints,
            _ => &[],
        }
    }
}

/// Reads and verifies a proof bundle, a stream bundle or an event document. A
/// text that is none of them fails the check `format`, and no other is made.
pub fn verify_text(text: &str, trust: &Trust) -> Vec<Check> {
    match Proof::parse(text) {
        Ok(proof) => verify_proof(&proof, trust),
        Err(error) => vec![Check::failed("format", error.to_string())],
    }
}

/// Whether a published statement is of the checkpoint that a proof leads to, as the check
/// `anchor`; none if it is of another checkpoint. Another checkpoint under the same number
/// is a failure: two were shown. The caller has made sure that `place`, where it was
/// published, is out of the server's reach.
pub fn verify_published(evidence: &Evidence, statement: &AnchorStatement, place: &str) -> Option<Check> {
    let checkpoint = &evidence.checkpoint;
    let has_number = statement.checkpoint_id() == checkpoint.checkpoint_id;
    let has_root = *statement.checkpoint_event_id() == checkpoint.checkpoint_event_id
        && *statement.meta_root() == checkpoint.meta_root;
    if *statement.ledger_id() != evidence.trust_root.ledger_id || !(has_number || has_root) {
        return None;
    }
    let number = checkpoint.checkpoint_id;
    Some(match has_number && has_root {
        true => Check::passed("anchor", format!("checkpoint {number} was published: {place}")),
        false => Check::failed("anchor", format!("another checkpoint {number} was published: {place}")),
    })
}

/// Verifies whatever was read. A document on its own is judged by itself.
pub fn verify_proof(proof: &Proof, trust: &Trust) -> Vec<Check> {
    match proof {
        Proof::Event(bundle) => verify_proof_bundle(bundle, trust),
        Proof::Stream(bundle) => verify_stream_bundle(bundle, trust),
        Proof::Document(event) => {
            let mut checks = vec![Check::passed("format", "an event document")];
            checks.extend(verify_document(event));
            checks.push(Check::unknown(
                "authority",
                "a document shows neither a ledger nor any right; a bundle does",
            ));
            checks
        }
    }
}

/// Verifies a proof bundle against what is trusted.
pub fn verify_proof_bundle(bundle: &ProofBundle, trust: &Trust) -> Vec<Check> {
    let event = &bundle.event;
    let evidence = &bundle.evidence;
    let mut checks = vec![Check::passed("format", "a proof bundle"), trust_root(&evidence.trust_root, trust)];
    checks.extend(verify_document(event));
    if event.header.sequence == 1 {
        checks.push(genesis(event, &evidence.trust_root));
    }
    let (registry, check) = fold(&evidence.registry, &evidence.trust_root);
    checks.push(check);
    let mut memory = Memory::default();
    checks.push(authority(event, evidence, registry.as_ref()));
    let mut replay = RuleReplay::default();
    if event.header.sequence > 1 {
        replay.lose("the bundle holds no other event of its stream");
    }
    checks.extend(schema(event, evidence, registry.as_ref(), &mut replay, &mut memory));
    checks.extend(checkpoint::checks(event, evidence, registry.as_ref(), trust));
    checks
}

/// Verifies a stream bundle against what is trusted.
pub fn verify_stream_bundle(bundle: &StreamBundle, trust: &Trust) -> Vec<Check> {
    let evidence = &bundle.evidence;
    let mut checks = vec![
        Check::passed("format", format!("a stream bundle of {} events", bundle.events.len())),
        trust_root(&evidence.trust_root, trust),
    ];
    let Some(last) = bundle.events.last() else {
        checks.push(Check::failed("chain", "the bundle has no event"));
        return checks;
    };
    checks.extend(verify_document(last));
    checks.push(chain(&bundle.events, &evidence.trust_root));
    let (registry, check) = fold(&evidence.registry, &evidence.trust_root);
    checks.push(check);
    let mut memory = Memory::default();
    checks.push(worst(bundle.events.iter().map(|event| authority(event, evidence, registry.as_ref()))));
    let mut replay = RuleReplay::default();
    let (mut schemas, mut rules) = (Vec::new(), Vec::new());
    for event in &bundle.events {
        let [schema, rule] = schema(event, evidence, registry.as_ref(), &mut replay, &mut memory);
        schemas.push(schema);
        rules.push(rule);
    }
    checks.push(worst(schemas));
    checks.push(worst(rules));
    checks.extend(checkpoint::checks(last, evidence, registry.as_ref(), trust));
    checks
}

fn trust_root(claimed: &TrustRoot, trust: &Trust) -> Check {
    let named = match trust {
        Trust::Nothing => {
            let key = &claimed.root_public_key;
            return Check::unknown(
                "trust_root",
                format!("trusting the bundle's own root key {key}; name the one you know"),
            );
        }
        Trust::RootKey(key) => {
            return judged(
                "trust_root",
                claimed.root_public_key == *key,
                || format!("the bundle is of the ledger {}, whose root key you named", claimed.origin),
                || format!("the bundle's root key is {}, not the one you named", claimed.root_public_key),
            );
        }
        Trust::Root(root) => root,
        Trust::File(file) => &file.trust_root,
    };
    judged(
        "trust_root",
        claimed == named,
        || format!("the bundle is of the ledger {}, which you named", claimed.origin),
        || {
            let differs = if claimed.root_public_key != named.root_public_key {
                "root_public_key"
            } else if claimed.ledger_id != named.ledger_id {
                "ledger_id"
            } else if claimed.origin != named.origin {
                "origin"
            } else {
                "server_public_key"
            };
            format!("the bundle's {differs} is not that of the ledger you named")
        },
    )
}

fn genesis(event: &Event, root: &TrustRoot) -> Check {
    let header = &event.header;
    judged(
        "chain",
        header.previous_hash == genesis_hash(&root.ledger_id, &header.domain, &header.stream),
        || format!("the first event of {}/{} begins at its genesis hash", header.domain, header.stream),
        || {
            format!(
                "the first event of {}/{} does not begin at its genesis hash",
                header.domain, header.stream
            )
        },
    )
}

fn chain(events: &[Event], root: &TrustRoot) -> Check {
    let Some(first) = events.first() else { return Check::failed("chain", "there is no event") };
    let (domain, stream) = (&first.header.domain, &first.header.stream);
    if let Some(other) =
        events.iter().find(|event| event.header.domain != *domain || event.header.stream != *stream)
    {
        let header = &other.header;
        return Check::failed(
            "chain",
            format!("{} is of the stream {}/{}", header.event_id, header.domain, header.stream),
        );
    }
    let mut findings = Vec::new();
    let mut verifier = ChainVerifier::new(root.ledger_id, None);
    for event in events {
        verifier.push(event, &mut findings);
    }
    match findings.first() {
        None => Check::passed(
            "chain",
            format!(
                "events 1 to {} of {domain}/{stream} hash, are signed and linked from the genesis hash",
                events.len()
            ),
        ),
        Some(finding) => Check::failed("chain", finding.to_string()),
    }
}

/// Applies the registry's events; the registry that they make, if they are good.
fn fold(part: &RegistryPart, root: &TrustRoot) -> (Option<Registry>, Check) {
    match try_fold(part, root) {
        Ok(registry) => {
            let omitted =
                part.events.iter().filter(|entry| matches!(entry, RegistryEntry::Header(_))).count();
            let omitted = match omitted {
                0 => String::new(),
                n => format!(" ({n} without payload, of kinds that authority does not need)"),
            };
            let detail = format!("{} events from the root key's first one{omitted}", part.events.len());
            (Some(registry), Check::passed("registry", detail))
        }
        Err(detail) => (None, Check::failed("registry", detail)),
    }
}

fn try_fold(part: &RegistryPart, root: &TrustRoot) -> Result<Registry, String> {
    let mut memory = Memory::default();
    let mut registry: Option<Registry> = None;
    let (mut event_id, mut timestamp) = (None, None);
    let mut schemas_omitted = false;
    let signed =
        judge::signatures(part.events.iter().map(RegistryEntry::header), Signatures::Verified, &mut memory);
    for (index, (entry, signed)) in part.events.iter().zip(signed).enumerate() {
        let at = |detail: String| format!("registry event {}: {detail}", index + 1);
        let flaws = match entry {
            RegistryEntry::Event(event) => judge::integrity(event, signed, &mut memory),
            RegistryEntry::Header(header) => judge::header_integrity(header, signed, &mut memory),
        };
        if let Some(flaw) = flaws.into_iter().next() {
            return Err(at(flaw.detail));
        }
        let header = entry.header();
        if index > 0 && event_id >= Some(header.event_id) {
            return Err(at("its event_id is not greater than the one before".into()));
        }
        if timestamp > Some(header.timestamp) {
            return Err(at("its timestamp is earlier than the one before".into()));
        }
        (event_id, timestamp) = (Some(header.event_id), Some(header.timestamp));
        match (&mut registry, entry) {
            (None, RegistryEntry::Event(event)) => {
                let started = Registry::start(event).map_err(|error| at(error.to_string()))?;
                let ledger = started.ledger();
                if TrustRoot::of(ledger).as_ref() != Some(root) {
                    return Err("the registry's first event is not of the ledger in trust_root".into());
                }
                registry = Some(started);
            }
            (None, RegistryEntry::Header(_)) => return Err(at("a registry begins with ets.ledger".into())),
            // That a schema retires which the bundle leaves out is nobody's concern here.
            (Some(registry), RegistryEntry::Event(event)) => match registry.apply(event) {
                Err(RegistryError::UnknownSchema { .. }) if schemas_omitted => registry.skip(header),
                // What is judged by it cannot be judged here; the rest can.
                Err(RegistryError::UnknownEngine { .. }) => registry.apply_admitted(event),
                applied => applied,
            }
            .map_err(|error| at(error.to_string()))?,
            (Some(registry), RegistryEntry::Header(header)) => {
                registry.skip(header).map_err(|error| at(error.to_string()))?;
                schemas_omitted |= header.schema_version.as_str() == SCHEMA;
            }
        }
    }
    registry.ok_or_else(|| "the bundle carries no registry".into())
}

fn authority(event: &Event, evidence: &Evidence, registry: Option<&Registry>) -> Check {
    const NAME: &str = "authority";
    let header = &event.header;
    let Some(registry) = registry else { return Check::unknown(NAME, "there is no registry to judge by") };
    if header.domain.as_str() == REGISTRY {
        let index = usize::try_from(header.sequence.saturating_sub(1)).ok();
        let entry = index.and_then(|index| evidence.registry.events.get(index));
        return match entry {
            None => Check::unknown(NAME, "the bundle's registry ends before this registry event"),
            Some(entry) if entry.header() != header => Check::failed(
                NAME,
                format!("registry event {} of the bundle is another one", header.sequence),
            ),
            Some(_) => Check::passed(NAME, "the signer had the right to make this registry event"),
        };
    }
    if header.registry_version > registry.version() {
        return Check::unknown(
            NAME,
            format!(
                "judged at registry version {}, but the bundle's registry ends at {}",
                header.registry_version,
                registry.version()
            ),
        );
    }
    match judge::authority(registry, header) {
        None => Check::passed(
            NAME,
            format!(
                "at registry version {} the key could append {} to {}/{}",
                header.registry_version, header.schema_version, header.domain, header.stream
            ),
        ),
        Some(flaw) => Check::failed(NAME, flaw.detail),
    }
}

/// The checks `schema` and `rules`, of the next event that `replay` meets.
fn schema(
    event: &Event,
    evidence: &Evidence,
    registry: Option<&Registry>,
    replay: &mut RuleReplay,
    memory: &mut Memory,
) -> [Check; 2] {
    let header = &event.header;
    let mut unknown = |detail: String| {
        replay.lose("the schema of an event before it is not known");
        [Check::unknown("schema", detail.clone()), Check::unknown("rules", detail)]
    };
    let Some(registry) = registry else { return unknown("there is no registry to judge by".into()) };
    let omits = |kind| {
        evidence.registry.events.iter().any(
            |entry| matches!(entry, RegistryEntry::Header(header) if header.schema_version.as_str() == kind),
        )
    };
    let record = match registry.schema_at(&header.schema_version, header.registry_version.max(1)) {
        Ok(record) => record,
        Err(RegistryError::UnknownSchema { .. }) if omits(SCHEMA) => {
            return unknown(format!("the bundle does not carry the schema {}", header.schema_version));
        }
        Err(error) => {
            let [_, rules] = unknown("there is no schema".into());
            return [Check::failed("schema", error.to_string()), rules];
        }
    };
    let flaws = judge::schema(record, event, memory);
    let schema = if let Some(flaw) = flaws.iter().find(|flaw| flaw.class != FindingClass::Unverifiable) {
        Check::failed("schema", flaw.detail.clone())
    } else if let Some(Flaw { detail, .. }) = flaws.first() {
        Check::unknown("schema", detail.clone())
    } else if omits(Kind::SchemaRetirement.as_str()) {
        Check::unknown("schema", "the bundle leaves out a schema's retirement, perhaps this one's")
    } else {
        let word = match &record.schema_pointer {
            Some(_) => "the signature covers the schema version",
            None => "the schema version is the server's word",
        };
        Check::passed("schema", format!("the payload fits {}; {word}", header.schema_version))
    };
    let flaws = replay.push(registry, record, event, States::WhereRulesNeedThem, memory);
    let rules = if let Some(flaw) = flaws.iter().find(|flaw| flaw.class != FindingClass::Unverifiable) {
        Check::failed("rules", format!("event {}: {}", header.sequence, flaw.detail))
    } else if let Some(flaw) = flaws.first() {
        Check::unknown("rules", format!("event {}: {}", header.sequence, flaw.detail))
    } else if omits(Kind::RuleFunction.as_str()) {
        Check::unknown("rules", "the bundle leaves out a rule function, perhaps of this schema")
    } else {
        let has_rules = record.rules.as_array().is_none_or(|rules| !rules.is_empty());
        let words = if has_rules { "the rules hold of" } else { "there are no rules for" };
        Check::passed("rules", format!("{words} {}", header.schema_version))
    };
    [schema, rules]
}

/// Of one check made on every event of a stream: the first that failed, else the
/// first that could not be made, else the last.
fn worst(checks: impl IntoIterator<Item = Check>) -> Check {
    let mut worst = Check::unknown("chain", "there is no event");
    let mut is_first = true;
    for check in checks {
        let replaces = match (worst.passed, check.passed) {
            _ if is_first => true,
            (Some(false), _) => false,
            (_, Some(false)) => true,
            (None, _) => false,
            (Some(true), _) => true,
        };
        if replaces {
            worst = check;
        }
        is_first = false;
    }
    worst
}
