//! Expressions that mean harm. Everything here runs on a thread with the stack
//! of 2 MB that a server may give, in whatever profile the tests are built in.

use std::time::{Duration, Instant};

use ets_core::expression::{Expression, MAX_ALLOCATED_BYTES, MAX_DEPTH, MAX_EXPRESSION_BYTES, Scope};
use serde_json::{Value, json};

use super::{EVENT, Random};

/// Runs on a stack of 2 MB; a panic there is one here.
fn on_a_small_stack(run: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(run).expect("a thread");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// The reason why it is refused or fails; an empty one if it has a value.
fn outcome(source: &str, payload: &Value) -> &'static str {
    match Expression::compile(source) {
        Err(error) => {
            assert!(error.to_string().len() < 300);
            error.reason()
        }
        Ok(expression) => match expression.evaluate(&Scope { payload, event: EVENT, state: &Value::Null }) {
            Ok(_) => "",
            Err(error) => error.reason(),
        },
    }
}

/// A text of the greatest length that starts so and goes on so.
fn filled(start: &str, unit: &str, end: &str) -> String {
    let times = (MAX_EXPRESSION_BYTES - start.len() - end.len()) / unit.len();
    format!("{start}{}{end}", unit.repeat(times))
}

#[test]
fn long_texts_are_refused_unread() {
    on_a_small_stack(|| {
        for unit in ["(", "[", "{", "1+", "!", "-", "a.", "'", "\\", "é", " ", "\0"] {
            assert_eq!(outcome(&unit.repeat(100_000), &Value::Null), "too_long");
        }
    });
}

#[test]
fn nesting_is_limited() {
    on_a_small_stack(|| {
        for (open, inner, close) in [
            ("(", "1", ")"),
            ("[", "1", "]"),
            ("{1:", "1", "}"),
            ("{", "1", ":1}"),
            ("dyn(", "1", ")"),
            ("size(", "1", ")"),
            ("[1][", "0", "]"),
            ("true ? (", "1", ") : 1"),
            ("(true || true && 1 < 1 + 2 * ", "3", ") == false"),
            ("1 + 2 * (", "3", ")"),
            ("![1].all(x, true || ", "true", ")"),
            ("'a'.contains('a' + ", "'a'", ") ? 'a' : ''"),
            ("-(", "1", ")"),
            ("!(", "true", ")"),
        ] {
            for (depth, is_refused) in [(MAX_DEPTH, false), (MAX_DEPTH + 1, true), (100, true)] {
                let source = format!("{}{inner}{}", open.repeat(depth), close.repeat(depth));
                assert_eq!(outcome(&source, &Value::Null) == "too_deep", is_refused, "{depth} {open}");
            }
            let unclosed = filled("", open, "");
            assert_eq!(outcome(&unclosed, &Value::Null), "too_deep", "{open}");
        }
    });
}

#[test]
fn rows_may_be_as_long_as_the_text() {
    on_a_small_stack(|| {
        for (start, unit, end) in [
            ("1", "+1", ""),
            ("1", " - 1 * 1", ""),
            ("true", "&&true", ""),
            ("false", "||false", ""),
            ("1", "==1", ""),
            ("1", "<1", ""),
            ("", "!", "true"),
            ("", "-", "1"),
            ("", "true?true:", "false"),
            ("", "false?true:", "false"),
            ("[", "1,", "]"),
            ("dyn(1)", ".size()", ""),
            ("[[1]]", "[0]", ""),
            ("payload", ".a", ""),
            ("[1]", ".map(x,x)", ""),
            ("[1]", ".filter(x,true)", ""),
            ("'a'", "+'a'", ""),
            ("[1]", "+[1]", ""),
            ("'a'", ".matches('a')", ""),
            ("true", " && 'a'.matches('a')", ""),
            ("true", " && 'a'.matches('abc')", ""),
        ] {
            let reason = outcome(&filled(start, unit, end), &json!({}));
            // Two thousand lists, each one longer, are beyond the budget.
            let expected = match unit {
                "+[1]" => "budget_memory",
                "<1" | ".size()" | "[0]" | ".matches('a')" => "type_mismatch",
                ".a" => "no_such_member",
                " && 'a'.matches('abc')" => "pattern_too_large",
                _ => "",
            };
            assert_eq!(reason, expected, "{unit}");
        }
    });
}

