//! Grants and delegates.

use super::*;

#[test]
fn a_grant_covers_domain_schema_and_stream() {
    let mut book = with_delegate();
    book.say(ROOT, grant(11, "sales", "order/1.*", "eu-*"));
    let now = book.registry.version();
    let ask = |place, schema, stream| book.asks(11, now, place, schema, stream).is_ok();
    assert!(ask("sales", "order/1.0.0", "eu-1") && ask("sales", "order/1.20.3", "eu-"));
    assert!(!ask("sales", "order/2.0.0", "eu-1") && !ask("sales", "order/1.0.0", "us-1"));
    assert!(!ask("stock", "order/1.0.0", "eu-1") && !ask("ets.registry", "ets.grant/1.0.0", "main"));
    assert!(matches!(book.asks(11, now, "sales", "order/1.0.0", "us-1"), Err(Denial::NoGrant { .. })));
    // Root has authority over the registry, not over what others append.
    assert!(book.asks(ROOT, now, "sales", "order/1.0.0", "eu-1").is_err());
}

#[test]
fn a_grant_names_a_domain_and_a_live_key_that_exist() {
    let mut book = with_delegate();
    assert!(matches!(book.refuse(ROOT, grant(11, "absent", "*", "*")), RegistryError::UnknownDomain { .. }));
    assert!(matches!(book.refuse(ROOT, grant(99, "sales", "*", "*")), RegistryError::UnknownKey { .. }));
    book.say(ROOT, revoke(11));
    assert!(matches!(book.refuse(ROOT, grant(11, "sales", "*", "*")), RegistryError::DeadKey { .. }));
    for (member, value) in [("schemas", "or*der"), ("schemas", "order"), ("streams", "a**"), ("streams", "")]
    {
        let payload = set(grant(10, "sales", "*", "*"), member, json!(value));
        assert_eq!(book.refuse(ROOT, payload).sqlstate(), "ET007", "{value}");
    }
    let payload = set(grant(10, "ets.registry", "*", "*"), "streams", json!("not a domain"));
    assert_eq!(book.refuse(ROOT, payload).sqlstate(), "ET007");
}

#[test]
fn audit_is_never_granted_and_the_server_key_is_granted_nothing() {
    let mut book = with_delegate();
    assert_eq!(book.refuse(ROOT, grant(11, "ets.audit", "*", "*")), RegistryError::GrantOverAudit);
    for place in ["sales", "ets.registry"] {
        let error = book.refuse(ROOT, grant(SERVER, place, "*", "*"));
        assert!(matches!(error, RegistryError::GrantToServerKey { .. }), "{error}");
    }
}

#[test]
fn a_delegate_registers_retires_grants_and_revokes_inside_its_scope() {
    let mut book = with_delegate();
    book.say(10, schema("order/1.0.0", "sales", json!(true)));
    book.say(10, grant(11, "sales", "*", "*"));
    assert!(book.may(11));
    book.say(10, ungrant(11, "sales", "*", "*"));
    assert!(!book.may(11));
    book.say(10, payload::schema_retirement(&version("order/1.0.0"), "old"));
    book.say(ROOT, schema("part/1.0.0", "stock", json!(true)));
    book.say(ROOT, grant(11, "stock", "*", "*"));
    for payload in [
        schema("item/1.0.0", "stock", json!(true)),
        payload::schema_retirement(&version("part/1.0.0"), "mine"),
        grant(11, "stock", "*", "*"),
        ungrant(11, "stock", "*", "*"),
    ] {
        let error = book.refuse(10, payload);
        assert!(matches!(error, RegistryError::Denied(Denial::OutsideScope { .. })), "{error}");
    }
}

#[test]
fn a_delegate_signs_the_kinds_of_its_grant_only() {
    let mut book = with_delegate();
    book.key(12, "schemer");
    book.say(ROOT, grant(12, "ets.registry", "ets.schema/*", "*"));
    book.say(12, schema("order/1.0.0", "sales", json!(true)));
    for payload in [grant(11, "sales", "*", "*"), payload::schema_retirement(&version("order/1.0.0"), "x")] {
        assert!(matches!(book.refuse(12, payload), RegistryError::Denied(Denial::NoGrant { .. })));
    }
    // Kind of one grant and domain of another do not add up.
    book.say(ROOT, grant(12, "ets.registry", "ets.grant/*", "stock"));
    assert!(matches!(
        book.refuse(12, grant(11, "sales", "*", "*")),
        RegistryError::Denied(Denial::OutsideScope { .. })
    ));
    book.say(12, grant(11, "stock", "*", "*"));
}

