//! Canonical JSON: RFC 8785 (JCS) under the ledger's stricter number rule.
//!
//! A number is accepted only if the decimal that its canonical text denotes is
//! the decimal that was given. JCS numbers are IEEE doubles and `jsonb` numbers
//! are not, so without this rule two different stored payloads would share one
//! hash, and changing one into the other would go unseen.

mod number;
mod parse;
mod write;

use std::fmt;

use serde_json::Value;

pub use number::NumberProblem;
pub use write::{to_jcs, write_jcs, write_string};

/// The longest canonical payload that any ledger can allow, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 16 << 20;
/// The deepest payload that any ledger can allow; below the 128 at which common
/// JSON readers stop, with an event document and a bundle around it.
pub const MAX_PAYLOAD_DEPTH: usize = 120;
/// The longest canonical payload unless a ledger is set otherwise, in bytes.
pub const DEFAULT_PAYLOAD_BYTES: usize = 1 << 20;
/// The deepest payload unless a ledger is set otherwise.
pub const DEFAULT_PAYLOAD_DEPTH: usize = 64;

/// Limits on what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest canonical text, in bytes.
    pub max_bytes: usize,
    /// The deepest nesting of arrays and objects; a scalar has depth 0.
    /// Whatever it says, nothing deeper than 256 is read.
    pub max_depth: usize,
}

impl Limits {
    /// The ceilings of payloads.
    pub const CEILING: Limits = Limits { max_bytes: MAX_PAYLOAD_BYTES, max_depth: MAX_PAYLOAD_DEPTH };
    /// The limits of payloads unless a ledger is set otherwise.
    pub const DEFAULT: Limits = Limits { max_bytes: DEFAULT_PAYLOAD_BYTES, max_depth: DEFAULT_PAYLOAD_DEPTH };
    /// For an event document around a payload of any allowed size.
    pub const DOCUMENT: Limits =
        Limits { max_bytes: MAX_PAYLOAD_BYTES + (1 << 20), max_depth: MAX_PAYLOAD_DEPTH + 1 };

    /// The longest text that is looked at, in bytes: room for white space,
    /// escapes and zeros that the canonical text will not have.
    fn max_text(&self) -> usize {
        self.max_bytes.saturating_mul(4).saturating_add(1 << 20)
    }

    /// The depth to enforce. Reading is recursive, so a ceiling protects the stack.
    fn depth(&self) -> usize {
        self.max_depth.min(256)
    }
}

/// A payload that has a canonical form, with that form. Two are equal if their
/// canonical texts are.
#[derive(Debug, Clone)]
pub struct Payload {
    value: Value,
    canonical: String,
    stored_form: bool,
}

impl Payload {
    /// Reads JSON text and makes its canonical form.
    ///
    /// # Errors
    /// [`CanonicalError`] if the text is not strict JSON, has a number that is
    /// not exact, or goes beyond the limits.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, CanonicalError> {
        let (value, stored_form) = parse::parse(text, limits)?;
        Payload::written(value, stored_form, text.len(), limits)
    }

    /// The payload of a value that [`parse_json`] read or that was built here.
    /// Its numbers are brought to the form that parsing gives them.
    ///
    /// # Errors
    /// As [`Payload::parse`]; without a text, offsets are 0.
    pub fn from_value(mut value: Value, limits: &Limits) -> Result<Self, CanonicalError> {
        normalize(&mut value, limits.depth(), limits)?;
        Payload::written(value, true, 256, limits)
    }

    /// The payload of a value that was read elsewhere under the rules of [`parse_json`]: its
    /// numbers by [`number()`], no text with U+0000, not deeper than allowed. `stored_form` is
    /// what [`Payload::is_stored_form`] shall say.
    ///
    /// # Errors
    /// [`CanonicalError::TooLarge`].
    pub fn from_read(value: Value, stored_form: bool, limits: &Limits) -> Result<Self, CanonicalError> {
        Payload::written(value, stored_form, 256, limits)
    }

    fn written(
        value: Value,
        stored_form: bool,
        capacity: usize,
        limits: &Limits,
    ) -> Result<Self, CanonicalError> {
        let mut canonical = String::with_capacity(capacity);
        write_jcs(&mut canonical, &value);
        if canonical.len() > limits.max_bytes {
            return Err(CanonicalError::TooLarge { limit: limits.max_bytes });
        }
        Ok(Payload { value, canonical, stored_form })
    }

    /// The value. Integral numbers up to 2^53 in size are integers in it, all
    /// others doubles.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The value, without a copy.
    pub fn into_value(self) -> Value {
        self.value
    }

    /// The RFC 8785 text.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// Whether the numbers of the text that was read are, letter for letter,
    /// what Postgres prints for them once the canonical text has been stored as
    /// `jsonb`: no exponent, no zeros after the last digit of a fraction, no
    /// minus before zero. `1.10` and `1e2` are not; a row that holds them was
    /// not stored by the gate. Spacing, order and escapes do not matter here,
    /// since `jsonb` has its own.
    pub fn is_stored_form(&self) -> bool {
        self.stored_form
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.canonical == other.canonical
    }
}

