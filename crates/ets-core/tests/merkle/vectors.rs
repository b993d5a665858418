//! Published vectors of trees and proofs. Each test states how many it ran.

use data_encoding::BASE64;
use ets_core::hash::{Digest, leaf_hash, node_hash, sha256};
use ets_core::merkle::{
    MemoryTree, inclusion_proof, root_of, shape, tile_path, verify_consistency, verify_inclusion,
};
use serde_json::Value;

use crate::common::{json, text, unhex};

#[test]
fn inclusion_proofs_of_transparency_dev() {
    let (mut valid, mut refused, mut malformed) = (0, 0, 0);
    for line in text("merkle/inclusion.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let want_error = case["wantErr"].as_bool().unwrap();
        let (Some(leaf), Some(root), Some(proof)) =
            (base64_hash(&case["leafHash"]), base64_hash(&case["root"]), base64_proof(&case["proof"]))
        else {
            assert!(want_error, "{line}");
            malformed += 1;
            continue;
        };
        let (index, size) = (case["leafIdx"].as_u64().unwrap(), case["treeSize"].as_u64().unwrap());
        let verdict = verify_inclusion(&leaf, index, size, &proof, &root);
        assert_eq!(verdict.is_err(), want_error, "{verdict:?} {line}");
        *if want_error { &mut refused } else { &mut valid } += 1;
    }
    assert_eq!((valid, refused, malformed), (6, 66, 26));
}

#[test]
fn consistency_proofs_of_transparency_dev() {
    let (mut valid, mut refused, mut malformed) = (0, 0, 0);
    for line in text("merkle/consistency.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let want_error = case["wantErr"].as_bool().unwrap();
        let (Some(from_root), Some(to_root), Some(proof)) =
            (base64_hash(&case["root1"]), base64_hash(&case["root2"]), base64_proof(&case["proof"]))
        else {
            // Equal roots that are no hashes: only where a hash has no fixed size.
            let file = case["file"].as_str().unwrap();
            assert!(want_error || file.ends_with("sizes-are-equal-one-and-proof-is-empty.json"), "{line}");
            malformed += 1;
            continue;
        };
        let (from, to) = (case["size1"].as_u64().unwrap(), case["size2"].as_u64().unwrap());
        let verdict = verify_consistency(from, to, &proof, &from_root, &to_root);
        assert_eq!(verdict.is_err(), want_error, "{verdict:?} {line}");
        *if want_error { &mut refused } else { &mut valid } += 1;
    }
    assert_eq!((valid, refused, malformed), (5, 66, 27));
}

