//! Tiles: how a tree is stored (C2SP tlog-tiles, height 8).
//!
//! Hash `i` of tile `n` at level `l` is the root of the complete subtree of
//! `256^l` leaves number `256 n + i`; at level 0 it is a leaf hash. A hash
//! enters level `l + 1` when its tile of level `l` is full, so the last tile of
//! a level may be partial, and a level may be absent. A stored tile only ever
//! grows: its first hashes serve every smaller tree.

use std::convert::Infallible;
use std::fmt;

use super::{TreeError, consistency_proof, inclusion_proof, root};
use crate::hash::{Digest, EMPTY_ROOT, node_hash};

/// The hashes in a full tile.
pub const TILE_WIDTH: usize = 256;
/// `2^HEIGHT = TILE_WIDTH`.
pub(super) const HEIGHT: u32 = 8;

/// Where stored tiles come from: a table, a file, memory.
pub trait TileSource {
    /// Why a tile could not be read.
    type Error;

    /// The hashes of tile `index` of `level`, as many as are stored; none if
    /// there is no such tile. Whoever calls checks that they are enough.
    ///
    /// # Errors
    /// Whatever stands between the caller and the tile.
    fn tile(&mut self, level: u8, index: u64) -> Result<Vec<Digest>, Self::Error>;
}

/// A tile, full or partial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// From 0, where the hashes are leaf hashes.
    pub level: u8,
    /// The tile's number in its level, from 0.
    pub index: u64,
    /// 1 to 256 hashes.
    pub hashes: Vec<Digest>,
}

impl Tile {
    /// The hashes one after the other, 32 bytes each.
    pub fn to_bytes(&self) -> Vec<u8> {
        hashes_to_bytes(&self.hashes)
    }

    /// Whether no hash can be added.
    pub fn is_full(&self) -> bool {
        self.hashes.len() >= TILE_WIDTH
    }
}

/// Hashes one after the other, 32 bytes each, as a tile stores them.
pub fn hashes_to_bytes(hashes: &[Digest]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The hashes of a stored tile.
///
/// # Errors
/// [`TileBytesError`] if the bytes are not 1 to 256 hashes of 32 bytes.
pub fn hashes_from_bytes(bytes: &[u8]) -> Result<Vec<Digest>, TileBytesError> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() || hashes.is_empty() || hashes.len() > TILE_WIDTH {
        return Err(TileBytesError { actual: bytes.len() });
    }
    Ok(hashes.iter().copied().map(Digest).collect())
}

/// Bytes that are no tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TileBytesError {
    /// How many bytes there are.
    pub actual: usize,
}

impl fmt::Display for TileBytesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes where a tile is 1 to {TILE_WIDTH} hashes of 32 bytes", self.actual)
    }
}

impl std::error::Error for TileBytesError {}

/// What a tree of some size has at one level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LevelShape {
    /// From 0.
    pub level: u8,
    /// The number of full tiles, which is also the partial tile's number.
    pub full_tiles: u64,
    /// The hashes in the partial tile; 0 if there is none.
    pub partial_width: usize,
}

/// The tiles of a tree of `tree_size` leaves, level by level; no level if it is
/// empty.
pub fn shape(tree_size: u64) -> Vec<LevelShape> {
    let mut levels = Vec::new();
    let mut hashes = tree_size;
    for level in 0..=u8::MAX {
        if hashes == 0 {
            break;
        }
        let partial_width = (hashes % TILE_WIDTH as u64) as usize;
        hashes /= TILE_WIDTH as u64;
        levels.push(LevelShape { level, full_tiles: hashes, partial_width });
    }
    levels
}

/// The hashes that tile `index` of `level` has in a tree of `tree_size` leaves:
/// 256 if it is full, 0 if the tree has no such tile.
pub fn tile_width(tree_size: u64, level: u8, index: u64) -> usize {
    let hashes = tree_size.checked_shr(HEIGHT * u32::from(level)).unwrap_or(0);
    // At most 256, so it fits.
    hashes.saturating_sub(index.saturating_mul(TILE_WIDTH as u64)).min(TILE_WIDTH as u64) as usize
}

/// The path of a tile under a log's address: `tile/<level>/<index>`, with
/// `.p/<width>` after it if the tile is partial (C2SP tlog-tiles, "Merkle Tree").
/// The index is written in groups of three digits, all but the last after an
/// `x`: 1234067 is `x001/x234/067`.
pub fn tile_path(level: u8, index: u64, width: usize) -> String {
    let mut number = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        number = format!("x{:03}/{number}", rest % 1000);
        rest /= 1000;
    }
    if width < TILE_WIDTH {
        format!("tile/{level}/{number}.p/{width}")
    } else {
        format!("tile/{level}/{number}")
    }
}

/// A tree in memory, a source of its own tiles: for tests, bundles and
/// verifiers that hold all leaves.
#[derive(Debug, Clone, Default)]
pub struct MemoryTree {
    /// All hashes of each level, tile after tile.
    levels: Vec<Vec<Digest>>,
}

