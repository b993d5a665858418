//! A kept checkpoint note against the tree as it is now.

mod sample;

use std::convert::Infallible;

use ets_core::checkpoint::DomainRoot;
use ets_core::hash::Digest;
use ets_core::key::SecretKey;
use ets_core::merkle::{TileSource, root_of};
use ets_core::name::DomainName;
use ets_core::note::{NoteError, sign_checkpoint};
use ets_core::verify::{Check, KeptCheckpoint};
/// A tree of a few leaves: they are its only tile.
struct Tree(Vec<Digest>);

impl TileSource for Tree {
    type Error = Infallible;

    fn tile(&mut self, level: u8, index: u64) -> Result<Vec<Digest>, Self::Error> {
        Ok(if (level, index) == (0, 0) { self.0.clone() } else { Vec::new() })
    }
}

fn leaf(number: u8) -> Digest {
    Digest::try_from(&[number; 32][..]).expect("32 bytes")
}

fn failed(checks: &[Check]) -> Vec<&'static str> {
    checks.iter().filter(|check| check.passed != Some(true)).map(|check| check.name).collect()
}

#[test]
fn a_tree_continues_what_was_kept_or_does_not() {
    let registry = sample::started().folded();
    let server = sample::secret_key("server");
    let leaves: Vec<Digest> = (1..=5).map(leaf).collect();
    let domain: DomainName = "ets.audit".parse().expect("a name");
    let meta_root = leaf(9);
    let note = |size: usize, root: Digest, key: &SecretKey| {
        let root = DomainRoot { domain: domain.clone(), tree_size: size as u64, root };
        sign_checkpoint(&registry.ledger().origin, &root, &meta_root, key)
    };
    let verify = |note: &str, leaves: &[Digest]| {
        let kept = KeptCheckpoint::parse(note, &registry).expect("a note of this ledger");
        let Ok(checks) = kept.verify(leaves.len() as u64, &mut Tree(leaves.to_vec()));
        failed(&checks)
    };
    for size in 1..=5 {
        let kept = note(size, root_of(&leaves[..size]), &server);
        for now in size..=5 {
            assert_eq!(verify(&kept, &leaves[..now]), Vec::<&str>::new(), "{size} to {now}");
        }
        for now in 0..size {
            assert_eq!(verify(&kept, &leaves[..now]), ["tree_size", "root"], "{size} to {now}");
        }
        let mut other = leaves.clone();
        other[size - 1] = leaf(77);
        assert_eq!(verify(&kept, &other), ["root"]);
    }
    let stranger = SecretKey::from_seed(&[99; 32]);
    assert_eq!(verify(&note(5, root_of(&leaves), &stranger), &leaves), ["signature"]);
    let edited = note(5, root_of(&leaves), &server).replacen("\n5\n", "\n4\n", 1);
    assert_eq!(verify(&edited, &leaves), ["signature", "root"]);
    let good = note(5, root_of(&leaves), &server);
    let origin = registry.ledger().origin.as_str();
    for (text, error) in [
        ("", NoteError::Note),
        ("x\n", NoteError::Note),
        (good.replacen(origin, "other.example", 1).as_str(), NoteError::Origin),
        (good.replacen("ets.audit", "nowhere", 1).as_str(), NoteError::Origin),
        (good.replacen("\n5\n", "\nfive\n", 1).as_str(), NoteError::Body),
    ] {
        assert_eq!(KeptCheckpoint::parse(text, &registry), Err(error), "{text}");
    }
}
