//! Proofs: which nodes they consist of, and what they prove.

use std::fmt;
use std::ops::Range;

use crate::hash::{Digest, EMPTY_ROOT, node_hash};

/// The root that `proof` leads to from `leaf_hash` as leaf `leaf_index` of
/// `tree_size` (RFC 9162, section 2.1.3.2). It says nothing until it is compared
/// with a root that the caller trusts.
///
/// # Errors
/// [`ProofError`] if there is no such leaf, or its proof has another length.
pub fn root_from_inclusion_proof(
    leaf_hash: &Digest,
    leaf_index: u64,
    tree_size: u64,
    proof: &[Digest],
) -> Result<Digest, ProofError> {
    if leaf_index >= tree_size {
        return Err(ProofError::LeafOutOfRange { leaf_index, tree_size });
    }
    // The leaf's and the last leaf's index; then their ancestors', row by row.
    let (mut node, mut last) = (leaf_index, tree_size - 1);
    let mut root = *leaf_hash;
    for hash in proof {
        if last == 0 {
            return Err(ProofError::TooLong);
        }
        if node & 1 == 1 || node == last {
            root = node_hash(hash, &root);
            // A last node without a sibling is its own ancestor until it has one.
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            root = node_hash(&root, hash);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 { Ok(root) } else { Err(ProofError::TooShort) }
}

/// Whether `leaf_hash` is leaf `leaf_index` of the tree of `tree_size` leaves
/// with this `root` (RFC 9162, section 2.1.3.2).
///
/// # Errors
/// [`ProofError`] says why it is not shown to be.
pub fn verify_inclusion(
    leaf_hash: &Digest,
    leaf_index: u64,
    tree_size: u64,
    proof: &[Digest],
    root: &Digest,
) -> Result<(), ProofError> {
    let computed = root_from_inclusion_proof(leaf_hash, leaf_index, tree_size, proof)?;
    compare(&computed, root)
}

/// The roots over `from_size` and `to_size` leaves that `proof` leads to,
/// `from_root` standing in for the first node where `from_size` is a power of two
/// (RFC 9162, section 2.1.4.2). They say nothing until both are compared.
///
/// # Errors
/// [`ProofError`] if `from_size` is the greater or 0 (from an empty tree no root
/// follows), or the proof has another length.
pub fn roots_from_consistency_proof(
    from_size: u64,
    to_size: u64,
    proof: &[Digest],
    from_root: &Digest,
) -> Result<(Digest, Digest), ProofError> {
    if from_size > to_size || from_size == 0 {
        return Err(ProofError::SizesOutOfOrder { from_size, to_size });
    }
    if from_size == to_size {
        return if proof.is_empty() { Ok((*from_root, *from_root)) } else { Err(ProofError::TooLong) };
    }
    // The last leaf's index in either tree; then of the least subtree's root that
    // ends with it in the older one.
    let (mut node, mut last) = (from_size - 1, to_size - 1);
    let shift = node.trailing_ones();
    node >>= shift;
    last >>= shift;
    let (first, rest) = if from_size.is_power_of_two() {
        (from_root, proof)
    } else {
        proof.split_first().ok_or(ProofError::TooShort)?
    };
    let (mut from, mut to) = (*first, *first);
    for hash in rest {
        if last == 0 {
            return Err(ProofError::TooLong);
        }
        if node & 1 == 1 || node == last {
            from = node_hash(hash, &from);
            to = node_hash(hash, &to);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            to = node_hash(&to, hash);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 { Ok((from, to)) } else { Err(ProofError::TooShort) }
}

/// Whether the tree of `to_size` leaves with `to_root` begins with the whole tree
/// of `from_size` leaves with `from_root` (RFC 9162, section 2.1.4.2). Every tree
/// begins with the empty one, to which an empty proof belongs.
///
/// # Errors
/// [`ProofError`] says why it is not shown to.
pub fn verify_consistency(
    from_size: u64,
    to_size: u64,
    proof: &[Digest],
    from_root: &Digest,
    to_root: &Digest,
) -> Result<(), ProofError> {
    if from_size == 0 {
        if !proof.is_empty() {
            return Err(ProofError::TooLong);
        }
        compare(&EMPTY_ROOT, from_root)?;
        return if to_size == 0 { compare(&EMPTY_ROOT, to_root) } else { Ok(()) };
    }
    let (from, to) = roots_from_consistency_proof(from_size, to_size, proof, from_root)?;
    compare(&from, from_root)?;
    compare(&to, to_root)
}

/// On which side of the path the hash of each step of an inclusion proof stands,
/// from the leaf to the root; `None` if there is no such leaf.
pub fn inclusion_path_sides(leaf_index: u64, tree_size: u64) -> Option<Vec<Side>> {
    Some(inclusion_path(leaf_index, tree_size)?.into_iter().map(|(_, side)| side).collect())
}

/// A side of a path from a leaf to the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The hash is the left operand: `node_hash(hash, path)`.
    Left,
    /// The hash is the right operand: `node_hash(path, hash)`.
    Right,
}

impl Side {
    /// `left` or `right`.
    pub fn as_str(self) -> &'static str {
        match self {
            Side::Left => "left",
            Side::Right => "right",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofError {
    /// A leaf that a tree of this size does not have.
    LeafOutOfRange {
        /// The leaf's place, from 0.
        leaf_index: u64,
        /// The tree's number of leaves.
        tree_size: u64,
    },
    /// A consistency proof from a greater tree to a smaller one, or from an
    /// empty one.
    SizesOutOfOrder {
        /// The size to start at.
        from_size: u64,
        /// The size to end at.
        to_size: u64,
    },
    /// Fewer hashes than a proof between these sizes has.
    TooShort,
    /// More hashes than a proof between these sizes has.
    TooLong,
    /// The proof leads to another root.
    RootMismatch {
        /// The root that was given.
        expected: Digest,
        /// The root that the proof leads to.
        computed: Digest,
    },
}

impl fmt::Display for ProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProofError::LeafOutOfRange { leaf_index, tree_size } => {
                write!(f, "no leaf {leaf_index} in a tree of {tree_size} leaves")
            }
            ProofError::SizesOutOfOrder { from_size, to_size } => {
                write!(f, "no consistency proof from {from_size} leaves to {to_size}")
            }
            ProofError::TooShort => f.write_str("the proof is too short for these sizes"),
            ProofError::TooLong => f.write_str("the proof is too long for these sizes"),
            ProofError::RootMismatch { expected, computed } => {
                write!(f, "the proof leads to the root {computed}, not to {expected}")
            }
        }
    }
}

impl std::error::Error for ProofError {}

/// The leaf ranges whose roots make up an inclusion proof, from the leaf to the
/// root: `PATH(m, D[n])` of RFC 9162, section 2.1.3.1, unrolled.
pub(super) fn inclusion_path(leaf_index: u64, tree_size: u64) -> Option<Vec<(Range<u64>, Side)>> {
    if leaf_index >= tree_size {
        return None;
    }
    let mut path = Vec::new();
    let (mut start, mut end) = (0, tree_size);
    while end - start > 1 {
        let middle = start + split(end - start);
        if leaf_index < middle {
            path.push((middle..end, Side::Right));
            end = middle;
        } else {
            path.push((start..middle, Side::Left));
            start = middle;
        }
    }
    path.reverse();
    Some(path)
}

/// The leaf ranges whose roots make up a consistency proof:
/// `SUBPROOF(m, D[n], true)` of RFC 9162, section 2.1.4.1, unrolled.
pub(super) fn consistency_path(from_size: u64, to_size: u64) -> Option<Vec<Range<u64>>> {
    if from_size > to_size {
        return None;
    }
    let mut path = Vec::new();
    if from_size == 0 {
        return Some(path);
    }
    let (mut start, mut end) = (0, to_size);
    while from_size < end {
        let middle = start + split(end - start);
        if from_size <= middle {
            path.push(middle..end);
            end = middle;
        } else {
            path.push(start..middle);
            start = middle;
        }
    }
    // A subtree that is the whole older tree is known to whoever verifies.
    if start > 0 {
        path.push(start..end);
    }
    path.reverse();
    Some(path)
}

/// The largest power of two less than `size`, which is at least 2.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

fn compare(computed: &Digest, expected: &Digest) -> Result<(), ProofError> {
    if computed == expected {
        Ok(())
    } else {
        Err(ProofError::RootMismatch { expected: *expected, computed: *computed })
    }
}
