use super::*;
use crate::hash::from_hex;

/// From the examples of the reference client: the file `Hello World!`, in block 358391.
const HELLO_WORLD: &[u8] = include_bytes!("examples/hello-world.txt.ots");
/// From the same: one branch waits for a calendar, the other leads to an unknown notary.
const UNKNOWN_NOTARY: &[u8] = include_bytes!("examples/known-and-unknown-notary.txt.ots");
/// The header of Bitcoin's block 358391, of difficulty 48,807,487,244.
const BLOCK_358391: &str = "02000000b96394585a281b7e5f438fd1c9ed492645a1fd61cb38020400000000000000\
    00007ee445d23ad061af4a36b809501fab1ac4f2d7e7a739817dd0cbb7ec661b8a1e376755f58616186272def6";
/// The header of Bitcoin's first block, of difficulty 1.
const GENESIS: &str = "010000000000000000000000000000000000000000000000000000000000000000000000\
    3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c";
const NONCE: [u8; 16] = [7; 16];

fn headers() -> BlockHeaders {
    BlockHeaders::parse(&format!("358391 {BLOCK_358391}\n"), 48_000_000_000).unwrap()
}

fn digest() -> Digest {
    sha256(&[b"a statement"])
}

/// A tree that says one thing.
fn attested(attestation: Attestation) -> Timestamp {
    let mut bytes = vec![0];
    let (tag, payload) = match attestation {
        Attestation::Pending(uri) => {
            let mut payload = Vec::new();
            wire::write_counted(&mut payload, uri.as_bytes());
            ([0x83, 0xdf, 0xe3, 0x0d, 0x2e, 0xf9, 0x0c, 0x8e], payload)
        }
        Attestation::Bitcoin(height) => {
            let mut payload = Vec::new();
            write_number(&mut payload, u64::from(height));
            ([0x05, 0x88, 0x96, 0x0d, 0x73, 0xd7, 0x19, 0x01], payload)
        }
        Attestation::Unknown(tag, payload) => (tag, payload),
    };
    bytes.extend(tag);
    wire::write_counted(&mut bytes, &payload);
    Timestamp::read(&mut Reader::new(&bytes), &Message::Known(vec![1])).unwrap()
}

/// As a calendar answers.
fn bytes(timestamp: &Timestamp) -> Vec<u8> {
    let mut out = Vec::new();
    timestamp.write(&mut out);
    out
}

fn pending(calendar: &str) -> Timestamp {
    attested(Attestation::Pending(calendar.to_owned()))
}

/// A header with this Merkle root, mined at the easiest target.
fn mine(merkle_root: &Digest) -> [u8; 80] {
    let mut header = [0; 80];
    header[36..68].copy_from_slice(&merkle_root.0);
    header[68..72].copy_from_slice(&1_800_000_000_u32.to_le_bytes());
    header[72..76].copy_from_slice(&0x207f_ffff_u32.to_le_bytes());
    for nonce in 0_u32.. {
        header[76..].copy_from_slice(&nonce.to_le_bytes());
        if BlockHeader::new(header, 0).is_ok() {
            break;
        }
    }
    header
}

fn line(height: u32, header: &[u8]) -> String {
    format!("{height} {}\n", crate::hash::to_hex(header))
}

/// What [`HELLO_WORLD`] proves of the Bitcoin transaction in it. Its first operation is
/// RIPEMD-160, which is not computed here; so this proof begins with the transaction.
fn transaction() -> Vec<u8> {
    let ripemd160: [u8; 20] = from_hex("1df8859e60bc679503d16dcb870e6ce91a57e9df").unwrap();
    // 65 bytes of header and digest; then 03, f1 c801 and 200 bytes, f0 06 and 6 bytes, 08.
    let (prefix, suffix) = (&HELLO_WORLD[69..269], &HELLO_WORLD[271..277]);
    let digest = sha256(&[prefix, &ripemd160, suffix]);
    [MAGIC, &[1, 8], &digest.0, &HELLO_WORLD[278..]].concat()
}

