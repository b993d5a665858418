//! What is anchored: a checkpoint with the ledger's name, never a number alone.

use std::fmt;

use serde_json::json;
use uuid::Uuid;

use crate::canonical::{CanonicalError, Limits, Payload};
use crate::checkpoint::{
    DomainRoot, DomainRootsError, domain_roots_from_value, domain_roots_to_value, meta_root,
};
use crate::event::EventId;
use crate::hash::{Digest, SPECIFICATION_VERSION, sha256};
use crate::members::{FormatError, Members};
use crate::name::Origin;
use crate::trust::ledger_id_of;

/// A checkpoint of a named ledger, as it is published.
///
/// It cannot be made with a MetaRoot that is not that of its domain roots, so
/// whoever holds one needs no database to know what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnchorStatement {
    ledger_id: Uuid,
    origin: Origin,
    checkpoint_id: u64,
    checkpoint_event_id: EventId,
    meta_root: Digest,
    domain_roots: Vec<DomainRoot>,
    text: String,
}

impl AnchorStatement {
    /// The longest statement, in bytes: some 50,000 domains.
    pub const MAX_BYTES: usize = 16 << 20;

    /// The statement of a checkpoint. The order of `domain_roots` does not matter;
    /// they are written ascending by the bytes of the names.
    ///
    /// # Errors
    /// [`AnchorError`]: a domain is there twice, or a number is too large for
    /// canonical JSON.
    pub fn new(
        ledger_id: Uuid,
        origin: Origin,
        checkpoint_id: u64,
        checkpoint_event_id: EventId,
        mut domain_roots: Vec<DomainRoot>,
    ) -> Result<Self, AnchorError> {
        let meta_root = meta_root(SPECIFICATION_VERSION, &checkpoint_event_id, &domain_roots)?;
        domain_roots.sort_unstable_by(|a, b| a.domain.as_str().as_bytes().cmp(b.domain.as_str().as_bytes()));
        let value = json!({
            "checkpoint_event_id": checkpoint_event_id.to_string(),
            "checkpoint_id": checkpoint_id,
            "domain_roots": domain_roots_to_value(&domain_roots),
            "ledger_id": ledger_id.hyphenated().to_string(),
            "meta_root": meta_root.to_string(),
            "origin": origin.to_string(),
            "version": SPECIFICATION_VERSION,
        });
        let text = Payload::from_value(value, &AnchorStatement::limits())?.canonical().to_owned();
        Ok(AnchorStatement {
            ledger_id,
            origin,
            checkpoint_id,
            checkpoint_event_id,
            meta_root,
            domain_roots,
            text,
        })
    }

    /// Reads a statement: exactly the JCS text that [`AnchorStatement::to_jcs`]
    /// gives, because a proof covers its bytes.
    ///
    /// # Errors
    /// [`AnchorError`]: it is no statement, its MetaRoot is not that of its domain
    /// roots, or it is spelled otherwise.
    pub fn parse(text: &str) -> Result<Self, AnchorError> {
        let value = crate::canonical::parse_json(text, &AnchorStatement::limits())?;
        let mut members = Members::of(value, String::new())?;
        members.parsed_by("version", |version| (version == SPECIFICATION_VERSION).then_some(()))?;
        let stated: Digest = members.parsed("meta_root")?;
        let statement = AnchorStatement::new(
            members.parsed_by("ledger_id", ledger_id_of)?,
            members.parsed("origin")?,
            members.number("checkpoint_id")?,
            members.parsed("checkpoint_event_id")?,
            domain_roots_from_value(&members.value("domain_roots")?)?,
        )?;
        members.end()?;
        if statement.meta_root != stated {
            return Err(AnchorError::MetaRoot { stated, computed: statement.meta_root });
        }
        if statement.text == text { Ok(statement) } else { Err(AnchorError::Spelling) }
    }

    /// The JCS text: what is published, and what a proof covers.
    pub fn to_jcs(&self) -> &str {
        &self.text
    }

    /// SHA-256 of the JCS text: the message imprint of a timestamp.
    pub fn digest(&self) -> Digest {
        sha256(&[self.text.as_bytes()])
    }

    /// The ledger.
    pub fn ledger_id(&self) -> &Uuid {
        &self.ledger_id
    }

    /// The ledger's name to the world.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The ledger's number for the checkpoint: a label, which no hash of the
    /// ledger covers.
    pub fn checkpoint_id(&self) -> u64 {
        self.checkpoint_id
    }

    /// The greatest `event_id` in any of the trees.
    pub fn checkpoint_event_id(&self) -> &EventId {
        &self.checkpoint_event_id
    }

