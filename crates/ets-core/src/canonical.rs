//! Canonical JSON (RFC 8785) under the ledger's number rule.

use serde_json::Value;

/// Limits on what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest canonical text, in bytes.
    pub max_bytes: usize,
    /// The deepest nesting of arrays and objects; a scalar has depth 0.
    pub max_depth: usize,
}

impl Limits {
    /// The ceilings of payloads.
    pub const CEILING: Limits = Limits { max_bytes: 16 << 20, max_depth: 120 };
    /// For an event document around a payload of any allowed size.
    pub const DOCUMENT: Limits = Limits { max_bytes: 17 << 20, max_depth: 121 };
}

/// (in preparation)
#[derive(Debug, Clone, PartialEq)]
pub struct Payload;
/// (in preparation)
#[derive(Debug, Clone, PartialEq)]
pub struct CanonicalError;
impl std::fmt::Display for CanonicalError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("x")
    }
}
impl Payload {
    /// (in preparation)
    pub fn canonical(&self) -> &str {
        ""
    }
    /// (in preparation)
    pub fn from_value(_: Value, _: &Limits) -> Result<Payload, CanonicalError> {
        Err(CanonicalError)
    }
}
/// (in preparation)
pub fn parse_json(_: &str, _: &Limits) -> Result<Value, CanonicalError> {
    Err(CanonicalError)
}
/// (in preparation)
pub fn write_string(_: &mut String, _: &str) {}