#[test]
fn a_published_proof_leads_to_its_block() {
    let proof = Proof::parse(HELLO_WORLD).unwrap();
    assert_eq!(proof.digest(), &sha256(&[b"Hello World!\n"]));
    assert_eq!(proof.to_bytes(), HELLO_WORLD);
    assert_eq!(proof.standing(&headers()), Standing::Pending, "RIPEMD-160 is not computed");
    let proof = Proof::parse(&transaction()).unwrap();
    assert_eq!(proof.standing(&headers()), Standing::Attested { height: 358_391, time: 1_432_827_678 });
    assert_eq!(proof.standing(&BlockHeaders::default()), Standing::HeaderMissing { height: 358_391 });
    let other = BlockHeaders::parse(&format!("358391 {GENESIS}"), 1).unwrap();
    assert_eq!(proof.standing(&other), Standing::Contradicted { height: 358_391 });
    assert_eq!(proof.clone().without_contradicted(&headers()).as_ref(), Some(&proof));
    assert_eq!(proof.without_contradicted(&other), None);
}

#[test]
fn what_is_pending_or_unknown_proves_nothing() {
    let proof = Proof::parse(UNKNOWN_NOTARY).unwrap();
    assert_eq!(proof.to_bytes(), UNKNOWN_NOTARY);
    assert_eq!(proof.standing(&headers()), Standing::Pending);
    let promises = proof.promises();
    assert_eq!(promises.len(), 1);
    assert_eq!(promises[0].calendar, "https://bob.btc.calendar.opentimestamps.org");
    // Behind a hash function that is not computed here, even the right root proves nothing.
    for operation in [Operation::Sha1, Operation::Ripemd160, Operation::Keccak256] {
        let below = Timestamp::below(Operation::Sha256, attested(Attestation::Bitcoin(358_391)));
        let answer = bytes(&Timestamp::below(operation, below));
        let proof = Proof::submitted(digest(), &NONCE, &answer).unwrap();
        assert_eq!(proof.standing(&headers()), Standing::Pending);
        assert_eq!(Proof::parse(&proof.to_bytes()), Ok(proof));
    }
}

/// The whole story: a promise, its fulfilment, and the block.
#[test]
fn a_promise_is_fulfilled() {
    const CALENDAR: &str = "https://calendar.example";
    let promised = Timestamp::below(Operation::Append(vec![9; 8]), pending(CALENDAR));
    let proof = Proof::submitted(digest(), &NONCE, &bytes(&promised)).unwrap();
    let submission = Proof::submission(&digest(), &NONCE);
    let commitment = [&submission.0[..], &[9; 8]].concat();
    let promise = Promise { calendar: CALENDAR.to_owned(), commitment: commitment.clone() };
    assert_eq!(proof.promises(), std::slice::from_ref(&promise));
    assert_eq!(proof.standing(&headers()), Standing::Pending);

    let answer = |sibling: u8| {
        let below = Timestamp::below(Operation::Sha256, attested(Attestation::Bitcoin(5)));
        bytes(&Timestamp::below(Operation::Prepend(vec![sibling; 32]), below))
    };
    let root = sha256(&[&[1; 32], &commitment]);
    let headers = BlockHeaders::parse(&line(5, &mine(&root)), 0).unwrap();
    let fulfilled = proof.clone().fulfilled(&promise, &answer(1)).unwrap();
    assert_eq!(fulfilled.standing(&headers), Standing::Attested { height: 5, time: 1_800_000_000 });
    assert_eq!(fulfilled.promises(), std::slice::from_ref(&promise));
    // An answer about something else changes the root.
    let wrong = proof.clone().fulfilled(&promise, &answer(2)).unwrap();
    assert_eq!(wrong.standing(&headers), Standing::Contradicted { height: 5 });
    assert_eq!(wrong.without_contradicted(&headers), Some(proof.clone()));
    // A promise that nobody made is fulfilled nowhere.
    let other = Promise { calendar: "https://other.example".to_owned(), commitment };
    assert_eq!(proof.clone().fulfilled(&other, &answer(1)), Ok(proof));
}

