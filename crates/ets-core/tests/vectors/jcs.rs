//! The canonical form: RFC 8785 as others test it, and what the ledger refuses.

use ets_core::canonical::{CanonicalError, Limits, Payload, parse_json, to_jcs};
use ets_core::hash::sha256;
use serde_json::{Map, Number, Value};

use crate::common::{Random, cases, json, member, text, unhex, vectors};

/// The plain standard, with serde_json as the reader.
fn plain_jcs(text: &str) -> String {
    to_jcs(&serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}")))
}

#[test]
fn cyberphone_documents() {
    for name in ["arrays", "french", "structures", "unicode", "values", "weird"] {
        let canonical = plain_jcs(&text(&format!("jcs/cyberphone/input/{name}.json")));
        let output = std::fs::read(vectors(&format!("jcs/cyberphone/output/{name}.json"))).unwrap();
        assert_eq!(canonical.as_bytes(), output, "{name}");
        let hex = text(&format!("jcs/cyberphone/outhex/{name}.txt")).split_whitespace().collect::<String>();
        assert_eq!(canonical.as_bytes(), unhex(&hex), "{name}");
        // What is canonical is a payload, and stays as it is.
        let payload = Payload::parse(&canonical, &Limits::DEFAULT).unwrap();
        assert_eq!(payload.canonical(), canonical);
    }
}

#[test]
fn rfc_8785_appendix_b() {
    let file = json("jcs/rfc8785_appendix_b.json");
    for case in cases(&file, "valid", 24) {
        let double = f64::from_bits(u64::from_str_radix(member(case, "ieee"), 16).unwrap());
        assert_eq!(to_jcs(&Value::from(double)), member(case, "json"));
        let payload = Payload::parse(member(case, "json"), &Limits::DEFAULT).unwrap();
        assert_eq!(payload.canonical(), member(case, "json"));
    }
    for case in cases(&file, "must_be_rejected", 2) {
        let double = f64::from_bits(u64::from_str_radix(member(case, "ieee"), 16).unwrap());
        assert_eq!(Number::from_f64(double), None, "a value cannot hold it");
    }
}

#[test]
fn edge_cases() {
    for case in cases(&json("jcs/edge_cases.json"), "canonical", 16) {
        let (input, canonical) = (member(case, "input"), member(case, "canonical"));
        assert_eq!(plain_jcs(input), canonical, "{}", case["name"]);
        match Payload::parse(input, &Limits::DEFAULT) {
            Ok(payload) => {
                assert_eq!(payload.canonical(), canonical);
                assert_eq!(Payload::parse(canonical, &Limits::DEFAULT), Ok(payload));
            }
            Err(CanonicalError::Nul { .. }) => assert!(input.contains("\\u0000"), "{input}"),
            Err(CanonicalError::Number { .. }) => assert_eq!(case["name"], "subnormal"),
            Err(error) => panic!("{}: {error}", case["name"]),
        }
    }
}

#[test]
fn what_a_ledger_must_reject() {
    for case in cases(&json("jcs/edge_cases.json"), "ledger_must_reject", 17) {
        for limits in [Limits::DEFAULT, Limits::CEILING, Limits::DOCUMENT] {
            assert!(Payload::parse(member(case, "input"), &limits).is_err(), "{}", case["why"]);
        }
    }
}

