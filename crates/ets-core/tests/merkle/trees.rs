//! The fast code against the transcription, and proofs that must be refused.

use std::collections::HashMap;

use ets_core::hash::{Digest, EMPTY_ROOT, leaf_hash, node_hash};
use ets_core::merkle::{
    Frontier, MAX_TREE_SIZE, MemoryTree, ProofError, RootBuilder, Side, TILE_WIDTH, Tile, TileSource,
    TreeError, consistency_proof, inclusion_path_sides, inclusion_proof, root, root_of,
    roots_from_consistency_proof, shape, verify_consistency, verify_inclusion,
};

use crate::common::Random;
use crate::reference::{mth, path, proof};

#[test]
fn roots_of_all_sizes_to_300_are_those_of_the_definition() {
    let leaves = leaves(300);
    let tree: MemoryTree = leaves.iter().copied().collect();
    let mut builder = RootBuilder::default();
    for size in 0..=300 {
        let expected = mth(&leaves[..size]);
        assert_eq!(root_of(&leaves[..size]), expected, "{size}");
        assert_eq!(tree.root(size as u64), Ok(expected), "{size}");
        assert_eq!((builder.root(), builder.tree_size()), (expected, size as u64));
        assert_eq!(Frontier::load(&mut &tree, size as u64).map(|edge| edge.root()), Ok(expected), "{size}");
        leaves.get(size).into_iter().for_each(|leaf| builder.push(*leaf));
    }
}

#[test]
fn inclusion_proofs_of_all_sizes_to_300_are_those_of_the_definition() {
    let leaves = leaves(300);
    let tree: MemoryTree = leaves.iter().copied().collect();
    let mut cases = 0;
    for size in 1..=300_usize {
        let root = mth(&leaves[..size]);
        let step = if size <= 70 { 1 } else { 13 };
        for index in (0..size).step_by(step).chain([size - 1]) {
            let expected = path(index, &leaves[..size]);
            let computed = tree.inclusion_proof(index as u64, size as u64);
            assert_eq!(computed.as_ref(), Ok(&expected), "{index} of {size}");
            let verdict = verify_inclusion(&leaves[index], index as u64, size as u64, &expected, &root);
            assert_eq!(verdict, Ok(()), "{index} of {size}");
            assert_eq!(along_sides(&leaves[index], index as u64, size as u64, &expected), root);
            cases += 1;
        }
    }
    assert_eq!(cases, 6172);
}

#[test]
fn consistency_proofs_of_all_sizes_to_300_are_those_of_the_definition() {
    let leaves = leaves(300);
    let tree: MemoryTree = leaves.iter().copied().collect();
    let roots: Vec<Digest> = (0..=300).map(|size| mth(&leaves[..size])).collect();
    let mut cases = 0;
    for to in 1..=300_usize {
        let step = if to <= 70 { 1 } else { 13 };
        for from in (1..=to).step_by(step).chain([to]) {
            let expected = proof(from, &leaves[..to]);
            let computed = tree.consistency_proof(from as u64, to as u64);
            assert_eq!(computed.as_ref(), Ok(&expected), "{from} to {to}");
            let verdict = verify_consistency(from as u64, to as u64, &expected, &roots[from], &roots[to]);
            assert_eq!(verdict, Ok(()), "{from} to {to}");
            cases += 1;
        }
        assert_eq!(tree.consistency_proof(0, to as u64), Ok(vec![]));
        assert_eq!(verify_consistency(0, to as u64, &[], &EMPTY_ROOT, &roots[to]), Ok(()));
    }
    assert_eq!(cases, 6172);
}

