//! What a verifier is told to trust: the root of a ledger, and checkpoints that
//! somebody kept.

use std::fmt::Write as _;

use serde_json::Value;
use uuid::Uuid;

use crate::bundle::{self, Checkpoint};
use crate::canonical::{self, Limits};
use crate::hash::from_hex;
use crate::key::PublicKey;
use crate::members::{FormatError, Members};
use crate::name::Origin;
use crate::registry::Ledger;

/// Who a ledger is: what `ets.trust_root()` returns, and what the ledger's first
/// event states under the root key's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustRoot {
    /// The ledger's id, part of every genesis hash.
    pub ledger_id: Uuid,
    /// The ledger's name to the world.
    pub origin: Origin,
    /// The key that signed the first event.
    pub root_public_key: PublicKey,
    /// The server's first key; later ones are registered by `ets.server_key` events.
    pub server_public_key: PublicKey,
}

impl TrustRoot {
    /// What a ledger's first event says; none if its keys are none, which no
    /// registry admits.
    pub fn of(ledger: &Ledger) -> Option<Self> {
        Some(TrustRoot {
            ledger_id: ledger.ledger_id,
            origin: ledger.origin.clone(),
            root_public_key: PublicKey::from_bytes(&ledger.root_public_key).ok()?,
            server_public_key: PublicKey::from_bytes(&ledger.server_public_key).ok()?,
        })
    }

    /// The JCS text.
    pub fn to_jcs(&self) -> String {
        format!(
            "{{\"ledger_id\":\"{}\",\"origin\":\"{}\",\"root_public_key\":\"{}\",\"server_public_key\":\"{}\"}}",
            self.ledger_id.hyphenated(),
            self.origin,
            self.root_public_key,
            self.server_public_key,
        )
    }

    /// Takes the four members, and leaves the others.
    pub(crate) fn take(members: &mut Members) -> Result<Self, FormatError> {
        Ok(TrustRoot {
            ledger_id: members.parsed_by("ledger_id", ledger_id_of)?,
            origin: members.parsed("origin")?,
            root_public_key: members.parsed_by("root_public_key", public_key_of)?,
            server_public_key: members.parsed_by("server_public_key", public_key_of)?,
        })
    }
}

/// A trust file: a trust root and the checkpoints that its holder kept.
#[derive(Debug, Clone, PartialEq)]
pub struct TrustFile {
    /// The four members that `ets.trust_root()` returns.
    pub trust_root: TrustRoot,
    /// Checkpoints kept earlier, against which a bundle's is compared. Their
    /// notes are not needed: keeping them is the trust.
    pub checkpoints: Vec<Checkpoint>,
}

impl TrustFile {
    /// The largest trust file that is read, in bytes.
    pub const MAX_BYTES: usize = 16 << 20;

    /// Reads a trust file: what `ets.trust_root()` returns is one.
    ///
    /// # Errors
    /// [`FormatError`] names the member.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let limits = Limits { max_bytes: TrustFile::MAX_BYTES, max_depth: 8 };
        TrustFile::from_value(canonical::parse_json(text, &limits)?)
    }

    /// As [`TrustFile::parse`], from a value that was parsed strictly.
    ///
    /// # Errors
    /// [`FormatError`] names the member.
    pub fn from_value(value: Value) -> Result<Self, FormatError> {
        let mut members = Members::of(value, String::new())?;
        let trust_root = TrustRoot::take(&mut members)?;
        let checkpoints = match members.has("checkpoints") {
            true => members.list("checkpoints", bundle::checkpoint_of)?,
            false => Vec::new(),
        };
        members.end()?;
        Ok(TrustFile { trust_root, checkpoints })
    }

    /// The JCS text.
    pub fn to_jcs(&self) -> String {
        let root = self.trust_root.to_jcs();
        if self.checkpoints.is_empty() {
            return root;
        }
        let mut out = String::from("{\"checkpoints\":[");
        for (index, checkpoint) in self.checkpoints.iter().enumerate() {
            let _ = write!(out, "{}{}", if index > 0 { "," } else { "" }, checkpoint.to_jcs());
        }
        out.push_str("],");
        out.push_str(root.strip_prefix('{').unwrap_or(&root));
        out
    }
}

/// A public key in lowercase hex that a ledger would register.
pub(crate) fn public_key_of(text: &str) -> Option<PublicKey> {
    from_hex(text).ok().and_then(|bytes| PublicKey::from_bytes(&bytes).ok())
}

/// A UUID in lowercase hyphenated text.
pub(crate) fn ledger_id_of(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|id| id.hyphenated().to_string() == text)
}