impl Eq for Payload {}

/// Reads JSON text (RFC 8259) strictly: no duplicate keys, lone surrogates,
/// U+0000, trailing data or byte order mark, and every number under the
/// ledger's rule.
///
/// Integral numbers up to 2^53 in size become integers, all others doubles.
/// `max_bytes` is judged by what the canonical text must have at the least;
/// [`Payload`] judges the text itself.
///
/// # Errors
/// [`CanonicalError`] says what was met first.
pub fn parse_json(text: &str, limits: &Limits) -> Result<Value, CanonicalError> {
    parse::parse(text, limits).map(|(value, _)| value)
}

/// Reads an array as [`parse_json`] does, and calls `each` with every item as soon as it is
/// read. False if the text is another value.
///
/// # Errors
/// What `each` refuses, or a [`CanonicalError`], whichever is met first.
pub fn for_each_item<E: From<CanonicalError>>(
    text: &str,
    limits: &Limits,
    each: impl FnMut(Value) -> Result<(), E>,
) -> Result<bool, E> {
    parse::for_each_item(text, limits, each)
}

/// The number that `text` denotes, as [`parse_json`] reads it, and whether it is what `jsonb`
/// prints for it. None if it is no number or not exact.
pub fn number(text: &str) -> Option<(serde_json::Number, bool)> {
    let (decimal, length) = number::Decimal::scan(text.as_bytes()).ok()?;
    let is_plain = decimal.plain;
    (length == text.len()).then(|| decimal.to_number().ok()).flatten().map(|number| (number, is_plain))
}

/// Brings a value's numbers to the form that parsing gives them, and refuses
/// what parsing would have refused.
fn normalize(value: &mut Value, depth_left: usize, limits: &Limits) -> Result<(), CanonicalError> {
    match value {
        Value::Null | Value::Bool(_) => Ok(()),
        Value::Number(number) => {
            *number =
                number::normal(number).map_err(|problem| CanonicalError::Number { offset: 0, problem })?;
            Ok(())
        }
        Value::String(text) => refuse_nul(text),
        Value::Array(_) | Value::Object(_) if depth_left == 0 => {
            Err(CanonicalError::TooDeep { limit: limits.depth() })
        }
        Value::Array(items) => items.iter_mut().try_for_each(|item| normalize(item, depth_left - 1, limits)),
        Value::Object(members) => members.iter_mut().try_for_each(|(key, member)| {
            refuse_nul(key)?;
            normalize(member, depth_left - 1, limits)
        }),
    }
}

fn refuse_nul(text: &str) -> Result<(), CanonicalError> {
    if text.contains('\0') { Err(CanonicalError::Nul { offset: 0 }) } else { Ok(()) }
}

/// Why a text or value has no canonical form. Offsets are bytes into the text
/// that was given; no part of the text itself is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CanonicalError {
    /// The text is not JSON from here on.
    Syntax {
        /// Where.
        offset: usize,
    },
    /// The text ends before its value does.
    UnexpectedEnd,
    /// A control character stands unescaped in a string.
    ControlCharacter {
        /// Where it stands.
        offset: usize,
    },
    /// A key stands twice in one object, perhaps in two spellings.
    DuplicateKey {
        /// Where the second one starts.
        offset: usize,
    },
    /// A string or key contains U+0000, which Postgres cannot store.
    Nul {
        /// Where it stands.
        offset: usize,
    },
    /// A string or key contains half of a surrogate pair, which is no character.
    LoneSurrogate {
        /// Where its escape starts.
        offset: usize,
    },
    /// A number is another than its canonical text.
    Number {
        /// Where it starts.
        offset: usize,
        /// What is wrong with it.
        problem: NumberProblem,
    },
    /// Arrays and objects are nested deeper than allowed.
    TooDeep {
        /// The depth that is allowed.
        limit: usize,
    },
    /// The canonical text, or the text that was given, is longer than allowed.
    TooLarge {
        /// The length that is allowed to the canonical text, in bytes.
        limit: usize,
    },
}

impl fmt::Display for CanonicalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CanonicalError::Syntax { offset } => write!(f, "not JSON from byte {offset} on"),
            CanonicalError::UnexpectedEnd => f.write_str("the JSON text ends too early"),
            CanonicalError::ControlCharacter { offset } => {
                write!(f, "an unescaped control character at byte {offset}")
            }
            CanonicalError::DuplicateKey { offset } => write!(f, "a duplicate key at byte {offset}"),
            CanonicalError::Nul { offset } => write!(f, "the character U+0000 at byte {offset}"),
            CanonicalError::LoneSurrogate { offset } => write!(f, "a lone surrogate at byte {offset}"),
            CanonicalError::Number { offset, problem } => write!(f, "the number at byte {offset} {problem}"),
            CanonicalError::TooDeep { limit } => write!(f, "nested deeper than {limit} levels"),
            CanonicalError::TooLarge { limit } => write!(f, "longer than {limit} bytes"),
        }
    }
}