#[test]
fn proofs_from_tiles_at_any_size_to_70000_verify_and_read_each_tile_once() {
    const SIZE: usize = 70_000;
    let leaves = leaves(SIZE);
    let mut builder = RootBuilder::default();
    let mut roots = vec![EMPTY_ROOT];
    for leaf in &leaves {
        builder.push(*leaf);
        roots.push(builder.root());
    }
    assert_eq!(roots[SIZE], mth(&leaves));
    let mut stored = Stored::default();
    stored.grow(&leaves);

    let mut random = Random::new();
    let edges = [1, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 65_792, SIZE];
    let random_sizes: Vec<usize> = (0..300).map(|_| 1 + random.below(SIZE)).collect();
    for size in edges.into_iter().chain(random_sizes) {
        assert_eq!(root(&mut stored.counting(), size as u64), Ok(roots[size]), "{size}");
        let index = random.below(size);
        let mut source = stored.counting();
        let hashes = inclusion_proof(&mut source, index as u64, size as u64).unwrap();
        source.assert_each_read_once(6);
        let verdict = verify_inclusion(&leaves[index], index as u64, size as u64, &hashes, &roots[size]);
        assert_eq!(verdict, Ok(()), "{index} of {size}");

        let from = 1 + random.below(size);
        let mut source = stored.counting();
        let hashes = consistency_proof(&mut source, from as u64, size as u64).unwrap();
        source.assert_each_read_once(6);
        let verdict = verify_consistency(from as u64, size as u64, &hashes, &roots[from], &roots[size]);
        assert_eq!(verdict, Ok(()), "{from} to {size}");
    }
    for (index, size) in [(0, SIZE), (69_999, SIZE), (65_535, 65_537), (12_345, 65_536)] {
        assert_eq!(
            inclusion_proof(&mut stored.counting(), index as u64, size as u64),
            Ok(path(index, &leaves[..size]))
        );
    }
    for (from, to) in [(1, SIZE), (65_535, SIZE), (65_536, 65_537), (4096, 69_999), (300, 65_792)] {
        assert_eq!(
            consistency_proof(&mut stored.counting(), from as u64, to as u64),
            Ok(proof(from, &leaves[..to]))
        );
    }
}

#[test]
fn a_tree_grown_in_chunks_equals_one_grown_at_once() {
    const SIZE: usize = 70_000;
    let leaves = leaves(SIZE);
    let mut once = Stored::default();
    once.grow(&leaves);
    let mut random = Random::new();
    for round in 0..3 {
        let mut stored = Stored::default();
        let mut size = 0;
        while size < SIZE {
            let most = [1, 3, 300, 20_000][random.below(4)];
            let end = SIZE.min(size + random.below(most + 1));
            let frontier = Frontier::load(&mut stored.counting(), size as u64).unwrap();
            assert_eq!(frontier.root(), root_of(&leaves[..size]));
            assert_eq!(stored.grow(&leaves[size..end]), root_of(&leaves[..end]));
            size = end;
        }
        assert!(stored.tiles == once.tiles, "round {round}");
    }
    // What is stored is what the shape says, and nothing else.
    let expected: usize =
        shape(SIZE as u64).iter().map(|l| l.full_tiles as usize + usize::from(l.partial_width > 0)).sum();
    assert_eq!(once.tiles.len(), expected);
}

#[test]
fn growing_hands_out_only_what_changed_and_keeps_no_full_tile() {
    let leaves = leaves(1000);
    let mut stored = Stored::default();
    stored.grow(&leaves[..300]);
    let unchanged = Frontier::load(&mut stored.counting(), 300).unwrap().finish();
    assert_eq!((unchanged.tree_size, unchanged.tiles.len()), (300, 0));
    let mut frontier = Frontier::load(&mut stored.counting(), 300).unwrap();
    let mut places = Vec::new();
    for leaf in &leaves[300..] {
        frontier.append(*leaf);
        let full = frontier.take_full_tiles();
        assert!(full.len() <= 1 && full.iter().all(Tile::is_full));
        places.extend(full.iter().map(|tile| (tile.level, tile.index, tile.hashes.len())));
    }
    let grown = frontier.finish();
    assert_eq!((grown.tree_size, grown.root), (1000, mth(&leaves)));
    places.extend(grown.tiles.iter().map(|tile| (tile.level, tile.index, tile.hashes.len())));
    assert_eq!(places, [(0, 1, 256), (0, 2, 256), (0, 3, 232), (1, 0, 3)]);
}

#[test]
fn a_changed_proof_is_refused() {
    let leaves = leaves(300);
    let tree: MemoryTree = leaves.iter().copied().collect();
    let mut random = Random::new();
    for _ in 0..400 {
        let to = 2 + random.below(298);
        let (index, from) = (random.below(to), 1 + random.below(to - 1));
        let (from_root, to_root) = (mth(&leaves[..from]), mth(&leaves[..to]));
        let (leaf, index, from, to) = (leaves[index], index as u64, from as u64, to as u64);
        let inclusion = tree.inclusion_proof(index, to).unwrap();
        let consistency = tree.consistency_proof(from, to).unwrap();
        for changed in changes(&inclusion, &mut random) {
            assert!(verify_inclusion(&leaf, index, to, &changed, &to_root).is_err(), "{index} of {to}");
        }
        for changed in changes(&consistency, &mut random) {
            assert!(verify_consistency(from, to, &changed, &from_root, &to_root).is_err(), "{from} to {to}");
        }
        let other = flipped(&leaf, &mut random);
        assert!(verify_inclusion(&other, index, to, &inclusion, &to_root).is_err());
        assert!(verify_inclusion(&leaf, index, to, &inclusion, &other).is_err());
        let neighbour = if index + 1 < to { index + 1 } else { index - 1 };
        assert!(verify_inclusion(&leaf, neighbour, to, &inclusion, &to_root).is_err());
        assert!(verify_consistency(from, to, &consistency, &other, &to_root).is_err());
        assert!(verify_consistency(from, to, &consistency, &from_root, &other).is_err());
    }
}

