//! The server's key.

use super::*;

#[test]
fn the_server_key_has_authority_over_audit_alone() {
    let mut book = with_delegate();
    assert!(book.asks(SERVER, 1, "ets.audit", "ets.restore/1.0.0", "main").is_ok());
    assert!(!book.may(SERVER));
    assert!(matches!(
        book.refuse(SERVER, schema("order/1.0.0", "sales", json!(true))),
        RegistryError::Denied(Denial::NoGrant { .. })
    ));
    assert!(matches!(book.refuse(SERVER, rotate(SERVER, 20)), RegistryError::RotatesServerKey { .. }));
}

#[test]
fn statements_are_signed_by_the_server_key_of_their_version() {
    let mut book = Book::new();
    let replaced = book.say(ROOT, payload::server_key(&public(20), "yearly", None));
    let ask = |seed, at| book.asks(seed, at, "ets.audit", "ets.verification/1.0.0", "main");
    assert!(ask(SERVER, replaced - 1).is_ok() && ask(SERVER, replaced).is_err());
    assert!(ask(20, replaced).is_ok() && ask(20, replaced - 1).is_err());
    assert_eq!(book.registry.key(&id(20)).map(|key| key.rotated_from), Some(None));
    assert!(!book.registry.is_root(&id(20), replaced));
}

#[test]
fn rotating_the_server_key_under_local_authority_hands_root_on() {
    let mut book = Book::local();
    book.say(ROOT, payload::server_key(&public(20), "yearly", Some(at(0))));
    assert!(book.registry.is_root(&id(20), book.registry.version()));
    assert!(matches!(book.refuse(ROOT, key(5, "x")), RegistryError::Denied(Denial::Superseded { .. })));
    let old = book.registry.key(&id(ROOT)).expect("old");
    assert_eq!(old.compromised_since, Some(at(0)));
    book.key_by(20, 6, "second");
    book.say(20, grant(6, "ets.registry", "*", "*"));
    // What the old key signed away falls with it; without a server key, another
    // root makes a new one, which does not.
    book.say(6, revoke(ROOT));
    let now = book.registry.version();
    assert!(matches!(
        book.asks(20, now, "ets.audit", "ets.restore/1.0.0", "main"),
        Err(Denial::Revoked { .. })
    ));
    book.say(6, payload::server_key(&public(21), "stolen", None));
    let now = book.registry.version();
    assert!(book.asks(21, now, "ets.audit", "ets.restore/1.0.0", "main").is_ok());
    assert!(!book.registry.is_root(&id(21), now));
}

#[test]
fn a_server_key_replaced_by_another_root_does_not_fall_with_the_stolen_one() {
    let mut book = Book::local();
    book.key(6, "second");
    book.say(ROOT, grant(6, "ets.registry", "*", "*"));
    book.say(6, payload::server_key(&public(21), "stolen", None));
    book.say(6, revoke(ROOT));
    let now = book.registry.version();
    assert!(book.asks(21, now, "ets.audit", "ets.restore/1.0.0", "main").is_ok());
    assert!(book.registry.is_root(&id(21), now));
}