impl std::error::Error for CanonicalError {}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(text: &str) -> Result<Payload, CanonicalError> {
        Payload::parse(text, &Limits::DEFAULT)
    }

    #[test]
    fn depth_counts_arrays_and_objects() {
        let limits = Limits { max_bytes: 100, max_depth: 2 };
        for (text, fits) in
            [("1", true), ("[[]]", true), ("{\"a\":{}}", true), ("[[[]]]", false), ("[{\"a\":[]}]", false)]
        {
            assert_eq!(Payload::parse(text, &limits).is_ok(), fits, "{text}");
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(Payload::from_value(value, &limits).is_ok(), fits, "{text}");
        }
        let bottomless = "[".repeat(1_000_000);
        let greedy = Limits { max_bytes: usize::MAX, max_depth: usize::MAX };
        assert_eq!(parse_json(&bottomless, &greedy), Err(CanonicalError::TooDeep { limit: 256 }));
    }

    #[test]
    fn items_are_read_one_by_one_as_in_one() {
        for text in [
            "[]",
            " [ ] ",
            "[1, \"a\", [2], {\"b\": null}]",
            "[[[]]]",
            "7",
            "{\"a\": 1}",
            "[1,]",
            "[1",
            "[1] x",
            "[1 2]",
            "[1e400]",
            "[",
            "",
            "[{\"a\":1,\"a\":2}]",
            "[[[[]]]]",
            "[\"123456789012345678\"]",
        ] {
            let limits = Limits { max_bytes: 20, max_depth: 3 };
            let mut items = Vec::new();
            let read: Result<bool, CanonicalError> = for_each_item(text, &limits, |item| {
                items.push(item);
                Ok(())
            });
            match parse_json(text, &limits) {
                Ok(Value::Array(expected)) => assert_eq!((read, items), (Ok(true), expected), "{text}"),
                Ok(_) => assert_eq!((read, items.len()), (Ok(false), 0), "{text}"),
                Err(error) => assert_eq!(read, Err(error), "{text}"),
            }
        }
        let refused: Result<bool, CanonicalError> =
            for_each_item("[1, 2, !", &Limits::DEFAULT, |_| Err(CanonicalError::UnexpectedEnd));
        assert_eq!(refused, Err(CanonicalError::UnexpectedEnd));
    }

    #[test]
    fn size_is_that_of_the_canonical_text() {
        let limits = Limits { max_bytes: 10, max_depth: 2 };
        for (text, fits) in [
            ("\"12345678\"", true),
            ("\"123456789\"", false),
            ("  [ 1 , 2 , 3 , 4 , 5 ]  ", false),
            ("  [ 1 , 2 , 3 ]            ", true),
            ("\"\\u0041\\u0041\\u0041\"", true),
            ("1.000000000000000", true),
            ("[1e10]", false),
            ("\"\\u001f\\u001f\"", false),
        ] {
            assert_eq!(Payload::parse(text, &limits).is_ok(), fits, "{text}");
        }
        let spaces = " ".repeat(2 << 20) + "1";
        assert_eq!(parse_json(&spaces, &limits), Err(CanonicalError::TooLarge { limit: 10 }));
        assert_eq!(
            Payload::from_value(json!("123456789"), &limits),
            Err(CanonicalError::TooLarge { limit: 10 })
        );
    }

    #[test]
    fn stored_form_is_what_jsonb_prints() {
        for text in [
            "0",
            "-1",
            "1.1",
            "1.05",
            "10000000000000000000000",
            "0.0000001",
            "100000000000000000000",
            "{\"b\": \"1.10\", \"a\": 0.5}",
        ] {
            assert!(parse(text).unwrap().is_stored_form(), "{text}");
        }
        for text in ["-0", "0.0", "1.10", "1.0", "1e2", "1E+2", "1e+22", "1e-7", "0e0", "[1, 2.50]"] {
            assert!(!parse(text).unwrap().is_stored_form(), "{text}");
        }
    }

    #[test]
    fn values_built_here_become_what_parsing_gives() {
        let built = json!({"a": 1.0, "b": -0.0, "c": 1e20, "d": 9_007_199_254_740_994_u64, "e": [0.5]});
        let payload = Payload::from_value(built, &Limits::DEFAULT).unwrap();
        assert_eq!(
            payload.canonical(),
            r#"{"a":1,"b":0,"c":100000000000000000000,"d":9007199254740994,"e":[0.5]}"#
        );
        assert_eq!(payload.value(), parse(payload.canonical()).unwrap().value());
        assert!(payload.is_stored_form());
        for refused in [json!(9_007_199_254_740_993_u64), json!(u64::MAX), json!(i64::MIN + 1)] {
            assert_eq!(
                Payload::from_value(refused, &Limits::DEFAULT),
                Err(CanonicalError::Number { offset: 0, problem: NumberProblem::Inexact })
            );
        }
        for nul in [json!("a\0"), json!({"a\0": 1})] {
            assert_eq!(Payload::from_value(nul, &Limits::DEFAULT), Err(CanonicalError::Nul { offset: 0 }));
        }
    }
}