/// What a debug build may take for what a server does in a small part of it.
const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn time_is_limited() {
    on_a_small_stack(|| {
        let list = format!("[{}]", vec!["1"; 30].join(","));
        let nested = |inner: &str, times: usize| {
            (0..times).fold(inner.to_owned(), |inner, level| format!("{list}.all(x{level}, {inner})"))
        };
        let many: Vec<i64> = (0..200_000).collect();
        let payload = json!({"many": many, "text": "a".repeat(1 << 20), "also": "a".repeat(1 << 20),
            "zeros": format!("{}1", "0".repeat(1 << 20))});
        for source in [
            nested("true", 4),
            nested("x0 + x1 + x2 + x3 > 0", 4),
            nested(&format!("{list} == {list}"), 3),
            "payload.many.all(x, payload.many.all(y, x + y >= 0))".to_owned(),
            "payload.many.exists(x, payload.many == [x])  || payload.many.exists(x, x in payload.many && x < 0)".to_owned(),
            "payload.many.all(x, payload == payload)".to_owned(),
            "payload.many.all(x, payload.text == payload.also)".to_owned(),
            "payload.many.all(x, payload.text <= payload.also)".to_owned(),
            "payload.many.all(x, payload.text.contains('b') || true)".to_owned(),
            "payload.many.all(x, size(payload.text) > 0)".to_owned(),
            "payload.many.all(x, payload.text.startsWith(payload.also))".to_owned(),
            "payload.many.all(x, !payload.text.matches('(a*)*b'))".to_owned(),
            "payload.text.matches('(a|aa|aaa){1,30}(a|b){30}c')".to_owned(),
            "payload.text.matches('(.*a){20}b')".to_owned(),
            "payload.many.all(x, int(payload.zeros) == 1)".to_owned(),
            "payload.many.all(x, double(payload.zeros) == 1.0)".to_owned(),
            "payload.many.all(x, {payload.text: 1}[payload.also] == 1)".to_owned(),
            "payload.many.map(x, payload.many.size() + x).all(x, x in payload.many || true)".to_owned(),
            "payload.many.all(x, payload.missing || payload.many.all(y, payload.missing))".to_owned(),
        ] {
            let start = Instant::now();
            let reason = outcome(&source, &payload);
            assert!(matches!(reason, "budget_steps" | "budget_memory"), "{reason}: {source}");
            assert!(start.elapsed() < PATIENCE, "{source}");
        }
    });
}

#[test]
fn memory_is_limited() {
    on_a_small_stack(|| {
        let payload =
            json!({"text": "a".repeat(1 << 20), "many": vec![0; 50_000], "map": {"k": "v".repeat(1 << 16)}});
        let twice = |inner: &str| format!("[{inner}].map(s, s + s)[0]");
        let doubled = (0..25).fold("'0123456789abcdef'".to_owned(), |inner, _| twice(&inner));
        for source in [
            doubled,
            (0..25).fold("[0, 1, 2, 3]".to_owned(), |inner, _| twice(&inner)),
            filled("payload.text", "+payload.text", ""),
            "payload.many + payload.many + payload.many + payload.many".to_owned(),
            "payload.many.map(x, payload.many)".to_owned(),
            "payload.many.map(x, payload.text + 'a').size()".to_owned(),
            "payload.many.map(x, payload.map)".to_owned(),
            "payload.many.map(x, [x, x, x, x, x, x, x, x])".to_owned(),
            "payload.many.map(x, {'a': {'b': x}})".to_owned(),
            "payload.many.all(x, {payload.text: 1}.size() == 1)".to_owned(),
            "[payload, payload, payload, payload]".to_owned(),
        ] {
            let start = Instant::now();
            let reason = outcome(&source, &payload);
            assert!(matches!(reason, "budget_memory" | "budget_steps"), "{reason}: {source}");
            assert!(start.elapsed() < PATIENCE, "{source}");
        }
        let fits = MAX_ALLOCATED_BYTES as usize - 3;
        let text = json!("a".repeat(fits / 2));
        assert_eq!(outcome("size(payload + '') > 0", &text), "");
        assert_eq!(outcome("size(payload + payload) > 0", &text), "");
        assert_eq!(outcome("payload + payload", &text), "budget_memory");
    });
}

