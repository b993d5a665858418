//! MetaRoots, state roots and signed notes.

use data_encoding::BASE64;
use ets_core::checkpoint::{DomainRoot, DomainRootsError, domain_roots_from_value, meta_root};
use ets_core::hash::{Digest, leaf_hash, sha256};
use ets_core::key::SecretKey;
use ets_core::merkle::{Frontier, MemoryTree, hashes_from_bytes, root_of};
use ets_core::name::Origin;
use ets_core::note::{
    CheckpointBody, Note, NoteError, NoteName, VerifierKey, open_checkpoint, sign_checkpoint,
};
use ets_core::state::{StreamState, state_hash, state_root};

use crate::common::{json, unhex};
use crate::vectors::list;

#[test]
fn meta_roots_of_the_ledger_vectors() {
    let vectors = json("ets/ets-bytes.json");
    let version = vectors["version"].as_str().unwrap();
    let cases = list(&vectors["meta_roots"]);
    for case in cases {
        let id = case["checkpoint_event_id"].as_str().unwrap().parse().unwrap();
        let mut roots = domain_roots_from_value(&case["domains"]).unwrap();
        let expected: Digest = case["meta_root"].as_str().unwrap().parse().unwrap();
        assert_eq!(meta_root(version, &id, &roots), Ok(expected));
        roots.reverse();
        assert_eq!(meta_root(version, &id, &roots), Ok(expected));
        if let Some(first) = roots.first().cloned() {
            let domain = first.domain.clone();
            roots.push(first);
            assert_eq!(meta_root(version, &id, &roots), Err(DomainRootsError::Duplicate(domain)));
        }
    }
    assert_eq!(cases.len(), 4);
}

#[test]
fn state_roots_of_the_ledger_vectors() {
    let vectors = json("ets/ets-bytes.json");
    let cases = list(&vectors["state_roots"]);
    for case in cases {
        let states: Vec<StreamState> = list(&case["rows"])
            .iter()
            .map(|row| StreamState {
                stream: row["stream"].as_str().unwrap().parse().unwrap(),
                sequence: row["sequence"].as_u64().unwrap(),
                state_hash: state_hash(&row["state"]),
            })
            .collect();
        let expected: Digest = case["state_root"].as_str().unwrap().parse().unwrap();
        assert_eq!(state_root(&states), Ok(expected));
    }
    assert_eq!(cases.len(), 3);
}

#[test]
fn published_notes_verify_and_are_signed_alike() {
    let vectors = json("checkpoint/signed_note_and_checkpoint.json");
    let mut signed = 0;
    let cases = list(&vectors["signed_notes"]);
    for case in cases {
        let (text, note) = (case["text"].as_str().unwrap(), case["note"].as_str().unwrap());
        let key: VerifierKey = case["vkey"].as_str().unwrap().parse().unwrap();
        assert_eq!(case["vkey"], key.to_string());
        let parsed: Note = note.parse().unwrap();
        assert_eq!((parsed.text(), parsed.to_string().as_str()), (text, note));
        assert_eq!(parsed.verify(&key), Ok(()));
        if let Some(secret) = case["published_test_skey"].as_str() {
            // `PRIVATE+KEY+<name>+<key hash>+<base64>`, and base64 may have a `+`.
            let base64 = secret.splitn(5, '+').nth(4).unwrap();
            let bytes = BASE64.decode(base64.as_bytes()).unwrap();
            let secret = SecretKey::from_seed(bytes[1..].try_into().unwrap());
            assert_eq!(secret.public_key(), key.public_key);
            assert_eq!(Note::signed(text.to_owned(), key.name, &secret).to_string(), note);
            signed += 1;
        }
    }
    assert_eq!((cases.len(), signed), (2, 1));
}

