//! Schemas.

use super::*;

#[test]
fn a_schema_version_never_changes() {
    let mut book = Book::new();
    book.domain("sales");
    book.domain("stock");
    let original = schema("order/1.0.0", "sales", json!({"type": "object"}));
    let registered = book.say(ROOT, original.clone());
    assert_eq!(book.refuse(ROOT, original.clone()).sqlstate(), "ET010");
    for (member, value) in [
        ("schema", json!({"type": "string"})),
        ("domain", json!("stock")),
        ("reducer", json!("none")),
        ("stream_pointer", json!("/a")),
        ("schema_pointer", json!("/v")),
    ] {
        let error = book.refuse(ROOT, set(original.clone(), member, value));
        assert_eq!(
            (error.sqlstate(), &error),
            ("ET006", &RegistryError::SchemaChanged { name: version("order/1.0.0") })
        );
    }
    let record = book.registry.schema(&version("order/1.0.0")).expect("a schema");
    assert_eq!((record.registered_at, record.engine.as_str()), (registered, "draft2020-12/1"));
    book.say(ROOT, schema("order/1.0.1", "sales", json!({"type": "object"})));
}

#[test]
fn a_schema_is_registered_only_if_it_can_be_evaluated() {
    let mut book = Book::new();
    book.domain("sales");
    let good = schema("order/1.0.0", "sales", json!(true));
    for (member, value) in [
        ("schema", json!({"type": "strin"})),
        ("schema", json!({"$ref": "http://example.com/"})),
        ("schema", json!({"pattern": "(?=a)"})),
        ("schema", json!({"$schema": "http://json-schema.org/draft-04/schema#"})),
        ("schema", json!({"$schema": "http://json-schema.org/draft-07/schema#"})),
        ("rules", json!([{"name": "a", "expr": "true", "message": "m"}])),
        ("reducer", json!("payload")),
        ("engine", json!("draft-07/1")),
        ("name", json!("ets.mine/1.0.0")),
        ("name", json!("ETS.key/1.0.0")),
    ] {
        assert_eq!(book.refuse(ROOT, set(good.clone(), member, value)).sqlstate(), "ET006", "{member}");
    }
    for (member, value) in [
        ("schema", json!("true")),
        ("stream_pointer", json!("a")),
        ("schema_pointer", json!("/~2")),
        ("rules", json!({})),
        ("name", json!("order/1.0")),
        ("name", json!("order/1.0.4294967296")),
    ] {
        assert_eq!(book.refuse(ROOT, set(good.clone(), member, value)).sqlstate(), "ET007", "{member}");
    }
    assert_eq!(book.refuse(ROOT, set(good.clone(), "domain", json!("absent"))).sqlstate(), "ET011");
    for reserved in ["ets.registry", "ets.audit"] {
        assert_eq!(book.refuse(ROOT, set(good.clone(), "domain", json!(reserved))).sqlstate(), "ET010");
    }
    book.say(ROOT, good);
}

#[test]
fn a_retired_schema_takes_no_new_events_but_old_ones_stand() {
    let mut book = Book::new();
    book.domain("sales");
    let name = version("order/1.0.0");
    let registered = book.say(ROOT, schema("order/1.0.0", "sales", json!(true)));
    let retired = book.say(ROOT, payload::schema_retirement(&name, "old"));
    let registry = &book.registry;
    assert!(matches!(registry.schema_at(&name, registered - 1), Err(RegistryError::UnknownSchema { .. })));
    assert!(registry.schema_at(&name, registered).is_ok() && registry.schema_at(&name, retired - 1).is_ok());
    assert!(matches!(registry.schema_at(&name, retired), Err(RegistryError::SchemaRetired { .. })));
    assert_eq!(registry.schema(&name).and_then(|schema| schema.retired_at), Some(retired));
    assert!(matches!(
        book.refuse(ROOT, payload::schema_retirement(&name, "again")),
        RegistryError::SchemaRetired { .. }
    ));
    let absent = payload::schema_retirement(&version("absent/1.0.0"), "?");
    assert!(matches!(book.refuse(ROOT, absent), RegistryError::UnknownSchema { .. }));
    let built_in = payload::schema_retirement(&version("ets.key/1.0.0"), "?");
    assert!(matches!(book.refuse(ROOT, built_in), RegistryError::SchemaReserved { .. }));
}

#[test]
fn a_schema_says_where_its_events_go() {
    let mut book = Book::new();
    book.domain("sales");
    let plain = schema("order/1.0.0", "sales", json!(true));
    book.say(ROOT, plain.clone());
    let routed = set(set(plain, "name", json!("order/2.0.0")), "stream_pointer", json!("/to/0"));
    book.say(ROOT, set(routed, "schema_pointer", json!("/v")));
    let plain = book.registry.schema(&version("order/1.0.0")).expect("a schema");
    assert_eq!(plain.stream_of(&json!(null)), Ok(StreamName::main()));
    assert_eq!(plain.check_pointer(&json!(null)), Ok(()));
    let routed = book.registry.schema(&version("order/2.0.0")).expect("a schema");
    assert_eq!(routed.stream_of(&json!({"to": ["é"]})).map(|stream| stream.to_string()), Ok("é".to_owned()));
    for bad in [json!({}), json!({"to": "x"}), json!({"to": [7]}), json!({"to": [null]}), json!(7)] {
        assert!(matches!(routed.stream_of(&bad), Err(RouteError::NoStream { .. })), "{bad}");
    }
    for bad in ["", "a*", "a\nb"] {
        let bad = json!({ "to": [bad] });
        assert!(matches!(routed.stream_of(&bad), Err(RouteError::NotAStream { .. })), "{bad}");
    }
    assert_eq!(routed.check_pointer(&json!({"v": "order/2.0.0"})), Ok(()));
    assert!(matches!(
        routed.check_pointer(&json!({"v": "order/1.0.0"})),
        Err(RouteError::OtherSchema { .. })
    ));
    assert!(matches!(routed.check_pointer(&json!({"v": 2})), Err(RouteError::NoSchema { .. })));
    assert!(matches!(routed.check_pointer(&json!([])), Err(RouteError::NoSchema { .. })));
}

#[test]
fn rule_functions_are_refused_by_this_version() {
    let mut book = Book::new();
    book.domain("sales");
    book.say(ROOT, schema("order/1.0.0", "sales", json!(true)));
    let payload = payload::rule_function(&version("order/1.0.0"), "app.check(jsonb)", &Digest([1; 32]));
    assert!(matches!(book.refuse(ROOT, payload), RegistryError::RuleFunctionsNotSupported { .. }));
}
