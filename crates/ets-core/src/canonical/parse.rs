//! Reading JSON text, strictly and in one pass.

use serde_json::{Map, Number, Value};

use super::number::Decimal;
use super::write::plain_run;
use super::{CanonicalError, Limits};

/// The value of `text`, and whether its numbers are as `jsonb` prints them.
pub(super) fn parse(text: &str, limits: &Limits) -> Result<(Value, bool), CanonicalError> {
    if text.len() > limits.max_text() {
        return Err(CanonicalError::TooLarge { limit: limits.max_bytes });
    }
    let mut parser = Parser::new(text, limits);
    parser.skip_space();
    let value = parser.value()?;
    parser.end()?;
    Ok((value, parser.stored_form))
}

/// Calls `each` with every item of `text`, which is an array, as soon as it is read; false
/// if it is another value. What `text` holds behind an item that is refused is not looked at.
pub(super) fn for_each_item<E: From<CanonicalError>>(
    text: &str,
    limits: &Limits,
    mut each: impl FnMut(Value) -> Result<(), E>,
) -> Result<bool, E> {
    if text.len() > limits.max_text() {
        return Err(CanonicalError::TooLarge { limit: limits.max_bytes }.into());
    }
    let mut parser = Parser::new(text, limits);
    parser.skip_space();
    let is_array = parser.peek() == Some(b'[');
    if is_array {
        parser.open()?;
        let mut goes_on = !parser.take(b']');
        while goes_on {
            each(parser.value()?)?;
            goes_on = parser.more(b']')?;
        }
    } else {
        parser.value()?;
    }
    parser.end()?;
    Ok(is_array)
}

