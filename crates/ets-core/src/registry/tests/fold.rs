//! The fold.

use super::*;

#[test]
fn a_later_registry_answers_for_every_earlier_version() {
    let mut book = with_delegate();
    let mut past = vec![book.registry.clone()];
    let steps: Vec<(u8, Value)> = vec![
        (10, grant(11, "sales", "order/*", "*")),
        (11, rotate(11, 20)),
        (10, grant(20, "sales", "item/*", "*")),
        (10, ungrant(20, "sales", "order/*", "*")),
        (ROOT, key(12, "x")),
        (10, rotate(10, 13)),
        (13, grant(12, "sales", "*", "eu-*")),
        (ROOT, revoke(11)),
        (ROOT, payload::server_key(&public(30), "r", None)),
        (ROOT, rotate(ROOT, 31)),
        (31, revoke(10)),
    ];
    for (seed, payload) in steps {
        book.say(seed, payload);
        past.push(book.registry.clone());
    }
    for then in past {
        let at_version = then.version();
        let book_then = Book { registry: then, now: book.now };
        for seed in [ROOT, SERVER, 10, 11, 12, 13, 20, 30, 31] {
            for (place, schema, stream) in [
                ("sales", "order/1.0.0", "main"),
                ("sales", "item/1.0.0", "eu-1"),
                ("ets.audit", "ets.restore/1.0.0", "main"),
                ("ets.registry", "ets.key/1.0.0", "main"),
                ("ets.registry", "ets.grant/1.0.0", "main"),
                ("ets.registry", "ets.key_rotation/1.0.0", "main"),
            ] {
                let judged_then = book_then.asks(seed, at_version, place, schema, stream).is_ok();
                let judged_now = book.asks(seed, at_version, place, schema, stream).is_ok();
                assert_eq!(judged_then, judged_now, "{seed} {at_version} {place} {schema}");
            }
            assert_eq!(
                book_then.registry.grants_of(&id(seed), at_version).len(),
                book.registry.grants_of(&id(seed), at_version).len()
            );
            assert_eq!(
                book_then.registry.is_root(&id(seed), at_version),
                book.registry.is_root(&id(seed), at_version)
            );
        }
    }
}

#[test]
fn rows_are_those_of_the_tables() {
    let mut book = with_delegate();
    book.say(10, schema("order/1.0.0", "sales", json!({"type": "object"})));
    let rotated = book.say(11, rotate(11, 20));
    let rows = book.registry.rows();
    let names: Vec<&str> = rows.domains.iter().map(|row| row.domain.as_str()).collect();
    assert_eq!(names, ["ets.audit", "ets.registry", "sales", "stock"]);
    assert_eq!(rows.domains[0].registered_at, 1);
    assert_eq!(rows.schema_versions.len(), 1);
    assert_eq!(rows.signing_keys.len(), 5);
    let old = rows.signing_keys.iter().find(|row| row.key_id == id(11)).expect("a row");
    assert_eq!((old.revoked_at, old.superseded_by, old.algorithm), (Some(rotated), Some(id(20)), "ed25519"));
    let touched = book.registry.rows_touched_at(rotated);
    assert_eq!((touched.signing_keys.len(), touched.domains.len()), (2, 0));
    assert_eq!(book.registry.rows_touched_at(1).domains.len(), 2);
}

/// Whatever a payload says, judging it ends in an answer.
#[test]
fn mutated_payloads_never_panic() {
    let mut book = with_delegate();
    book.say(10, schema("order/1.0.0", "sales", json!({"type": "object"})));
    book.say(ROOT, grant(11, "sales", "*", "*"));
    let origin: Origin = "a".parse().expect("an origin");
    let payloads = [
        payload::ledger(&ledger_id(), &origin, &public(ROOT), &public(SERVER)),
        payload::domain(&domain("new"), Some("text"), true),
        schema("order/1.1.0", "sales", json!({"type": "object", "$ref": "#/$defs/a", "$defs": {"a": true}})),
        payload::schema_retirement(&version("order/1.0.0"), "x"),
        payload::key(&public(40), "x", Custody::Actor, Some(at(0)), Some(at(9))),
        rotate_until(11, 41, Some(at(9))),
        payload::key_revocation(&id(11), "x", Some(at(0))),
        payload::server_key(&public(42), "x", Some(at(0))),
        grant(11, "sales", "order/*", "eu-*"),
        ungrant(11, "sales", "*", "*"),
        payload::rule_function(&version("order/1.0.0"), "f(jsonb)", &Digest([1; 32])),
    ];
    let values = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1.5),
        json!(""),
        json!("*"),
        json!("ets.registry"),
        json!("ets.audit"),
        json!("\u{0}"),
        json!("é".repeat(300)),
        json!("0".repeat(64)),
        json!("f".repeat(64)),
        json!("f".repeat(128)),
        json!(id(ROOT).to_string()),
        json!("9999-99-99T99:99:99.999999Z"),
        json!([]),
        json!({}),
        json!({"$ref": "#"}),
        json!([[[]]]),
    ];
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % below as u64).expect("small")
    };
    for round in 0..6_000 {
        let mut payload = payloads[next(payloads.len())].clone();
        for _ in 0..=next(2) {
            let Some(object) = payload.as_object_mut() else { break };
            let names: Vec<String> = object.keys().cloned().collect();
            let name = names.get(next(names.len().max(1))).cloned().unwrap_or_default();
            match next(10) {
                0 => drop(object.remove(&name)),
                1 => drop(object.insert("extra".to_owned(), values[next(values.len())].clone())),
                2 => payload = values[next(values.len())].clone(),
                _ => drop(object.insert(name, values[next(values.len())].clone())),
            }
        }
        let Ok(canonical) = Payload::from_value(payload, &Limits::CEILING) else { continue };
        let seed = [ROOT, SERVER, 10, 11][next(4)];
        let mut event = book.next(seed, canonical.into_value());
        if round % 3 == 0 {
            event.header.schema_version = version(Kind::ALL[next(Kind::ALL.len())].as_str());
        }
        if let Err(error) = book.registry.check(&event) {
            let _ = (error.to_string(), error.detail(), error.hint());
        }
        event.header.sequence = 1;
        event.header.registry_version = 0;
        let _ = Registry::start(&event);
    }
}
