//! `ets/ets-bytes.json`: every byte string of a ledger, made by an independent
//! implementation. Its trees, MetaRoots and state roots are tested elsewhere.

use ets_core::canonical::{Limits, Payload, to_jcs};
use ets_core::event::Event;
use ets_core::hash::{encode_bytes, event_hash, genesis_hash, to_hex};
use ets_core::key::{SecretKey, Signature, key_possession_hash};
use serde_json::Value;
use uuid::Uuid;

use crate::common::{bytes, cases, json, member};

const FILE: &str = "ets/ets-bytes.json";

fn ledger_id(file: &Value) -> Uuid {
    Uuid::parse_str(member(file, "ledger_id")).unwrap()
}

#[test]
fn encode() {
    for case in cases(&json(FILE), "encode", 4) {
        let mut out = Vec::new();
        encode_bytes(&mut out, member(case, "in").as_bytes());
        assert_eq!(to_hex(&out), member(case, "hex"));
    }
}

#[test]
fn genesis() {
    let file = json(FILE);
    for case in cases(&file, "genesis", 4) {
        let hash = genesis_hash(
            &ledger_id(&file),
            &member(case, "domain").parse().unwrap(),
            &member(case, "stream").parse().unwrap(),
        );
        assert_eq!(hash.to_string(), member(case, "hash"));
    }
}

#[test]
fn payloads() {
    for case in cases(&json(FILE), "payloads", 11) {
        let text = serde_json::to_string_pretty(&case["payload"]).unwrap();
        let payload = Payload::parse(&text, &Limits::DEFAULT).unwrap();
        assert_eq!(payload.canonical(), member(case, "canonical"));
        assert_eq!(to_hex(payload.canonical().as_bytes()), member(case, "canonical_hex"));
        assert_eq!(to_jcs(&case["payload"]), member(case, "canonical"));
        assert_eq!(Payload::from_value(case["payload"].clone(), &Limits::DEFAULT), Ok(payload));
    }
}

#[test]
fn refused_payloads() {
    for case in cases(&json(FILE), "refused_payload_texts", 8) {
        let text = case.as_str().unwrap();
        assert!(Payload::parse(text, &Limits::CEILING).is_err(), "{text}");
    }
}

#[test]
fn accepted_payloads() {
    for case in cases(&json(FILE), "accepted_payload_texts", 8) {
        let payload = Payload::parse(member(case, "text"), &Limits::DEFAULT).unwrap();
        assert_eq!(payload.canonical(), member(case, "canonical"));
    }
}

#[test]
fn actors() {
    for case in cases(&json(FILE), "actors", 3) {
        let key = SecretKey::from_seed(&bytes(case, "seed")).public_key();
        assert_eq!(key.to_string(), member(case, "public_key"));
        assert_eq!(key.key_id().to_string(), member(case, "key_id"));
    }
}

#[test]
fn events() {
    let file = json(FILE);
    let mut chained = 0;
    let mut heads = std::collections::BTreeMap::new();
    for case in cases(&file, "events", 23) {
        let document = serde_json::to_string(&case["document"]).unwrap();
        let event = Event::parse(&document).unwrap();
        assert_eq!(event.document(), to_jcs(&case["document"]));
        assert_eq!(event.header.leaf_hash().to_string(), member(case, "leaf_hash"));
        assert!(event.check_hash() && event.header.check_key_id() && event.header.check_signature());
        assert_eq!(
            event_hash(event.payload.canonical().as_bytes(), &event.header.previous_hash),
            event.header.current_hash
        );
        // The signers' keys give the same signatures.
        for actor in cases(&file, "actors", 3) {
            let key = SecretKey::from_seed(&bytes(actor, "seed"));
            if key.public_key().as_bytes() == &event.header.public_key {
                assert_eq!(key.sign(&event.header.current_hash), event.header.signature);
                chained += 1;
            }
        }
        let stream = (event.header.domain.clone(), event.header.stream.clone());
        let genesis = genesis_hash(&ledger_id(&file), &stream.0, &stream.1);
        let (sequence, head) =
            heads.insert(stream, (event.header.sequence, event.header.current_hash)).unwrap_or((0, genesis));
        assert_eq!((sequence + 1, head), (event.header.sequence, event.header.previous_hash));
    }
    assert_eq!(chained, 23);
}

#[test]
fn key_possession() {
    let file = json(FILE);
    for case in cases(&file, "key_possession", 1) {
        let (old, new) = (bytes(case, "old"), bytes(case, "new"));
        let hash = key_possession_hash(&ledger_id(&file), &old, &new);
        assert_eq!(hash.to_string(), member(case, "hash"));
        let proof = Signature(bytes(case, "proof"));
        let key = ets_core::key::PublicKey::from_bytes(&new).unwrap();
        assert!(key.verify(&hash, &proof), "the new key's");
        let key = ets_core::key::PublicKey::from_bytes(&old).unwrap();
        assert!(!key.verify(&hash, &proof), "not the old key's");
    }
}
