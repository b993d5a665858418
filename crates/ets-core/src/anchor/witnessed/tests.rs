use super::*;
use crate::checkpoint::DomainRoot;
use crate::hash::Digest;
use crate::key::SecretKey;
use crate::note::{NoteError, sign_checkpoint};
use data_encoding::BASE64;

fn key(seed: u8) -> (SecretKey, WitnessKey) {
    let secret = SecretKey::from_seed(&[seed; 32]);
    let name = format!("witness.example/{seed}").parse().unwrap();
    let key = WitnessKey { name, public_key: secret.public_key() };
    (secret, key)
}

fn statement(sizes: &[(&str, u64)]) -> AnchorStatement {
    let root = |&(domain, tree_size): &(&str, u64)| DomainRoot {
        domain: domain.parse().unwrap(),
        tree_size,
        root: Digest([7; 32]),
    };
    AnchorStatement::new(
        "019c1c38-0000-7000-8000-000000000001".parse().unwrap(),
        "acme.example/prod".parse().unwrap(),
        7,
        "019c1c39-8cbe-74f4-a014-ffe5d747b220".parse().unwrap(),
        sizes.iter().map(root).collect(),
    )
    .unwrap()
}

/// The statement's notes, signed by the ledger alone.
fn notes(statement: &AnchorStatement) -> Vec<Note> {
    let server = SecretKey::from_seed(&[9; 32]);
    let sign = |root| sign_checkpoint(statement.origin(), root, statement.meta_root(), &server);
    statement.domain_roots().iter().map(|root| sign(root).parse().unwrap()).collect()
}

/// What the witness answers, as tlog-cosignature has it.
fn answer(secret: &SecretKey, key: &WitnessKey, time: u64, note: &Note) -> String {
    let message = format!("cosignature/v1\ntime {time}\n{}", note.text());
    let mut bytes = key.hash().to_vec();
    bytes.extend(time.to_be_bytes());
    bytes.extend(secret.sign_message(message.as_bytes()).0);
    format!("— {} {}\n", key.name, BASE64.encode(&bytes))
}

/// The statement's notes, cosigned by the witnesses of these seeds, the first at time 1, the next at time 2.
fn cosigned(statement: &AnchorStatement, seeds: &[u8]) -> Vec<Note> {
    let mut notes = notes(statement);
    for (seed, time) in seeds.iter().zip(1..) {
        let (secret, key) = key(*seed);
        for note in &mut notes {
            let lines = answer(&secret, &key, time, note);
            *note = key.add_cosignature(note, &lines).unwrap().0;
        }
    }
    notes
}

fn policy(seeds: &[u8], quorum: usize) -> Result<WitnessPolicy, PolicyError> {
    WitnessPolicy::new(seeds.iter().map(|seed| key(*seed).1).collect(), quorum)
}

#[test]
fn a_quorum_must_cosign_every_domain() {
    let statement = statement(&[("orders", 3), ("ets.registry", 2)]);
    let of = |quorum, notes| WitnessedCheckpoint { policy: policy(&[1, 2, 3], quorum).unwrap(), notes };
    let two = cosigned(&statement, &[1, 3]);
    assert_eq!(of(1, two.clone()).verify(&statement), Ok(1));
    assert_eq!(of(2, two.clone()).verify(&statement), Ok(2));
    let missed = QuorumError { valid: 2, quorum: 3, witnesses: 3 };
    let first = statement.domain_roots()[0].domain.clone();
    assert_eq!(of(3, two.clone()).verify(&statement), Err(WitnessedError::Quorum(first, missed)));
    // One domain's note that only one cosigned.
    let mut uneven = two.clone();
    uneven[1] = cosigned(&statement, &[1]).remove(1);
    assert!(matches!(of(2, uneven).verify(&statement), Err(WitnessedError::Quorum(..))));
    // A witness that is none of the policy's.
    let stranger = cosigned(&statement, &[1, 4]);
    assert!(matches!(of(2, stranger).verify(&statement), Err(WitnessedError::Quorum(..))));
    // A domain left out, and the order changed.
    let fewer = of(1, two[..1].to_vec());
    assert_eq!(fewer.verify(&statement), Err(WitnessedError::Notes { notes: 1, domains: 2 }));
    let swapped = of(1, two.iter().rev().cloned().collect());
    assert!(matches!(swapped.verify(&statement), Err(WitnessedError::OtherNote(_))));
}

