//! The number rule: accepted is what its canonical text denotes exactly.

use ets_core::canonical::{CanonicalError, Limits, NumberProblem, Payload, parse_json};

use crate::common::{Random, cases, json, member};

fn parse(text: &str) -> Result<Payload, CanonicalError> {
    Payload::parse(text, &Limits::CEILING)
}

fn refused(problem: NumberProblem) -> Result<Payload, CanonicalError> {
    Err(CanonicalError::Number { offset: 0, problem })
}

#[test]
fn numeric_rule_cases() {
    for case in cases(&json("jcs/numeric_rule_cases.json"), "cases", 27) {
        let number = member(case, "jsonb_number");
        let exact = case["exact"].as_bool().unwrap();
        match parse(number) {
            Ok(payload) => assert!(exact && payload.canonical() == member(case, "jcs"), "{number}"),
            Err(error) => assert!(!exact && matches!(error, CanonicalError::Number { .. }), "{number}"),
        }
        // Also as part of something, from its own offset on.
        assert_eq!(parse(&format!("{{\"n\": [0.5, {number}]}}")).is_ok(), exact, "{number}");
    }
}

#[test]
fn integers_stay_integers_up_to_2_to_the_53() {
    for (text, integer) in [
        ("0", 0),
        ("-0", 0),
        ("-0.0", 0),
        ("0e5", 0),
        ("0e-99999999999999999999", 0),
        ("1.0", 1),
        ("100e-2", 1),
        ("1E2", 100),
        ("0.001e3", 1),
        ("999999999999999", 999_999_999_999_999),
        ("1000000000000000", 1_000_000_000_000_000),
        ("-9007199254740991", -9_007_199_254_740_991),
        ("9007199254740992", 9_007_199_254_740_992),
        ("9.007199254740992e15", 9_007_199_254_740_992),
    ] {
        let value = parse_json(text, &Limits::DEFAULT).unwrap();
        assert!(value.is_i64(), "{text}");
        assert_eq!(value.as_i64(), Some(integer), "{text}");
        assert_eq!(parse(text).unwrap().canonical(), integer.to_string());
    }
    for text in ["9007199254740994", "18446744073709552000", "1e22", "-1e300", "0.5", "-5e-324"] {
        assert!(parse_json(text, &Limits::DEFAULT).unwrap().is_f64(), "{text}");
    }
}

#[test]
fn the_ends_of_the_range() {
    for (text, canonical) in [
        ("1.7976931348623157e308", "1.7976931348623157e+308"),
        ("179769313486231570e291", "1.7976931348623157e+308"),
        ("5e-324", "5e-324"),
        ("0.5e-323", "5e-324"),
        ("2.2250738585072014e-308", "2.2250738585072014e-308"),
        ("1e308", "1e+308"),
        ("-1e-307", "-1e-307"),
    ] {
        assert_eq!(parse(text).unwrap().canonical(), canonical);
    }
    for text in
        ["1.7976931348623159e308", "-2e308", "1e309", "1e400", "1e131071", "1e99999999999999999999999"]
    {
        assert_eq!(parse(text), refused(NumberProblem::TooLarge), "{text}");
    }
    for text in ["1e-324", "2e-324", "-1e-400", "1e-16383", "1e-99999999999999999999999"] {
        assert_eq!(parse(text), refused(NumberProblem::TooSmall), "{text}");
    }
    // Subnormal doubles are far apart: 5e-324 is the nearest to the first three,
    // and the text of itself only.
    for text in ["4e-324", "4.94e-324", "7e-324", "1.4e-323", "1.7976931348623158e308"] {
        assert_eq!(parse(text), refused(NumberProblem::Inexact), "{text}");
    }
    assert_eq!(parse("1.5e-323").unwrap().canonical(), "1.5e-323");
}

/// Exponents are never written out, and a text is read once, however long.
#[test]
fn long_numbers_cost_no_more_than_their_length() {
    let zeros = "0".repeat(1_000_000);
    let nines = "9".repeat(1_000_000);
    for (text, canonical) in [
        (format!("1{zeros}e-1000000"), "1"),
        (format!("0.{zeros}1e1000001"), "1"),
        (format!("-0.{zeros}125e1000003"), "-125"),
        (format!("1.{zeros}"), "1"),
        (format!("0.{zeros}"), "0"),
        (format!("0e{nines}"), "0"),
        (format!("1e-0{zeros}"), "1"),
        (format!("12{zeros}.{zeros}e-1000001"), "1.2"),
    ] {
        assert_eq!(parse(&text).unwrap().canonical(), canonical);
    }
    for (text, problem) in [
        (format!("1{zeros}"), NumberProblem::TooLarge),
        (format!("0.{zeros}1"), NumberProblem::TooSmall),
        (nines.clone(), NumberProblem::Inexact),
        (format!("0.{nines}"), NumberProblem::Inexact),
        (format!("1.{zeros}1"), NumberProblem::Inexact),
        (format!("1e{nines}"), NumberProblem::TooLarge),
        (format!("1e-{nines}"), NumberProblem::TooSmall),
    ] {
        assert_eq!(parse(&text), refused(problem));
    }
}

