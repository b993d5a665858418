//! A checkpoint note that somebody kept, held against the ledger as it is now.
//!
//! This is what finds a rewritten history, a missing tail and a return to an
//! older copy: whoever holds the server's key can make a ledger that is
//! consistent in itself, but not one that continues what was seen before.

use super::Check;
use crate::checkpoint::DomainRoot;
use crate::hash::Digest;
use crate::merkle::{self, TileSource, TreeError};
use crate::name::DomainName;
use crate::note::{self, CheckpointBody, Note, NoteError};
use crate::registry::Registry;

/// A checkpoint note of a ledger's domain, and whether a server key signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptCheckpoint {
    /// The root that it states.
    pub root: DomainRoot,
    /// Whether a key that the registry has, or had, as the server's signed it.
    signed: Result<(), NoteError>,
}

impl KeptCheckpoint {
    /// Reads a note of one of the registry's domains.
    ///
    /// # Errors
    /// [`NoteError::Note`] or [`NoteError::Body`] if it is no checkpoint note,
    /// [`NoteError::Origin`] if it is another ledger's or of an unknown domain.
    pub fn parse(text: &str, registry: &Registry) -> Result<Self, NoteError> {
        let note: Note = text.parse()?;
        let body: CheckpointBody = note.text().parse()?;
        let origin = &registry.ledger().origin;
        let domain: DomainName = body
            .origin
            .strip_prefix(origin.as_str())
            .and_then(|rest| rest.strip_prefix('/'))
            .and_then(|name| name.parse().ok())
            .filter(|name: &DomainName| registry.domain(name.as_str()).is_some())
            .ok_or(NoteError::Origin)?;
        let mut signed = Err(NoteError::NotSigned);
        for key in registry.server_keys() {
            match note::open_checkpoint(text, origin, &domain, &key) {
                Ok(_) => signed = Ok(()),
                // This key's name and hash, and a signature that is not by it.
                Err(error @ (NoteError::Signature | NoteError::Body)) if signed.is_err() => {
                    signed = Err(error)
                }
                Err(_) => {}
            }
        }
        Ok(KeptCheckpoint { root: DomainRoot { domain, tree_size: body.tree_size, root: body.root }, signed })
    }

    /// Whether a key that the registry has, or had, as the server's signed it.
    ///
    /// # Errors
    /// Why no signature counts.
    pub fn signature(&self) -> Result<(), NoteError> {
        self.signed
    }

    /// Whether the ledger's tree, which has `tree_size` leaves, continues it:
    /// checks `signature`, `tree_size`, and `root`, recomputed from `tiles`.
    ///
    /// # Errors
    /// The source's own. Tiles that are missing fail the check `root`.
    pub fn verify<S>(&self, tree_size: u64, tiles: &mut S) -> Result<Vec<Check>, S::Error>
    where
        S: TileSource<Error: std::fmt::Display>,
    {
        let kept = &self.root;
        let signature = match self.signed {
            Ok(()) => Check::passed("signature", "signed by a key that is or was the server's"),
            Err(error) => Check::failed("signature", error.to_string()),
        };
        if kept.tree_size > tree_size {
            let detail = format!(
                "the tree has {tree_size} leaves, and had {}: events are missing, or this is an older copy",
                kept.tree_size
            );
            let root = Check::unknown("root", "the tree is too small to recompute it");
            return Ok(vec![signature, Check::failed("tree_size", detail), root]);
        }
        let size = Check::passed("tree_size", format!("{} of {tree_size} leaves", kept.tree_size));
        let root = match merkle::root(tiles, kept.tree_size) {
            Ok(root) => compare(kept, &root),
            Err(TreeError::Source(error)) => return Err(error),
            Err(error) => Check::failed("root", error.to_string()),
        };
        Ok(vec![signature, size, root])
    }
}

fn compare(kept: &DomainRoot, root: &Digest) -> Check {
    if *root == kept.root {
        return Check::passed("root", "the tree continues the kept one");
    }
    let detail = format!("the first {} leaves have the root {root}: history was rewritten", kept.tree_size);
    Check::failed("root", detail)
}