    /// The MetaRoot, computed from the members.
    pub fn meta_root(&self) -> &Digest {
        &self.meta_root
    }

    /// Each domain's tree, ascending by the bytes of the names.
    pub fn domain_roots(&self) -> &[DomainRoot] {
        &self.domain_roots
    }

    fn limits() -> Limits {
        Limits { max_bytes: AnchorStatement::MAX_BYTES, max_depth: 3 }
    }
}

/// Why something is no statement of a checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub enum AnchorError {
    /// It is not of the format.
    Format(FormatError),
    /// The domain roots are none.
    DomainRoots(DomainRootsError),
    /// The MetaRoot is not that of the domain roots.
    MetaRoot {
        /// The one in the text.
        stated: Digest,
        /// The one that follows from the other members.
        computed: Digest,
    },
    /// It is not the canonical text.
    Spelling,
}

impl From<FormatError> for AnchorError {
    fn from(error: FormatError) -> Self {
        AnchorError::Format(error)
    }
}

impl From<CanonicalError> for AnchorError {
    fn from(error: CanonicalError) -> Self {
        AnchorError::Format(error.into())
    }
}

impl From<DomainRootsError> for AnchorError {
    fn from(error: DomainRootsError) -> Self {
        AnchorError::DomainRoots(error)
    }
}

impl fmt::Display for AnchorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AnchorError::Format(error) => error.fmt(f),
            AnchorError::DomainRoots(error) => error.fmt(f),
            AnchorError::MetaRoot { stated, computed } => {
                write!(f, "the MetaRoot of the domain roots is {computed}, not {stated}")
            }
            AnchorError::Spelling => f.write_str("the statement is not in canonical form"),
        }
    }
}

impl std::error::Error for AnchorError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::EMPTY_ROOT;

    fn statement() -> AnchorStatement {
        let root = |domain: &str, tree_size| DomainRoot {
            domain: domain.parse().unwrap(),
            tree_size,
            root: EMPTY_ROOT,
        };
        AnchorStatement::new(
            "019c1c38-0000-7000-8000-000000000001".parse().unwrap(),
            "acme.example/prod".parse().unwrap(),
            7,
            "019c1c39-8cbe-74f4-a014-ffe5d747b220".parse().unwrap(),
            vec![root("orders", 3), root("ets.registry", 2)],
        )
        .unwrap()
    }

    #[test]
    fn a_statement_is_its_canonical_text_and_no_other() {
        let statement = statement();
        let text = statement.to_jcs();
        assert_eq!(AnchorStatement::parse(text).as_ref(), Ok(&statement));
        assert_eq!(statement.digest(), sha256(&[text.as_bytes()]));
        assert!(text.starts_with("{\"checkpoint_event_id\":\"019c1c39-"), "{text}");
        assert_eq!(AnchorStatement::parse(&format!("{text}\n")), Err(AnchorError::Spelling));
        let unordered = text.replacen("{\"checkpoint_event_id\"", "{ \"checkpoint_event_id\"", 1);
        assert_eq!(AnchorStatement::parse(&unordered), Err(AnchorError::Spelling));
    }

    #[test]
    fn whatever_the_meta_root_covers_cannot_be_changed() {
        let text = statement().to_jcs().to_owned();
        for (from, to) in [
            ("\"tree_size\":3", "\"tree_size\":4"),
            ("\"domain\":\"orders\"", "\"domain\":\"orderz\""),
            ("ffe5d747b220", "ffe5d747b221"),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text);
            let found = AnchorStatement::parse(&changed);
            assert!(matches!(found, Err(AnchorError::MetaRoot { .. })), "{changed}: {found:?}");
        }
    }

    #[test]
    fn members_are_exactly_these() {
        let text = statement().to_jcs().to_owned();
        for (from, to) in [
            ("\"version\":\"1.1\"", "\"version\":\"1.0\""),
            ("\"version\":\"1.1\"", "\"version\":\"1.1\",\"z\":1"),
            ("\"checkpoint_id\":7,", ""),
            ("\"checkpoint_id\":7", "\"checkpoint_id\":-7"),
            ("\"ledger_id\":\"019c1c38-", "\"ledger_id\":\"019C1C38-"),
            ("acme.example/prod", "acme example"),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text);
            let found = AnchorStatement::parse(&changed);
            assert!(matches!(found, Err(AnchorError::Format(_))), "{changed}: {found:?}");
        }
        for text in ["", "[]", "null", "{}", "{\"version\":\"1.1\"}"] {
            assert!(AnchorStatement::parse(text).is_err(), "{text}");
        }
    }
}