struct Parser<'a> {
    text: &'a str,
    /// The bytes of `text`.
    bytes: &'a [u8],
    /// Where the next byte is; always the start of a character.
    at: usize,
    limits: &'a Limits,
    /// How many arrays and objects are open.
    depth: usize,
    /// What the canonical text has in any case, in bytes. It is counted so that
    /// no more memory is filled with values than the limit is worth.
    least_bytes: usize,
    stored_form: bool,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, limits: &'a Limits) -> Self {
        Parser { text, bytes: text.as_bytes(), at: 0, limits, depth: 0, least_bytes: 0, stored_form: true }
    }

    /// Nothing but white space may follow.
    fn end(&mut self) -> Result<(), CanonicalError> {
        self.skip_space();
        if self.at < self.text.len() { Err(self.syntax()) } else { Ok(()) }
    }

    /// A value. The next byte is not white space, before and after.
    fn value(&mut self) -> Result<Value, CanonicalError> {
        match self.peek() {
            Some(b'"') => Ok(Value::String(self.string()?)),
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'-' | b'0'..=b'9') => self.number().map(Value::Number),
            Some(b't') => self.literal("true", Value::Bool(true)),
            Some(b'f') => self.literal("false", Value::Bool(false)),
            Some(b'n') => self.literal("null", Value::Null),
            Some(_) => Err(self.syntax()),
            None => Err(CanonicalError::UnexpectedEnd),
        }
    }

    /// What stands behind the opening bracket at hand. Every array and object
    /// passes here, so this is what bounds the recursion.
    fn nested(
        &mut self,
        inside: fn(&mut Self) -> Result<Value, CanonicalError>,
    ) -> Result<Value, CanonicalError> {
        self.open()?;
        let value = inside(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn open(&mut self) -> Result<(), CanonicalError> {
        if self.depth == self.limits.depth() {
            return Err(CanonicalError::TooDeep { limit: self.depth });
        }
        self.count(2)?;
        self.depth += 1;
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    fn object(&mut self) -> Result<Value, CanonicalError> {
        let mut members = Map::new();
        if self.take(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            let offset = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.syntax());
            }
            let key = self.string()?;
            self.skip_space();
            if !self.take(b':') {
                return Err(self.syntax());
            }
            self.skip_space();
            self.count(1)?;
            let member = self.value()?;
            if members.insert(key, member).is_some() {
                return Err(CanonicalError::DuplicateKey { offset });
            }
            if !self.more(b'}')? {
                return Ok(Value::Object(members));
            }
        }
    }

    fn array(&mut self) -> Result<Value, CanonicalError> {
        let mut items = Vec::new();
        if self.take(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value()?);
            if !self.more(b']')? {
                return Ok(Value::Array(items));
            }
        }
    }

    /// Whether a comma follows rather than the closing bracket.
    fn more(&mut self, close: u8) -> Result<bool, CanonicalError> {
        self.skip_space();
        if self.take(b',') {
            self.skip_space();
            self.count(1)?;
            Ok(true)
        } else if self.take(close) {
            Ok(false)
        } else {
            Err(self.syntax())
        }
    }

    fn literal(&mut self, literal: &str, value: Value) -> Result<Value, CanonicalError> {
        for expected in literal.bytes() {
            if !self.take(expected) {
                return Err(self.syntax());
            }
        }
        self.count(literal.len())?;
        Ok(value)
    }

    fn number(&mut self) -> Result<Number, CanonicalError> {
        let offset = self.at;
        self.count(1)?;
        let rest = self.bytes.get(offset..).unwrap_or_default();
        if let Some((integer, length)) = short_integer(rest) {
            self.at += length;
            return Ok(Number::from(integer));
        }
        match Decimal::scan(rest) {
            Ok((decimal, length)) => {
                self.at += length;
                self.stored_form &= decimal.plain;
                decimal.to_number().map_err(|problem| CanonicalError::Number { offset, problem })
            }
            Err(length) => {
                self.at += length;
                Err(self.syntax())
            }
        }
    }

    /// The string whose opening quote is at hand, without its escapes.
    fn string(&mut self) -> Result<String, CanonicalError> {
        self.at += 1;
        let start = self.at;
        self.skip_plain();
        if self.take(b'"') {
            let text = self.since(start, 1).to_owned();
            self.count(text.len() + 2)?;
            return Ok(text);
        }
        let mut text = String::from(self.since(start, 0));
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    self.count(text.len() + 2)?;
                    return Ok(text);
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(0) => return Err(CanonicalError::Nul { offset: self.at }),
                Some(_) => return Err(CanonicalError::ControlCharacter { offset: self.at }),
                None => return Err(CanonicalError::UnexpectedEnd),
            }
            let start = self.at;
            self.skip_plain();
            text.push_str(self.since(start, 0));
        }
    }

    /// The character that the escape at hand stands for.
    fn escape(&mut self) -> Result<char, CanonicalError> {
        let offset = self.at;
        self.at += 1;
        let character = match self.peek() {
            Some(b'u') => {
                self.at += 1;
                return self.unicode_escape(offset);
            }
            Some(plain @ (b'"' | b'\\' | b'/')) => char::from(plain),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            _ => return Err(self.syntax()),
        };
        self.at += 1;
        Ok(character)
    }

    /// The character of a `\uXXXX` that started at `offset`, or of a pair of them.
    fn unicode_escape(&mut self, offset: usize) -> Result<char, CanonicalError> {
        let lone = Err(CanonicalError::LoneSurrogate { offset });
        let code = match self.hex4()? {
            0 => return Err(CanonicalError::Nul { offset }),
            high @ 0xd800..=0xdbff => {
                if !(self.take(b'\\') && self.take(b'u')) {
                    return lone;
                }
                match self.hex4()? {
                    low @ 0xdc00..=0xdfff => 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00),
                    _ => return lone,
                }
            }
            code => code,
        };
        // What is left that is no character is a low surrogate without a high one.
        char::from_u32(code).map_or(lone, Ok)
    }

    fn hex4(&mut self) -> Result<u32, CanonicalError> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            code = code << 4 | digit.ok_or_else(|| self.syntax())?;
            self.at += 1;
        }
        Ok(code)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn skip_plain(&mut self) {
        self.at += plain_run(self.bytes.get(self.at..).unwrap_or_default());
    }

    /// The text from `start` to `back` bytes before here; both ends are at
    /// ASCII characters, so it is whole characters.
    fn since(&self, start: usize, back: usize) -> &str {
        self.text.get(start..self.at - back).unwrap_or_default()
    }

    /// Counts bytes that the canonical text has in any case.
    fn count(&mut self, bytes: usize) -> Result<(), CanonicalError> {
        self.least_bytes += bytes;
        if self.least_bytes > self.limits.max_bytes {
            return Err(CanonicalError::TooLarge { limit: self.limits.max_bytes });
        }
        Ok(())
    }

    fn syntax(&self) -> CanonicalError {
        if self.at < self.bytes.len() {
            CanonicalError::Syntax { offset: self.at }
        } else {
            CanonicalError::UnexpectedEnd
        }
    }
}

/// The integer that `text` starts with and its length in bytes, if it has at
/// most 15 digits, is in its one plain spelling and is no part of a longer
/// number: the usual case, for which the number rule has nothing to say.
fn short_integer(text: &[u8]) -> Option<(i64, usize)> {
    let (sign, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let mut value = 0_i64;
    let mut length = 0;
    for byte in digits {
        match byte {
            b'0'..=b'9' if length < 15 => value = value * 10 + i64::from(byte - b'0'),
            b'0'..=b'9' | b'.' | b'e' | b'E' => return None,
            _ => break,
        }
        length += 1;
    }
    let plain = match digits.first() {
        Some(b'0') => length == 1 && sign == 1,
        _ => length > 0,
    };
    plain.then_some((sign * value, length + usize::from(sign < 0)))
}
