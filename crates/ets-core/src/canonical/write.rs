//! Writing JSON as RFC 8785 says.

use std::cmp::Ordering;

use serde_json::{Number, Value};

/// The RFC 8785 text of a value.
///
/// This is the plain standard: an integer that is no double is written as the
/// nearest one. What enters a ledger passes the stricter rule of
/// [`Payload`](super::Payload) first.
pub fn to_jcs(value: &Value) -> String {
    let mut out = String::with_capacity(256);
    write_jcs(&mut out, value);
    out
}

/// Appends the RFC 8785 text of a value.
pub fn write_jcs(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => write_number(out, number),
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_jcs(out, item);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            // The map is in the order of UTF-8 bytes, which rarely is another.
            if members.keys().is_sorted_by(|a, b| utf16_order(a, b) != Ordering::Greater) {
                write_members(out, members.iter());
            } else {
                let mut sorted: Vec<(&String, &Value)> = members.iter().collect();
                sorted.sort_unstable_by(|(a, _), (b, _)| utf16_order(a, b));
                write_members(out, sorted.into_iter());
            }
            out.push('}');
        }
    }
}

fn write_members<'a>(out: &mut String, members: impl Iterator<Item = (&'a String, &'a Value)>) {
    for (i, (key, member)) in members.enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_string(out, key);
        out.push(':');
        write_jcs(out, member);
    }
}

/// The order of keys by UTF-16 code units (RFC 8785, section 3.2.3), from their
/// UTF-8 bytes. The two orders differ in one case: characters from U+10000 on
/// (first byte from 0xf0) are surrogates in UTF-16, which come before U+E000 to
/// U+FFFF (first byte 0xee or 0xef).
fn utf16_order(a: &str, b: &str) -> Ordering {
    let rank = |byte: u8| (matches!(byte, 0xee | 0xef), byte);
    // The bytes before the first difference are the same characters, so it lies
    // in two first bytes, or within one character of the same length.
    match a.bytes().zip(b.bytes()).find(|(a, b)| a != b) {
        Some((a, b)) => rank(a).cmp(&rank(b)),
        None => a.len().cmp(&b.len()),
    }
}

/// Appends a string in quotes, escaped as RFC 8785, section 3.2.2.2 says: the
/// two-letter escapes where there are such, `\u00xx` for other control
/// characters, and nothing else.
pub fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    loop {
        let (plain, special) = rest.split_at(plain_run(rest.as_bytes()));
        out.push_str(plain);
        let mut characters = special.chars();
        match characters.next() {
            None => break,
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\u{8}') => out.push_str("\\b"),
            Some('\t') => out.push_str("\\t"),
            Some('\n') => out.push_str("\\n"),
            Some('\u{c}') => out.push_str("\\f"),
            Some('\r') => out.push_str("\\r"),
            Some(control) => {
                out.push_str("\\u00");
                for shift in [4, 0] {
                    out.extend(char::from_digit(u32::from(control) >> shift & 15, 16));
                }
            }
        }
        rest = characters.as_str();
    }
    out.push('"');
}

/// Appends a number: the nearest double as ECMAScript writes it (RFC 8785,
/// section 3.2.2.3).
fn write_number(out: &mut String, number: &Number) {
    match number.as_i64() {
        // Up to 2^53 an integer is a double, and ECMAScript writes all its digits.
        Some(integer) if integer.unsigned_abs() <= 1 << 53 => write_integer(out, integer),
        _ => {
            // serde_json holds finite doubles and integers only, unless it is
            // built with arbitrary_precision, which this workspace never does.
            let double = number.as_f64().unwrap_or(0.0);
            out.push_str(ryu_js::Buffer::new().format(double));
        }
    }
}

fn write_integer(out: &mut String, integer: i64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut left = integer.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    if integer < 0 {
        out.push('-');
    }
    out.push_str(std::str::from_utf8(&digits[at..]).unwrap_or_default());
}

/// How many bytes `text` has before the first that a JSON string cannot hold as
/// it is: a control character, a quote or a backslash.
pub(super) fn plain_run(text: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let (words, rest) = text.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        // Eight bytes at once: subtracting borrows into the high bit of a byte
        // that is too small. A borrow can reach bytes above, never below, so
        // the lowest bit set is right.
        let word = u64::from_le_bytes(*word);
        let quote = word ^ (ONES * u64::from(b'"'));
        let backslash = word ^ (ONES * u64::from(b'\\'));
        let hits = (word.wrapping_sub(ONES * 0x20) & !word
            | quote.wrapping_sub(ONES) & !quote
            | backslash.wrapping_sub(ONES) & !backslash)
            & HIGH;
        if hits != 0 {
            return i * 8 + hits.trailing_zeros() as usize / 8;
        }
    }
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    words.len() * 8 + rest.iter().position(special).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_special_byte_is_found_wherever_it_stands() {
        for special in [0, 0x1f, b'"', b'\\'] {
            for length in 0..20 {
                for at in 0..length {
                    let mut text = vec![0xff; length];
                    text[at] = special;
                    assert_eq!(plain_run(&text), at);
                    text[at + 1..].fill(special.wrapping_add(1));
                    assert_eq!(plain_run(&text), at);
                }
            }
        }
        for plain in (0x20..=0xff).filter(|byte| ![b'"', b'\\'].contains(byte)) {
            assert_eq!(plain_run(&[plain; 19]), 19);
        }
    }

    #[test]
    fn keys_sort_by_utf16() {
        let alphabet =
            ["", "\u{1}", "a", "\u{7f}", "é", "\u{d7ff}", "\u{e000}", "\u{ffff}", "\u{10000}", "\u{10ffff}"];
        let keys: Vec<String> = alphabet.iter().flat_map(|a| alphabet.map(|b| format!("{a}{b}"))).collect();
        for a in &keys {
            for b in &keys {
                assert_eq!(utf16_order(a, b), a.encode_utf16().cmp(b.encode_utf16()), "{a:?} {b:?}");
            }
        }
    }
}