impl MemoryTree {
    /// Adds a leaf by its leaf hash.
    pub fn append(&mut self, leaf: Digest) {
        let mut hash = leaf;
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let Some(hashes) = self.levels.get_mut(level) else { return };
            hashes.push(hash);
            if !hashes.len().is_multiple_of(TILE_WIDTH) {
                return;
            }
            hash = hashes.rchunks(TILE_WIDTH).next().map_or(EMPTY_ROOT, complete_root);
        }
    }

    /// The number of leaves.
    pub fn tree_size(&self) -> u64 {
        self.leaves().len() as u64
    }

    /// The leaf hashes.
    pub fn leaves(&self) -> &[Digest] {
        self.levels.first().map_or(&[], Vec::as_slice)
    }

    /// See [`root`].
    ///
    /// # Errors
    /// [`TreeError`] if the tree is smaller than `tree_size`.
    pub fn root(&self, tree_size: u64) -> Result<Digest, TreeError<Infallible>> {
        root(&mut { self }, tree_size)
    }

    /// See [`inclusion_proof`].
    ///
    /// # Errors
    /// [`TreeError`] if the tree is smaller than `tree_size` or this than the leaf's place.
    pub fn inclusion_proof(
        &self,
        leaf_index: u64,
        tree_size: u64,
    ) -> Result<Vec<Digest>, TreeError<Infallible>> {
        inclusion_proof(&mut { self }, leaf_index, tree_size)
    }

    /// See [`consistency_proof`].
    ///
    /// # Errors
    /// [`TreeError`] if the tree is smaller than `to_size` or this than `from_size`.
    pub fn consistency_proof(
        &self,
        from_size: u64,
        to_size: u64,
    ) -> Result<Vec<Digest>, TreeError<Infallible>> {
        consistency_proof(&mut { self }, from_size, to_size)
    }
}

impl FromIterator<Digest> for MemoryTree {
    fn from_iter<I: IntoIterator<Item = Digest>>(leaves: I) -> Self {
        let mut tree = MemoryTree::default();
        leaves.into_iter().for_each(|leaf| tree.append(leaf));
        tree
    }
}

impl TileSource for &MemoryTree {
    type Error = Infallible;

    fn tile(&mut self, level: u8, index: u64) -> Result<Vec<Digest>, Infallible> {
        let hashes = self.levels.get(usize::from(level)).map_or(&[][..], Vec::as_slice);
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        Ok(hashes.chunks(TILE_WIDTH).nth(index).unwrap_or_default().to_vec())
    }
}

/// Reads a tile; its length is checked against its greatest.
pub(super) fn read<S: TileSource + ?Sized>(
    source: &mut S,
    level: u8,
    tile_index: u64,
) -> Result<Vec<Digest>, TreeError<S::Error>> {
    let hashes = source.tile(level, tile_index).map_err(TreeError::Source)?;
    if hashes.len() > TILE_WIDTH {
        return Err(TreeError::OverfullTile { level, tile_index, stored: hashes.len() });
    }
    Ok(hashes)
}

/// The root over hashes of equal height whose number is a power of two.
pub(super) fn complete_root(hashes: &[Digest]) -> Digest {
    match hashes {
        [] => EMPTY_ROOT,
        [hash] => *hash,
        [left, right] => node_hash(left, right),
        more => {
            let (left, right) = more.split_at(more.len() / 2);
            node_hash(&complete_root(left), &complete_root(right))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_has_one_to_256_hashes() {
        for (bytes, ok) in [(0, false), (31, false), (32, true), (33, false), (8192, true), (8224, false)] {
            let bytes = vec![7; bytes];
            match hashes_from_bytes(&bytes) {
                Ok(hashes) => assert!(ok && hashes_to_bytes(&hashes) == bytes),
                Err(error) => assert!(!ok && error.actual == bytes.len()),
            }
        }
    }

    #[test]
    fn a_tile_is_as_wide_as_the_shape_of_its_tree_says() {
        for tree_size in [0, 1, 255, 256, 257, 65_535, 65_536, 70_000, 16_777_216, u64::MAX] {
            let levels = shape(tree_size);
            for LevelShape { level, full_tiles, partial_width } in levels.iter().copied() {
                if let Some(last_full) = full_tiles.checked_sub(1) {
                    assert_eq!(tile_width(tree_size, level, 0), TILE_WIDTH);
                    assert_eq!(tile_width(tree_size, level, last_full), TILE_WIDTH);
                }
                assert_eq!(tile_width(tree_size, level, full_tiles), partial_width);
                assert_eq!(tile_width(tree_size, level, full_tiles + 1), 0);
                assert_eq!(tile_width(tree_size, level, u64::MAX), 0);
            }
            assert!((levels.len() as u8..=u8::MAX).all(|level| tile_width(tree_size, level, 0) == 0));
        }
    }

    #[test]
    fn the_largest_tree_has_eight_levels() {
        let levels = shape(u64::MAX);
        assert_eq!(levels.len(), 8);
        assert!(levels.iter().all(|level| level.partial_width == 255));
        assert!(shape(0).is_empty());
    }
}
