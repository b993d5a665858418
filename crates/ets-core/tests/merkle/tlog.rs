//! The texts and bytes of the C2SP transparency-log specifications.

use ets_core::event::Header;
use ets_core::hash::{Digest, leaf_hash};
use ets_core::merkle::{MemoryTree, tile_width, verify_inclusion};
use ets_core::note::{CheckpointBody, Note};
use ets_core::tlog::{EntryTooLong, TlogProof, entry_bundle};

use crate::common::{cases, json, member, unhex};

#[test]
fn the_log_of_tessera_has_our_entry_bundles() {
    let log = json("checkpoint/tessera_testdata_log.json");
    let entries: Vec<&str> = cases(&log, "entries", 15).iter().map(|entry| entry.as_str().unwrap()).collect();
    for size in 1..=entries.len() {
        let bundle = entry_bundle(&entries[..size]).unwrap();
        assert_eq!(bundle, unhex(member(&log["entries_bundle_hex_by_size"], &size.to_string())));
    }
    assert_eq!(entry_bundle::<&str>(&[]), Ok(Vec::new()));
}

#[test]
fn an_entry_has_at_most_65535_bytes() {
    let longest = vec![b'x'; 65_535];
    let bundle = entry_bundle(&[&longest[..], b"y"]).unwrap();
    assert_eq!((&bundle[..2], bundle.len()), (&[0xff, 0xff][..], 2 + 65_535 + 2 + 1));
    assert_eq!(entry_bundle(&[&b"y"[..], &[b'x'; 65_536]]), Err(EntryTooLong { bytes: 65_536 }));
}

#[test]
fn the_longest_header_fits_an_entry_many_times_over() {
    let stream = "\"\\".repeat(127) + "\"";
    let header = Header {
        event_id: "019c1c38-cf67-777a-bb9b-3e442a6d3586".parse().unwrap(),
        domain: "d".repeat(64).parse().unwrap(),
        stream: stream.parse().unwrap(),
        sequence: u64::MAX,
        schema_version: format!("{}/4294967295.4294967295.4294967295", "s".repeat(64)).parse().unwrap(),
        key_id: "ff".repeat(32).parse().unwrap(),
        public_key: [0xff; 32],
        previous_hash: Digest([0xff; 32]),
        current_hash: Digest([0xff; 32]),
        signature: ets_core::key::Signature([0xff; 64]),
        timestamp: "9999-12-31T23:59:59.999999Z".parse().unwrap(),
        registry_version: u64::MAX,
    };
    let entry = header.to_jcs();
    assert!(entry.len() < 2000, "{}", entry.len());
    assert_eq!(entry_bundle(&[&entry]).map(|bundle| bundle.len()), Ok(2 + entry.len()));
    // One byte more, or another character that is escaped at length, is no stream.
    assert!((stream.clone() + "x").parse::<ets_core::name::StreamName>().is_err());
    assert!("\u{1f}".parse::<ets_core::name::StreamName>().is_err());
}

#[test]
fn a_proof_is_the_text_of_the_specification() {
    let log = json("checkpoint/tessera_testdata_log.json");
    let entries = cases(&log, "entries", 15);
    let leaves: Vec<Digest> =
        entries.iter().map(|entry| leaf_hash(entry.as_str().unwrap().as_bytes())).collect();
    let tree: MemoryTree = leaves.iter().copied().collect();
    let note = member(&log["checkpoint_by_size"], "5");
    let path = tree.inclusion_proof(4, 5).unwrap();
    let proof = TlogProof { leaf_index: 4, path: &path, note }.to_string();
    // Leaf 4 of 5 has one neighbour: the root over the first four.
    let root_of_four = member(&log["checkpoint_by_size"], "4").lines().nth(2).unwrap();
    assert_eq!(proof, format!("c2sp.org/tlog-proof@v1\nindex 4\n{root_of_four}\n\n{note}"));
    let body: CheckpointBody = note.parse::<Note>().unwrap().text().parse().unwrap();
    assert_eq!(verify_inclusion(&leaves[4], 4, 5, &path, &body.root), Ok(()));
    // The only leaf of a tree is its root: no hash, and the empty line all the same.
    let note = member(&log["checkpoint_by_size"], "1");
    let proof = TlogProof { leaf_index: 0, path: &[], note }.to_string();
    assert_eq!(proof, format!("c2sp.org/tlog-proof@v1\nindex 0\n\n{note}"));
}

#[test]
fn the_tiles_of_the_specification_have_its_widths() {
    // C2SP tlog-tiles, "Partial Tiles": a tree of 70,000, and one of 256.
    let widths = |tree_size, level, tiles: &[u64]| -> Vec<usize> {
        tiles.iter().map(|index| tile_width(tree_size, level, *index)).collect()
    };
    assert_eq!(widths(70_000, 0, &[0, 272, 273, 274]), [256, 256, 112, 0]);
    assert_eq!(widths(70_000, 1, &[0, 1, 2]), [256, 17, 0]);
    assert_eq!(widths(70_000, 2, &[0, 1]), [1, 0]);
    assert_eq!(widths(70_000, 3, &[0]), [0]);
    assert_eq!((widths(256, 0, &[0, 1]), widths(256, 1, &[0, 1])), (vec![256, 0], vec![1, 0]));
}
