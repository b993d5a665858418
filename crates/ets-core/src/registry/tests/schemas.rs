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
        ("rules", json!([{"name": "a", "expr": "payload.(", "message": "m"}])),
        ("reducer", json!("payload +")),
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
fn a_rule_function_is_recorded_with_the_version_from_which_it_counts() {
    let mut book = Book::new();
    book.domain("sales");
    book.key(10, "dora");
    book.say(ROOT, grant(10, "ets.registry", "*", "sales"));
    let name = version("order/1.0.0");
    book.say(ROOT, schema("order/1.0.0", "sales", json!(true)));
    let function = |name: &str| payload::rule_function(&version("order/1.0.0"), name, &Digest([1; 32]));
    assert_eq!(book.refuse(10, function("app.one(jsonb)")).sqlstate(), "ET004");
    let one = book.say(ROOT, function("app.one(jsonb)"));
    let two = book.say(ROOT, function("app.two(jsonb)"));
    let record = book.registry.schema(&name).expect("a schema");
    let counting = |at| record.rule_functions_at(at).map(|rule| rule.function.as_str()).collect::<Vec<_>>();
    assert_eq!(counting(one - 1), [""; 0]);
    assert_eq!(counting(one), ["app.one(jsonb)"]);
    assert_eq!(counting(two), ["app.one(jsonb)", "app.two(jsonb)"]);
    assert_eq!(record.rule_functions[0].prosrc_sha256, Digest([1; 32]));
    // Another source is another rule of another version, not a second pin.
    let again = payload::rule_function(&name, "app.one(jsonb)", &Digest([2; 32]));
    let error = book.refuse(ROOT, again);
    assert!(matches!(error, RegistryError::RuleFunctionTaken { .. }) && error.sqlstate() == "ET010");
    for (name, reason) in [("absent/1.0.0", "absent"), ("ets.key/1.0.0", "built in")] {
        let payload = payload::rule_function(&version(name), "app.one(jsonb)", &Digest([1; 32]));
        assert_eq!(book.refuse(ROOT, payload).sqlstate(), "ET006", "{reason}");
    }
    // What the schema itself says is registered once, whatever was tied to it since.
    assert!(matches!(
        book.refuse(ROOT, schema("order/1.0.0", "sales", json!(true))),
        RegistryError::SchemaTaken { .. }
    ));
    book.say(ROOT, payload::schema_retirement(&name, "old"));
    assert!(matches!(book.refuse(ROOT, function("app.three(jsonb)")), RegistryError::SchemaRetired { .. }));
}

#[test]
fn a_new_version_is_the_greatest_of_its_name_and_in_its_domain() {
    let mut book = Book::new();
    book.domain("sales");
    book.domain("stock");
    let say = |book: &mut Book, name: &str| book.say(ROOT, schema(name, "sales", json!(true)));
    say(&mut book, "order/1.0.0");
    say(&mut book, "order/1.2.0");
    // Of other names, which sort around it.
    for other in ["order-line/0.1.0", "orde/0.1.0", "order.x/0.1.0", "Order/0.1.0", "orders/0.1.0"] {
        say(&mut book, other);
    }
    for late in ["order/0.9.0", "order/1.1.9", "order/1.0.1"] {
        let error = book.refuse(ROOT, schema(late, "sales", json!(true)));
        let newest = version("order/1.2.0");
        assert_eq!(error, RegistryError::SchemaNotNewest { name: version(late), newest });
        assert_eq!(error.sqlstate(), "ET006");
    }
    // Numbers, not letters: 1.10.0 is after 1.2.0.
    say(&mut book, "order/1.10.0");
    book.say(ROOT, payload::schema_retirement(&version("order/1.10.0"), "old"));
    assert!(matches!(
        book.refuse(ROOT, schema("order/1.9.0", "sales", json!(true))),
        RegistryError::SchemaNotNewest { .. }
    ));
    let elsewhere = book.refuse(ROOT, schema("order/2.0.0", "stock", json!(true)));
    assert!(matches!(elsewhere, RegistryError::SchemaElsewhere { .. }) && elsewhere.sqlstate() == "ET006");
    say(&mut book, "order/2.0.0");
    assert_eq!(
        book.registry.newest_of("order").map(|record| record.name.to_string()),
        Some("order/2.0.0".into())
    );
    assert!(book.registry.newest_of("ord").is_none() && book.registry.newest_of("ets.key").is_none());
}

#[test]
fn a_new_version_accepts_what_the_one_before_accepted() {
    let mut book = Book::new();
    book.domain("sales");
    let body = |name: &str, amount: Value| {
        json!({
            "type": "object", "required": ["v"],
            "properties": {"v": {"const": name}, "amount": amount},
        })
    };
    let say = |name: &str, amount: Value| {
        set(schema(name, "sales", body(name, amount)), "schema_pointer", json!("/v"))
    };
    book.say(ROOT, say("order/1.0.0", json!({"type": "integer"})));
    // Each names its own version, which is no narrowing.
    book.say(ROOT, say("order/1.1.0", json!({"type": "number"})));
    let narrower = book.refuse(ROOT, say("order/2.0.0", json!({"type": "integer"})));
    assert_eq!(narrower.sqlstate(), "ET006");
    let detail = narrower.detail();
    assert_eq!(
        (&detail["compatibility"], &detail["predecessor"]),
        (&json!("incompatible"), &json!("order/1.1.0"))
    );
    assert_eq!(detail["reasons"][0]["new_pointer"], "/properties/amount/type", "{detail}");
    // The predecessor is the newest, retired or not.
    book.say(ROOT, payload::schema_retirement(&version("order/1.1.0"), "old"));
    assert_eq!(book.refuse(ROOT, say("order/2.0.0", json!({"type": "integer"}))), narrower);
    // Without the pointer nobody demands that an old payload names its version.
    let unnamed = schema("order/2.0.0", "sales", body("order/2.0.0", json!({"type": "number"})));
    assert!(matches!(book.refuse(ROOT, unnamed), RegistryError::IncompatibleSchema { .. }));
    // Who reads back what was admitted does not judge it again.
    let event = book.next(ROOT, say("order/2.0.0", json!({"type": "integer"})));
    assert_eq!(book.registry.apply_admitted(&event), Ok(()));
}

