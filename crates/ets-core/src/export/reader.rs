//! Reading an export, a line at a time, in bounded memory.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use serde_json::Value;

use super::{ExportHeader, Leaves, MAX_LEAVES, Manifest, SealedCheckpoint, Tally};
use crate::canonical::{Limits, parse_json};
use crate::checkpoint::{DomainRoot, meta_root};
use crate::event::{DocumentError, Event};
use crate::hash::{Digest, SPECIFICATION_VERSION};
use crate::members::{FormatError, Members};
use crate::name::DomainName;

/// What a line of an export brings.
#[derive(Debug)]
pub enum Step {
    /// The first line.
    Header(ExportHeader),
    /// Leaves follow.
    Leaves,
    /// An event; and its place in its domain's tree, none if it was not sealed.
    Event(Event, Option<u64>),
    /// A checkpoint over what came before.
    Checkpoint(SealedCheckpoint),
    /// The last line: the export is complete.
    Manifest(Manifest),
}

/// Reads the lines of an export in their order.
///
/// It holds each event's header against the leaf that was announced for it, sizes
/// and numbers of checkpoints against what came before, each MetaRoot against its
/// roots, and the manifest against everything. Chains, signatures, authority and
/// the roots of trees are for whoever takes the events in, as is whether the
/// manifest's key is the server's.
#[derive(Default)]
pub struct ExportReader {
    tally: Tally,
    header: Option<ExportHeader>,
    /// Each covered domain's number of leaves so far.
    sizes: BTreeMap<DomainName, u64>,
    /// Announced leaves whose events are to come.
    announced: Option<Announced>,
    checkpoint: (u64, Vec<DomainRoot>, Option<Digest>),
    /// Whether an event without a leaf has come: then no checkpoint follows.
    has_unsealed: bool,
    is_complete: bool,
}

struct Announced {
    domain: DomainName,
    hashes: VecDeque<Digest>,
}

impl ExportReader {
    /// Before the first line.
    pub fn new() -> Self {
        ExportReader::default()
    }

    /// The number of lines read.
    pub fn lines(&self) -> u64 {
        self.tally.lines + u64::from(self.is_complete)
    }

    /// The first line, once it was read.
    pub fn header(&self) -> Option<&ExportHeader> {
        self.header.as_ref()
    }

    /// Reads the next line, without its newline.
    ///
    /// # Errors
    /// [`ExportError`] with the number of the line. The export is then refused: no
    /// further line makes it good.
    pub fn push(&mut self, line: &str) -> Result<Step, ExportError> {
        let number = self.lines() + 1;
        self.read(line).map_err(|problem| ExportError { line: number, problem })
    }

    /// After the last line.
    ///
    /// # Errors
    /// [`ExportProblem::Truncated`] if it was not the manifest.
    pub fn finish(&self) -> Result<(), ExportError> {
        match self.is_complete {
            true => Ok(()),
            false => Err(ExportError { line: self.lines() + 1, problem: ExportProblem::Truncated }),
        }
    }

    fn read(&mut self, line: &str) -> Result<Step, ExportProblem> {
        if self.is_complete {
            return Err(ExportProblem::Order("nothing follows the manifest"));
        }
        let value = parse_json(line, &Limits::DOCUMENT).map_err(FormatError::from)?;
        let has = |name: &str| value.get(name).is_some();
        let step = if self.header.is_none() {
            if !has("format") {
                return Err(ExportProblem::Order("the first line is the export's header"));
            }
            self.header_line(value)?
        } else if has("event_id") {
            self.event_line(value)?
        } else if let Some(announced) = &self.announced {
            let missing = announced.hashes.len();
            return Err(ExportProblem::MissingEvents { domain: announced.domain.clone(), missing });
        } else if has("leaves") {
            self.leaves_line(value)?
        } else if has("checkpoint") {
            self.checkpoint_line(value)?
        } else if has("manifest") {
            let manifest = Manifest::take(object(value)?)?;
            self.check_manifest(&manifest)?;
            self.is_complete = true;
            return Ok(Step::Manifest(manifest));
        } else {
            return Err(FormatError::Invalid(String::new()).into());
        };
        self.tally.line(line);
        Ok(step)
    }

    fn header_line(&mut self, value: Value) -> Result<Step, ExportProblem> {
        let header = ExportHeader::take(object(value)?)?;
        if (header.from_checkpoint == 0) != header.from_roots.is_empty() {
            return Err(FormatError::Invalid("/from/domain_roots".into()).into());
        }
        for root in &header.from_roots {
            if header.covers(&root.domain) {
                self.sizes.insert(root.domain.clone(), root.tree_size);
            }
        }
        self.checkpoint = (header.from_checkpoint, header.from_roots.clone(), None);
        self.header = Some(header.clone());
        Ok(Step::Header(header))
    }

