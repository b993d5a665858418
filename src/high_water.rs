//! The high-water file: what was sealed last, kept outside the data directory.
//!
//! A data directory that was put back to an earlier moment (a snapshot, an old
//! base backup, a recovery to a point in time) is consistent in itself. Only
//! something that did not go back with it can tell: this file, or a checkpoint
//! or anchor kept elsewhere. It is written after the seal has committed, so that
//! it is never ahead of the ledger unless the ledger went back; a file that is
//! ahead is left as it is, for it is the evidence.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use ets_core::checkpoint::{DomainRoot, domain_roots_to_value};
use ets_core::hash::Digest;
use pgrx::pg_sys;
use serde_json::{Value as Json, json};

use crate::db::View;
use crate::error::{self, Result};
use crate::seal::{self, Checkpoint};
use crate::{gucs, ledger};

/// No high-water file is longer than this, in bytes: 1,024 domains fit easily.
const MAX_FILE: u64 = 1 << 20;

/// How the file and the ledger stand to each other.
pub enum Standing {
    /// The file's checkpoint is in the ledger; or there is no file, or nowhere to look.
    Continues,
    /// The file cannot be read as one of this ledger.
    Unreadable(String),
    /// The file's checkpoint is not in the ledger: its number and MetaRoot, and
    /// what the ledger has under that number.
    Differs {
        /// The checkpoint's number.
        checkpoint_id: u64,
        /// The MetaRoot in the file, in hex.
        kept: String,
        /// The MetaRoot in the ledger, in hex; none: it ends before.
        here: Option<String>,
    },
}

impl Standing {
    /// What is wrong, in one line; none if nothing is.
    pub fn problem(&self) -> Option<String> {
        match self {
            Standing::Continues => None,
            Standing::Unreadable(problem) => Some(format!("the high-water file cannot be read: {problem}")),
            Standing::Differs { checkpoint_id, here: None, .. } => Some(format!(
                "checkpoint {checkpoint_id} was sealed and is not here: this is an older copy of the ledger"
            )),
            Standing::Differs { checkpoint_id, .. } => Some(format!(
                "checkpoint {checkpoint_id} is another than was sealed: the ledger was put back, or written by two servers"
            )),
        }
    }
}

thread_local! {
    /// The file that the transaction writes when it commits.
    static PENDING: RefCell<Option<Pending>> = const { RefCell::new(None) };
}

struct Pending {
    path: PathBuf,
    content: Json,
}

/// Has the file written when this transaction commits; warns and leaves it as it
/// is where it does not lead to this checkpoint. Does nothing without the setting.
pub fn announce(checkpoint: &Checkpoint, roots: &[DomainRoot]) -> Result<()> {
    let Some(path) = path()? else { return Ok(()) };
    if let Some(problem) = standing()?.problem() {
        error::warn(
            &format!("{problem}; it stays as it is"),
            "if the return was meant, move the file away; docs/restore.md says how to find out",
        );
        return Ok(());
    }
    let content = json!({
        "format": FORMAT,
        "ledger_id": ledger::id()?.to_string(),
        "checkpoint_id": checkpoint.checkpoint_id,
        "meta_root": checkpoint.meta_root.to_string(),
        "domain_roots": domain_roots_to_value(roots),
    });
    PENDING.set(Some(Pending { path, content }));
    Ok(())
}

/// The transaction has ended: writes what was announced if it has committed.
pub fn transaction_ended(has_committed: bool) {
    let Some(Pending { path, mut content }) = PENDING.take() else { return };
    if !has_committed {
        return;
    }
    // SAFETY: the commit's position in the WAL, set before callbacks are called;
    // the timeline does not change while the server writes.
    let (lsn, timeline) = unsafe { (pg_sys::XactLastCommitEnd, pg_sys::GetWALInsertionTimeLine()) };
    content["lsn"] = json!(format!("{:X}/{:X}", lsn >> 32, lsn & 0xFFFF_FFFF));
    content["timeline"] = json!(timeline);
    if let Err(problem) = replace(&path, &content) {
        error::warn(
            &format!("the high-water file was not written: {problem}"),
            "see that the server may write to ets.high_water_directory; the next seal writes it again",
        );
    }
}

/// Compares the file with the ledger's checkpoints. On a standby, which may be
/// behind, nothing is compared.
pub fn standing() -> Result<Standing> {
    // SAFETY: reads a static.
    if unsafe { pg_sys::RecoveryInProgress() } {
        return Ok(Standing::Continues);
    }
    let Some(path) = path()? else { return Ok(Standing::Continues) };
    let (checkpoint_id, kept) = match read(&path, &ledger::id()?.to_string()) {
        Ok(Some(kept)) => kept,
        Ok(None) => return Ok(Standing::Continues),
        Err(problem) => return Ok(Standing::Unreadable(problem)),
    };
    let here = seal::meta_root_of(View::Latest, checkpoint_id)?;
    Ok(match here {
        Some(here) if here == kept => Standing::Continues,
        here => Standing::Differs {
            checkpoint_id,
            kept: kept.to_string(),
            here: here.map(|here| here.to_string()),
        },
    })
}

const FORMAT: &str = "pg_ets-high-water/1";

fn path() -> Result<Option<PathBuf>> {
    let Some(directory) = gucs::high_water_directory() else { return Ok(None) };
    Ok(Some(Path::new(&directory).join(format!("{}.json", ledger::id()?))))
}

/// Number and MetaRoot of the checkpoint in the file, if there is a file.
fn read(path: &Path, ledger_id: &str) -> std::result::Result<Option<(u64, Digest)>, String> {
    let file = OpenOptions::new()
        .read(true)
        // Not blocking, so that a named pipe put there cannot hang the backend.
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
        .open(path);
    let file = match file {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|error| error.to_string())?,
    };
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text).map_err(|error| error.to_string())?;
    let content: Json = serde_json::from_str(&text).map_err(|_| "it is not JSON".to_owned())?;
    if content["format"] != FORMAT || content["ledger_id"] != ledger_id {
        return Err("it is not a high-water file of this ledger".to_owned());
    }
    let meta_root = content["meta_root"].as_str().and_then(|text| text.parse().ok());
    match (content["checkpoint_id"].as_u64(), meta_root) {
        (Some(checkpoint_id), Some(meta_root)) => Ok(Some((checkpoint_id, meta_root))),
        _ => Err("it names no checkpoint".to_owned()),
    }
}

/// Replaces the file as a whole, durably.
fn replace(path: &Path, content: &Json) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(&new)?;
    writeln!(file, "{content}")?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    File::open(directory)?.sync_all()
}