#[test]
fn checkpoint_bodies_are_read_strictly() {
    let vectors = json("checkpoint/signed_note_and_checkpoint.json");
    let bodies = &vectors["checkpoint_bodies"];
    for body in list(&bodies["valid"]).iter().map(|body| body.as_str().unwrap()) {
        let parsed: CheckpointBody = body.parse().unwrap();
        assert_eq!(parsed.to_string(), body);
        for bad in
            [body.replace('\n', "\r\n"), body.trim_end().into(), format!("{body}\n"), format!(" \n{body}")]
        {
            assert_eq!(bad.parse::<CheckpointBody>(), Err(NoteError::Body), "{bad:?}");
        }
    }
    for body in list(&bodies["invalid"]) {
        assert_eq!(body.as_str().unwrap().parse::<CheckpointBody>(), Err(NoteError::Body), "{body}");
    }
    assert_eq!((list(&bodies["valid"]).len(), list(&bodies["invalid"]).len()), (2, 6));
}

#[test]
fn the_log_of_tessera_has_our_roots_tiles_and_notes() {
    let vectors = json("checkpoint/tessera_testdata_log.json");
    let key: VerifierKey = vectors["vkey"].as_str().unwrap().parse().unwrap();
    let leaves: Vec<Digest> =
        list(&vectors["entries"]).iter().map(|entry| leaf_hash(entry.as_str().unwrap().as_bytes())).collect();
    let tree: MemoryTree = leaves.iter().copied().collect();
    let mut cases = 0;
    for (size, note) in vectors["checkpoint_by_size"].as_object().unwrap() {
        let count: usize = size.parse().unwrap();
        let note: Note = note.as_str().unwrap().parse().unwrap();
        assert_eq!(note.verify(&key), Ok(()));
        let body: CheckpointBody = note.text().parse().unwrap();
        assert_eq!(
            (body.origin.as_str(), body.tree_size, body.root),
            (key.name.as_str(), count as u64, root_of(&leaves[..count]))
        );
        assert_eq!(tree.root(count as u64), Ok(body.root));
        let mut frontier = Frontier::default();
        leaves[..count].iter().for_each(|leaf| frontier.append(*leaf));
        let tiles = frontier.finish().tiles;
        match vectors["tile_hex_by_size"].get(size) {
            Some(stored) => {
                let stored = unhex(stored.as_str().unwrap());
                assert_eq!(tiles.len(), 1);
                assert_eq!(tiles[0].to_bytes(), stored);
                assert_eq!(hashes_from_bytes(&stored).as_ref(), Ok(&tiles[0].hashes));
            }
            None => assert!(tiles.is_empty()),
        }
        cases += 1;
    }
    assert_eq!(cases, 16);
}

