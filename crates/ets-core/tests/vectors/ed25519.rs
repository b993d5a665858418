//! Who accepts which signature: RFC 8032, Wycheproof, speccheck, CCTV and the
//! original test vectors, against the strict verdict.

use ets_core::hash::Digest;
use ets_core::key::{Claim, KeyError, KnownKeys, PublicKey, SecretKey, Signature, verify_strict};

use crate::common::{bytes, cases, json, member, text, unhex};

/// The verdict of [`verify_strict`]; a signature of another length is none.
fn verdict(public_key: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    signature.try_into().is_ok_and(|signature: &[u8; 64]| {
        let accepted = verify_strict(public_key, message, signature);
        // A parsed key gives the same answer, and no key that cannot be registered verifies anything.
        if let Ok(key) = PublicKey::from_bytes(public_key) {
            assert_eq!(key.verify_message(message, &Signature(*signature)), accepted);
            // And so often that it gets its table of multiples.
            let mut known = KnownKeys::default();
            let signature = &Signature(*signature);
            for _ in 0..40 {
                assert_eq!(known.verify(public_key, message, signature), Ok(accepted));
                let claim = Claim { public_key, message, signature };
                assert_eq!(known.verify_each(&[claim]), [Ok(accepted)]);
            }
        }
        accepted
    })
}

#[test]
fn rfc_8032() {
    for case in cases(&json("ed25519/rfc8032_section7_1.json"), "vectors", 5) {
        let key = SecretKey::from_seed(&bytes(case, "secret_key"));
        let message = unhex(member(case, "message"));
        assert_eq!(key.public_key().as_bytes(), &bytes::<32>(case, "public_key"));
        assert_eq!(key.sign_message(&message).0, bytes::<64>(case, "signature"));
        assert!(verdict(key.public_key().as_bytes(), &message, &bytes::<64>(case, "signature")));
    }
}

#[test]
fn wycheproof() {
    let file = json("ed25519/wycheproof_ed25519_test.json");
    let (mut valid, mut invalid) = (0, 0);
    for group in cases(&file, "testGroups", 78) {
        let key = bytes(&group["publicKey"], "pk");
        for case in group["tests"].as_array().unwrap() {
            let expected = member(case, "result") == "valid";
            let signature = unhex(member(case, "sig"));
            assert_eq!(verdict(&key, &unhex(member(case, "msg")), &signature), expected, "{}", case["tcId"]);
            *if expected { &mut valid } else { &mut invalid } += 1;
        }
    }
    assert_eq!((valid, invalid), (88, 63));
}

#[test]
fn speccheck() {
    let file = json("ed25519/speccheck_cases.json");
    let verdicts: String = file
        .as_array()
        .unwrap()
        .iter()
        .map(|case| {
            let message = unhex(member(case, "message"));
            if verdict(&bytes(case, "pub_key"), &message, &bytes::<64>(case, "signature")) {
                'V'
            } else {
                'X'
            }
        })
        .collect();
    assert_eq!(verdicts, "XXXVXXXXXXXX");
}

#[test]
fn cctv() {
    let file = json("ed25519/cctv_ed25519vectors.json");
    let cases = file.as_array().unwrap();
    let mut accepted = 0;
    for case in cases {
        // `flags` is null where there are none.
        let harmless =
            case["flags"].as_array().into_iter().flatten().all(|flag| {
                ["low_order_component_A", "low_order_component_R"].contains(&flag.as_str().unwrap())
            });
        let valid = verdict(&bytes(case, "key"), member(case, "msg").as_bytes(), &bytes::<64>(case, "sig"));
        assert_eq!(valid, harmless, "{}", case["number"]);
        accepted += usize::from(valid);
    }
    assert_eq!((cases.len(), accepted), (914, 43));
}

/// `sk||pk : pk : message : signature||message :`, in hex.
#[test]
fn the_first_128_of_the_original_vectors() {
    let mut count = 0;
    for line in text("ed25519/dalek_TESTVECTORS.txt").lines() {
        let fields: Vec<Vec<u8>> = line.split(':').take(4).map(unhex).collect();
        let [secret, public, message, signed] = fields.as_slice() else { panic!("{line}") };
        let key = SecretKey::from_seed(secret[..32].try_into().unwrap());
        assert_eq!(key.public_key().as_bytes().as_slice(), public);
        assert_eq!(key.sign_message(message).0, signed[..64]);
        assert!(verdict(key.public_key().as_bytes(), message, &signed[..64]));
        count += 1;
    }
    assert_eq!(count, 128);
}

#[test]
fn a_changed_bit_is_noticed() {
    let key = SecretKey::from_seed(&[7; 32]);
    let (public, hash) = (key.public_key(), Digest([9; 32]));
    let signature = key.sign(&hash);
    assert!(public.verify(&hash, &signature));
    for bit in 0..512 {
        let mut other = signature;
        other.0[bit / 8] ^= 1 << (bit % 8);
        assert!(!public.verify(&hash, &other), "bit {bit} of the signature");
    }
    for bit in 0..256 {
        let mut other = hash;
        other.0[bit / 8] ^= 1 << (bit % 8);
        assert!(!public.verify(&other, &signature), "bit {bit} of the hash");
    }
}

#[test]
fn keys_that_anybody_can_sign_for_are_refused() {
    // 1 + 2^255, 2^255 - 19 and the identity: all of small order, two in no canonical encoding.
    let mut small = [0; 32];
    for (first, last, rest) in [(0, 0, 0), (1, 0, 0), (1, 0x80, 0), (0xee, 0x7f, 0xff), (0xed, 0x7f, 0xff)] {
        small.fill(rest);
        (small[0], small[31]) = (first, last);
        assert_eq!(PublicKey::from_bytes(&small), Err(KeyError::Weak), "{small:?}");
    }
    // y = 2: no x on the curve belongs to it.
    small.fill(0);
    small[0] = 2;
    assert_eq!(PublicKey::from_bytes(&small), Err(KeyError::NotAPoint));
    // y = p + k for the k that are points: the second spellings of y = k.
    let mut refused = 0;
    for k in 2..19 {
        for sign in [0, 0x80] {
            let mut spelling = [0xff; 32];
            spelling[0] = 0xed + k;
            spelling[31] = 0x7f | sign;
            match PublicKey::from_bytes(&spelling) {
                Err(KeyError::NotCanonical) => refused += 1,
                Err(KeyError::NotAPoint) => {}
                other => panic!("{other:?} for y = p + {k}"),
            }
        }
    }
    assert_eq!(refused, 20);
}
