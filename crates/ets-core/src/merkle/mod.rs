//! Merkle trees (RFC 6962 and RFC 9162, section 2.1), kept as tiles.
//!
//! - [`root`], [`inclusion_proof`], [`consistency_proof`]: computed from stored
//!   tiles, for every size that the tree ever had.
//! - [`Frontier`]: the right edge of a tree, to which a seal appends.
//! - [`verify_inclusion`], [`verify_consistency`] and the `…_from_…` functions
//!   below them: for somebody who holds a proof and no tree.
//! - [`MemoryTree`], [`root_of`]: trees small enough for memory.
//!
//! Every public function takes any number and any hashes: what makes no sense
//! is an error.

mod frontier;
mod proof;
mod tile;

use std::fmt;

use crate::hash::{Digest, EMPTY_ROOT, node_hash};

pub use frontier::{Frontier, Grown, MAX_TREE_SIZE};
pub use proof::{
    ProofError, Side, inclusion_path_sides, root_from_inclusion_proof, roots_from_consistency_proof,
    verify_consistency, verify_inclusion,
};
pub use tile::{
    LevelShape, MemoryTree, TILE_WIDTH, Tile, TileBytesError, TileSource, hashes_from_bytes, hashes_to_bytes,
    shape, tile_path, tile_width,
};

/// The root of the first `tree_size` leaves (`MTH`, RFC 9162, section 2.1.1).
///
/// # Errors
/// [`TreeError`] if the source fails or holds fewer hashes than that.
pub fn root<S: TileSource + ?Sized>(source: &mut S, tree_size: u64) -> Result<Digest, TreeError<S::Error>> {
    Reader::new(source).range_root(0, tree_size)
}

/// The hashes that lead from leaf `leaf_index` to the root of the first
/// `tree_size` leaves, the leaf's sibling first (`PATH`, RFC 9162, section
/// 2.1.3.1). [`inclusion_path_sides`] says where each stands.
///
/// # Errors
/// [`TreeError`] if there is no such leaf, or the source fails or lacks hashes.
pub fn inclusion_proof<S: TileSource + ?Sized>(
    source: &mut S,
    leaf_index: u64,
    tree_size: u64,
) -> Result<Vec<Digest>, TreeError<S::Error>> {
    let path = proof::inclusion_path(leaf_index, tree_size)
        .ok_or(TreeError::LeafOutOfRange { leaf_index, tree_size })?;
    let mut reader = Reader::new(source);
    path.iter().map(|(range, _)| reader.range_root(range.start, range.end)).collect()
}

/// The hashes that show the first `from_size` leaves to be the beginning of the
/// first `to_size` (`PROOF`, RFC 9162, section 2.1.4.1). Empty if the sizes are
/// equal, or `from_size` is 0: every tree begins with nothing.
///
/// # Errors
/// [`TreeError`] if `from_size` is the greater, or the source fails or lacks
/// hashes.
pub fn consistency_proof<S: TileSource + ?Sized>(
    source: &mut S,
    from_size: u64,
    to_size: u64,
) -> Result<Vec<Digest>, TreeError<S::Error>> {
    let path = proof::consistency_path(from_size, to_size)
        .ok_or(TreeError::SizesOutOfOrder { from_size, to_size })?;
    let mut reader = Reader::new(source);
    path.iter().map(|range| reader.range_root(range.start, range.end)).collect()
}

/// The root over `leaves`, a list of leaf hashes (`MTH`, RFC 9162, section 2.1.1).
pub fn root_of(leaves: &[Digest]) -> Digest {
    let mut builder = RootBuilder::default();
    leaves.iter().for_each(|leaf| builder.push(*leaf));
    builder.root()
}

/// The root of leaves that come one by one, in 64 hashes of memory; it can be
/// asked for after each of them.
#[derive(Debug, Clone, Default)]
pub struct RootBuilder {
    tree_size: u64,
    /// The roots of the complete subtrees that the leaves fall into, largest
    /// first: one for each bit that is set in `tree_size`.
    subtrees: Vec<Digest>,
}

impl RootBuilder {
    /// Adds a leaf by its leaf hash.
    pub fn push(&mut self, leaf: Digest) {
        let mut subtree = leaf;
        // Each trailing one bit is a complete subtree that the new leaf completes
        // to one of twice the size.
        for _ in 0..self.tree_size.trailing_ones() {
            if let Some(left) = self.subtrees.pop() {
                subtree = node_hash(&left, &subtree);
            }
        }
        self.subtrees.push(subtree);
        self.tree_size = self.tree_size.wrapping_add(1);
    }

    /// The number of leaves so far.
    pub fn tree_size(&self) -> u64 {
        self.tree_size
    }

    /// The root over the leaves so far.
    pub fn root(&self) -> Digest {
        self.subtrees
            .iter()
            .rev()
            .copied()
            .reduce(|right, left| node_hash(&left, &right))
            .unwrap_or(EMPTY_ROOT)
    }
}