#[test]
fn a_checkpoint_note_opens_for_its_domain_and_key_only() {
    let key = SecretKey::from_seed(&[7; 32]);
    let origin: Origin = "acme.example/prod".parse().unwrap();
    let root =
        DomainRoot { domain: "decisions".parse().unwrap(), tree_size: u64::MAX, root: sha256(&[b"a root"]) };
    let meta = sha256(&[b"a MetaRoot"]);
    let note = sign_checkpoint(&origin, &root, &meta, &key);
    let public = key.public_key();
    let name = "acme.example/prod/decisions";
    let line = |hash: &Digest| BASE64.encode(hash.as_bytes());
    let text = format!("{name}\n{}\n{}\nets-metaroot {}\n", u64::MAX, line(&root.root), line(&meta));
    assert!(note.starts_with(&format!("{text}\n— {name} ")));
    assert_eq!(open_checkpoint(&note, &origin, &root.domain, &public), Ok((root.clone(), meta)));
    assert_eq!(
        note.parse::<Note>().unwrap().verify(&VerifierKey::of_domain(&origin, &root.domain, &public)),
        Ok(())
    );

    let other_domain = "agents".parse().unwrap();
    let other_origin = "acme.example/test".parse().unwrap();
    let other_key = SecretKey::from_seed(&[8; 32]);
    let open = |note: &str| open_checkpoint(note, &origin, &root.domain, &public);
    assert_eq!(open_checkpoint(&note, &origin, &other_domain, &public), Err(NoteError::NotSigned));
    assert_eq!(open_checkpoint(&note, &other_origin, &root.domain, &public), Err(NoteError::NotSigned));
    assert_eq!(
        open_checkpoint(&note, &origin, &root.domain, &other_key.public_key()),
        Err(NoteError::NotSigned)
    );
    assert_eq!(
        open(&note.replacen("18446744073709551615", "18446744073709551614", 1)),
        Err(NoteError::Signature)
    );

    // Signed by the right key, and yet no checkpoint note of this domain.
    let signed =
        |text: String| Note::signed(text, NoteName::of_domain(&origin, &root.domain), &key).to_string();
    assert_eq!(open(&signed(text.clone())), Ok((root.clone(), meta)));
    assert_eq!(open(&signed(text.replacen("decisions", "agents", 1))), Err(NoteError::Origin));
    for bad in [
        text.replace("ets-metaroot ", "ets-metaroot  "),
        text.replace("ets-metaroot ", "other "),
        text.lines().take(3).map(|line| format!("{line}\n")).collect(),
        format!("{text}more\n"),
        text.replacen("1844", "01844", 1),
        text.replacen("1844", "9844", 1),
        "text\n".to_owned(),
    ] {
        assert_eq!(open(&signed(bad.clone())), Err(NoteError::Body), "{bad}");
    }

    // A witness's signature beside ours is fine; a second, bad one of ours is not.
    let (_, signature) = note.rsplit_once("\n\n").unwrap();
    let witness = signed_line(&Note::signed(text.clone(), "witness.example".parse().unwrap(), &other_key));
    assert_eq!(open(&format!("{note}{witness}")), Ok((root.clone(), meta)));
    let forged = signed_line(&Note::signed("x\n".into(), NoteName::of_domain(&origin, &root.domain), &key));
    assert_eq!(open(&format!("{note}{forged}")), Err(NoteError::Signature));
    assert_eq!(open(&format!("{text}\n{}", witness.repeat(101))), Err(NoteError::Note));
    assert_eq!(open(&format!("{text}\n{}{signature}", witness.repeat(99))), Ok((root.clone(), meta)));

    for bad in [
        String::new(),
        text.clone(),
        format!("{text}\n"),
        format!("\n\n{signature}"),
        note.trim_end().to_owned(),
        note.replace('\n', "\r\n"),
        note.replace('—', "-"),
        note.replacen("acme", "ac\u{1}me", 1),
        note.replace("=\n", "\n"),
        format!("{note}— {name} AAAA\n"),
        format!("{note}— a+b AAAAAAAA\n"),
        format!("{note}— {name}  AAAAAAAA\n"),
        format!("{note}— {name}\n"),
        format!("{note}\n"),
    ] {
        assert_eq!(open(&bad).unwrap_err(), NoteError::Note, "{bad:?}");
    }
    // Not even one bit of it can change.
    for at in 0..note.len() {
        let mut bytes = note.clone().into_bytes();
        bytes[at] ^= 1;
        assert!(String::from_utf8(bytes).map_or(true, |changed| open(&changed).is_err()), "byte {at}");
    }
}

#[test]
fn a_verifier_key_has_one_spelling() {
    let vectors = json("checkpoint/signed_note_and_checkpoint.json");
    let key = vectors["signed_notes"][0]["vkey"].as_str().unwrap();
    let weak = [&[1, 1][..], &[0; 31]].concat();
    for bad in [
        String::new(),
        key.replace('+', "-"),
        key.replace("c74f20a3", "C74F20A3"),
        key.replace("c74f20a3", "c74f20a4"),
        key.replace("c74f20a3", "c74f20a30"),
        key.replace("+A", "+B"),
        format!("{key}="),
        format!(" {key}"),
        format!("{key}\n"),
        format!("weak+00000000+{}", BASE64.encode(&weak)),
    ] {
        assert!(bad.parse::<VerifierKey>().is_err(), "{bad:?}");
    }
    for (name, valid) in
        [("a", true), ("é/b", true), ("", false), ("a b", false), ("a+b", false), ("a\u{a0}b", false)]
    {
        assert_eq!(name.parse::<NoteName>().is_ok(), valid, "{name:?}");
    }
}

fn signed_line(note: &Note) -> String {
    note.to_string().rsplit_once("\n\n").unwrap().1.to_owned()
}
