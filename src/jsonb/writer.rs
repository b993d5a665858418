//! `jsonb` as Postgres makes it of a canonical text, made without the text
//! (convertToJsonb of utils/adt/jsonb_util.c, make_result of utils/adt/numeric.c).
//!
//! Byte for byte the same, or not made at all: `tests/jsonb.rs` compares images.

use ets_core::canonical::to_jcs;
use serde_json::{Number, Value};

use super::{
    CONTAINER, COUNT, FALSE, HAS_OFFSET, IS_ARRAY, IS_OBJECT, MAX_DEPTH, NULL, NUMERIC, OFFSET_OR_LENGTH,
    STRING, TRUE, TYPE,
};

/// Every 32nd child has the offset of its end instead of its length.
const STRIDE: usize = 32;

/// The `jsonb` of an object or array of a canonical text, whole: with its length word. None if
/// that is for Postgres to make of the text.
pub fn write(value: &Value) -> Option<Vec<u8>> {
    if cfg!(target_endian = "big") || !(value.is_object() || value.is_array()) {
        return None;
    }
    let mut bytes = Vec::with_capacity(512);
    bytes.extend_from_slice(&[0; 4]);
    child(&mut bytes, value, MAX_DEPTH)?;
    put_length(&mut bytes, 0)?;
    Some(bytes)
}

/// Appends a value; its word: its kind, and its length with what it was moved on to be aligned.
fn child(bytes: &mut Vec<u8>, value: &Value, depth_left: usize) -> Option<u32> {
    let start = bytes.len();
    let kind = match value {
        Value::Null => NULL,
        Value::Bool(false) => FALSE,
        Value::Bool(true) => TRUE,
        Value::String(text) => {
            bytes.extend_from_slice(text.as_bytes());
            STRING
        }
        Value::Number(number) => {
            align(bytes);
            numeric(bytes, number)?;
            NUMERIC
        }
        Value::Array(items) => {
            let mut children = Children::of(bytes, IS_ARRAY, items.len(), items.len())?;
            for item in items {
                let word = child(bytes, item, depth_left.checked_sub(1)?)?;
                children.put(bytes, word)?;
            }
            CONTAINER
        }
        Value::Object(members) => {
            let mut sorted: Vec<(&String, &Value)> = members.iter().collect();
            // Their order in the canonical text is by UTF-16; in jsonb a shorter key comes first.
            sorted.sort_unstable_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
            let mut children = Children::of(bytes, IS_OBJECT, sorted.len(), sorted.len() * 2)?;
            for (key, _) in &sorted {
                bytes.extend_from_slice(key.as_bytes());
                children.put(bytes, STRING | length(key.len())?)?;
            }
            for (_, member) in &sorted {
                let word = child(bytes, member, depth_left.checked_sub(1)?)?;
                children.put(bytes, word)?;
            }
            CONTAINER
        }
    };
    Some(kind | length(bytes.len() - start)?)
}

/// The words of a container's children, which stand before them.
struct Children {
    next: usize,
    number: usize,
    end: usize,
}

impl Children {
    fn of(bytes: &mut Vec<u8>, kind: u32, count: usize, words: usize) -> Option<Self> {
        align(bytes);
        let count = u32::try_from(count).ok().filter(|count| *count <= COUNT)?;
        bytes.extend_from_slice(&(count | kind).to_le_bytes());
        let next = bytes.len();
        bytes.resize(next + words.checked_mul(4)?, 0);
        Some(Children { next, number: 0, end: 0 })
    }

    fn put(&mut self, bytes: &mut [u8], word: u32) -> Option<()> {
        self.end += (word & OFFSET_OR_LENGTH) as usize;
        let end = length(self.end)?;
        let word = if self.number.is_multiple_of(STRIDE) { word & TYPE | end | HAS_OFFSET } else { word };
        bytes.get_mut(self.next..self.next + 4)?.copy_from_slice(&word.to_le_bytes());
        self.number += 1;
        self.next += 4;
        Some(())
    }
}

fn length(bytes: usize) -> Option<u32> {
    u32::try_from(bytes).ok().filter(|length| *length <= OFFSET_OR_LENGTH)
}

fn align(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// Fills in the length word at `start`, of a value that goes to the end.
fn put_length(bytes: &mut [u8], start: usize) -> Option<()> {
    let word = length(bytes.len() - start)? << 2;
    bytes.get_mut(start..start + 4)?.copy_from_slice(&word.to_le_bytes());
    Some(())
}

/// Appends a number. One with an exponent is left to Postgres.
fn numeric(bytes: &mut Vec<u8>, number: &Number) -> Option<()> {
    if let Some(integer) = number.as_i64() {
        return decimal(bytes, integer < 0, integer.unsigned_abs(), 0, 0);
    }
    let text = to_jcs(&Value::Number(number.clone()));
    let (is_negative, size) = text.strip_prefix('-').map_or((false, &*text), |size| (true, size));
    let (whole, fraction) = size.split_once('.').unwrap_or((size, ""));
    let groups = fraction.len().div_ceil(4);
    let coefficient = format!("{whole}{fraction:0<0$}", groups * 4).parse().ok()?;
    decimal(bytes, is_negative, coefficient, groups, fraction.len())
}

/// Appends `coefficient / 10000^groups`, which is printed with `scale` digits behind the point,
/// in the short form.
fn decimal(
    bytes: &mut Vec<u8>,
    is_negative: bool,
    mut coefficient: u64,
    groups: usize,
    scale: usize,
) -> Option<()> {
    // The least comes first; 10000^5 is more than a coefficient.
    let mut digits = [0_u16; 5];
    let mut count = 0;
    while coefficient > 0 {
        digits[count] = (coefficient % 10_000) as u16;
        coefficient /= 10_000;
        count += 1;
    }
    let zeros = digits[..count].iter().take_while(|digit| **digit == 0).count();
    let weight = if count == 0 { 0 } else { count as i32 - 1 - groups as i32 };
    // Both have six bits, the weight a sign as well.
    if scale > 0x3f || !(-0x40..0x40).contains(&weight) {
        return None;
    }
    let sign = if is_negative && count > 0 { 0x2000 } else { 0 };
    let header = 0x8000 | sign | (scale as u16) << 7 | (weight & 0x7f) as u16;
    let start = bytes.len();
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&header.to_le_bytes());
    for digit in digits[zeros..count].iter().rev() {
        bytes.extend_from_slice(&digit.to_le_bytes());
    }
    put_length(bytes, start)
}
