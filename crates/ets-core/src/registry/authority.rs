//! Grants and their patterns.

use std::fmt;
use std::str::FromStr;

use crate::key::KeyId;
use crate::name::{DomainName, REGISTRY, SchemaVersion, StreamName};

/// Authority of one key over schemas and streams of one domain, and when it held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The key that may append.
    pub key_id: KeyId,
    /// The one domain.
    pub domain: DomainName,
    /// Which schemas; in a grant over `ets.registry`, which kinds of registry event.
    pub schemas: Pattern,
    /// Which streams; in a grant over `ets.registry`, which domains it may act for.
    pub streams: Pattern,
    /// The registry version that made it.
    pub granted_at: u64,
    /// The registry version that ended it.
    pub ended_at: Option<u64>,
}

impl Grant {
    /// Whether it held at a registry version.
    pub fn is_live_at(&self, version: u64) -> bool {
        self.granted_at <= version && self.ended_at.is_none_or(|ended| version < ended)
    }

    /// Whether it covers an event of this domain, schema and stream.
    pub fn admits(&self, domain: &DomainName, schema: &SchemaVersion, stream: &StreamName) -> bool {
        self.domain == *domain
            && self.schemas.matches(schema.as_str())
            && self.streams.matches(stream.as_str())
    }

    /// Whether it is a grant over `ets.registry` with `*` and `*`: what makes a
    /// live key root. Patterns that merely match everything there is do not.
    pub fn is_root(&self) -> bool {
        self.is_over_registry() && self.schemas.is_any() && self.streams.is_any()
    }

    /// Whether it lets its key sign registry events of `kind` for `domain`.
    pub fn delegates(&self, kind: &SchemaVersion, domain: &DomainName) -> bool {
        self.is_over_registry()
            && self.schemas.matches(kind.as_str())
            && self.streams.matches(domain.as_str())
    }

    /// Whether its domain is `ets.registry`.
    pub fn is_over_registry(&self) -> bool {
        self.domain.as_str() == REGISTRY
    }
}

/// `*`, an exact name, or a prefix with one final `*`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// The longest pattern, in bytes.
    pub const MAX_BYTES: usize = 255;

    /// `*`.
    pub fn any() -> Self {
        Pattern("*".into())
    }

    /// The pattern as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `*`.
    pub fn is_any(&self) -> bool {
        &*self.0 == "*"
    }

    /// The prefix before the final `*`; none for an exact name.
    fn prefix(&self) -> Option<&str> {
        self.0.strip_suffix('*')
    }

    /// Whether `name` is in the pattern.
    pub fn matches(&self, name: &str) -> bool {
        self.prefix().map_or(&*self.0 == name, |prefix| name.starts_with(prefix))
    }

    /// Whether every name in `other` is in this pattern too.
    pub fn covers(&self, other: &Pattern) -> bool {
        match (self.prefix(), other.prefix()) {
            (Some(outer), Some(inner)) => inner.starts_with(outer),
            (Some(_), None) => self.matches(&other.0),
            (None, Some(_)) => false,
            (None, None) => self == other,
        }
    }

    /// Whether some name is in both patterns.
    pub fn overlaps(&self, other: &Pattern) -> bool {
        match (self.prefix(), other.prefix()) {
            (Some(one), Some(two)) => one.starts_with(two) || two.starts_with(one),
            (_, None) => self.matches(&other.0),
            (None, _) => other.matches(&self.0),
        }
    }

    /// Reads a pattern of schema versions.
    ///
    /// # Errors
    /// [`PatternError`] if no schema version could be in it.
    pub fn of_schemas(text: &str) -> Result<Self, PatternError> {
        Pattern::read(text, |exact| exact.parse::<SchemaVersion>().is_ok(), is_schema_prefix)
    }

    /// Reads a pattern of streams; in a grant over `ets.registry`, of domains.
    ///
    /// # Errors
    /// [`PatternError`] if no stream, or no domain, could be in it.
    pub fn of_streams(text: &str, domain: &DomainName) -> Result<Self, PatternError> {
        if domain.as_str() == REGISTRY {
            let is_domain = |name: &str| name.parse::<DomainName>().is_ok();
            Pattern::read(text, is_domain, is_domain)
        } else {
            let is_stream = |name: &str| name.parse::<StreamName>().is_ok();
            Pattern::read(text, is_stream, is_stream)
        }
    }

    fn read(
        text: &str,
        is_exact: impl Fn(&str) -> bool,
        is_prefix: impl Fn(&str) -> bool,
    ) -> Result<Self, PatternError> {
        let valid = text.len() <= Self::MAX_BYTES
            && match text.strip_suffix('*') {
                Some("") => true,
                Some(prefix) => is_prefix(prefix),
                None => is_exact(text),
            };
        if valid { Ok(Pattern(text.into())) } else { Err(PatternError) }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Text that is no pattern of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatternError;

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not `*`, an exact name, or a prefix with one final `*`")
    }
}

