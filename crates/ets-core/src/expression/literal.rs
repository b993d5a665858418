//! Strings and numbers as an expression writes them.

use super::error::ExpressionProblem;
use super::lexer::Token;

/// The string that starts at `start`, with its escapes resolved, and where it
/// ends; or nothing, if none starts there.
pub(super) fn string(
    source: &str,
    start: usize,
) -> Result<Option<(String, usize)>, (usize, ExpressionProblem)> {
    let rest = source.get(start..).unwrap_or_default();
    let prefix = rest.bytes().take_while(|byte| matches!(byte, b'r' | b'R' | b'b' | b'B')).take(2).count();
    let (prefix, body) = rest.split_at(prefix);
    let Some(quote) = ["'''", "\"\"\"", "'", "\""].into_iter().find(|quote| body.starts_with(quote)) else {
        return Ok(None);
    };
    if prefix.contains(['b', 'B']) {
        return Err((start, ExpressionProblem::NotOffered { what: "bytes" }));
    }
    if prefix.len() > 1 {
        return Ok(None);
    }
    let raw = !prefix.is_empty();
    let mut text = String::new();
    let mut at = start + prefix.len() + quote.len();
    loop {
        let rest = source.get(at..).unwrap_or_default();
        if rest.starts_with(quote) {
            return Ok(Some((text, at + quote.len())));
        }
        let Some(character) = rest.chars().next() else {
            return Err((start, ExpressionProblem::UnclosedString));
        };
        if matches!(character, '\n' | '\r') && quote.len() == 1 {
            return Err((start, ExpressionProblem::UnclosedString));
        }
        if character == '\\' && !raw {
            let (escaped, length) = escape(rest).ok_or((at, ExpressionProblem::Escape))?;
            text.push(escaped);
            at += length;
        } else {
            text.push(character);
            at += character.len_utf8();
        }
    }
}

/// The character that the escape at the start of `text` stands for, and the
/// escape's length.
fn escape(text: &str) -> Option<(char, usize)> {
    let numbered = |digits: &str, radix| {
        // A sign would pass the parser of integers.
        let digits = Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_alphanumeric()))?;
        u32::from_str_radix(digits, radix).ok().and_then(char::from_u32)
    };
    let plain = match text.as_bytes().get(1)? {
        b'a' => '\u{7}',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'v' => '\u{b}',
        byte @ (b'\\' | b'\'' | b'"' | b'`' | b'?') => char::from(*byte),
        b'x' | b'X' => return Some((numbered(text.get(2..4)?, 16)?, 4)),
        b'u' => return Some((numbered(text.get(2..6)?, 16)?, 6)),
        b'U' => return Some((numbered(text.get(2..10)?, 16)?, 10)),
        b'0'..=b'3' => return Some((numbered(text.get(1..4)?, 8)?, 4)),
        _ => return None,
    };
    Some((plain, 2))
}

/// The number that `text` starts with, and its length.
pub(super) fn number(text: &str) -> Result<(Token<'static>, usize), ExpressionProblem> {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        bytes.get(from..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let (token, length) = if text.starts_with("0x") || text.starts_with("0X") {
        let hex = bytes.iter().skip(2).take_while(|byte| byte.is_ascii_hexdigit()).count();
        if hex == 0 {
            return Err(ExpressionProblem::Expected { what: "hexadecimal digits" });
        }
        (integer(text.get(2..2 + hex).unwrap_or_default(), 16)?, 2 + hex)
    } else {
        let whole = digits(0);
        let mut length = whole;
        // Without digits after it, a dot selects a member.
        if bytes.get(length) == Some(&b'.') && digits(length + 1) > 0 {
            length += 1 + digits(length + 1);
        }
        if let Some(b'e' | b'E') = bytes.get(length) {
            let sign = usize::from(matches!(bytes.get(length + 1), Some(b'+' | b'-')));
            match digits(length + 1 + sign) {
                0 => return Err(ExpressionProblem::Expected { what: "an exponent" }),
                exponent => length += 1 + sign + exponent,
            }
        }
        let written = text.get(..length).unwrap_or_default();
        (if length == whole { integer(written, 10)? } else { double(written)? }, length)
    };
    match bytes.get(length) {
        Some(b'u' | b'U') => Err(ExpressionProblem::NotOffered { what: "unsigned integers" }),
        Some(byte) if byte.is_ascii_alphanumeric() || *byte == b'_' => {
            Err(ExpressionProblem::Expected { what: "an operator after the number" })
        }
        _ => Ok((token, length)),
    }
}

fn integer(digits: &str, radix: u32) -> Result<Token<'static>, ExpressionProblem> {
    match u64::from_str_radix(digits, radix) {
        Ok(magnitude) if magnitude <= i64::MIN.unsigned_abs() => Ok(Token::Int(magnitude)),
        _ => Err(ExpressionProblem::NumberTooLarge),
    }
}

fn double(written: &str) -> Result<Token<'static>, ExpressionProblem> {
    match written.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Token::Double(number)),
        _ => Err(ExpressionProblem::NumberTooLarge),
    }
}
