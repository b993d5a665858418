//! Keys.

use super::*;

#[test]
fn a_public_key_is_registered_once_for_ever() {
    let mut book = with_delegate();
    let taken = |book: &mut Book, payload: Value| {
        let error = book.refuse(ROOT, payload);
        assert_eq!((error.sqlstate(), matches!(error, RegistryError::KeyTaken { .. })), ("ET010", true));
    };
    // Two owners never share a key; nor does one register it again.
    taken(&mut book, key(11, "another"));
    taken(&mut book, key(11, "clerk"));
    taken(&mut book, key(ROOT, "x"));
    taken(&mut book, key(SERVER, "x"));
    taken(&mut book, payload::server_key(&public(11), "x", None));
    taken(&mut book, rotate(ROOT, 11));
    book.say(ROOT, revoke(11));
    taken(&mut book, key(11, "clerk"));
    // An owner may hold several.
    book.key(14, "dora");
}

#[test]
fn a_weak_key_is_not_registered() {
    let mut book = Book::new();
    // The identity (small order), and a y that is no coordinate of a point.
    for bytes in [format!("01{}", "00".repeat(31)), format!("02{}", "00".repeat(31)), "ff".repeat(32)] {
        let payload = set(key(5, "x"), "public_key", json!(bytes));
        assert_eq!(book.refuse(ROOT, payload).sqlstate(), "ET003");
    }
}

#[test]
fn a_key_is_valid_from_its_first_moment_to_its_last() {
    let mut book = Book::new();
    book.domain("sales");
    book.say(ROOT, payload::key(&public(5), "x", Custody::Actor, Some(at(100)), Some(at(200))));
    book.say(ROOT, grant(5, "sales", "*", "*"));
    for (moment, valid) in [(99, false), (100, true), (200, true), (201, false)] {
        book.now = at(moment);
        assert_eq!(book.may(5), valid, "{moment}");
    }
    let backwards = payload::key(&public(6), "x", Custody::Actor, Some(at(200)), Some(at(100)));
    assert!(matches!(book.refuse(ROOT, backwards), RegistryError::NeverValid { .. }));
}

#[test]
fn revocation_is_final_and_history_stands() {
    let mut book = with_delegate();
    book.say(ROOT, grant(11, "sales", "*", "*"));
    let before = book.registry.version();
    let revoked = book.say(ROOT, payload::key_revocation(&id(11), "lost", Some(at(-5))));
    let ask = |at| book.asks(11, at, "sales", "order/1.0.0", "main");
    // Judged at the version that an event names, however late.
    assert!(ask(before).is_ok());
    assert!(matches!(ask(before - 1), Err(Denial::NoGrant { .. })));
    assert!(matches!(ask(1), Err(Denial::NotYetRegistered { .. })));
    assert!(matches!(ask(revoked), Err(Denial::Revoked { .. })));
    assert!(matches!(ask(u64::MAX), Err(Denial::Revoked { .. })));
    assert!(book.registry.grants_of(&id(11), revoked).is_empty());
    assert_eq!(book.registry.grants_of(&id(11), before).len(), 1);
    assert_eq!(book.registry.key(&id(11)).and_then(|key| key.compromised_since), Some(at(-5)));
    assert!(matches!(book.refuse(ROOT, revoke(11)), RegistryError::DeadKey { .. }));
    assert!(matches!(book.refuse(ROOT, revoke(99)), RegistryError::UnknownKey { .. }));
    assert!(matches!(book.refuse(11, rotate(11, 20)), RegistryError::Denied(Denial::Revoked { .. })));
}

#[test]
fn the_given_public_key_is_the_registered_one() {
    let book = with_delegate();
    let other = public(10);
    let request = Request {
        key_id: id(11),
        public_key: other.as_bytes(),
        timestamp: book.now,
        domain: &domain("sales"),
        schema_version: &version("order/1.0.0"),
        stream: &StreamName::main(),
    };
    assert_eq!(book.registry.authorize(6, &request), Err(Denial::OtherPublicKey { key_id: id(11) }));
    assert!(matches!(book.asks(99, 6, "sales", "a/1.0.0", "main"), Err(Denial::UnknownKey { .. })));
}