#[test]
fn a_delegate_cannot_widen_itself_through_a_second_key_of_its_owner() {
    let mut book = with_delegate();
    book.key(12, "dora");
    for seed in [10, 12] {
        let error = book.refuse(10, grant(seed, "sales", "*", "*"));
        assert_eq!(
            (error.sqlstate(), matches!(error, RegistryError::GrantToOwnOwner { .. })),
            ("ET016", true)
        );
    }
    // Nor through a key that it rotates to.
    book.say(10, rotate(10, 13));
    assert!(matches!(book.refuse(13, grant(12, "sales", "*", "*")), RegistryError::GrantToOwnOwner { .. }));
    book.say(13, grant(11, "sales", "*", "*"));
}

#[test]
fn a_delegate_cannot_grant_or_revoke_anything_over_the_registry() {
    let mut book = with_delegate();
    // Not even one that may act for every domain.
    book.key(12, "everywhere");
    book.say(ROOT, grant(12, "ets.registry", "ets.*", "*"));
    for seed in [10, 12] {
        for payload in [
            grant(11, "ets.registry", "*", "*"),
            grant(11, "ets.registry", "ets.grant/*", "sales"),
            ungrant(ROOT, "ets.registry", "*", "*"),
            ungrant(10, "ets.registry", "*", "*"),
        ] {
            let error = book.refuse(seed, payload);
            assert!(matches!(error, RegistryError::Denied(Denial::NotRoot { .. })), "{error}");
        }
    }
}

#[test]
fn a_grant_revocation_ends_every_live_grant_that_it_covers() {
    let mut book = with_delegate();
    book.say(ROOT, grant(11, "sales", "order/1.*", "*"));
    book.say(ROOT, grant(11, "sales", "order/2.0.0", "eu-*"));
    book.say(ROOT, grant(11, "sales", "item/*", "*"));
    book.say(ROOT, grant(11, "stock", "order/1.*", "*"));
    let before = book.registry.version();
    book.say(ROOT, ungrant(11, "sales", "order/*", "*"));
    let now = book.registry.version();
    assert!(book.asks(11, before, "sales", "order/1.0.0", "main").is_ok());
    assert!(book.asks(11, now, "sales", "order/1.0.0", "main").is_err());
    assert!(book.asks(11, now, "sales", "order/2.0.0", "eu-1").is_err());
    assert!(book.asks(11, now, "sales", "item/1.0.0", "main").is_ok());
    assert!(book.asks(11, now, "stock", "order/1.0.0", "main").is_ok());
    // An ended grant is not there to be revoked.
    assert!(matches!(
        book.refuse(ROOT, ungrant(11, "sales", "order/*", "*")),
        RegistryError::NoSuchGrant { .. }
    ));
    book.say(ROOT, ungrant(11, "sales", "*", "*"));
    book.say(ROOT, grant(11, "sales", "order/1.*", "*"));
    assert!(book.may(11));
}

#[test]
fn a_revocation_of_nothing_or_of_a_part_is_refused() {
    let mut book = with_delegate();
    book.say(ROOT, grant(11, "sales", "order/*", "eu-*"));
    book.say(ROOT, grant(11, "sales", "item/*", "eu-*"));
    for (schemas, streams) in [("part/*", "*"), ("*", "us-*"), ("order/*", "us"), ("orde/1.0.0", "*")] {
        let error = book.refuse(ROOT, ungrant(11, "sales", schemas, streams));
        assert_eq!((error.sqlstate(), matches!(error, RegistryError::NoSuchGrant { .. })), ("ET011", true));
    }
    for (schemas, streams) in
        [("order/1.*", "*"), ("order/*", "eu-1"), ("*", "eu-1*"), ("order/1.0.0", "eu-1")]
    {
        let error = book.refuse(ROOT, ungrant(11, "sales", schemas, streams));
        assert_eq!((error.sqlstate(), matches!(error, RegistryError::PartOfGrant { .. })), ("ET016", true));
    }
    // One covered, another in part: nothing ends.
    book.say(ROOT, grant(11, "sales", "*", "main"));
    assert!(matches!(
        book.refuse(ROOT, ungrant(11, "sales", "item/*", "*")),
        RegistryError::PartOfGrant { .. }
    ));
    assert!(matches!(book.refuse(ROOT, ungrant(99, "sales", "*", "*")), RegistryError::UnknownKey { .. }));
    book.say(ROOT, ungrant(11, "sales", "*", "*"));
}