#[test]
fn operations_are_those_of_the_library() {
    let message = Message::Known(vec![0x01, 0xab]);
    for (operation, result) in [
        (Operation::Append(vec![2]), vec![0x01, 0xab, 2]),
        (Operation::Prepend(vec![2]), vec![2, 0x01, 0xab]),
        (Operation::Reverse, vec![0xab, 0x01]),
        (Operation::Hexlify, b"01ab".to_vec()),
        (Operation::Sha256, sha256(&[&[0x01, 0xab]]).0.to_vec()),
    ] {
        assert_eq!(operation.apply(&message), Ok(Message::Known(result)), "{operation:?}");
    }
    let long = Message::Known(vec![0; 4096]);
    assert_eq!(Operation::Append(vec![0]).apply(&long), Err(ProofError::Length));
    assert_eq!(Operation::Hexlify.apply(&long), Err(ProofError::Length));
    assert_eq!(Operation::Hexlify.apply(&Message::Opaque(2049)), Err(ProofError::Length));
}

#[test]
fn limits_hold() {
    let refused = |answer: &[u8]| Proof::submitted(digest(), &NONCE, answer).unwrap_err();
    // Two operations are there already.
    let deep = |depth: usize| [vec![0xf2; depth], bytes(&pending("x"))].concat();
    assert!(Proof::submitted(digest(), &NONCE, &deep(253)).is_ok());
    assert_eq!(refused(&deep(254)), ProofError::Depth);
    let wide = |branches: usize| {
        let branch = [&[0xff, 0xf2][..], &bytes(&pending("x"))].concat();
        [branch.repeat(branches), bytes(&pending("x"))].concat()
    };
    let file = |content: &[u8]| [MAGIC, &[1, 8], &[0; 32][..], content].concat();
    assert!(Proof::parse(&file(&wide(10_000))).is_ok());
    assert_eq!(Proof::parse(&file(&wide(10_001))), Err(ProofError::Size));
    assert_eq!(Proof::parse(&vec![0; Proof::MAX_BYTES + 1]), Err(ProofError::Size));
    assert_eq!(refused(&[0; Proof::MAX_ANSWER_BYTES + 1]), ProofError::Size);
    for (answer, error) in [
        (&b""[..], ProofError::Truncated),
        (b"\x08", ProofError::Truncated),
        (b"<html>", ProofError::Operation(b'<')),
        (b"\xf0\x00", ProofError::Length),
        (b"\xf0\x80\x00", ProofError::Number),
        (b"\xf0\x81\x20", ProofError::Length),
        (b"\xf0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", ProofError::Number),
        (b"\x00\x83\xdf\xe3\x0d\x2e\xf9\x0c\x8e\x03\x02a?", ProofError::Uri),
        (b"\x00\x83\xdf\xe3\x0d\x2e\xf9\x0c\x8e\x03\x01aa", ProofError::Trailing),
        (b"\x00\x05\x88\x96\x0d\x73\xd7\x19\x01\x05\xff\xff\xff\xff\x10", ProofError::Number),
        (b"\x00\x06\x86\x9a\x0d\x73\xd7\x1b\x45\x00", ProofError::Truncated),
    ] {
        let found = Proof::submitted(digest(), &NONCE, answer);
        let found = if error == ProofError::Trailing { Err(refused(answer)) } else { found };
        assert_eq!(found, Err(error), "{answer:x?}");
    }
    let mut sha1 = file(&bytes(&pending("x")));
    assert!(Proof::parse(&sha1).is_ok());
    sha1[32] = 2;
    assert_eq!(Proof::parse(&sha1), Err(ProofError::FileHash));
    sha1[31] = 2;
    assert_eq!(Proof::parse(&sha1), Err(ProofError::Version));
    assert_eq!(Proof::parse(&sha1[1..]), Err(ProofError::Magic));
}