#[test]
fn the_notes_are_those_of_the_statement() {
    let (this, later) = (statement(&[("orders", 3)]), statement(&[("orders", 4)]));
    let evidence = WitnessedCheckpoint { policy: policy(&[1], 1).unwrap(), notes: cosigned(&this, &[1]) };
    assert_eq!(evidence.verify(&this), Ok(1));
    let other = "orders".parse().unwrap();
    assert_eq!(evidence.verify(&later), Err(WitnessedError::OtherNote(other)));
    let nothing = statement(&[]);
    let empty = WitnessedCheckpoint { notes: Vec::new(), ..evidence };
    assert_eq!(empty.check_notes(&nothing), Ok(()));
    assert!(empty.verify(&nothing).is_err(), "nothing was cosigned");
    // Cosigned, but without a signature under the ledger's name.
    let mut unsigned = cosigned(&this, &[1]).remove(0);
    unsigned.retain(|name, _| name.as_str().starts_with("witness"));
    let unsigned = WitnessedCheckpoint { notes: vec![unsigned], ..empty };
    assert!(matches!(unsigned.verify(&this), Err(WitnessedError::OtherNote(_))));
}

#[test]
fn an_answer_gives_one_cosignature_of_the_witness_that_was_asked() {
    let this = statement(&[("orders", 3)]);
    let note = notes(&this).remove(0);
    let ((secret, witness), (other_secret, other)) = (key(1), key(2));
    let (right, strange) = (answer(&secret, &witness, 5, &note), answer(&other_secret, &other, 6, &note));
    let (added, time) = witness.add_cosignature(&note, &format!("{strange}{right}{right}")).unwrap();
    assert_eq!((time, added.to_string()), (5, format!("{note}{right}")));
    // Once more replaces it.
    let again = answer(&secret, &witness, 8, &note);
    assert_eq!(witness.add_cosignature(&added, &again).unwrap().0.to_string(), format!("{note}{again}"));
    assert_eq!(witness.add_cosignature(&note, &strange), Err(NoteError::NotSigned));
    let replayed = answer(&secret, &witness, 5, &notes(&statement(&[("orders", 2)])).remove(0));
    assert_eq!(witness.add_cosignature(&note, &replayed), Err(NoteError::Signature));
    for garbled in ["<html>\n", right.trim_end(), &right.repeat(100), &format!("\n{right}"), "— \n"] {
        assert_eq!(witness.add_cosignature(&note, garbled), Err(NoteError::Note), "{garbled}");
    }
    assert!(witness.add_cosignature(&note, "").is_err());
}

#[test]
fn evidence_is_its_canonical_text_and_no_other() {
    let this = statement(&[("orders", 3), ("ets.registry", 2)]);
    let evidence =
        WitnessedCheckpoint { policy: policy(&[2, 1], 2).unwrap(), notes: cosigned(&this, &[1, 2]) };
    let text = evidence.to_jcs().unwrap();
    assert_eq!(WitnessedCheckpoint::parse(&text), Ok(evidence));
    for (from, to) in [
        ("\"quorum\":2", "\"quorum\":3"),
        ("\"quorum\":2", "\"quorum\":0"),
        ("\"quorum\":2", "\"quorum\": 2"),
        ("\"quorum\":2", "\"quorum\":-2"),
        ("\"quorum\":2,", ""),
        ("\"quorum\":2", "\"quorum\":2,\"z\":1"),
        ("witness.example/1+", "witness.example/1"),
        ("{\"notes\":[\"", "{\"notes\":[\"x"),
        ("{\"notes\":[", "{\"notes\":[7,"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        let found = WitnessedCheckpoint::parse(&changed).and_then(|read| read.verify(&this));
        assert!(found.is_err(), "{changed}");
    }
    for text in ["", "[]", "{}", "{\"notes\":[],\"quorum\":1,\"witnesses\":[]}"] {
        assert!(WitnessedCheckpoint::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_policy_is_named_by_its_keys() {
    let two = policy(&[1, 2], 2).unwrap();
    assert_eq!(two, policy(&[2, 1], 2).unwrap());
    let name = two.to_string();
    assert!(name.starts_with("2-of-2 ") && name.len() == "2-of-2 12345678".len(), "{name}");
    assert_ne!(policy(&[1, 3], 2).unwrap().to_string(), name);
    assert_eq!(policy(&[1, 1], 1), Err(PolicyError::Twice));
    assert_eq!(policy(&[1, 2], 0), Err(PolicyError::Quorum { quorum: 0, witnesses: 2 }));
    assert_eq!(policy(&[1, 2], 3), Err(PolicyError::Quorum { quorum: 3, witnesses: 2 }));
    let many: Vec<u8> = (0..33).collect();
    assert_eq!(policy(&many, 1), Err(PolicyError::TooMany));
}