impl std::error::Error for PatternError {}

/// Whether some schema version starts with `prefix`.
fn is_schema_prefix(prefix: &str) -> bool {
    let (name, version) = prefix.split_once('/').unwrap_or((prefix, ""));
    // A name is spelled as a domain's.
    DomainName::from_str(name).is_ok()
        && version.split('.').count() <= 3
        && version.split('.').rev().enumerate().all(|(from_the_end, number)| {
            // Only the last number may still be empty: it is yet to come.
            (number.is_empty() && from_the_end == 0)
                || (number.bytes().all(|b| b.is_ascii_digit())
                    && (number == "0" || !number.starts_with('0'))
                    && number.parse::<u32>().is_ok())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schemas(text: &str) -> Pattern {
        Pattern::of_schemas(text).expect(text)
    }

    #[test]
    fn a_pattern_is_a_star_an_exact_name_or_a_prefix_with_one_final_star() {
        for good in ["*", "order/1.0.0", "order*", "order/*", "order/1.*", "order/1.2.*", "order/1.2.3*"] {
            assert_eq!(schemas(good).as_str(), good);
        }
        let long = "a".repeat(65) + "*";
        for bad in
            ["", "**", "order", "order/1", "a*b", "*a", "a**", "/*", "or der*", "order/x*", long.as_str()]
        {
            assert_eq!(Pattern::of_schemas(bad), Err(PatternError), "{bad}");
        }
        for bad in ["order/01*", "order/1..*", "order/1.2.3.*", "order/.1*", "order/4294967296*", "a/b/c*"] {
            assert_eq!(Pattern::of_schemas(bad), Err(PatternError), "{bad}");
        }
    }

    #[test]
    fn streams_of_a_grant_over_the_registry_are_domains() {
        let registry = DomainName::registry();
        let sales: DomainName = "sales".parse().expect("a domain");
        assert!(Pattern::of_streams("tenant 7", &sales).is_ok());
        assert!(Pattern::of_streams("tenant 7", &registry).is_err());
        assert!(Pattern::of_streams("eu.*", &registry).is_ok());
        assert!(Pattern::of_streams("a\u{7f}*", &sales).is_err());
        assert!(Pattern::of_streams("*", &sales).is_ok_and(|pattern| pattern.is_any()));
        assert!(Pattern::of_streams(&("é".repeat(127) + "*"), &sales).is_ok());
        assert!(Pattern::of_streams(&("é".repeat(128) + "*"), &sales).is_err());
    }

    /// Covering and overlap against their definitions, over every name of up to
    /// four letters of an alphabet of two.
    #[test]
    fn covering_and_overlap_are_what_sets_of_names_say() {
        let mut names = vec![String::new()];
        let mut from = 0;
        for _ in 0..4 {
            let to = names.len();
            for at in from..to {
                for letter in ["a", "b"] {
                    names.push(format!("{}{letter}", names[at]));
                }
            }
            from = to;
        }
        names.remove(0);
        let short = || names.iter().filter(|name| name.len() <= 2);
        let patterns: Vec<Pattern> = std::iter::once("*".to_owned())
            .chain(short().cloned())
            .chain(short().map(|name| format!("{name}*")))
            .map(|text| Pattern(text.into()))
            .collect();
        for one in &patterns {
            for two in &patterns {
                let both = names.iter().any(|name| one.matches(name) && two.matches(name));
                let all = names.iter().all(|name| !two.matches(name) || one.matches(name));
                assert_eq!(one.overlaps(two), both, "{one} {two}");
                assert_eq!(one.covers(two), all, "{one} {two}");
            }
        }
    }
}