#[test]
fn a_rotation_hands_owner_and_grants_to_the_new_key() {
    let mut book = with_delegate();
    book.say(ROOT, grant(11, "sales", "*", "*"));
    let rotated = book.say(11, rotate(11, 20));
    assert!(book.may(20) && !book.may(11));
    assert!(book.asks(11, rotated - 1, "sales", "order/1.0.0", "main").is_ok());
    let (old, new) = (book.registry.key(&id(11)).expect("old"), book.registry.key(&id(20)).expect("new"));
    assert_eq!((new.owner.as_str(), new.rotated_from), ("clerk", Some(id(11))));
    assert_eq!((old.superseded_at, old.superseded_by, old.revoked_at), (Some(rotated), Some(id(20)), None));
    assert!(matches!(book.refuse(11, rotate(11, 21)), RegistryError::Denied(Denial::Superseded { .. })));
    // A key without any grant may rotate itself too.
    book.key(12, "bare");
    book.say(12, rotate(12, 22));
    // And root stays root.
    book.say(ROOT, rotate(ROOT, 23));
    assert!(book.registry.is_root(&id(23), book.registry.version()));
    assert!(!book.registry.is_root(&id(ROOT), book.registry.version()));
}

#[test]
fn a_key_rotates_itself_only_with_the_new_keys_consent() {
    let mut book = with_delegate();
    for seed in [10, ROOT] {
        let error = book.refuse(seed, rotate(11, 20));
        assert!(matches!(error, RegistryError::Denied(Denial::NotItself { .. })), "{error}");
    }
    for wrong in [proof(10, 20, ledger_id()), proof(11, 21, ledger_id()), proof(11, 20, Uuid::nil())] {
        let payload = payload::key_rotation(&id(11), &public(20), &wrong, None);
        assert!(matches!(book.refuse(11, payload), RegistryError::BadProof { .. }));
    }
}

#[test]
fn a_rotation_never_outlives_the_old_key() {
    let mut book = Book::new();
    book.say(ROOT, payload::key(&public(5), "x", Custody::Server, None, Some(at(100))));
    assert!(matches!(
        book.refuse(5, rotate_until(5, 6, Some(at(101)))),
        RegistryError::OutlivesOldKey { .. }
    ));
    book.say(5, rotate(5, 6));
    let new = book.registry.key(&id(6)).expect("new");
    assert_eq!((new.not_after, new.custody), (Some(at(100)), Custody::Server));
    book.say(6, rotate_until(6, 7, Some(at(50))));
    assert_eq!(book.registry.key(&id(7)).and_then(|key| key.not_after), Some(at(50)));
    book.now = at(51);
    assert!(matches!(book.refuse(7, rotate(7, 8)), RegistryError::Denied(Denial::Expired { .. })));
}

#[test]
fn a_thiefs_rotation_falls_with_the_stolen_key() {
    let mut book = with_delegate();
    book.say(ROOT, grant(11, "sales", "*", "*"));
    book.say(11, rotate(11, 20));
    book.say(20, rotate(20, 21));
    assert!(book.may(21));
    // The stolen key is retired, and can be revoked all the same.
    let revoked = book.say(ROOT, revoke(11));
    assert!(!book.may(21) && !book.may(20));
    for seed in [11, 20, 21] {
        assert_eq!(book.registry.key(&id(seed)).and_then(|key| key.revoked_at), Some(revoked));
    }
    assert!(matches!(book.refuse(21, rotate(21, 22)), RegistryError::Denied(Denial::Revoked { .. })));
    assert!(matches!(book.refuse(ROOT, grant(21, "sales", "*", "*")), RegistryError::DeadKey { .. }));
}

#[test]
fn revoking_a_rotated_key_leaves_what_it_was_rotated_out_of() {
    let mut book = with_delegate();
    book.say(11, rotate(11, 20));
    book.say(ROOT, revoke(20));
    assert_eq!(book.registry.key(&id(11)).and_then(|key| key.revoked_at), None);
    // But not alive.
    assert!(matches!(book.refuse(11, rotate(11, 21)), RegistryError::Denied(Denial::Superseded { .. })));
}

#[test]
fn a_lock_out_by_revoking_roots_ancestor_is_refused() {
    let mut book = Book::new();
    book.say(ROOT, rotate(ROOT, 5));
    assert_eq!(book.refuse(5, revoke(ROOT)), RegistryError::LastRoot);
    book.key_by(5, 6, "second");
    book.say(5, grant(6, "ets.registry", "*", "*"));
    book.say(6, revoke(ROOT));
    assert!(!book.registry.is_root(&id(5), book.registry.version()));
}