/// Why stored tiles give no root or proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeError<E> {
    /// The tiles could not be read.
    Source(E),
    /// A stored tile holds fewer hashes than a tree of this size has there, or
    /// is not there at all.
    MissingHashes {
        /// The tile's level, from 0.
        level: u8,
        /// The tile's number in its level, from 0.
        tile_index: u64,
        /// The hashes that it must hold at least.
        needed: usize,
        /// The hashes that it holds.
        stored: usize,
    },
    /// A stored tile holds more than 256 hashes.
    OverfullTile {
        /// The tile's level, from 0.
        level: u8,
        /// The tile's number in its level, from 0.
        tile_index: u64,
        /// The hashes that it holds.
        stored: usize,
    },
    /// A leaf that the tree does not have.
    LeafOutOfRange {
        /// The leaf asked for, from 0.
        leaf_index: u64,
        /// The tree's number of leaves.
        tree_size: u64,
    },
    /// A consistency proof from a greater tree to a smaller one.
    SizesOutOfOrder {
        /// The size to start at.
        from_size: u64,
        /// The size to end at.
        to_size: u64,
    },
    /// More leaves than a tree can have, [`MAX_TREE_SIZE`].
    TooLarge {
        /// The tree's number of leaves.
        tree_size: u64,
    },
}

impl<E: fmt::Display> fmt::Display for TreeError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TreeError::Source(error) => fmt::Display::fmt(error, f),
            TreeError::MissingHashes { level, tile_index, needed, stored } => {
                write!(
                    f,
                    "tile {tile_index} of level {level} holds {stored} hashes where {needed} are needed"
                )
            }
            TreeError::OverfullTile { level, tile_index, stored } => {
                write!(f, "tile {tile_index} of level {level} holds {stored} hashes, more than {TILE_WIDTH}")
            }
            TreeError::LeafOutOfRange { leaf_index, tree_size } => {
                write!(f, "no leaf {leaf_index} in a tree of {tree_size} leaves")
            }
            TreeError::SizesOutOfOrder { from_size, to_size } => {
                write!(f, "no consistency proof from {from_size} leaves to {to_size}")
            }
            TreeError::TooLarge { tree_size } => {
                write!(f, "{tree_size} leaves are more than a tree can have")
            }
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for TreeError<E> {}

/// Reads each tile once and computes the inner nodes between tiles.
struct Reader<'a, S: TileSource + ?Sized> {
    source: &'a mut S,
    /// A proof touches two tiles of a level at most, so a list is enough.
    tiles: Vec<Tile>,
}

impl<'a, S: TileSource + ?Sized> Reader<'a, S> {
    fn new(source: &'a mut S) -> Self {
        Reader { source, tiles: Vec::new() }
    }

    /// `MTH(D[start:end])`. The range must be one that the recursion of RFC 9162,
    /// section 2.1, arrives at: `start` a multiple of a power of two that is not
    /// less than `end - start`.
    fn range_root(&mut self, start: u64, end: u64) -> Result<Digest, TreeError<S::Error>> {
        let mut root = None;
        let mut rest = end;
        // Complete subtrees, from the smallest and last to the largest and first.
        while rest > start {
            let height = (rest - start).trailing_zeros();
            rest -= 1 << height;
            let subtree = self.subtree(height, rest >> height)?;
            root = Some(root.map_or(subtree, |right| node_hash(&subtree, &right)));
        }
        Ok(root.unwrap_or(EMPTY_ROOT))
    }

    /// The root of the complete subtree of `2^height` leaves number `index`.
    fn subtree(&mut self, height: u32, index: u64) -> Result<Digest, TreeError<S::Error>> {
        // At most 63 / 8, so it fits.
        let level = (height / tile::HEIGHT) as u8;
        let inner = height % tile::HEIGHT;
        // Its hashes at `level`: at most 128, aligned, hence all in one tile.
        let (first, count) = (index << inner, 1 << inner);
        let start = (first % TILE_WIDTH as u64) as usize;
        let tile_index = first / TILE_WIDTH as u64;
        let hashes = self.tile(level, tile_index)?;
        hashes.get(start..start + count).map(tile::complete_root).ok_or(TreeError::MissingHashes {
            level,
            tile_index,
            needed: start + count,
            stored: hashes.len(),
        })
    }

    fn tile(&mut self, level: u8, index: u64) -> Result<&[Digest], TreeError<S::Error>> {
        let known = self.tiles.iter().position(|tile| tile.level == level && tile.index == index);
        let position = match known {
            Some(position) => position,
            None => {
                let hashes = tile::read(self.source, level, index)?;
                self.tiles.push(Tile { level, index, hashes });
                self.tiles.len() - 1
            }
        };
        Ok(self.tiles.get(position).map_or(&[], |tile| &tile.hashes))
    }
}