#[test]
fn each_refusal_says_what_and_where() {
    use CanonicalError::*;
    for (text, error) in [
        ("", UnexpectedEnd),
        ("  ", UnexpectedEnd),
        ("[1,", UnexpectedEnd),
        ("\"abc", UnexpectedEnd),
        ("\"\\u12", UnexpectedEnd),
        ("tru", UnexpectedEnd),
        ("-", UnexpectedEnd),
        ("1.", UnexpectedEnd),
        ("1e+", UnexpectedEnd),
        ("\u{feff}1", Syntax { offset: 0 }),
        ("{} x", Syntax { offset: 3 }),
        ("01", Syntax { offset: 1 }),
        ("-01", Syntax { offset: 2 }),
        ("+1", Syntax { offset: 0 }),
        (".5", Syntax { offset: 0 }),
        ("1.e5", Syntax { offset: 2 }),
        ("1.5e]", Syntax { offset: 4 }),
        ("0x10", Syntax { offset: 1 }),
        ("[1 2]", Syntax { offset: 3 }),
        ("[1,]", Syntax { offset: 3 }),
        ("[,1]", Syntax { offset: 1 }),
        ("{\"a\":1,}", Syntax { offset: 7 }),
        ("{\"a\" 1}", Syntax { offset: 5 }),
        ("{a:1}", Syntax { offset: 1 }),
        ("{\"a\":1]", Syntax { offset: 6 }),
        ("[1}", Syntax { offset: 2 }),
        ("'a'", Syntax { offset: 0 }),
        ("nul1", Syntax { offset: 3 }),
        ("NaN", Syntax { offset: 0 }),
        ("Infinity", Syntax { offset: 0 }),
        ("1 // one", Syntax { offset: 2 }),
        ("\u{a0}1", Syntax { offset: 0 }),
        ("1\u{c}", Syntax { offset: 1 }),
        ("\"\\x\"", Syntax { offset: 2 }),
        ("\"\\u00g0\"", Syntax { offset: 5 }),
        ("\"\\u+123\"", Syntax { offset: 3 }),
        ("\"\\u00é\"", Syntax { offset: 5 }),
        ("\"a\tb\"", ControlCharacter { offset: 2 }),
        ("\"\\na\n\"", ControlCharacter { offset: 4 }),
        ("\"ab\0\"", Nul { offset: 3 }),
        ("\"ab\\u0000\"", Nul { offset: 3 }),
        ("{\"\\u0000\":1}", Nul { offset: 2 }),
        ("\"\\ud83d\"", LoneSurrogate { offset: 1 }),
        ("\"\\ud83dx\"", LoneSurrogate { offset: 1 }),
        ("\"\\ud83d\\n\"", LoneSurrogate { offset: 1 }),
        ("\"\\ud83d\\ud83d\"", LoneSurrogate { offset: 1 }),
        ("\"\\ude00\\ud83d\"", LoneSurrogate { offset: 1 }),
        ("\"é\\udfff\"", LoneSurrogate { offset: 3 }),
        ("{\"a\":1, \"b\":2, \"\\u0061\":3}", DuplicateKey { offset: 15 }),
        ("[{\"\":1,\"\":1}]", DuplicateKey { offset: 7 }),
    ] {
        assert_eq!(Payload::parse(text, &Limits::DEFAULT), Err(error), "{text}");
        let line = error.to_string();
        assert!(
            !line.contains('\n') && !line.ends_with('.') && !line.starts_with(char::is_uppercase),
            "{line}"
        );
    }
}

/// With serde_json's features arbitrary_precision or raw_value, these objects
/// would turn into the numbers and values inside, and hash like them.
#[test]
fn private_members_of_serde_json_are_plain_members() {
    for text in [
        r#"{"a":{"$serde_json::private::Number":"1e5"},"b":2}"#,
        r#"{"$serde_json::private::Number":"123"}"#,
        r#"{"$serde_json::private::RawValue":"[1,2]"}"#,
    ] {
        assert_eq!(plain_jcs(text), text);
        assert_eq!(Payload::parse(text, &Limits::DEFAULT).unwrap().canonical(), text);
    }
}

