//! Root.

use super::*;

#[test]
fn only_root_creates_domains_and_registers_and_revokes_keys() {
    let mut book = with_delegate();
    // Even a delegate whose patterns match everything there is, but are not `*`.
    book.key(12, "almost");
    book.say(ROOT, grant(12, "ets.registry", "ets*", "*"));
    assert!(!book.registry.is_root(&id(12), book.registry.version()));
    for seed in [10, 12, 11, SERVER] {
        for payload in [
            payload::domain(&domain("mine"), None, false),
            key(20, "mine"),
            revoke(ROOT),
            revoke(11),
            payload::server_key(&public(20), "mine", None),
        ] {
            let error = book.refuse(seed, payload);
            assert!(matches!(error, RegistryError::Denied(Denial::NotRoot { .. })), "{error}");
        }
    }
}

#[test]
fn a_second_root_key_is_as_good_as_the_first() {
    let mut book = Book::new();
    book.key(5, "second");
    book.say(ROOT, grant(5, "ets.registry", "*", "*"));
    assert_eq!(book.registry.root_keys(book.registry.version()).len(), 2);
    book.say(5, revoke(ROOT));
    book.say(5, key(6, "x"));
    assert!(matches!(book.refuse(ROOT, key(7, "x")), RegistryError::Denied(Denial::Revoked { .. })));
}

#[test]
fn the_last_root_key_cannot_go() {
    let mut book = Book::new();
    assert_eq!(book.refuse(ROOT, revoke(ROOT)), RegistryError::LastRoot);
    assert_eq!(book.refuse(ROOT, ungrant(ROOT, "ets.registry", "*", "*")), RegistryError::LastRoot);
    // A root key that ends some day, or starts some day, does not count.
    let later = payload::key(&public(5), "later", Custody::Actor, Some(at(1000)), None);
    let ending = payload::key(&public(6), "ending", Custody::Actor, None, Some(at(100_000)));
    book.say(ROOT, later);
    book.say(ROOT, ending);
    for seed in [5, 6] {
        book.say(ROOT, grant(seed, "ets.registry", "*", "*"));
        assert_eq!(book.refuse(ROOT, revoke(ROOT)), RegistryError::LastRoot);
    }
    assert_eq!(book.refuse(ROOT, rotate_until(ROOT, 7, Some(at(500)))), RegistryError::LastRoot);
    book.say(ROOT, rotate(ROOT, 7));
    assert_eq!(book.refuse(7, revoke(7)), RegistryError::LastRoot);
    book.now = at(1000);
    book.say(7, revoke(7));
    assert_eq!(book.refuse(5, revoke(5)), RegistryError::LastRoot);
}

#[test]
fn a_key_that_is_registered_is_not_root_by_its_owner() {
    let mut book = Book::new();
    book.key(5, "root");
    assert!(!book.registry.is_root(&id(5), book.registry.version()));
}
