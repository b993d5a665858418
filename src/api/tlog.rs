//! The trees in the forms of the C2SP transparency-log specifications: checkpoint
//! note, verifier key, tiles, entry bundles, and proofs as text.
//!
//! Each domain is a log of its own. All of it is of the last checkpoint: what no
//! note covers is not served.

use std::ops::RangeInclusive;

use ets_core::hash::{Digest, leaf_hash};
use ets_core::key::PublicKey;
use ets_core::merkle::{
    TILE_WIDTH, TileSource as _, TreeError, hashes_to_bytes, tile_width, verify_inclusion,
};
use ets_core::name::DomainName;
use ets_core::note::{self, NoteError, VerifierKey};
use ets_core::registry::Registry;
use ets_core::tlog::{TlogProof, entry_bundle};
use serde_json::json;

use crate::api::append::no_domain;
use crate::api::forest::{self, StoredRoot, stored_root};
use crate::db::{self, View};
use crate::error::{Error, Result, sqlstate};
use crate::function::Call;
use crate::seal::{self, Checkpoint, StoredTiles, broken_tree, tree_error};
use crate::value::Value;
use crate::{events, ledger, rows};

crate::sql_functions! {
    ets_checkpoint_note pg_finfo_ets_checkpoint_note => checkpoint_note;
    ets_verifier_key pg_finfo_ets_verifier_key => verifier_key;
    ets_tlog_proof pg_finfo_ets_tlog_proof => tlog_proof;
    ets_tile pg_finfo_ets_tile => tile;
    ets_entry_bundle pg_finfo_ets_entry_bundle => entries;
}

/// The greatest level of a tile (C2SP tlog-tiles, "Merkle Tree").
const MAX_LEVEL: u8 = 63;

fn checkpoint_note(call: &Call) -> Result<Value> {
    let log = Log::of_argument(call)?;
    let (checkpoint, root) = log.last_root()?;
    Ok(log.note(&checkpoint, root)?.into())
}

fn verifier_key(call: &Call) -> Result<Value> {
    let log = Log::of_argument(call)?;
    let key = match seal::last_checkpoint(View::Query)? {
        Some(last) => log.server_key_at(&last)?,
        None => log.server_key(log.registry.version())?,
    };
    Ok(VerifierKey::of_domain(&log.registry.ledger().origin, &log.domain, &key).to_string().into())
}

fn tlog_proof(call: &Call) -> Result<Value> {
    let id = call.required_event_id(0, "event_id")?;
    let registry = ledger::registry(View::Query)?;
    let header = events::by_id(View::Query, id)?.header;
    let proof = forest::inclusion(View::Query, id.as_uuid().as_bytes(), None)?;
    let log = Log { domain: header.domain.clone(), registry };
    let root = log.root_at(&proof.checkpoint)?;
    // A row that was changed past the gate must not get a proof of what it was.
    verify_inclusion(&header.leaf_hash(), proof.leaf_index, proof.tree_size, &proof.path, &root.root.root)
        .map_err(|error| broken_tree(&log.domain, error))?;
    let note = log.note(&proof.checkpoint, root)?;
    let text = TlogProof { leaf_index: proof.leaf_index, path: &proof.path, note: &note }.to_string();
    Ok(text.into())
}

fn tile(call: &Call) -> Result<Value> {
    let log = Log::of_argument(call)?;
    let level = required_within(call, 1, "level", 0..=i32::from(MAX_LEVEL))? as u8;
    let index = call.required_count(2, "tile_index")?;
    let width = required_width(call, 3)?;
    let hashes = log.tile(level, index, width, "tile_index")?;
    Ok(Value::Bytes(hashes_to_bytes(&hashes)))
}

fn entries(call: &Call) -> Result<Value> {
    let log = Log::of_argument(call)?;
    let index = call.required_count(1, "bundle_index")?;
    let width = required_width(call, 2)?;
    let leaves = log.tile(0, index, width, "bundle_index")?;
    // A tile that is there has its leaves within the tree.
    let first = index * TILE_WIDTH as u64;
    let entries = log.entries(first, first + width as u64)?;
    let hashes: Vec<Digest> = entries.iter().map(|entry| leaf_hash(entry.as_bytes())).collect();
    if hashes != leaves {
        let same = hashes.iter().zip(&leaves).take_while(|(hash, leaf)| hash == leaf).count();
        let changed = first + same as u64;
        return Err(broken_tree(
            &log.domain,
            format_args!("the event of leaf {changed} is another or missing"),
        )
        .with_detail_member("leaf_index", changed.into()));
    }
    let bundle = entry_bundle(&entries).map_err(|error| broken_tree(&log.domain, error))?;
    Ok(Value::Bytes(bundle))
}

/// A domain, as a log.
struct Log {
    domain: DomainName,
    registry: std::sync::Arc<Registry>,
}

impl Log {
    /// The log of the domain that the first argument names.
    fn of_argument(call: &Call) -> Result<Log> {
        let domain: DomainName = call.required_text(0, "domain")?.parse()?;
        let registry = ledger::registry(View::Query)?;
        match registry.domain(domain.as_str()) {
            Some(_) => Ok(Log { domain, registry }),
            None => Err(no_domain(&domain)),
        }
    }

    /// The last checkpoint, and the domain's root in it.
    ///
    /// # Errors
    /// ET012 if there is none that has the domain.
    fn last_root(&self) -> Result<(Checkpoint, StoredRoot)> {
        let checkpoint = seal::last_checkpoint(View::Query)?.ok_or_else(|| self.not_sealed())?;
        let root = self.root_at(&checkpoint)?;
        Ok((checkpoint, root))
    }