fn with_rules(name: &str, rules: Value, reducer: &str) -> Value {
    let body = json!(true);
    let engine = engine_for(&body, &rules, reducer).expect("an engine");
    let payload = set(schema(name, "sales", body), "rules", rules);
    set(set(payload, "reducer", json!(reducer)), "engine", json!(engine))
}

fn rule(name: &str, expr: &str) -> Value {
    json!({"name": name, "expr": expr, "message": "because"})
}

#[test]
fn rules_and_reducers_are_registered_only_if_they_compile_and_every_reason_is_given() {
    let mut book = Book::new();
    book.domain("sales");
    let good = [rule("a", "payload.amount > 0"), rule("b", "state == null || event.sequence > 1")];
    let bad = json!([good[0], rule("b", "payload.("), rule("a", "true"), rule("c", "absent == 1")]);
    let error = book.refuse(ROOT, with_rules("order/1.0.0", bad, "payload +"));
    assert_eq!(error.sqlstate(), "ET006");
    let detail = error.detail();
    let reasons = detail["reasons"].as_array().expect("reasons");
    let pointers: Vec<_> = reasons.iter().map(|reason| reason["pointer"].as_str().unwrap_or("")).collect();
    assert_eq!(pointers, ["/rules/1/expr", "/rules/2/name", "/rules/3/expr", "/reducer"], "{detail}");
    assert_eq!(reasons[1]["rule"], "a");
    book.say(ROOT, with_rules("order/1.0.0", json!(good), "{'last': payload}"));
    let record = book.registry.schema(&version("order/1.0.0")).expect("a schema");
    assert_eq!(
        (record.engine.as_str(), record.reducer.as_str()),
        ("draft2020-12/1+cel/1", "{'last': payload}")
    );
    let compiled = record.compile().expect("a compiled schema");
    assert!(compiled.rules.needs_state() && compiled.rules.needs_head());
}

#[test]
fn the_engine_is_the_one_for_what_is_registered() {
    let mut book = Book::new();
    book.domain("sales");
    let rules = json!([rule("a", "true")]);
    for (payload, engine) in [
        (with_rules("order/1.0.0", rules.clone(), "merge"), "draft2020-12/1"),
        (with_rules("order/1.0.0", json!([]), "payload"), "draft2020-12/1"),
        (with_rules("order/1.0.0", json!([]), "merge"), "draft2020-12/1+cel/1"),
        (with_rules("order/1.0.0", rules.clone(), "merge"), "draft-07/1+cel/1"),
    ] {
        let error = book.refuse(ROOT, set(payload, "engine", json!(engine)));
        assert!(matches!(error, RegistryError::WrongEngine { .. }), "{engine}: {error}");
    }
    let future = set(with_rules("order/1.0.0", rules, "merge"), "engine", json!("draft2020-12/1+cel/2"));
    assert!(matches!(book.refuse(ROOT, future.clone()), RegistryError::UnknownEngine { .. }));
    // Who reads back what a later version admitted keeps it, and cannot judge by it.
    let event = book.next(ROOT, future);
    assert_eq!(book.registry.apply_admitted(&event), Ok(()));
    let record = book.registry.schema(&version("order/1.0.0")).expect("a schema");
    assert!(matches!(record.compile(), Err(CompileError::UnknownEngine { .. })));
}

#[test]
fn a_domain_keeps_states_if_it_says_so_or_a_rule_asks_for_them() {
    let mut book = Book::new();
    let sales = domain("sales");
    book.domain("sales");
    let kept = book.say(ROOT, payload::domain(&domain("kept"), None, true));
    assert_eq!(book.registry.keeps_state_since(&domain("kept")), Some(kept));
    assert!(
        !book.registry.keeps_state(&domain("absent")) && !book.registry.keeps_state(&DomainName::registry())
    );
    // A word in a text is no mention.
    book.say(ROOT, with_rules("a/1.0.0", json!([rule("a", "payload.kind != 'state'")]), "state"));
    assert!(!book.registry.keeps_state(&sales));
    let asked =
        book.say(ROOT, with_rules("b/1.0.0", json!([rule("a", "true"), rule("b", "state == null")]), "none"));
    assert_eq!(book.registry.keeps_state_since(&sales), Some(asked));
    book.say(ROOT, payload::schema_retirement(&version("b/1.0.0"), "old"));
    book.say(ROOT, with_rules("c/1.0.0", json!([rule("b", "state == null")]), "none"));
    assert_eq!(book.registry.keeps_state_since(&sales), Some(asked));
}
