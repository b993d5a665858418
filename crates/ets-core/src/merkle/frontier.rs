//! The right edge of a tree, to which a seal appends.

use super::TreeError;
use super::tile::{self, HEIGHT, TILE_WIDTH, Tile, TileSource, shape};
use crate::hash::{Digest, EMPTY_ROOT, node_hash};

/// The most leaves that a stored tree can have, `2^63 - 1`, as the sizes are
/// `bigint` in SQL.
pub const MAX_TREE_SIZE: u64 = i64::MAX as u64;

/// A growing tree, of which only the partial tile of each level is in memory.
///
/// ```
/// # use ets_core::{hash::sha256, merkle::{Frontier, MemoryTree}};
/// let stored: MemoryTree = (0..300_u32).map(|n| sha256(&[&n.to_be_bytes()])).collect();
/// let mut frontier = Frontier::load(&mut &stored, 300)?;
/// assert_eq!(frontier.root(), stored.root(300)?); // the seal compares this with the last checkpoint's
/// for n in 300..1000_u32 {
///     frontier.append(sha256(&[&n.to_be_bytes()]));
///     for _full in frontier.take_full_tiles() { /* store it */ }
/// }
/// let grown = frontier.finish();
/// assert_eq!((grown.tree_size, grown.tiles.len()), (1000, 2)); // and the last partial ones
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Frontier {
    tree_size: u64,
    /// The partial tile of each level, 0 to 255 hashes.
    edge: Vec<EdgeTile>,
    full: Vec<Tile>,
}

#[derive(Debug, Clone, Default)]
struct EdgeTile {
    hashes: Vec<Digest>,
    /// Whether it holds a hash that was not loaded.
    changed: bool,
}

/// What [`Frontier::finish`] leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grown {
    /// The number of leaves.
    pub tree_size: u64,
    /// The root over them.
    pub root: Digest,
    /// The tiles that are new or longer and were not taken before: full ones in
    /// the order they filled, then the partial one of each level.
    pub tiles: Vec<Tile>,
}

impl Frontier {
    /// The edge of a tree of `tree_size` leaves, 0 for a new one. Hashes that
    /// the source holds beyond that size are left aside. Nothing is trusted:
    /// whether the edge is the tree's, [`Frontier::root`] shows.
    ///
    /// # Errors
    /// [`TreeError`] if the source fails or holds fewer hashes than that.
    pub fn load<S: TileSource + ?Sized>(source: &mut S, tree_size: u64) -> Result<Self, TreeError<S::Error>> {
        if tree_size > MAX_TREE_SIZE {
            return Err(TreeError::TooLarge { tree_size });
        }
        let mut edge = Vec::new();
        for level in shape(tree_size) {
            let (needed, tile_index) = (level.partial_width, level.full_tiles);
            let mut hashes = Vec::new();
            if needed > 0 {
                hashes = tile::read(source, level.level, tile_index)?;
                if hashes.len() < needed {
                    let (level, stored) = (level.level, hashes.len());
                    return Err(TreeError::MissingHashes { level, tile_index, needed, stored });
                }
                hashes.truncate(needed);
            }
            edge.push(EdgeTile { hashes, changed: false });
        }
        Ok(Frontier { tree_size, edge, full: Vec::new() })
    }

    /// The number of leaves.
    pub fn tree_size(&self) -> u64 {
        self.tree_size
    }

    /// The root over the leaves (`MTH`, RFC 9162, section 2.1.1).
    pub fn root(&self) -> Digest {
        let mut root = None;
        // Complete subtrees from the smallest and last to the largest and first:
        // those in the partial tile of level 0, then of level 1, and so on.
        for tile in &self.edge {
            let mut rest = tile.hashes.as_slice();
            for inner in 0..HEIGHT {
                if rest.len() >> inner & 1 == 1 {
                    let (before, subtree) = rest.split_at(rest.len() - (1 << inner));
                    let subtree = tile::complete_root(subtree);
                    root = Some(root.map_or(subtree, |right| node_hash(&subtree, &right)));
                    rest = before;
                }
            }
        }
        root.unwrap_or(EMPTY_ROOT)
    }

    /// Adds a leaf by its leaf hash. Tiles that fill up wait for
    /// [`Frontier::take_full_tiles`].
    pub fn append(&mut self, leaf: Digest) {
        // Cannot overflow: it would take 2^63 calls from the greatest size loaded.
        self.tree_size = self.tree_size.wrapping_add(1);
        let mut hash = leaf;
        let mut hashes_at_level = self.tree_size;
        for level in 0..=u8::MAX {
            if self.edge.len() == usize::from(level) {
                self.edge.push(EdgeTile::default());
            }
            let Some(tile) = self.edge.get_mut(usize::from(level)) else { return };
            tile.hashes.push(hash);
            tile.changed = true;
            if tile.hashes.len() < TILE_WIDTH {
                return;
            }
            let hashes = std::mem::take(&mut tile.hashes);
            hash = tile::complete_root(&hashes);
            hashes_at_level /= TILE_WIDTH as u64;
            self.full.push(Tile { level, index: hashes_at_level.saturating_sub(1), hashes });
        }
    }

    /// The tiles that filled up since the last call, in that order. To be called
    /// often enough that they need not all be in memory.
    pub fn take_full_tiles(&mut self) -> Vec<Tile> {
        std::mem::take(&mut self.full)
    }

    /// Ends the growth.
    pub fn finish(self) -> Grown {
        let root = self.root();
        let mut tiles = self.full;
        for (edge, level) in self.edge.into_iter().zip(shape(self.tree_size)) {
            if edge.changed && !edge.hashes.is_empty() {
                tiles.push(Tile { level: level.level, index: level.full_tiles, hashes: edge.hashes });
            }
        }
        Grown { tree_size: self.tree_size, root, tiles }
    }
}
