//! What is refused when it is registered, and where it points.

use ets_core::expression::Expression;

fn refused(source: &str) -> (&'static str, usize, usize) {
    match Expression::compile(source) {
        Ok(_) => panic!("accepted: {source}"),
        Err(error) => {
            assert!(!error.to_string().ends_with('.'), "{error}");
            assert_eq!(error.detail()["reason"], error.reason());
            assert_eq!(error.detail()["line"], error.position.line);
            assert!(error.position.offset <= source.len());
            (error.reason(), error.position.line, error.position.column)
        }
    }
}

#[test]
fn what_does_not_parse() {
    for (source, column) in [
        ("", 1),
        ("   ", 4),
        ("1 +", 4),
        ("1 2", 3),
        ("(1", 3),
        ("1)", 2),
        ("[1", 3),
        ("[1 2]", 4),
        ("[,]", 2),
        ("{1}", 3),
        ("{1:}", 4),
        ("{1:2 3:4}", 6),
        ("a ? b", 1),
        ("true ? 1", 9),
        ("true ? true ? 1 : 2 : 3", 13),
        ("payload.", 9),
        ("payload.1", 8),
        ("payload.true", 9),
        ("payload.in", 9),
        ("payload..a", 9),
        ("payload.?a", 9),
        ("[?payload.a]", 2),
        (".payload", 1),
        ("payload.`a-b`", 9),
        ("1 = 1", 3),
        ("1 === 1", 5),
        ("true & false", 6),
        ("true and false", 6),
        ("-!true", 2),
        ("!-1", 2),
        ("1 ! 2", 3),
        ("0x", 1),
        ("1e", 1),
        ("12abc", 1),
        ("Message{}", 1),
        ("payload{}", 8),
        ("@", 1),
        ("#", 1),
        ("payload;", 8),
        ("'a' 'b'", 5),
        ("[1].all(1, true)", 9),
        ("[1].all(x.y, true)", 10),
        ("/* no such comment */ 1", 1),
        ("1 // end\n +", 3),
    ] {
        let (reason, _, at) = refused(source);
        if source == "a ? b" || source == "Message{}" {
            assert_eq!(reason, "unknown_name");
            continue;
        }
        assert!(matches!(reason, "syntax" | "character"), "{source}: {reason}");
        assert_eq!(at, column, "{source}");
    }
    for source in ["'", "'a", "\"a'", "'''a''", "'a\nb'", "r'a", "'a\\'"] {
        assert_eq!(refused(source).0, "unclosed_string", "{source}");
    }
    for source in [
        r"'\q'",
        r"'\x0'",
        r"'\xg0'",
        r"'\u00'",
        r"'\ud800'",
        r"'\U00110000'",
        r"'\400'",
        r"'\x+1'",
        r"'\08'",
    ] {
        assert_eq!(refused(source).0, "escape", "{source}");
    }
    for source in
        ["9223372036854775808", "-9223372036854775809", "0x8000000000000000", "1e400", "99999999999999999999"]
    {
        assert_eq!(refused(source).0, "number_too_large", "{source}");
    }
}