    fn leaves_line(&mut self, value: Value) -> Result<Step, ExportProblem> {
        let leaves = Leaves::take(object(value)?)?;
        if self.has_unsealed {
            return Err(ExportProblem::Order("unsealed events come after the last checkpoint"));
        }
        self.check_covered(&leaves.domain)?;
        if leaves.hashes.is_empty() || leaves.hashes.len() > MAX_LEAVES {
            return Err(FormatError::Invalid("/leaves/hashes".into()).into());
        }
        let size = self.sizes.get(&leaves.domain).copied().unwrap_or(0);
        if leaves.first != size {
            return Err(ExportProblem::LeafIndex {
                domain: leaves.domain,
                expected: size,
                actual: leaves.first,
            });
        }
        self.announced = Some(Announced { domain: leaves.domain, hashes: leaves.hashes.into() });
        Ok(Step::Leaves)
    }

    fn event_line(&mut self, value: Value) -> Result<Step, ExportProblem> {
        let event = Event::from_value(value).map_err(ExportProblem::Document)?;
        self.check_covered(&event.header.domain)?;
        let leaf_index = match &mut self.announced {
            None => {
                self.has_unsealed = true;
                None
            }
            Some(announced) => {
                let actual = event.header.leaf_hash();
                let expected =
                    announced.hashes.pop_front().filter(|_| announced.domain == event.header.domain);
                match expected {
                    Some(expected) if expected == actual => {}
                    expected => return Err(ExportProblem::LeafHash { expected, actual }),
                }
                if announced.hashes.is_empty() {
                    self.announced = None;
                }
                let size = self.sizes.entry(event.header.domain.clone()).or_default();
                *size += 1;
                Some(*size - 1)
            }
        };
        self.tally.event(&event);
        Ok(Step::Event(event, leaf_index))
    }

    fn checkpoint_line(&mut self, value: Value) -> Result<Step, ExportProblem> {
        let checkpoint = SealedCheckpoint::take(object(value)?)?;
        if self.has_unsealed {
            return Err(ExportProblem::Order("unsealed events come after the last checkpoint"));
        }
        let expected = self.checkpoint.0 + 1;
        if checkpoint.checkpoint_id != expected {
            return Err(ExportProblem::CheckpointId { expected, actual: checkpoint.checkpoint_id });
        }
        let roots = checkpoint.domain_roots();
        let computed = meta_root(SPECIFICATION_VERSION, &checkpoint.checkpoint_event_id, &roots).ok();
        if computed != Some(checkpoint.meta_root) {
            return Err(ExportProblem::MetaRoot { computed, stated: checkpoint.meta_root });
        }
        for (domain, size) in &self.sizes {
            let stated = roots.iter().find(|root| root.domain == *domain).map(|root| root.tree_size);
            if stated != Some(*size) {
                return Err(ExportProblem::TreeSize { domain: domain.clone(), leaves: *size, stated });
            }
        }
        let is_new = |root: &&DomainRoot| root.tree_size > 0 && !self.sizes.contains_key(&root.domain);
        let covers =
            |root: &&DomainRoot| self.header.as_ref().is_some_and(|header| header.covers(&root.domain));
        if let Some(root) = roots.iter().filter(covers).find(is_new) {
            let (domain, stated) = (root.domain.clone(), Some(root.tree_size));
            return Err(ExportProblem::TreeSize { domain, leaves: 0, stated });
        }
        self.checkpoint = (checkpoint.checkpoint_id, roots, Some(checkpoint.meta_root));
        Ok(Step::Checkpoint(checkpoint))
    }

    fn check_manifest(&self, manifest: &Manifest) -> Result<(), ExportProblem> {
        let (checkpoint_id, roots, meta_root) = &self.checkpoint;
        let ledger_id = self.header.as_ref().map(|header| header.trust_root.ledger_id);
        let statements = [
            ("ledger_id", ledger_id == Some(manifest.ledger_id)),
            ("lines", manifest.lines == self.tally.lines),
            ("lines_sha256", manifest.lines_sha256 == self.tally.hash()),
            ("events", manifest.events == self.tally.events),
            ("domains", manifest.domains == self.tally.domains()),
            ("checkpoint_id", manifest.checkpoint_id == *checkpoint_id),
            ("domain_roots", manifest.domain_roots == *roots),
            // Of the checkpoint that it continues, the header states no MetaRoot.
            ("meta_root", meta_root.is_none_or(|meta_root| manifest.meta_root == Some(meta_root))),
        ];
        if let Some((member, _)) = statements.iter().find(|(_, holds)| !holds) {
            return Err(ExportProblem::Manifest { member });
        }
        if manifest.check_signature() { Ok(()) } else { Err(ExportProblem::Signature) }
    }

    fn check_covered(&self, domain: &DomainName) -> Result<(), ExportProblem> {
        match &self.header {
            Some(header) if header.covers(domain) => Ok(()),
            _ => Err(ExportProblem::OtherDomain { domain: domain.clone() }),
        }
    }
}