#[test]
fn a_changed_tile_changes_the_root_and_a_short_one_is_missed() {
    let leaves = leaves(1000);
    let mut stored = Stored::default();
    stored.grow(&leaves);
    let whole = stored.clone();
    stored.tiles.get_mut(&(0, 3)).unwrap()[5].0[0] ^= 1;
    let edge = Frontier::load(&mut stored.counting(), 1000).unwrap();
    assert_ne!(edge.root(), mth(&leaves));
    let mut stored = whole.clone();
    stored.tiles.get_mut(&(0, 3)).unwrap().pop();
    let missing = TreeError::MissingHashes { level: 0, tile_index: 3, needed: 232, stored: 231 };
    assert_eq!(Frontier::load(&mut stored.counting(), 1000).map(|_| ()), Err(missing.clone()));
    assert_eq!(root(&mut stored.counting(), 1000), Err(missing));
    assert_eq!(root(&mut stored.counting(), 999), Ok(mth(&leaves[..999])));
    let mut stored = whole.clone();
    stored.tiles.remove(&(1, 0));
    let missing = TreeError::MissingHashes { level: 1, tile_index: 0, needed: 3, stored: 0 };
    assert_eq!(inclusion_proof(&mut stored.counting(), 900, 1000), Err(missing.clone()));
    assert_eq!(consistency_proof(&mut stored.counting(), 900, 1000), Err(missing.clone()));
    assert_eq!(Frontier::load(&mut stored.counting(), 1000).map(|_| ()), Err(missing));
    let mut stored = whole;
    stored.tiles.get_mut(&(0, 1)).unwrap().push(EMPTY_ROOT);
    let overfull = TreeError::OverfullTile { level: 0, tile_index: 1, stored: TILE_WIDTH + 1 };
    assert_eq!(root(&mut stored.counting(), 500), Err(overfull));
}

#[test]
fn numbers_without_meaning_are_errors() {
    let zero = EMPTY_ROOT;
    let tree = MemoryTree::default();
    let out_of_range = |leaf_index, tree_size| Err(TreeError::LeafOutOfRange { leaf_index, tree_size });
    assert_eq!(tree.root(0), Ok(EMPTY_ROOT));
    assert_eq!(tree.inclusion_proof(0, 0), out_of_range(0, 0));
    assert_eq!(tree.inclusion_proof(u64::MAX, u64::MAX), out_of_range(u64::MAX, u64::MAX));
    assert_eq!(tree.consistency_proof(2, 1), Err(TreeError::SizesOutOfOrder { from_size: 2, to_size: 1 }));
    assert_eq!(tree.consistency_proof(0, 0), Ok(vec![]));
    assert_eq!(inclusion_path_sides(5, 5), None);
    assert_eq!(inclusion_path_sides(0, 1), Some(vec![]));
    for size in [1, 2, 255, 256, 1 << 56, 1 << 63, (1 << 63) + 1, u64::MAX - 1, u64::MAX] {
        assert!(matches!(tree.root(size), Err(TreeError::MissingHashes { stored: 0, .. })), "{size}");
        for other in [0, 1, 255, size / 2, size - 1] {
            if size > 1 {
                assert!(tree.inclusion_proof(other, size).is_err());
                assert_eq!(tree.consistency_proof(other, size).is_ok(), other == 0 || other == size);
            }
            for length in [0, 1, 63, 64, 65] {
                let hashes = vec![zero; length];
                assert!(verify_inclusion(&zero, other, size, &hashes, &zero).is_err() || size == 1);
                let roots = roots_from_consistency_proof(other, size, &hashes, &zero);
                assert!(roots != Ok((zero, zero)) || other == size || size == 1, "{other} to {size}");
            }
        }
    }
    assert_eq!(inclusion_path_sides(u64::MAX - 1, u64::MAX).map(|sides| sides.len()), Some(63));
    for size in [MAX_TREE_SIZE, MAX_TREE_SIZE + 1, u64::MAX] {
        assert!(
            Frontier::load(&mut Endless, size).is_ok_and(|edge| edge.tree_size() == size)
                == (size <= MAX_TREE_SIZE)
        );
        assert!(root(&mut Endless, size).is_ok());
        assert!(inclusion_proof(&mut Endless, size - 1, size).is_ok());
        assert!(consistency_proof(&mut Endless, size / 3, size).is_ok());
    }
    let mut edge = Frontier::load(&mut Endless, MAX_TREE_SIZE).unwrap();
    edge.append(zero);
    assert_eq!(edge.tree_size(), 1 << 63);
    assert_eq!(verify_consistency(0, 3, &[zero], &zero, &zero), Err(ProofError::TooLong));
    assert!(verify_consistency(0, 3, &[], &leaf_hash(b""), &zero).is_err());
    assert!(verify_consistency(0, 0, &[], &zero, &leaf_hash(b"")).is_err());
    assert_eq!(verify_consistency(0, 0, &[], &zero, &zero), Ok(()));
}