    fn root_at(&self, checkpoint: &Checkpoint) -> Result<StoredRoot> {
        stored_root(View::Query, checkpoint.checkpoint_id, &self.domain)?.ok_or_else(|| self.not_sealed())
    }

    fn not_sealed(&self) -> Error {
        Error::new(sqlstate::NOT_SEALED, format!("no checkpoint has domain {} yet", self.domain))
            .detail(json!({"domain": self.domain.as_str()}))
            .hint("SELECT * FROM ets.seal(), or wait for the next scheduled seal")
    }

    /// The note of a root, which must be signed and state that root.
    ///
    /// # Errors
    /// ET015 if the seal had no key to sign it with; ET002 or ET003 if it was changed.
    fn note(&self, checkpoint: &Checkpoint, stored: StoredRoot) -> Result<String> {
        let detail = json!({"domain": self.domain.as_str(), "checkpoint_id": checkpoint.checkpoint_id});
        let StoredRoot { root, note: Some(note) } = stored else {
            return Err(Error::new(
                sqlstate::NO_KEY,
                format!("the last checkpoint of domain {} has no signed note", self.domain),
            )
            .detail(detail)
            .hint("the server's key was not here when it was sealed: put its file back, and seal again"));
        };
        let key = self.server_key_at(checkpoint)?;
        let wrong = |code, problem: &dyn std::fmt::Display| {
            Error::new(code, format!("the stored note of domain {} does not hold: {problem}", self.domain))
                .detail(detail.clone())
                .hint("run ets.verify_ledger() to see what was changed")
        };
        match note::open_checkpoint(&note, &self.registry.ledger().origin, &self.domain, &key) {
            Ok(stated) if stated == (root, checkpoint.meta_root) => Ok(note),
            Ok(_) => Err(wrong(sqlstate::HASH, &"it states another root or MetaRoot")),
            Err(error @ (NoteError::NotSigned | NoteError::Signature)) => {
                Err(wrong(sqlstate::SIGNATURE, &error))
            }
            Err(error) => Err(wrong(sqlstate::HASH, &error)),
        }
    }

    /// The server's key as of the registry in a checkpoint: it signed the notes.
    fn server_key_at(&self, checkpoint: &Checkpoint) -> Result<PublicKey> {
        self.server_key(forest::tree_size(View::Query, checkpoint.checkpoint_id, &DomainName::registry())?)
    }

    fn server_key(&self, registry_version: u64) -> Result<PublicKey> {
        let record = self.registry.server_key_at(registry_version).and_then(|id| self.registry.key(id));
        let record = record.ok_or_else(seal::corrupted)?;
        Ok(PublicKey::from_bytes(&record.public_key)?)
    }

    /// The first `width` hashes of a tile that the last checkpoint covers.
    ///
    /// # Errors
    /// ET011 if it has fewer there; ET012 if there is no checkpoint; ET002 if
    /// fewer are stored. `argument` names the tile's number in the detail.
    fn tile(&self, level: u8, index: u64, width: usize, argument: &str) -> Result<Vec<Digest>> {
        let (_, StoredRoot { root, .. }) = self.last_root()?;
        let available = tile_width(root.tree_size, level, index);
        if available < width {
            return Err(Error::new(
                sqlstate::NOT_FOUND,
                format!(
                    "tile {index} of level {level} of domain {} has {available} of {width} hashes",
                    self.domain
                ),
            )
            .detail(json!({
                "domain": self.domain.as_str(), "level": level, argument: index, "width": width,
                "available_width": available, "tree_size": root.tree_size,
            }))
            .hint(match available {
                0 => "the last checkpoint's tree_size says which tiles there are",
                _ => "the last checkpoint covers a part of it: ask for that width",
            }));
        }
        let mut hashes = StoredTiles { domain: &self.domain, view: View::Query }.tile(level, index)?;
        let stored = hashes.len();
        if stored < width {
            let missing = TreeError::MissingHashes { level, tile_index: index, needed: width, stored };
            return Err(tree_error(&self.domain, missing));
        }
        hashes.truncate(width);
        Ok(hashes)
    }

    /// The entries of the leaves from `first` to before `end`, as far as they
    /// have rows.
    fn entries(&self, first: u64, end: u64) -> Result<Vec<String>> {
        db::by_key(|| {
            db::query(
                View::Query,
                crate::select_events!(
                    "JOIN ets.merkle_leaf AS leaf
                     ON leaf.event_id OPERATOR(pg_catalog.=) event.event_id
                    AND leaf.domain OPERATOR(pg_catalog.=) event.domain
                  WHERE leaf.domain OPERATOR(pg_catalog.=) $1
                    AND leaf.leaf_index OPERATOR(pg_catalog.>=) $2
                    AND leaf.leaf_index OPERATOR(pg_catalog.<) $3
                  ORDER BY leaf.leaf_index USING OPERATOR(pg_catalog.<)"
                ),
                &[self.domain.as_str().into(), first.into(), end.into()],
                |row| Ok(rows::header(row)?.to_jcs()),
            )
        })
    }
}

fn required_width(call: &Call, position: usize) -> Result<usize> {
    Ok(required_within(call, position, "width", 1..=TILE_WIDTH as i32)? as usize)
}

/// An `integer` that must not be NULL (22004), and within a range (22023).
fn required_within(call: &Call, position: usize, name: &str, range: RangeInclusive<i32>) -> Result<i32> {
    let number = call.int4(position).ok_or_else(|| Error::null(name))?;
    if range.contains(&number) {
        return Ok(number);
    }
    Err(Error::parameter(name, format_args!("must be {} to {}", range.start(), range.end())))
}
