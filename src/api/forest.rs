//! The Merkle forest: sealing, and proofs as sets.

use ets_core::canonical::{Limits, parse_json};
use ets_core::checkpoint::{DomainRoot, domain_roots_from_value, meta_root};
use ets_core::hash::Digest;
use ets_core::merkle::{self, inclusion_path_sides};
use ets_core::name::DomainName;
use serde_json::json;

use crate::db::{self, View};
use crate::error::{Error, Result, sqlstate};
use crate::function::{Call, Record, Rows, exact_bytes};
use crate::seal::{self, Checkpoint, StoredTiles, tree_error};
use crate::value::Value;
use crate::{events, ledger};

crate::sql_functions! {
    ets_seal pg_finfo_ets_seal => seal_now;
    ets_merkle_proof pg_finfo_ets_merkle_proof => merkle_proof;
    ets_consistency_proof pg_finfo_ets_consistency_proof => consistency_proof;
    ets_verify_inclusion pg_finfo_ets_verify_inclusion => verify_inclusion;
    ets_verify_consistency pg_finfo_ets_verify_consistency => verify_consistency;
    ets_meta_root pg_finfo_ets_meta_root => meta_root_of;
}

fn seal_now(_: &Call) -> Result<Record> {
    let checkpoint = seal::seal()?;
    Ok(Record(vec![
        checkpoint.checkpoint_id.into(),
        checkpoint.version.into(),
        checkpoint.checkpoint_event_id.into(),
        checkpoint.meta_root.into(),
        checkpoint.created_at.into(),
    ]))
}

fn merkle_proof(call: &Call) -> Result<Rows> {
    let event_id = call.required_uuid(0, "event_id")?;
    let checkpoint_id = optional_count(call, 1, "checkpoint_id")?;
    let proof = inclusion(View::Query, &event_id, checkpoint_id)?;
    let sides = inclusion_path_sides(proof.leaf_index, proof.tree_size).unwrap_or_default();
    let mut rows = Rows::open(call)?;
    for (step, (hash, side)) in (1..).zip(proof.path.iter().zip(sides)) {
        rows.put(&[Value::Int4(step), side.as_str().into(), hash.into()])?;
    }
    Ok(rows)
}

/// Where an event stands in a checkpoint's tree, and the hashes that prove it.
pub struct Inclusion {
    /// Its leaf, from 0.
    pub leaf_index: u64,
    /// The size of the domain's tree in the checkpoint.
    pub tree_size: u64,
    /// From the leaf's sibling to the root's child.
    pub path: Vec<Digest>,
    /// The checkpoint.
    pub checkpoint: Checkpoint,
}

/// The inclusion proof of an event in a checkpoint, the last one by default.
///
/// # Errors
/// ET011 for an unknown event or checkpoint, ET012 for an event that the
/// checkpoint does not hold, ET002 for a tree that was changed.
pub fn inclusion(view: View, event_id: &[u8; 16], checkpoint_id: Option<u64>) -> Result<Inclusion> {
    ledger::registry(view)?;
    let id =
        ets_core::event::EventId::from_slice(event_id).ok_or_else(|| crate::function::no_event(event_id))?;
    let checkpoint = match checkpoint_id {
        Some(checkpoint_id) => Some(seal::checkpoint(view, checkpoint_id)?),
        None => seal::last_checkpoint(view)?,
    };
    let leaf = db::first(
        view,
        "SELECT leaf.domain, leaf.leaf_index FROM ets.merkle_leaf AS leaf
          WHERE leaf.event_id OPERATOR(pg_catalog.=) $1",
        &[id.into()],
        |row| Ok(row.text(1).zip(row.int(2).and_then(|index| u64::try_from(index).ok()))),
    )?
    .flatten();
    let not_sealed = || {
        Error::new(sqlstate::NOT_SEALED, format!("event {id} is not sealed yet"))
            .detail(json!({"event_id": id.to_string()}))
            .hint("SELECT * FROM ets.seal(), or wait for the next scheduled seal")
    };
    let Some((domain, leaf_index)) = leaf else {
        events::by_id(view, id)?;
        return Err(not_sealed());
    };
    let domain: DomainName = domain.parse()?;
    let checkpoint = checkpoint.ok_or_else(not_sealed)?;
    let tree_size = tree_size(view, checkpoint.checkpoint_id, &domain)?;
    if leaf_index >= tree_size {
        return Err(not_sealed());
    }
    let path = merkle::inclusion_proof(&mut StoredTiles { domain: &domain, view }, leaf_index, tree_size)
        .map_err(|error| tree_error(&domain, error))?;
    Ok(Inclusion { leaf_index, tree_size, path, checkpoint })
}

/// A domain's root in a checkpoint.
pub struct StoredRoot {
    /// Size and root of its tree.
    pub root: DomainRoot,
    /// The signed note that states them; none if the seal had no key.
    pub note: Option<String>,
}

