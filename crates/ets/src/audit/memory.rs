//! What the auditor remembers from one audit to the next, in a small file of his own.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use ets_core::anchor::AnchorStatement;
use ets_core::canonical::{Limits, parse_json, to_jcs};
use ets_core::hash::{Digest, from_hex};
use ets_core::key::PublicKey;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::output;

/// What was seen last.
#[derive(Debug, Clone, PartialEq)]
pub struct Memory {
    /// The ledger's id, which its first event states.
    pub ledger_id: Uuid,
    /// The key that signed its first event.
    pub root_public_key: PublicKey,
    /// The last checkpoint, if there was one.
    pub statement: Option<AnchorStatement>,
    /// Ends of streams behind that checkpoint's trees.
    pub unsealed: Vec<Unsealed>,
}

/// The last event of a stream, which had no leaf yet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unsealed {
    pub domain: String,
    pub stream: String,
    pub sequence: u64,
    pub current_hash: Digest,
}

impl Memory {
    /// The most ends of streams that are remembered: what is sealed needs none.
    pub const MAX_UNSEALED: usize = 100_000;
    const LIMITS: Limits = Limits { max_bytes: 128 << 20, max_depth: 8 };

    /// Reads the file; none if there is none yet.
    ///
    /// # Errors
    /// A message that names the file. A memory that is damaged is not taken for none.
    pub fn read(path: &Path) -> Result<Option<Self>, String> {
        if !path.try_exists().map_err(|error| format!("cannot read {}: {error}", path.display()))? {
            return Ok(None);
        }
        let text = output::read_text(path, Memory::LIMITS.max_bytes)?;
        let memory = parse_json(text.trim_end_matches('\n'), &Memory::LIMITS).ok();
        let memory = memory.and_then(|value| Memory::of(&value));
        memory.map(Some).ok_or_else(|| format!("{} is no memory of an audit", path.display()))
    }

    fn of(value: &Value) -> Option<Self> {
        let text = |value: &Value, name: &str| value.get(name)?.as_str().map(str::to_owned);
        let statement = match value.get("statement")? {
            Value::Null => None,
            statement => Some(AnchorStatement::parse(&to_jcs(statement)).ok()?),
        };
        let unsealed = value.get("unsealed")?.as_array()?.iter().map(|end| {
            Some(Unsealed {
                domain: text(end, "domain")?,
                stream: text(end, "stream")?,
                sequence: end.get("sequence")?.as_u64()?,
                current_hash: text(end, "current_hash")?.parse().ok()?,
            })
        });
        Some(Memory {
            ledger_id: Uuid::try_parse(&text(value, "ledger_id")?).ok()?,
            root_public_key: PublicKey::from_bytes(&from_hex::<32>(&text(value, "root_public_key")?).ok()?)
                .ok()?,
            statement,
            unsealed: unsealed.collect::<Option<_>>()?,
        })
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// A message that names the file.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        let statement = self.statement.as_ref().and_then(|kept| serde_json::from_str(kept.to_jcs()).ok());
        let unsealed: Vec<Value> = self
            .unsealed
            .iter()
            .map(|end| {
                json!({
                    "current_hash": end.current_hash.to_string(),
                    "domain": end.domain,
                    "sequence": end.sequence,
                    "stream": end.stream,
                })
            })
            .collect();
        let value = json!({
            "format": "ets-audit/1",
            "ledger_id": self.ledger_id.hyphenated().to_string(),
            "root_public_key": self.root_public_key.to_string(),
            "statement": statement.unwrap_or(Value::Null),
            "unsealed": unsealed,
        });
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let beside = path.with_file_name(name);
        let write = || -> std::io::Result<()> {
            let mut file = fs::File::create(&beside)?;
            writeln!(file, "{}", to_jcs(&value))?;
            file.sync_all()?;
            fs::rename(&beside, path)
        };
        write().map_err(|error| {
            let _ = fs::remove_file(&beside);
            format!("cannot write {}: {error}", path.display())
        })
    }
}