/// Neither `&&` nor `exists` hides that a limit was passed.
#[test]
fn a_budget_is_not_absorbed() {
    on_a_small_stack(|| {
        let payload = json!((0..200_000).collect::<Vec<i64>>());
        let endless = "payload.all(x, payload.all(y, true))";
        for source in [
            format!("{endless} || true"),
            format!("true && {endless} && false"),
            format!("[1, 2].exists(x, x == 2 || {endless})"),
            format!("[1, 2].all(x, {endless} && x == 3)"),
        ] {
            assert_eq!(outcome(&source, &payload), "budget_steps", "{source}");
        }
        assert_eq!(outcome(&format!("true || {endless}"), &payload), "");
    });
}

#[test]
fn deep_values_are_no_deeper_than_the_stack() {
    on_a_small_stack(|| {
        let nested = |depth: usize| {
            (0..depth).fold(
                json!(1),
                |inner, level| {
                    if level % 2 == 0 { json!([inner]) } else { json!({ "a": inner }) }
                },
            )
        };
        for (depth, reason) in [(120, ""), (250, ""), (300, "too_deep")] {
            let payload = nested(depth);
            assert_eq!(outcome("payload == payload || true", &payload), reason, "{depth}");
            assert_eq!(outcome("payload", &payload), reason, "{depth}");
            assert_eq!(outcome("payload in [payload]", &payload), reason, "{depth}");
        }
    });
}

const PIECES: [&str; 64] = [
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ".",
    ",",
    "?",
    ":",
    "+",
    "-",
    "*",
    "/",
    "%",
    "!",
    "&&",
    "||",
    "==",
    "!=",
    "<",
    ">=",
    "in",
    " in ",
    "payload",
    "state",
    "event",
    "event.sequence",
    ".all(x, ",
    ".map(x, ",
    ".exists(y,",
    ".filter(x,",
    "x",
    "y",
    "has(",
    "size(",
    "int(",
    "double(",
    "string(",
    "type(",
    ".size()",
    ".contains(",
    ".matches('",
    "'",
    "\"",
    "'''",
    "r'",
    "b'",
    "\\",
    "\\x4",
    "\\u00e9",
    "0",
    "1",
    "9223372036854775807",
    "0x",
    "1.5",
    "1e300",
    "null",
    "true",
    "é",
    "\n",
    "//",
    " ",
    "a",
];

#[test]
fn no_text_is_too_strange() {
    on_a_small_stack(|| {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let payload = json!({"a": [1, 2, {"a": "x"}], "x": "é", "y": 1.5});
        let (mut compiled, mut valued) = (0, 0);
        for _ in 0..60_000 {
            let source: String =
                (0..1 + random.below(24)).map(|_| PIECES[random.below(PIECES.len())]).collect();
            if let Ok(expression) = Expression::compile(&source) {
                compiled += 1;
                let scope = Scope { payload: &payload, event: EVENT, state: &Value::Null };
                let first = expression.evaluate(&scope);
                assert_eq!(first, expression.evaluate(&scope), "{source}");
                valued += usize::from(first.is_ok());
            }
        }
        assert!(compiled > 100 && valued > 10, "{compiled} {valued}");
    });
}

/// Valid expressions with a byte changed, cut out or doubled.
#[test]
fn no_change_of_a_valid_text_panics() {
    on_a_small_stack(|| {
        let seeds = [
            "payload.items.all(i, i.n > 0 && i.sku.matches('^[a-z]{3}$')) ? {'a': [1, 2.5e3, -0x1f]} : state.b['é']",
            "has(payload.a) || !(event.sequence in [1, 2, 3]) && \"\\u00e9\\n\" + r'\\' == '''x'''",
            "size(payload.map(k, payload[k] != null, k)) % 2 == 0 // done",
        ];
        let mut random = Random(7);
        for _ in 0..20_000 {
            let mut text: Vec<char> = seeds[random.below(seeds.len())].chars().collect();
            for _ in 0..1 + random.below(3) {
                let at = random.below(text.len());
                match random.below(3) {
                    0 => text[at] = char::from(u8::try_from(random.below(128)).unwrap_or(0)),
                    1 => drop(text.remove(at)),
                    _ => text.insert(at, text[at]),
                }
            }
            let source: String = text.into_iter().collect();
            outcome(&source, &json!({"items": [{"n": 1, "sku": "abc"}], "a": 1}));
        }
    });
}
