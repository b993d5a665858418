//! What the tests of ets-core share: the conformance vectors, and random
//! numbers that are the same in every run.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::path::{Path, PathBuf};

use serde_json::Value;

/// A file of the conformance vectors: from where `ETS_VECTORS` says, from the
/// full set beside the checkout, or from the copy in it.
pub fn vectors(path: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = std::env::var_os("ETS_VECTORS").map(PathBuf::from);
    let places = [named, Some(here.join("../../../shared/vectors")), Some(here.join("../../tests/vectors"))];
    places
        .into_iter()
        .flatten()
        .map(|place| place.join(path))
        .find(|file| file.exists())
        .unwrap_or_else(|| panic!("no conformance vectors {path}"))
}

pub fn text(path: &str) -> String {
    std::fs::read_to_string(vectors(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A JSON file as serde_json reads it, so that it does not depend on what is tested.
pub fn json(path: &str) -> Value {
    serde_json::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A member that is an array, checked to have as many cases as the vectors were
/// published with: a file cut short must not pass.
pub fn cases<'a>(value: &'a Value, name: &str, count: usize) -> &'a [Value] {
    let cases = value[name].as_array().unwrap_or_else(|| panic!("no array {name}"));
    assert_eq!(cases.len(), count, "{name}");
    cases
}

/// A member that is a string.
pub fn member<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no string {name} in {value}"))
}

pub fn unhex(text: &str) -> Vec<u8> {
    assert!(text.is_ascii() && text.len().is_multiple_of(2), "{text}");
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// A member that is the hex of `N` bytes.
pub fn bytes<const N: usize>(value: &Value, name: &str) -> [u8; N] {
    unhex(member(value, name)).try_into().unwrap_or_else(|_| panic!("{name} has not {N} bytes"))
}

/// SplitMix64: random enough for tests. The seed is printed, so a failure can be
/// run again: set `ETS_SEED`.
pub struct Random(u64);

impl Random {
    pub fn new() -> Self {
        let seed = std::env::var("ETS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_260_202);
        println!("ETS_SEED={seed}");
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}
