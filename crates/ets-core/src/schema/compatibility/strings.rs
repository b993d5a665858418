//! Lengths, patterns and formats of strings.

use serde_json::{Map, Value};

use super::super::{Dialect, short};
use super::checker::Checker;
use super::document::Node;
use super::failure::Check;
use super::number;
use super::patterns::Pattern;
use super::shape::Shape;

/// Formats that the evaluator asserts in both dialects; any other is ignored.
const FORMATS: [&str; 17] = [
    "date",
    "date-time",
    "email",
    "hostname",
    "idn-email",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "iri",
    "iri-reference",
    "json-pointer",
    "regex",
    "relative-json-pointer",
    "time",
    "uri",
    "uri-reference",
    "uri-template",
];
/// Those that draft 2020-12 has besides.
const LATEST_FORMATS: [&str; 2] = ["duration", "uuid"];

pub(super) fn is_asserted_format(name: &str, dialect: Dialect) -> bool {
    FORMATS.contains(&name) || (dialect == Dialect::Draft202012 && LATEST_FORMATS.contains(&name))
}

impl<'s> Checker<'s> {
    pub(super) fn satisfies_string(
        &mut self,
        shape: &Shape<'s>,
        target: Node<'s>,
        members: &'s Map<String, Value>,
        keyword: &'s str,
        value: &'s Value,
    ) -> Check {
        let count = number::count(value);
        let is_satisfied = match keyword {
            "minLength" => count.is_some_and(|count| shape.length.min >= count),
            "maxLength" => count.is_some_and(|count| shape.length.max <= count),
            "pattern" => value.as_str().is_some_and(|pattern| {
                let pattern = Pattern::read(pattern);
                pattern.is_any() || shape.patterns.iter().any(|known| Pattern::read(known).implies(pattern))
            }),
            "format" => value.as_str().is_some_and(|format| shape.formats.contains(format)),
            _ => {
                let text = |keyword: &str| members.get(keyword).and_then(Value::as_str);
                shape.contents.contains(&(text("contentMediaType"), text("contentEncoding")))
            }
        };
        if is_satisfied {
            return Ok(());
        }
        let quoted = || short(value.as_str().unwrap_or_default());
        self.fail(shape, target, keyword, || match keyword {
            "minLength" => format!("strings shorter than {value} were allowed"),
            "maxLength" => format!("strings longer than {value} were allowed"),
            "pattern" => format!("strings that do not match {} may have been allowed", quoted()),
            "format" => format!("strings that are not of format {} may have been allowed", quoted()),
            _ => "strings of other content may have been allowed".to_owned(),
        })
    }
}
