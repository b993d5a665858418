//! Names: domains, streams, schema versions, origins. Parsed once, valid after.

use std::fmt;
use std::str::FromStr;

/// The reserved domain that holds domains, schemas, keys and grants as events.
pub const REGISTRY: &str = "ets.registry";
/// The reserved domain that holds what the server declares.
pub const AUDIT: &str = "ets.audit";
/// The stream of events whose schema names no `stream_pointer`.
pub const MAIN: &str = "main";
/// The most domains that a ledger can have, reserved ones included.
pub const MAX_DOMAINS: usize = 1024;

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                if $name::is_valid(text) {
                    Ok($name(text.into()))
                } else {
                    Err(NameError { what: $what })
                }
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name_type!(
    /// A domain: 1 to 64 of `A-Z a-z 0-9 . _ -`, the first a letter or digit.
    DomainName,
    "domain"
);
name_type!(
    /// A stream: 1 to 255 bytes of UTF-8 without control characters (Cc) and
    /// `*`; compared by bytes, never normalised.
    StreamName,
    "stream"
);
name_type!(
    /// A schema version: a name as a domain's, `/`, and three numbers below
    /// 2^32 without leading zeros, as in `order/1.2.0`.
    SchemaVersion,
    "schema_version"
);
name_type!(
    /// A ledger's name to the world, such as `acme.example/prod`: 1 to 255 of
    /// `A-Z a-z 0-9 . _ - / :`.
    Origin,
    "origin"
);

impl DomainName {
    fn is_valid(text: &str) -> bool {
        is_plain_name(text)
    }

    /// `ets.registry`.
    pub fn registry() -> Self {
        DomainName(REGISTRY.into())
    }

    /// `ets.audit`.
    pub fn audit() -> Self {
        DomainName(AUDIT.into())
    }

    /// Whether the name belongs to the system: `ets.` in any case.
    pub fn is_reserved(&self) -> bool {
        is_reserved(&self.0)
    }
}

impl StreamName {
    fn is_valid(text: &str) -> bool {
        (1..=255).contains(&text.len()) && !text.chars().any(|c| c == '*' || c.is_control())
    }

    /// `main`.
    pub fn main() -> Self {
        StreamName(MAIN.into())
    }
}

impl SchemaVersion {
    fn is_valid(text: &str) -> bool {
        text.split_once('/').is_some_and(|(name, version)| {
            let mut numbers = 0;
            is_plain_name(name)
                && version.split('.').all(|number| {
                    numbers += 1;
                    is_version_number(number)
                })
                && numbers == 3
        })
    }

    /// What stands before the `/`.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(name, _)| name)
    }

    /// The three numbers after the `/`.
    pub fn numbers(&self) -> [u32; 3] {
        let mut numbers = [0; 3];
        let version = self.0.split_once('/').map_or("", |(_, version)| version);
        for (number, text) in numbers.iter_mut().zip(version.split('.')) {
            *number = text.parse().unwrap_or(0);
        }
        numbers
    }

    /// Whether the name belongs to the system: `ets.` in any case.
    pub fn is_reserved(&self) -> bool {
        is_reserved(&self.0)
    }
}

impl Origin {
    fn is_valid(text: &str) -> bool {
        (1..=255).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/:".contains(&b))
    }
}

fn is_plain_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
}

fn is_version_number(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'))
        && text.parse::<u32>().is_ok()
}

fn is_reserved(text: &str) -> bool {
    text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("ets."))
}

/// Text that is no name of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameError {
    /// The kind: `domain`, `stream`, `schema_version` or `origin`.
    pub what: &'static str,
}

impl NameError {
    /// What such a name looks like, for a hint.
    pub fn expectation(&self) -> &'static str {
        match self.what {
            "domain" => "a domain is 1 to 64 of A-Z a-z 0-9 . _ - and starts with a letter or digit",
            "stream" => "a stream is 1 to 255 bytes of UTF-8 without control characters and *",
            "schema_version" => "a schema version is a name, a slash and three numbers, as in order/1.0.0",
            _ => "an origin is 1 to 255 of A-Z a-z 0-9 . _ - / :, as in acme.example/prod",
        }
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a valid {}", self.what)
    }
}

impl std::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_bounds() {
        let long = "a".repeat(65);
        for (text, valid) in [
            ("decisions", true),
            ("A.b_c-9", true),
            ("9", true),
            ("", false),
            (".a", false),
            ("a b", false),
            ("é", false),
            (&long, false),
        ] {
            assert_eq!(text.parse::<DomainName>().is_ok(), valid, "{text}");
        }
        let long = "é".repeat(128);
        for (text, valid) in [
            ("order 42/é", true),
            ("", false),
            ("a*", false),
            ("a\u{85}", false),
            ("a\n", false),
            (&long, false),
        ] {
            assert_eq!(text.parse::<StreamName>().is_ok(), valid, "{text}");
        }
        for (text, valid) in [
            ("order/1.0.0", true),
            ("order/0.10.4294967295", true),
            ("order/1.0.4294967296", false),
            ("order/01.0.0", false),
            ("order/1.0", false),
            ("order/1.0.0.0", false),
            ("order", false),
            ("/1.0.0", false),
            ("order/1..0", false),
            ("order/+1.0.0", false),
        ] {
            assert_eq!(text.parse::<SchemaVersion>().is_ok(), valid, "{text}");
        }
        assert!("Ets.x/1.0.0".parse::<SchemaVersion>().is_ok_and(|name| name.is_reserved()));
        assert!("ETS.registry".parse::<DomainName>().is_ok_and(|name| name.is_reserved()));
    }
}