fn object(value: Value) -> Result<Members, FormatError> {
    Members::of(value, String::new())
}

/// Why an export is refused, and at which line.
#[derive(Debug, Clone, PartialEq)]
pub struct ExportError {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong there.
    pub problem: ExportProblem,
}

/// What can be wrong with a line of an export.
#[derive(Debug, Clone, PartialEq)]
pub enum ExportProblem {
    /// It is no line of this format.
    Format(FormatError),
    /// It is no event document.
    Document(DocumentError),
    /// It stands where no such line can stand.
    Order(&'static str),
    /// The lines end before the manifest.
    Truncated,
    /// Its domain is not in the export.
    OtherDomain {
        /// The domain.
        domain: DomainName,
    },
    /// Leaves are missing, or there twice.
    LeafIndex {
        /// The domain.
        domain: DomainName,
        /// The next leaf's index.
        expected: u64,
        /// The one that is stated.
        actual: u64,
    },
    /// The event's header is not that of the announced leaf.
    LeafHash {
        /// The announced leaf; none if it is another domain's.
        expected: Option<Digest>,
        /// The header's.
        actual: Digest,
    },
    /// Fewer events follow than leaves were announced.
    MissingEvents {
        /// Their domain.
        domain: DomainName,
        /// How many.
        missing: usize,
    },
    /// The checkpoint is not the next one.
    CheckpointId {
        /// The next one's number.
        expected: u64,
        /// The one that is stated.
        actual: u64,
    },
    /// The checkpoint's roots do not make its MetaRoot.
    MetaRoot {
        /// What they make; none if a domain is there twice.
        computed: Option<Digest>,
        /// What is stated.
        stated: Digest,
    },
    /// The checkpoint's tree has another size than the leaves that have come.
    TreeSize {
        /// The domain.
        domain: DomainName,
        /// The leaves so far.
        leaves: u64,
        /// The size that is stated; none if the domain is absent.
        stated: Option<u64>,
    },
    /// The manifest states something else of the lines before it.
    Manifest {
        /// The member.
        member: &'static str,
    },
    /// The manifest's signature does not hold.
    Signature,
}

impl ExportProblem {
    /// The SQLSTATE of class ET, or of Postgres, for it.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            ExportProblem::Format(_) | ExportProblem::Document(_) | ExportProblem::Truncated => "22023",
            ExportProblem::LeafHash { .. }
            | ExportProblem::MetaRoot { .. }
            | ExportProblem::TreeSize { .. }
            | ExportProblem::Manifest { .. } => "ET002",
            ExportProblem::Signature => "ET003",
            ExportProblem::Order(_)
            | ExportProblem::OtherDomain { .. }
            | ExportProblem::LeafIndex { .. }
            | ExportProblem::MissingEvents { .. }
            | ExportProblem::CheckpointId { .. } => "ET010",
        }
    }
}

impl From<FormatError> for ExportProblem {
    fn from(error: FormatError) -> Self {
        ExportProblem::Format(error)
    }
}

impl fmt::Display for ExportProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExportProblem::Format(error) => fmt::Display::fmt(error, f),
            ExportProblem::Document(error) => fmt::Display::fmt(error, f),
            ExportProblem::Order(what) => f.write_str(what),
            ExportProblem::Truncated => f.write_str("the export ends without its manifest"),
            ExportProblem::OtherDomain { domain } => write!(f, "domain {domain} is not in this export"),
            ExportProblem::LeafIndex { domain, expected, actual } => {
                write!(f, "the next leaf of domain {domain} is {expected}, not {actual}")
            }
            ExportProblem::LeafHash { expected: Some(_), .. } => {
                f.write_str("the event does not hash to the leaf that was sealed")
            }
            ExportProblem::LeafHash { expected: None, .. } => {
                f.write_str("the event is not of the domain whose leaves were announced")
            }
            ExportProblem::MissingEvents { domain, missing } => {
                write!(f, "{missing} announced events of domain {domain} are missing")
            }
            ExportProblem::CheckpointId { expected, actual } => {
                write!(f, "the next checkpoint is {expected}, not {actual}")
            }
            ExportProblem::MetaRoot { .. } => f.write_str("the checkpoint's roots do not make its MetaRoot"),
            ExportProblem::TreeSize { domain, leaves, stated: Some(stated) } => {
                write!(f, "the checkpoint has {stated} leaves of domain {domain}, the export {leaves}")
            }
            ExportProblem::TreeSize { domain, stated: None, .. } => {
                write!(f, "the checkpoint has no tree of domain {domain}")
            }
            ExportProblem::Manifest { member } => {
                write!(f, "the manifest's {member} is not true of the lines before it")
            }
            ExportProblem::Signature => f.write_str("the manifest's signature does not hold"),
        }
    }
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

impl std::error::Error for ExportError {}