#[test]
fn what_names_nothing() {
    for (source, reason) in [
        ("payloads.a", "unknown_name"),
        ("x", "unknown_name"),
        ("[1].all(x, y > 0)", "unknown_name"),
        ("[1].all(x, x > 0) && x > 0", "unknown_name"),
        ("[x].all(x, true)", "unknown_name"),
        ("uint", "unknown_name"),
        ("bytes", "unknown_name"),
        ("timestamp", "unknown_name"),
        ("size", "unknown_name"),
        ("null_type.x.y == int.z && has", "unknown_name"),
        ("if", "unknown_name"),
        ("event.time", "unknown_event_member"),
        ("event.payload", "unknown_event_member"),
        ("has(event.timestamp)", "unknown_event_member"),
        ("event", "bare_event"),
        ("event == event", "bare_event"),
        ("event['sequence']", "bare_event"),
        ("(event).sequence", "bare_event"),
        ("[event]", "bare_event"),
        ("has(event)", "bare_event"),
        ("now()", "unknown_function"),
        ("timestamp('2026-01-01T00:00:00Z')", "unknown_function"),
        ("duration('1s')", "unknown_function"),
        ("uint(1)", "unknown_function"),
        ("bytes('a')", "unknown_function"),
        ("bool('true')", "unknown_function"),
        ("payload.lowerAscii()", "unknown_function"),
        ("payload.int()", "unknown_function"),
        ("contains('a', 'b')", "unknown_function"),
        ("all([1], x, true)", "unknown_function"),
        ("[1].has(x)", "unknown_function"),
        ("[1].reduce(x, y, x + y)", "unknown_function"),
        ("event.owner.getFullYear()", "unknown_function"),
        ("math.greatest(1, 2)", "unknown_name"),
        ("size()", "argument_count"),
        ("size(1, 2)", "argument_count"),
        ("'a'.size(1)", "syntax"),
        ("'a'.contains()", "argument_count"),
        ("'a'.contains('a', 'b')", "argument_count"),
        ("int()", "argument_count"),
        ("has()", "argument_count"),
        ("has(payload.a, 1)", "argument_count"),
        ("[1].all(x)", "argument_count"),
        ("[1].all(x, true, 1)", "argument_count"),
        ("[1].map(x, true, 1, 2)", "argument_count"),
        ("[1].filter(x)", "argument_count"),
        ("matches('a')", "argument_count"),
        ("'a'.matches('a', 'b')", "argument_count"),
        ("has(payload)", "not_a_selection"),
        ("has(payload['a'])", "not_a_selection"),
        ("has(payload.a + 1)", "not_a_selection"),
        ("has(payload.size())", "not_a_selection"),
        ("has(1)", "not_a_selection"),
        ("[1].all(payload, true)", "reserved_name"),
        ("[1].all(event, true)", "reserved_name"),
        ("[1].all(state, true)", "reserved_name"),
        ("[1].all(for, true)", "reserved_name"),
        ("1u", "not_offered"),
        ("0x1U", "not_offered"),
        ("b'abc'", "not_offered"),
        ("rb'abc'", "not_offered"),
        ("'a'.matches(payload.pattern)", "pattern_not_literal"),
        ("'a'.matches('a' + 'b')", "pattern_not_literal"),
        ("'a'.matches(('a'))", "pattern_not_literal"),
    ] {
        assert_eq!(refused(source).0, reason, "{source}");
    }
}

#[test]
fn patterns_that_are_none_or_mean_something_else_elsewhere() {
    for pattern in ["(", "[", "a{2", "*", r"\\1", r"(?=a)", r"(?<!a)b", r"\\", "a{2,1}", r"\\C", r"\\Qa\\E"] {
        assert_eq!(refused(&format!("'a'.matches('{pattern}')")).0, "pattern", "{pattern}");
    }
    for pattern in [
        "(?i)a",
        "(?i:a)",
        "(?x)a",
        r"\\p{L}",
        r"\\pN",
        r"[\\p{L}]",
        "[a[b]]",
        "[a&&b]",
        "[a--b]",
        r"\\B",
        r"\\<a",
    ] {
        assert_eq!(refused(&format!("'a'.matches('{pattern}')")).0, "pattern_not_offered", "{pattern}");
    }
    for pattern in [
        "a{1001}",
        "(a{100}){11}",
        "(((a{0,99}){0,99}){0,99}){0,99}",
        ".{251}",
        "a{4294967295}",
        "(?:){1001}",
        "[^a]{300}",
    ] {
        assert_eq!(refused(&format!("'a'.matches('{pattern}')")).0, "pattern_too_large", "{pattern}");
    }
    // All the patterns of an expression count together.
    let some = "'a'.matches('a{400}')";
    assert!(Expression::compile(&[some; 2].join(" && ")).is_ok());
    assert_eq!(refused(&[some; 3].join(" && ")).0, "pattern_too_large");
}

#[test]
fn errors_say_where() {
    assert_eq!(refused("payload.a == 1\n  && payloed.b"), ("unknown_name", 2, 6));
    assert_eq!(refused("'é😀' + x"), ("unknown_name", 1, 8));
    let error = Expression::compile("payload.a > 1 &&\n  now() > 2").unwrap_err();
    assert_eq!(error.to_string(), "line 2, column 3: there is no function now");
    let long = "x".repeat(8000);
    assert!(Expression::compile(&long).unwrap_err().to_string().len() < 200);
}
