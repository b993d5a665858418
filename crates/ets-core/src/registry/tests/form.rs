//! The first event, and the place and form of every event.

use super::*;

#[test]
fn the_first_event_registers_root_and_server() {
    let book = Book::new();
    let registry = &book.registry;
    assert_eq!((registry.version(), registry.head()), (1, first(ROOT, SERVER).header.current_hash));
    assert_eq!(registry.ledger().ledger_id, ledger_id());
    let root = registry.key(&id(ROOT)).expect("root");
    assert_eq!((root.owner.as_str(), root.custody), ("root", Custody::Actor));
    assert!(registry.is_root(&id(ROOT), 1) && !registry.is_root(&id(ROOT), 0));
    assert!(!registry.is_root(&id(SERVER), 1));
    assert_eq!(registry.grants_of(&id(ROOT), 1).len(), 1);
    assert_eq!(registry.server_key_at(1), Some(&id(SERVER)));
    assert!(book.asks(SERVER, 1, "ets.audit", "ets.verification/1.0.0", "main").is_ok());
    assert!(matches!(
        book.asks(ROOT, 1, "ets.audit", "ets.verification/1.0.0", "main"),
        Err(Denial::NotServerKey { .. })
    ));
    let local = Book::local();
    assert!(local.registry.is_root(&id(ROOT), 1));
    assert_eq!(local.registry.key(&id(ROOT)).map(|key| key.custody), Some(Custody::Server));
    assert!(local.asks(ROOT, 1, "ets.audit", "ets.verification/1.0.0", "main").is_ok());
}

#[test]
fn the_first_event_is_signed_by_the_root_key_that_it_names() {
    let mut forged = first(ROOT, SERVER);
    forged.header.key_id = id(SERVER);
    forged.header.public_key = *public(SERVER).as_bytes();
    assert_eq!(Registry::start(&forged).map_err(|error| error.sqlstate()), Err("ET004"));
    let mut forged = first(ROOT, SERVER);
    forged.header.public_key = *public(SERVER).as_bytes();
    assert_eq!(Registry::start(&forged).map_err(|error| error.sqlstate()), Err("ET004"));
}

#[test]
fn a_ledger_starts_once_from_its_own_genesis_with_nothing_else() {
    let mut book = Book::new();
    let again = first(ROOT, SERVER).payload.into_value();
    assert_eq!(book.refuse(ROOT, again), RegistryError::AlreadyStarted);
    let mut wrong = first(ROOT, SERVER);
    wrong.header.previous_hash = Digest([7; 32]);
    assert!(matches!(Registry::start(&wrong), Err(RegistryError::PreviousHash { .. })));
    let mut wrong = first(ROOT, SERVER);
    wrong.header.registry_version = 1;
    assert!(matches!(Registry::start(&wrong), Err(RegistryError::RegistryVersion { .. })));
    let mut wrong = first(ROOT, SERVER);
    wrong.header.sequence = 2;
    assert!(matches!(Registry::start(&wrong), Err(RegistryError::Sequence { .. })));
    let genesis = first(ROOT, SERVER).header.previous_hash;
    let other = sign(ROOT, key(5, "x"), genesis, 1, at(0));
    assert_eq!(Registry::start(&other).map_err(|error| error.sqlstate()), Err("ET013"));
    for (member, value) in [
        ("specification", json!("1.0")),
        ("algorithm", json!("rsa")),
        ("origin", json!("")),
        ("ledger_id", json!("X")),
        ("root_public_key", json!("00".repeat(32))),
        ("extra", json!(1)),
    ] {
        let payload = set(first(ROOT, SERVER).payload.into_value(), member, value);
        assert!(Registry::start(&sign(ROOT, payload, genesis, 1, at(0))).is_err(), "{member}");
    }
}

// Place and form of every event.

#[test]
fn a_registry_event_follows_the_one_before() {
    let mut book = Book::new();
    let good = book.next(ROOT, key(5, "x"));
    let altered = |change: &dyn Fn(&mut Header)| {
        let mut event = good.clone();
        change(&mut event.header);
        book.registry.check(&event).map_err(|error| error.sqlstate())
    };
    assert_eq!(altered(&|_| {}), Ok(()));
    assert_eq!(altered(&|header| header.sequence = 3), Err("ET010"));
    assert_eq!(altered(&|header| header.sequence = 1), Err("ET010"));
    assert_eq!(altered(&|header| header.registry_version = 0), Err("ET010"));
    assert_eq!(altered(&|header| header.registry_version = 2), Err("ET010"));
    assert_eq!(altered(&|header| header.previous_hash = Digest([0; 32])), Err("ET005"));
    assert_eq!(altered(&|header| header.domain = DomainName::audit()), Err("ET010"));
    assert_eq!(altered(&|header| header.stream = "side".parse().expect("a stream")), Err("ET010"));
    assert_eq!(altered(&|header| header.schema_version = version("ets.verification/1.0.0")), Err("ET006"));
    assert_eq!(altered(&|header| header.schema_version = version("order/1.0.0")), Err("ET006"));
    book.say(ROOT, key(5, "x"));
    assert_eq!(book.registry.check(&good).map_err(|error| error.sqlstate()), Err("ET010"));
}

#[test]
fn no_registry_event_is_read_as_another_kind() {
    let book = with_delegate();
    for payload in [grant(11, "sales", "*", "*"), key(5, "x"), revoke(11), rotate(ROOT, 6)] {
        let honest = book.next(ROOT, payload);
        assert_eq!(book.registry.check(&honest), Ok(()));
        for kind in Kind::ALL {
            let mut relabelled = honest.clone();
            relabelled.header.schema_version = version(kind.as_str());
            if relabelled != honest {
                let error = book.registry.check(&relabelled).map_err(|error| error.sqlstate());
                assert_eq!(error, Err("ET007"), "{}", kind.as_str());
            }
        }
    }
}

#[test]
fn payloads_are_closed_and_optional_members_are_absent_not_null() {
    let mut book = Book::new();
    for (member, value) in [
        ("extra", json!(1)),
        ("not_after", json!(null)),
        ("owner", json!(null)),
        ("owner", json!("")),
        ("custody", json!("nobody")),
        ("algorithm", json!("ecdsa")),
        ("public_key", json!(public(5).to_string().to_uppercase())),
        ("not_before", json!("2026-02-30T00:00:00.000000Z")),
        ("not_before", json!("2026-02-02T02:40:01Z")),
    ] {
        assert_eq!(book.refuse(ROOT, set(key(5, "x"), member, value)).sqlstate(), "ET007", "{member}");
    }
    for payload in [json!({"schema_version": "ets.key/1.0.0"}), json!(["ets.key/1.0.0"]), json!(null)] {
        assert_eq!(book.refuse(ROOT, payload).sqlstate(), "ET007");
    }
    assert_eq!(book.refuse(ROOT, set(key(5, "x"), "public_key", json!("00".repeat(32)))).sqlstate(), "ET003");
}