/// The published sequence of doubles and its published checksums.
#[test]
fn es6_numbers() {
    let mut patterns: Vec<u64> = text("jcs/es6_static_u64.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| u64::from_str_radix(line, 16).unwrap())
        .collect();
    assert_eq!(patterns.len(), 168);
    patterns.extend((0..2000).map(|k| 0x0010_0000_0000_0000 + k));
    let mut block = [0; 32];
    while patterns.len() < 100_000 {
        block = sha256(&[&block]).0;
        patterns.extend(
            block
                .as_chunks::<8>()
                .0
                .iter()
                .map(|piece| u64::from_le_bytes(*piece))
                .filter(|bits| f64::from_bits(*bits) != 0.0 && f64::from_bits(*bits).is_finite()),
        );
    }
    let mut lines = String::new();
    for (i, bits) in patterns.iter().take(100_000).enumerate() {
        let double = f64::from_bits(*bits);
        let number = to_jcs(&Value::from(double));
        lines.push_str(&format!("{bits:x},{number}\n"));
        // The text is exact, so it passes the ledger's rule and gives the double again.
        let parsed = parse_json(&number, &Limits::DEFAULT).unwrap();
        assert_eq!(parsed.as_f64(), Some(double), "{number}");
        assert_eq!(to_jcs(&parsed), number);
        let published = match i + 1 {
            1_000 => "be18b62b6f69cdab33a7e0dae0d9cfa869fda80ddc712221570f9f40a5878687",
            10_000 => "b9f7a8e75ef22a835685a52ccba7f7d6bdc99e34b010992cbc5864cd12be6892",
            100_000 => "22776e6d4b49fa294a0d0f349268e5c28808fe7e0cb2bcbe28f63894e494d4c7",
            _ => continue,
        };
        assert_eq!(sha256(&[lines.as_bytes()]).to_string(), published, "{} lines", i + 1);
        if i + 1 == 1_000 {
            assert_eq!(lines, text("jcs/es6_first_1000_lines.txt"));
        }
    }
    assert!(lines.len() == 4_031_728);
}

#[test]
fn random_values_are_written_as_another_implementation_writes_them() {
    let mut random = Random::new();
    for _ in 0..20_000 {
        let value = random_value(&mut random, 4);
        let canonical = to_jcs(&value);
        assert_eq!(canonical, serde_jcs::to_string(&value).unwrap());
        match Payload::parse(&canonical, &Limits::DEFAULT) {
            Ok(payload) => {
                assert_eq!(payload.canonical(), canonical);
                assert_eq!(Payload::from_value(value, &Limits::DEFAULT).as_ref(), Ok(&payload));
                assert_eq!(parse_json(&canonical, &Limits::DEFAULT).as_ref(), Ok(payload.value()));
                // Any spelling of the value has this canonical form.
                let pretty = serde_json::to_string_pretty(payload.value()).unwrap();
                assert_eq!(Payload::parse(&pretty, &Limits::DEFAULT), Ok(payload));
            }
            Err(error) => {
                assert!(matches!(error, CanonicalError::Nul { .. }), "{error}: {canonical}");
                assert_eq!(
                    Payload::from_value(value, &Limits::DEFAULT),
                    Err(CanonicalError::Nul { offset: 0 })
                );
            }
        }
    }
}

/// Plain RFC 8785 rounds integers that are no doubles; it is the ledger's rule
/// above it that refuses them.
#[test]
fn large_integers_are_written_as_the_nearest_double() {
    let mut random = Random::new();
    for _ in 0..50_000 {
        let shift = random.below(12);
        for value in [Value::from(random.next() >> shift), Value::from(random.next() as i64 >> shift)] {
            let canonical = to_jcs(&value);
            assert_eq!(canonical, serde_jcs::to_string(&value).unwrap());
            let exact = Payload::from_value(value.clone(), &Limits::DEFAULT);
            assert_eq!(
                exact.is_ok(),
                Payload::parse(&value.to_string(), &Limits::DEFAULT).is_ok(),
                "{value}"
            );
        }
    }
}

#[test]
fn changed_texts_are_judged_as_serde_json_judges_them() {
    let mut random = Random::new();
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..200_000 {
        let mut bytes = to_jcs(&random_value(&mut random, 3)).into_bytes();
        for _ in 0..random.below(4) {
            let byte = *random.pick(b"{}[]\",:\\u/0019.eE+-tfn \n\x00\x1f\xd8\xef");
            let at = random.below(bytes.len() + 1);
            match random.below(3) {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => bytes[at] = byte,
                _ if at < bytes.len() => drop(bytes.remove(at)),
                _ => {}
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        let other = serde_json::from_str::<Value>(&text);
        match Payload::parse(&text, &Limits::DEFAULT) {
            Ok(payload) => {
                accepted += 1;
                assert_eq!(payload.canonical(), to_jcs(&other.unwrap()), "{text}");
            }
            Err(error) => {
                refused += 1;
                // Stricter only in these; on what is JSON both agree.
                let stricter = matches!(
                    error,
                    CanonicalError::DuplicateKey { .. }
                        | CanonicalError::Nul { .. }
                        | CanonicalError::Number { .. }
                );
                assert!(stricter || other.is_err(), "{error}: {text}");
            }
        }
    }
    assert!(accepted > 20_000 && refused > 20_000, "{accepted} {refused}");
}

/// A value of at most this depth, with what is hard about strings, keys and numbers.
fn random_value(random: &mut Random, depth: usize) -> Value {
    match random.below(if depth == 0 { 6 } else { 8 }) {
        0 => Value::Null,
        1 => Value::Bool(random.below(2) == 0),
        2 => Value::String(random_string(random)),
        3 => Value::from(random.next() as i64 >> random.below(64).max(10)),
        4 => Number::from_f64(f64::from_bits(random.next())).map_or(Value::Null, Value::Number),
        5 => Value::from(random.below(1_000_000) as f64 / 100.0),
        6 => (0..random.below(5)).map(|_| random_value(random, depth - 1)).collect(),
        _ => {
            let members: Map<String, Value> = (0..random.below(6))
                .map(|_| (random_string(random), random_value(random, depth - 1)))
                .collect();
            Value::Object(members)
        }
    }
}

fn random_string(random: &mut Random) -> String {
    const HARD: [char; 20] = [
        '\0',
        '\u{1}',
        '\u{8}',
        '\t',
        '\n',
        '\u{b}',
        '\u{c}',
        '\r',
        '\u{1f}',
        '"',
        '\\',
        '/',
        '\u{7f}',
        '\u{80}',
        'é',
        '\u{d7ff}',
        '\u{e000}',
        '\u{ffff}',
        '\u{10000}',
        '\u{10ffff}',
    ];
    (0..random.below(12))
        .map(|_| match random.below(8) {
            0 => HARD[random.below(HARD.len())],
            1 => HARD[random.below(8) + 12],
            2 => char::from_u32(random.below(0x11_0000) as u32).unwrap_or('x'),
            _ => char::from(b'a' + random.below(4) as u8),
        })
        .collect()
}