/// Each byte of a proof changed in each bit: never a panic, and never a proof of
/// another digest in the same block.
#[test]
fn a_changed_proof_proves_nothing_else() {
    let (headers, good) = (headers(), transaction());
    let digest = *Proof::parse(&good).unwrap().digest();
    let mut attested = Vec::new();
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut changed = good.clone();
            changed[at] ^= 1 << bit;
            let Ok(proof) = Proof::parse(&changed) else { continue };
            if matches!(proof.standing(&headers), Standing::Attested { .. }) {
                assert_eq!(proof.digest(), &digest, "byte {at}, bit {bit}");
                attested.push((at, bit));
            }
        }
        assert!(Proof::parse(&good[..at]).is_err(), "{at}");
    }
    // Bitcoin pairs an odd last node with itself: to append it is to prepend it.
    assert_eq!(attested, [(390, 0)]);
    let longer = [good.as_slice(), &[0]].concat();
    assert_eq!(Proof::parse(&longer), Err(ProofError::Trailing));
    // Another digest in front of the same operations.
    let mut other = good.clone();
    other[33..65].copy_from_slice(&[0; 32]);
    let other = Proof::parse(&other).unwrap();
    assert_ne!(other.digest(), &digest);
    assert_eq!(other.standing(&headers), Standing::Contradicted { height: 358_391 });
}

#[test]
fn a_header_needs_its_work() {
    let genesis: [u8; 80] = from_hex(GENESIS).unwrap();
    let header = BlockHeader::new(genesis, 1).unwrap();
    let mut hash = header.hash().0;
    hash.reverse();
    assert_eq!(
        crate::hash::to_hex(&hash),
        "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
    );
    assert_eq!(header.time(), 1_231_006_505);
    let easy = HeaderError::Difficulty { bits: 0x1d00_ffff, minimum: 2 };
    assert_eq!(BlockHeader::new(genesis, 2), Err(easy));
    let block: [u8; 80] = from_hex(BLOCK_358391).unwrap();
    assert!(BlockHeader::new(block, 48_807_487_244).is_ok());
    assert!(BlockHeader::new(block, 48_807_487_245).is_err());
    assert!(BlockHeader::new(block, DEFAULT_MINIMUM_DIFFICULTY).is_err());
    assert!(BlockHeader::new(block, u64::MAX).is_err());
    for at in 0..72 {
        let mut changed = block;
        changed[at] ^= 1;
        assert_eq!(BlockHeader::new(changed, 0), Err(HeaderError::Work), "{at}");
    }
    let with_bits = |bits: u32| {
        let mut changed = block;
        changed[72..76].copy_from_slice(&bits.to_le_bytes());
        BlockHeader::new(changed, 0)
    };
    for none in [0, 0x0200_ffff, 0x2100_ffff, 0x1d80_ffff, 0x1d00_0000, u32::MAX] {
        assert_eq!(with_bits(none), Err(HeaderError::Target), "{none:x}");
    }
    // Whoever eases the target in the header itself is found out by the minimum alone.
    let easy = mine(&digest());
    assert!(BlockHeader::new(easy, 0).is_ok());
    assert!(matches!(BlockHeader::new(easy, 1), Err(HeaderError::Difficulty { .. })));
}

#[test]
fn a_file_of_headers_has_one_for_each_height() {
    let text = format!("# from a node\n\n0 {GENESIS}\r\n358391  {BLOCK_358391}\n0 {GENESIS}\n");
    let headers = BlockHeaders::parse(&text, 1).unwrap();
    assert_eq!(headers.get(0).unwrap().time(), 1_231_006_505);
    assert_eq!(headers.get(358_391).unwrap().time(), 1_432_827_678);
    assert_eq!(headers.get(1), None);
    let genesis = GENESIS.to_uppercase();
    for (text, says) in [
        (format!("0 {GENESIS}\n0 {BLOCK_358391}"), "line 2: block 0 has another header"),
        (format!("-1 {GENESIS}"), "line 1 is not HEIGHT"),
        (format!("0 {genesis}"), "line 1 is not HEIGHT"),
        (format!("0 {}", &GENESIS[2..]), "line 1 is not HEIGHT"),
        (format!("\n0{GENESIS}"), "line 2 is not HEIGHT"),
        (format!("0 {}", GENESIS.replacen('1', "2", 1)), "line 1: the header's hash is above"),
        ("0".to_owned(), "line 1 is not HEIGHT"),
    ] {
        let error = BlockHeaders::parse(&text, 1).unwrap_err();
        assert!(error.starts_with(says), "{error}");
    }
    assert!(BlockHeaders::parse(&text, 2).unwrap_err().contains("below the minimum of 2"));
}
