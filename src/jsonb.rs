//! `jsonb` as Postgres keeps it, read and written without the detour over its text.
//!
//! The form is that of utils/jsonb.h and, for its numbers, of utils/adt/numeric.c; it is what
//! `pg_upgrade` carries from one major version to the next. Only what is read here without doubt is:
//! whatever else, and whatever a payload may not be, is left to the text, whose reader says what
//! is wrong and where. `tests/jsonb.rs` compares the two.

mod writer;

use ets_core::canonical::{self, Limits};
use serde_json::{Map, Number, Value};
pub use writer::write;

/// The value of a `jsonb`, whose bytes stand behind its length word, and whether its numbers
/// are as `jsonb` prints the canonical ones; none if that is for the text to say.
pub fn read(jsonb: &[u8], limits: &Limits) -> Option<(Value, bool)> {
    if cfg!(target_endian = "big") {
        return None;
    }
    let mut reader = Reader { bytes_left: limits.max_bytes, stored_form: true };
    let value = reader.container(jsonb, limits.max_depth.min(MAX_DEPTH), true)?;
    Some((value, reader.stored_form))
}

/// Reading and writing are recursive.
const MAX_DEPTH: usize = 128;
/// Numbers of more digits, before or behind the point, are left to the text.
const MAX_DIGITS: usize = 40;
/// 2^53: up to here every integer is a double.
const MAX_INTEGER: u64 = 1 << 53;

// A container's first word (JsonbContainer).
const COUNT: u32 = 0x0fff_ffff;
const IS_SCALAR: u32 = 0x1000_0000;
const IS_OBJECT: u32 = 0x2000_0000;
const IS_ARRAY: u32 = 0x4000_0000;

// The word of each child (JEntry).
const OFFSET_OR_LENGTH: u32 = 0x0fff_ffff;
const TYPE: u32 = 0x7000_0000;
const HAS_OFFSET: u32 = 0x8000_0000;
const STRING: u32 = 0;
const NUMERIC: u32 = 0x1000_0000;
const FALSE: u32 = 0x2000_0000;
const TRUE: u32 = 0x3000_0000;
const NULL: u32 = 0x4000_0000;
const CONTAINER: u32 = 0x5000_0000;

struct Reader {
    /// What the canonical text may still have, so that no more memory is filled with values
    /// than the limit is worth.
    bytes_left: usize,
    stored_form: bool,
}

impl Reader {
    fn container(&mut self, bytes: &[u8], depth_left: usize, is_root: bool) -> Option<Value> {
        let header = word(bytes, 0)?;
        let count = (header & COUNT) as usize;
        let is_object = header & IS_OBJECT != 0;
        let words = if is_object { count * 2 } else { count };
        let children = Children {
            words: bytes.get(4..4 + 4 * words)?,
            data: bytes.get(4 + 4 * words..)?,
            number: 0,
            start: 0,
        };
        if header & IS_SCALAR != 0 {
            let mut only = children;
            return if is_root && count == 1 { self.value(only.next()??, depth_left) } else { None };
        }
        let depth_left = depth_left.checked_sub(1)?;
        self.spend(2 + words)?;
        match header & (IS_OBJECT | IS_ARRAY) {
            IS_OBJECT => self.object(children, count, depth_left),
            IS_ARRAY => self.array(children, count, depth_left),
            _ => None,
        }
    }

    /// All keys come first, then all values.
    fn object(&mut self, children: Children<'_>, count: usize, depth_left: usize) -> Option<Value> {
        let mut keys = Vec::with_capacity(count);
        let mut members = Map::new();
        for child in children {
            let child = child?;
            if keys.len() < count {
                keys.push(self.string(child)?);
            } else {
                let key = std::mem::take(keys.get_mut(members.len())?);
                if members.insert(key, self.value(child, depth_left)?).is_some() {
                    return None;
                }
            }
        }
        Some(Value::Object(members))
    }

    fn array(&mut self, children: Children<'_>, count: usize, depth_left: usize) -> Option<Value> {
        let mut items = Vec::with_capacity(count);
        for child in children {
            items.push(self.value(child?, depth_left)?);
        }
        Some(Value::Array(items))
    }

    fn value(&mut self, child: Child<'_>, depth_left: usize) -> Option<Value> {
        Some(match child.kind {
            STRING => Value::String(self.string(child)?),
            NUMERIC => Value::Number(self.number(child.aligned()?)?),
            FALSE => Value::Bool(false),
            TRUE => Value::Bool(true),
            NULL => Value::Null,
            CONTAINER => self.container(child.aligned()?, depth_left, false)?,
            _ => return None,
        })
    }