/// What a verifier computes who knows the sides only, as from `ets.merkle_proof`.
fn along_sides(leaf: &Digest, index: u64, size: u64, proof: &[Digest]) -> Digest {
    let sides = inclusion_path_sides(index, size).unwrap();
    assert_eq!(sides.len(), proof.len());
    proof.iter().zip(sides).fold(*leaf, |path, (hash, side)| match side {
        Side::Left => node_hash(hash, &path),
        Side::Right => node_hash(&path, hash),
    })
}

fn changes(proof: &[Digest], random: &mut Random) -> Vec<Vec<Digest>> {
    let mut changed = vec![[proof, &[EMPTY_ROOT]].concat(), [&[EMPTY_ROOT], proof].concat()];
    if let Some((last, rest)) = proof.split_last() {
        changed.push(rest.to_vec());
        changed.push([proof, &[*last]].concat());
        let mut flip = proof.to_vec();
        let at = random.below(flip.len());
        flip[at] = flipped(&flip[at], random);
        changed.push(flip);
    }
    if proof.len() > 1 {
        changed.push(proof[1..].to_vec());
        let mut swapped = proof.to_vec();
        swapped.swap(0, 1);
        changed.push(swapped);
    }
    changed
}

fn flipped(hash: &Digest, random: &mut Random) -> Digest {
    let mut hash = *hash;
    hash.0[random.below(32)] ^= 1 << random.below(8);
    hash
}

fn leaves(count: usize) -> Vec<Digest> {
    (0..count as u64).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

/// Tiles by level and index, as a table holds them.
#[derive(Clone, Default)]
struct Stored {
    tiles: HashMap<(u8, u64), Vec<Digest>>,
    size: u64,
}

impl Stored {
    fn grow(&mut self, leaves: &[Digest]) -> Digest {
        let mut frontier = Frontier::load(&mut self.counting(), self.size).unwrap();
        for leaf in leaves {
            frontier.append(*leaf);
            self.store(frontier.take_full_tiles());
        }
        let grown = frontier.finish();
        self.store(grown.tiles);
        self.size = grown.tree_size;
        grown.root
    }

    fn store(&mut self, tiles: Vec<Tile>) {
        for tile in tiles {
            let before = self.tiles.insert((tile.level, tile.index), tile.hashes.clone());
            // A stored tile only ever grows.
            assert!(tile.hashes.starts_with(&before.unwrap_or_default()));
        }
    }

    fn counting(&self) -> Counting<'_> {
        Counting { stored: self, reads: HashMap::new() }
    }
}

struct Counting<'a> {
    stored: &'a Stored,
    reads: HashMap<(u8, u64), u32>,
}

impl Counting<'_> {
    fn assert_each_read_once(&self, most: usize) {
        assert!(self.reads.values().all(|reads| *reads == 1));
        assert!(self.reads.len() <= most, "{} tiles", self.reads.len());
    }
}

impl TileSource for Counting<'_> {
    type Error = std::convert::Infallible;

    fn tile(&mut self, level: u8, index: u64) -> Result<Vec<Digest>, Self::Error> {
        *self.reads.entry((level, index)).or_default() += 1;
        Ok(self.stored.tiles.get(&(level, index)).cloned().unwrap_or_default())
    }
}

/// A source that has every tile, for sizes that no machine can hold.
struct Endless;

impl TileSource for Endless {
    type Error = std::convert::Infallible;

    fn tile(&mut self, level: u8, index: u64) -> Result<Vec<Digest>, Self::Error> {
        Ok(vec![leaf_hash(&[&[level][..], &index.to_be_bytes()].concat()); TILE_WIDTH])
    }
}