/// Random decimals against a naive judge that compares digit strings and relies
/// on two other implementations for the double and its text.
#[test]
fn random_decimals_are_judged_as_the_rule_says() {
    let mut random = Random::new();
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..300_000 {
        let (text, digits) = random_decimal(&mut random);
        let expected = judge(&text);
        match (parse(&text), &expected) {
            (Ok(payload), Some(canonical)) => {
                assert_eq!(payload.canonical(), canonical, "{text}");
                assert_eq!(payload.is_stored_form(), text == written_out(canonical), "{text}");
                assert_eq!(parse(&written_out(canonical)).as_ref(), Ok(&payload), "{text}");
                assert!(parse(&written_out(canonical)).unwrap().is_stored_form(), "{text}");
                accepted += 1;
            }
            (Err(CanonicalError::Number { offset: 0, .. }), None) => {
                assert!(digits > 15, "{text}: every decimal of up to 15 digits passes");
                refused += 1;
            }
            (verdict, _) => panic!("{text}: {verdict:?}, expected {expected:?}"),
        }
    }
    assert!(accepted > 100_000 && refused > 50_000, "{accepted} {refused}");
}

/// Near the ends of the range, digits get fewer.
#[test]
fn subnormal_decimals_are_judged_as_the_rule_says() {
    let mut random = Random::new();
    for _ in 0..50_000 {
        let count = 1 + random.below(17) as u32;
        let digits = random.below(10_usize.pow(count));
        for exponent in [-345 + random.below(40) as i32, 285 + random.below(30) as i32] {
            let text = format!("{digits}e{exponent}");
            assert_eq!(
                parse(&text).ok().map(|payload| payload.canonical().to_owned()),
                judge(&text),
                "{text}"
            );
        }
    }
}

/// A number text in a random spelling, with exponents from -280 to 280, and how
/// many significant digits it can have at most.
fn random_decimal(random: &mut Random) -> (String, usize) {
    let count = 1 + random.below(20);
    let digits: String = (0..count).map(|_| char::from(b'0' + random.below(10) as u8)).collect();
    let sign = *random.pick(&["", "-"]);
    let text = match random.below(4) {
        0 => format!("{sign}{}", integer(&digits)),
        1 => format!("{sign}{}.{digits}", random.below(2)),
        2 => {
            let (whole, fraction) = digits.split_at(random.below(count));
            format!("{sign}{}.{fraction}", integer(whole))
        }
        _ => {
            let exponent = random.below(560) as i32 - 280;
            let letter = *random.pick(&["e", "E", if exponent < 0 { "e" } else { "e+" }]);
            format!("{sign}{}{letter}{exponent}", integer(&digits))
        }
    };
    (text, count + 1)
}

/// Digits as an integer of JSON.
fn integer(digits: &str) -> &str {
    match digits.trim_start_matches('0') {
        "" => "0",
        rest => rest,
    }
}

/// The canonical text of a number text, if the rule accepts it.
fn judge(text: &str) -> Option<String> {
    let double: f64 = text.parse().unwrap();
    let canonical = serde_jcs::to_string(&double).ok().filter(|_| double.is_finite())?;
    (normal_form(&canonical) == normal_form(text)).then_some(canonical)
}

/// Sign, significant digits and the place of the point, which tell decimals apart.
fn normal_form(text: &str) -> (bool, String, i64) {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{}{fraction}", whole.trim_start_matches('-'));
    let significant = digits.trim_start_matches('0');
    let leading = digits.len() - significant.len();
    let place = exponent.parse::<i64>().unwrap() + (digits.len() - fraction.len()) as i64 - leading as i64;
    match significant.trim_end_matches('0') {
        "" => (false, String::new(), 0),
        significant => (text.starts_with('-'), significant.to_owned(), place),
    }
}

/// A number without exponent, as `jsonb` prints it.
fn written_out(text: &str) -> String {
    let (negative, digits, place) = normal_form(text);
    let sign = if negative { "-" } else { "" };
    let length = digits.len() as i64;
    if digits.is_empty() {
        "0".into()
    } else if place <= 0 {
        format!("{sign}0.{}{digits}", "0".repeat(-place as usize))
    } else if place >= length {
        format!("{sign}{digits}{}", "0".repeat((place - length) as usize))
    } else {
        format!("{sign}{}.{}", &digits[..place as usize], &digits[place as usize..])
    }
}