    fn string(&mut self, child: Child<'_>) -> Option<String> {
        let bytes = child.data.get(child.start..child.end)?;
        self.spend(bytes.len())?;
        if child.kind != STRING || bytes.contains(&0) {
            return None;
        }
        std::str::from_utf8(bytes).ok().map(str::to_owned)
    }

    fn number(&mut self, bytes: &[u8]) -> Option<Number> {
        let numeric = Numeric::of(bytes)?;
        if let Some(integer) = numeric.small_integer() {
            return Some(integer);
        }
        let (number, is_plain) = canonical::number(&numeric.text()?)?;
        self.stored_form &= is_plain;
        Some(number)
    }

    fn spend(&mut self, bytes: usize) -> Option<()> {
        self.bytes_left = self.bytes_left.checked_sub(bytes)?;
        Some(())
    }
}

/// The children of a container, in their order; none where the container breaks off.
struct Children<'a> {
    words: &'a [u8],
    data: &'a [u8],
    number: usize,
    start: usize,
}

#[derive(Clone, Copy)]
struct Child<'a> {
    kind: u32,
    data: &'a [u8],
    start: usize,
    end: usize,
}

impl<'a> Iterator for Children<'a> {
    type Item = Option<Child<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.number * 4 >= self.words.len() {
            return None;
        }
        let word = word(self.words, self.number * 4)?;
        let length = (word & OFFSET_OR_LENGTH) as usize;
        let end = if word & HAS_OFFSET != 0 { length } else { self.start + length };
        let child = Child { kind: word & TYPE, data: self.data, start: self.start, end };
        self.number += 1;
        self.start = end;
        Some((child.start <= end).then_some(child))
    }
}

impl<'a> Child<'a> {
    /// Its bytes from the next word on: numbers and containers are aligned.
    fn aligned(self) -> Option<&'a [u8]> {
        self.data.get(self.start.next_multiple_of(4)..self.end)
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

/// A finite number: `±digits`, the first worth `10000^weight`, with `scale` digits behind the
/// point (NumericData).
struct Numeric<'a> {
    is_negative: bool,
    weight: i32,
    scale: usize,
    digits: &'a [[u8; 2]],
}

impl<'a> Numeric<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        // A length of four bytes, not compressed: so jsonb keeps its numbers.
        let length = word(bytes, 0)?;
        if length & 3 != 0 {
            return None;
        }
        let bytes = bytes.get(4..(length >> 2) as usize)?;
        let half = |at: usize| bytes.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes);
        let header = half(0)?;
        let (is_negative, scale, weight, size) = match header & 0xc000 {
            0x8000 => {
                let weight = i32::from(header & 0x3f) - i32::from(header & 0x40);
                (header & 0x2000 != 0, (header & 0x1f80) >> 7, weight, 2)
            }
            // NaN and the infinities.
            0xc000 => return None,
            sign => (sign == 0x4000, header & 0x3fff, i32::from(half(2)?.cast_signed()), 4),
        };
        let (digits, rest) = bytes.get(size..)?.as_chunks::<2>();
        rest.is_empty().then_some(Numeric { is_negative, weight, scale: usize::from(scale), digits })
    }

    /// The digit, from 0 to 9999, that is worth `10000^power`.
    fn digit(&self, power: i32) -> u64 {
        usize::try_from(self.weight - power)
            .ok()
            .and_then(|place| self.digits.get(place))
            .map_or(0, |digit| u64::from(u16::from_le_bytes(*digit)))
    }

    /// The number, if it is an integer that every double holds.
    fn small_integer(&self) -> Option<Number> {
        if self.scale > 0 || self.weight > 3 {
            return None;
        }
        let size = (0..=self.weight).rev().fold(0, |sum, power| sum * 10_000 + self.digit(power));
        if size > MAX_INTEGER {
            return None;
        }
        let integer = size.cast_signed();
        Some(Number::from(if self.is_negative { -integer } else { integer }))
    }

    /// As `numeric_out` prints it.
    fn text(&self) -> Option<String> {
        let whole = usize::try_from(self.weight + 1).unwrap_or(0);
        if whole > MAX_DIGITS / 4 || self.scale > MAX_DIGITS {
            return None;
        }
        let digits: String =
            (0..=self.weight).rev().map(|power| format!("{:04}", self.digit(power))).collect();
        let digits = digits.trim_start_matches('0');
        let mut text = String::from(if self.is_negative { "-" } else { "" });
        text.push_str(if digits.is_empty() { "0" } else { digits });
        if self.scale > 0 {
            let groups = i32::try_from(self.scale.div_ceil(4)).ok()?;
            let fraction: String = (1..=groups).map(|place| format!("{:04}", self.digit(-place))).collect();
            text.push('.');
            text.push_str(fraction.get(..self.scale)?);
        }
        Some(text)
    }
}