/// The root of a domain in a checkpoint; none if the checkpoint does not know the
/// domain yet.
///
/// # Errors
/// ET002 for a row that no seal can have written.
pub fn stored_root(view: View, checkpoint_id: u64, domain: &DomainName) -> Result<Option<StoredRoot>> {
    db::first(
        view,
        "SELECT root.tree_size, root.root_hash, root.note FROM ets.domain_root AS root
          WHERE root.checkpoint_id OPERATOR(pg_catalog.=) $1 AND root.domain OPERATOR(pg_catalog.=) $2",
        &[checkpoint_id.into(), domain.as_str().into()],
        |row| {
            let tree_size = row.int(1).and_then(|size| size.try_into().ok()).ok_or_else(seal::corrupted)?;
            let root = row.bytes(2).and_then(|hash| Digest::try_from(&hash[..]).ok());
            let root = root.ok_or_else(seal::corrupted)?;
            Ok(StoredRoot { root: DomainRoot { domain: domain.clone(), tree_size, root }, note: row.text(3) })
        },
    )
}

/// The size of a domain's tree in a checkpoint; 0 if the checkpoint does not
/// know the domain yet.
pub fn tree_size(view: View, checkpoint_id: u64, domain: &DomainName) -> Result<u64> {
    Ok(stored_root(view, checkpoint_id, domain)?.map_or(0, |stored| stored.root.tree_size))
}

fn consistency_proof(call: &Call) -> Result<Rows> {
    let domain: DomainName = call.required_text(0, "domain")?.parse()?;
    let (from_size, to_size) = (call.required_count(1, "from_size")?, call.required_count(2, "to_size")?);
    if ledger::registry(View::Query)?.domain(domain.as_str()).is_none() {
        return Err(crate::api::append::no_domain(&domain));
    }
    if from_size > to_size {
        return Err(Error::parameter("from_size", "must not be greater than to_size"));
    }
    let sealed = match seal::last_checkpoint(View::Query)? {
        Some(last) => tree_size(View::Query, last.checkpoint_id, &domain)?,
        None => 0,
    };
    if to_size > sealed {
        return Err(Error::new(sqlstate::NOT_SEALED, format!("domain {domain} has {sealed} sealed events"))
            .detail(json!({"domain": domain.as_str(), "tree_size": sealed}))
            .hint("SELECT * FROM ets.seal(), or wait for the next scheduled seal"));
    }
    let mut tiles = StoredTiles { domain: &domain, view: View::Query };
    let proof = merkle::consistency_proof(&mut tiles, from_size, to_size)
        .map_err(|error| tree_error(&domain, error))?;
    let mut rows = Rows::open(call)?;
    for (step, hash) in (1..).zip(&proof) {
        rows.put(&[Value::Int4(step), hash.into()])?;
    }
    Ok(rows)
}

fn verify_inclusion(call: &Call) -> Result<Value> {
    let leaf_hash = call.required_digest(0, "leaf_hash")?;
    let leaf_index = call.required_count(1, "leaf_index")?;
    let tree_size = call.required_count(2, "tree_size")?;
    let proof = digests(call, 3, "proof")?;
    let root = call.required_digest(4, "root")?;
    Ok(merkle::verify_inclusion(&leaf_hash, leaf_index, tree_size, &proof, &root).is_ok().into())
}

fn verify_consistency(call: &Call) -> Result<Value> {
    let (from_size, to_size) = (call.required_count(0, "from_size")?, call.required_count(1, "to_size")?);
    let proof = digests(call, 2, "proof")?;
    let (from_root, to_root) = (call.required_digest(3, "from_root")?, call.required_digest(4, "to_root")?);
    Ok(merkle::verify_consistency(from_size, to_size, &proof, &from_root, &to_root).is_ok().into())
}

fn meta_root_of(call: &Call) -> Result<Value> {
    let version = call.required_text(0, "version")?;
    let id = call.required_event_id(1, "checkpoint_event_id")?;
    let roots = parse_json(&call.required_jsonb(2, "domain_roots")?, &Limits::CEILING)?;
    let roots = domain_roots_from_value(&roots).map_err(|error| Error::parameter("domain_roots", error))?;
    let root = meta_root(&version, &id, &roots).map_err(|error| Error::parameter("domain_roots", error))?;
    Ok(root.into())
}

fn digests(call: &Call, position: usize, name: &str) -> Result<Vec<Digest>> {
    call.required_bytes_array(position, name)?
        .iter()
        .map(|bytes| exact_bytes(bytes, name, sqlstate::PARAMETER).map(Digest))
        .collect()
}

fn optional_count(call: &Call, position: usize, name: &str) -> Result<Option<u64>> {
    call.int(position).map(|_| call.required_count(position, name)).transpose()
}