#[test]
fn the_reference_tree_of_certificate_transparency() {
    let vectors = json("merkle/rfc6962_reference_trees.json");
    let inputs = list(&vectors["leaf_inputs_hex"]);
    let leaves: Vec<Digest> = inputs.iter().map(|input| leaf_hash(&unhex(input.as_str().unwrap()))).collect();
    let rows = list(&vectors["node_hashes_hex"]);
    assert_eq!(hashes(&rows[0]), leaves);
    for (below, above) in rows.iter().zip(&rows[1..]) {
        let parents: Vec<Digest> =
            hashes(below).chunks(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
        assert_eq!(hashes(above), parents);
    }
    let roots = hashes(&vectors["root_hashes_hex_by_size"]);
    assert_eq!((leaves.len(), roots.len()), (8, 9));
    let tree: MemoryTree = leaves.iter().copied().collect();
    for (size, root) in roots.iter().enumerate() {
        assert_eq!(root_of(&leaves[..size]), *root);
        assert_eq!(tree.root(size as u64), Ok(*root));
    }
}

#[test]
fn all_roots_and_proofs_to_130_leaves() {
    let vectors = json("merkle/rfc6962_accumulated_130.json");
    let tree: MemoryTree = (0..130).map(|n| leaf_hash(&[n])).collect();
    let line = |from: u64, to: u64, proof: Vec<Digest>| {
        let hashes: String = proof.iter().map(|hash| format!(" {hash}")).collect();
        format!("{from} {to}{hashes}\n")
    };
    let (mut roots, mut inclusion, mut consistency) = (String::new(), String::new(), String::new());
    for size in 0..=130 {
        roots += &format!("{size} {}\n", tree.root(size).unwrap());
        for index in 0..size {
            inclusion += &line(size, index, tree.inclusion_proof(index, size).unwrap());
            consistency += &line(index + 1, size, tree.consistency_proof(index + 1, size).unwrap());
        }
    }
    for (name, text) in [("roots", roots), ("inclusion", inclusion), ("consistency", consistency)] {
        let expected = vectors["accumulators"][name]["sha256"].as_str().unwrap();
        assert_eq!(sha256(&[text.as_bytes()]).to_string(), expected, "{name}");
    }
}

#[test]
fn the_trees_of_the_ledger_vectors() {
    let vectors = json("ets/ets-bytes.json");
    let mut cases = 0;
    for (name, tree) in vectors["trees"].as_object().unwrap() {
        let (leaves, roots) = (hashes(&tree["leaves"]), hashes(&tree["roots"]));
        let stored: MemoryTree = leaves.iter().copied().collect();
        for (size, root) in roots.iter().enumerate() {
            assert_eq!(stored.root(size as u64), Ok(*root), "{name} {size}");
            cases += 1;
        }
        for case in list(&tree["inclusion"]) {
            let (index, size) = (case["leaf_index"].as_u64().unwrap(), case["tree_size"].as_u64().unwrap());
            let proof = hashes(&case["proof"]);
            assert_eq!(
                inclusion_proof(&mut &stored, index, size).as_ref(),
                Ok(&proof),
                "{name} {index} {size}"
            );
            let (leaf, root) = (&leaves[index as usize], &roots[size as usize]);
            assert_eq!(verify_inclusion(leaf, index, size, &proof, root), Ok(()), "{name} {index} {size}");
            cases += 1;
        }
        for case in list(&tree["consistency"]) {
            let (from, to) = (case["from_size"].as_u64().unwrap(), case["to_size"].as_u64().unwrap());
            let proof = hashes(&case["proof"]);
            assert_eq!(stored.consistency_proof(from, to).as_ref(), Ok(&proof), "{name} {from} {to}");
            let (from_root, to_root) = (&roots[from as usize], &roots[to as usize]);
            assert_eq!(
                verify_consistency(from, to, &proof, from_root, to_root),
                Ok(()),
                "{name} {from} {to}"
            );
            cases += 1;
        }
    }
    assert_eq!(cases, 9 + 36 + 36 + 16 + 120 + 120);
}

#[test]
fn tiles_have_the_places_that_c2sp_gives_them() {
    let vectors = json("checkpoint/tlog_tiles_examples.json");
    let mut cases = 0;
    for case in list(&vectors["paths"]) {
        let (index, path) = (case["N"].as_u64().unwrap(), case["encoded"].as_str().unwrap());
        assert_eq!(tile_path(0, index, 256), format!("tile/0/{path}"));
        assert_eq!(tile_path(2, index, 17), format!("tile/2/{path}.p/17"));
        cases += 1;
    }
    for case in list(&vectors["tile_counts"]) {
        let levels = shape(case["tree_size"].as_u64().unwrap());
        for (name, expected) in case.as_object().unwrap() {
            let Some((level, what)) = name.strip_prefix("level").and_then(|rest| rest.split_once('_')) else {
                continue;
            };
            let level = levels[level.parse::<usize>().unwrap()];
            let actual = match what {
                "full" => level.full_tiles,
                "partial_width" => level.partial_width as u64,
                other => panic!("{other}"),
            };
            assert_eq!(Some(actual), expected.as_u64(), "{name}");
            cases += 1;
        }
    }
    assert_eq!(cases, 11);
    assert_eq!(
        (tile_path(0, 0, 256), tile_path(1, 1000, 1)),
        ("tile/0/000".into(), "tile/1/x001/000.p/1".into())
    );
}

/// A JSON array.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn hashes(value: &Value) -> Vec<Digest> {
    list(value).iter().map(|hash| hash.as_str().unwrap().parse().unwrap()).collect()
}

fn base64_hash(value: &Value) -> Option<Digest> {
    let bytes = BASE64.decode(value.as_str()?.as_bytes()).ok()?;
    Digest::try_from(bytes.as_slice()).ok()
}

fn base64_proof(value: &Value) -> Option<Vec<Digest>> {
    value.as_array().map_or(Some(Vec::new()), |proof| proof.iter().map(base64_hash).collect())
}
