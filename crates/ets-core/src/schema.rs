//! JSON Schema, fenced: what a schema may cost, and what a violation may say.
//!
//! A schema is evaluated by the `jsonschema` crate in its own dialect, draft
//! 2020-12 or draft-07, with `format` asserted and nothing fetched. Before it
//! is compiled, [`bounds`] refuses what could exhaust a server: size, nesting,
//! long patterns, and references that multiply. Patterns are evaluated in
//! linear time, so there is no look-around and no back-reference.

mod bounds;
pub mod compatibility;

use std::fmt;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{Draft, PatternOptions, ValidationError};
use serde_json::{Map, Value, json};

pub use bounds::{
    MAX_APPLICATIONS, MAX_PATTERN_BYTES, MAX_PATTERNS, MAX_REFERENCE_CHAIN, MAX_SCHEMA_BYTES,
    MAX_SCHEMA_DEPTH,
};

/// The most violations that are reported of one payload.
pub const MAX_VIOLATIONS: usize = 32;
/// Payloads of more values than this are judged in full, but only their first
/// violation is reported: collecting all would take memory without bound.
const MAX_VALUES_COLLECTED: usize = 20_000;
/// The bound on a compiled pattern and on the cache of its automaton, in bytes.
const MAX_COMPILED_PATTERN_BYTES: usize = 1 << 20;

/// Dialect and profile of a schema, as `ets.schema/1.0.0` records it. Absent
/// `$schema` means draft 2020-12.
///
/// # Errors
/// [`SchemaError::Dialect`] if `$schema` names another.
pub fn engine_of(schema: &Value) -> Result<&'static str, SchemaError> {
    dialect_of(schema).map(|dialect| match dialect {
        Dialect::Draft202012 => "draft2020-12/1",
        Dialect::Draft7 => "draft-07/1",
    })
}

/// A compiled schema.
#[derive(Debug)]
pub struct Validator {
    compiled: jsonschema::Validator,
    /// Present where a deep payload could be expensive: then every payload is
    /// measured first.
    growth: Option<bounds::Growth>,
}

impl Validator {
    /// Compiles a schema, if it is one and its cost is bounded.
    ///
    /// # Errors
    /// [`SchemaError`] says what is wrong, and where.
    pub fn compile(schema: &Value) -> Result<Self, SchemaError> {
        let dialect = dialect_of(schema)?;
        let growth = bounds::check(schema, dialect)?;
        let compiled =
            evaluator_options(dialect).build(schema).map_err(|error| SchemaError::of_crate(&error))?;
        Ok(Validator { compiled, growth })
    }

    /// Whether the payload satisfies the schema.
    pub fn is_valid(&self, payload: &Value) -> bool {
        self.growth.as_ref().is_none_or(|growth| growth.admits(payload)) && self.compiled.is_valid(payload)
    }

    /// What is wrong with the payload, at most [`MAX_VIOLATIONS`]; nothing if it
    /// satisfies the schema.
    pub fn validate(&self, payload: &Value) -> Vec<Violation> {
        if self.growth.as_ref().is_some_and(|growth| !growth.admits(payload)) {
            return vec![Violation::too_costly()];
        }
        if self.compiled.is_valid(payload) {
            return Vec::new();
        }
        let mut violations = Vec::new();
        if has_more_values_than(payload, MAX_VALUES_COLLECTED) {
            if let Err(error) = self.compiled.validate(payload) {
                describe(&error, &mut violations);
            }
        } else {
            for error in self.compiled.iter_errors(payload) {
                describe(&error, &mut violations);
                if violations.len() >= MAX_VIOLATIONS {
                    break;
                }
            }
        }
        violations.truncate(MAX_VIOLATIONS);
        if violations.is_empty() {
            // Refused without a reason is refused all the same.
            violations.push(Violation::unexplained());
        }
        violations
    }
}

/// How schemas of a dialect are compiled, everywhere.
fn evaluator_options<'i>(dialect: Dialect) -> jsonschema::ValidationOptions<'i> {
    jsonschema::options()
        .with_draft(draft_of(dialect))
        .should_validate_formats(true)
        .offline()
        .with_pattern_options(
            PatternOptions::regex()
                .size_limit(MAX_COMPILED_PATTERN_BYTES)
                .dfa_size_limit(MAX_COMPILED_PATTERN_BYTES),
        )
}

fn draft_of(dialect: Dialect) -> Draft {
    match dialect {
        Dialect::Draft202012 => Draft::Draft202012,
        Dialect::Draft7 => Draft::Draft7,
    }
}

/// One place where a payload violates its schema. It never holds a value of the
/// payload; the pointer holds names of members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// RFC 6901 pointer into the payload.
    pub instance_pointer: String,
    /// RFC 6901 pointer into the schema, to the keyword.
    pub schema_pointer: String,
    /// The keyword.
    pub keyword: String,
    /// What is wrong, of schema and keyword only.
    pub message: String,
}

impl Violation {
    fn too_costly() -> Self {
        Violation {
            instance_pointer: String::new(),
            schema_pointer: String::new(),
            keyword: "$ref".to_owned(),
            message: "is nested so deep that this recursive schema would take too long".to_owned(),
        }
    }

    fn unexplained() -> Self {
        Violation {
            instance_pointer: String::new(),
            schema_pointer: String::new(),
            keyword: String::new(),
            message: "does not satisfy the schema".to_owned(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Violations as the JSON array that errors carry.
pub fn violations_json(violations: &[Violation]) -> Value {
    violations
        .iter()
        .map(|violation| {
            json!({
                "instance_pointer": violation.instance_pointer,
                "schema_pointer": violation.schema_pointer,
                "keyword": violation.keyword,
                "message": violation.message,
            })
        })
        .collect()
}

/// A dialect of JSON Schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Draft202012,
    Draft7,
}

impl Dialect {
    fn of_uri(uri: &str) -> Option<Self> {
        match uri.strip_suffix('#').unwrap_or(uri) {
            "https://json-schema.org/draft/2020-12/schema" => Some(Dialect::Draft202012),
            "http://json-schema.org/draft-07/schema" => Some(Dialect::Draft7),
            _ => None,
        }
    }
}

fn dialect_of(schema: &Value) -> Result<Dialect, SchemaError> {
    match schema.get("$schema") {
        None => Ok(Dialect::Draft202012),
        Some(Value::String(uri)) => {
            Dialect::of_uri(uri).ok_or_else(|| SchemaError::Dialect { uri: uri.chars().take(128).collect() })
        }
        Some(_) => Err(SchemaError::Malformed { pointer: "/$schema".to_owned(), keyword: "type".to_owned() }),
    }
}

/// Why a schema cannot be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // The members say what they are: the place, and the limit it exceeds.
pub enum SchemaError {
    /// `$schema` names a dialect other than draft 2020-12 and draft-07.
    Dialect { uri: String },
    /// Its canonical text is too long.
    TooLarge { limit: usize },
    /// It is nested too deep.
    TooDeep { limit: usize },
    /// A pattern is too long.
    PatternTooLong { pointer: String, limit: usize },
    /// It has too many different patterns.
    TooManyPatterns { pointer: String, limit: usize },
    /// A pattern is none, or one that has no linear-time evaluation.
    Pattern { pointer: String },
    /// A reference leads outside the schema, or to nothing.
    Reference { pointer: String },
    /// References lead back to themselves without a step into the payload.
    Loop { pointer: String },
    /// References lead to references, too often.
    ReferenceChain { pointer: String, limit: usize },
    /// References multiply: one value would be checked too many times.
    FanOut { pointer: String, limit: u64 },
    /// A keyword's value is not what the dialect's meta-schema wants.
    Malformed { pointer: String, keyword: String },
}

impl SchemaError {
    fn of_crate(error: &ValidationError<'_>) -> Self {
        let pointer = error.instance_path().as_str().to_owned();
        match error.kind() {
            ValidationErrorKind::Referencing(_) => SchemaError::Reference { pointer },
            ValidationErrorKind::Format { format } if format == "regex" => SchemaError::Pattern { pointer },
            ValidationErrorKind::Pattern { .. } | ValidationErrorKind::RegexEngineFailure { .. } => {
                SchemaError::Pattern { pointer }
            }
            kind => SchemaError::Malformed { pointer, keyword: kind.keyword().to_owned() },
        }
    }

    /// A word for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            SchemaError::Dialect { .. } => "dialect",
            SchemaError::TooLarge { .. } => "too_large",
            SchemaError::TooDeep { .. } => "too_deep",
            SchemaError::PatternTooLong { .. } => "pattern_too_long",
            SchemaError::TooManyPatterns { .. } => "too_many_patterns",
            SchemaError::Pattern { .. } => "pattern",
            SchemaError::Reference { .. } => "reference",
            SchemaError::Loop { .. } => "loop",
            SchemaError::ReferenceChain { .. } => "reference_chain",
            SchemaError::FanOut { .. } => "fan_out",
            SchemaError::Malformed { .. } => "malformed",
        }
    }

    /// The place in the schema, as an RFC 6901 pointer.
    pub fn pointer(&self) -> &str {
        match self {
            SchemaError::Dialect { .. } => "/$schema",
            SchemaError::TooLarge { .. } | SchemaError::TooDeep { .. } => "",
            SchemaError::PatternTooLong { pointer, .. }
            | SchemaError::TooManyPatterns { pointer, .. }
            | SchemaError::Pattern { pointer }
            | SchemaError::Reference { pointer }
            | SchemaError::Loop { pointer }
            | SchemaError::ReferenceChain { pointer, .. }
            | SchemaError::FanOut { pointer, .. }
            | SchemaError::Malformed { pointer, .. } => pointer,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            SchemaError::Dialect { .. } => "use JSON Schema draft 2020-12 or draft-07",
            SchemaError::TooLarge { .. } | SchemaError::TooDeep { .. } => {
                "split the schema into several, or simplify it"
            }
            SchemaError::PatternTooLong { .. } => "use a shorter pattern",
            SchemaError::TooManyPatterns { .. } => "use fewer patterns, or one for several members",
            SchemaError::Pattern { .. } => {
                "patterns are evaluated in linear time and bounded memory: no look-around, no back-references, no huge repetitions"
            }
            SchemaError::Reference { .. } => {
                "put what is referred to under $defs and refer to it by #/$defs/name; nothing is fetched"
            }
            SchemaError::Loop { .. } => "let a recursive reference stand under properties or items",
            SchemaError::ReferenceChain { .. } => "refer to the last schema directly",
            SchemaError::FanOut { .. } => "refer to a schema once where it is applied to the same value",
            SchemaError::Malformed { .. } => "correct the keyword at this place",
        }
    }

    /// A JSON object for programs.
    pub fn detail(&self) -> Value {
        let mut detail = Map::new();
        detail.insert("reason".to_owned(), self.reason().into());
        detail.insert("schema_pointer".to_owned(), self.pointer().into());
        match self {
            SchemaError::Dialect { uri } => detail.insert("dialect".to_owned(), uri.as_str().into()),
            SchemaError::TooLarge { limit }
            | SchemaError::TooDeep { limit }
            | SchemaError::PatternTooLong { limit, .. }
            | SchemaError::TooManyPatterns { limit, .. }
            | SchemaError::ReferenceChain { limit, .. } => detail.insert("limit".to_owned(), (*limit).into()),
            SchemaError::FanOut { limit, .. } => detail.insert("limit".to_owned(), (*limit).into()),
            SchemaError::Malformed { keyword, .. } => {
                detail.insert("keyword".to_owned(), keyword.as_str().into())
            }
            _ => None,
        };
        Value::Object(detail)
    }
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SchemaError::Dialect { uri } => write!(f, "the dialect {uri:?} is not known"),
            SchemaError::TooLarge { limit } => write!(f, "the JSON Schema is longer than {limit} bytes"),
            SchemaError::TooDeep { limit } => write!(f, "the JSON Schema is nested deeper than {limit}"),
            SchemaError::PatternTooLong { pointer, limit } => {
                write!(f, "the pattern at {pointer:?} is longer than {limit} bytes")
            }
            SchemaError::TooManyPatterns { limit, .. } => {
                write!(f, "the JSON Schema has more than {limit} different patterns")
            }
            SchemaError::Pattern { pointer } => write!(f, "the pattern at {pointer:?} cannot be used"),
            SchemaError::Reference { pointer } => {
                write!(f, "the reference at {pointer:?} leads to nothing inside the JSON Schema")
            }
            SchemaError::Loop { pointer } => {
                write!(f, "the reference at {pointer:?} leads back to itself")
            }
            SchemaError::ReferenceChain { pointer, limit } => {
                write!(f, "more than {limit} schemas are applied inside each other at {pointer:?}")
            }
            SchemaError::FanOut { pointer, limit } => {
                write!(
                    f,
                    "references multiply at {pointer:?}: one value would be checked more than {limit} times"
                )
            }
            SchemaError::Malformed { pointer, keyword } => {
                write!(f, "the JSON Schema is malformed at {pointer:?} (keyword {keyword})")
            }
        }
    }
}

impl std::error::Error for SchemaError {}

/// Whether a payload has more than `limit` values, itself included. Iterative:
/// it is asked before anything bounded the depth.
fn has_more_values_than(payload: &Value, limit: usize) -> bool {
    let mut count = 0usize;
    let mut todo = vec![payload];
    while let Some(value) = todo.pop() {
        count += 1;
        if count.saturating_add(todo.len()) > limit {
            return true;
        }
        match value {
            Value::Array(items) => todo.extend(items),
            Value::Object(members) => todo.extend(members.values()),
            _ => {}
        }
    }
    false
}

/// Puts an error of the crate into words that quote the schema only. A member
/// that should not be there is a violation of its own, at its own pointer.
fn describe(error: &ValidationError<'_>, violations: &mut Vec<Violation>) {
    let instance_pointer = error.instance_path().as_str().to_owned();
    let schema_pointer = error.schema_path().as_str().to_owned();
    let kind = error.kind();
    // What the crate calls falseSchema is the schema `false`, whatever keyword holds it.
    let keyword = match kind {
        ValidationErrorKind::FalseSchema => schema_pointer.rsplit('/').next().unwrap_or_default().to_owned(),
        kind => kind.keyword().to_owned(),
    };
    let mut push = |instance_pointer: String, message: String| {
        violations.push(Violation {
            instance_pointer,
            schema_pointer: schema_pointer.clone(),
            keyword: keyword.clone(),
            message,
        });
    };
    match kind {
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            for name in unexpected.iter().take(MAX_VIOLATIONS) {
                push(
                    format!("{instance_pointer}/{}", name.replace('~', "~0").replace('/', "~1")),
                    "is a member that the schema does not allow".to_owned(),
                );
            }
        }
        kind => push(instance_pointer, message_of(kind)),
    }
}

fn message_of(kind: &ValidationErrorKind) -> String {
    use ValidationErrorKind as K;
    match kind {
        K::AdditionalItems { limit } => format!("has more than {limit} items"),
        K::AdditionalProperties { .. } | K::UnevaluatedProperties { .. } => {
            "has members that the schema does not allow".to_owned()
        }
        K::AnyOf { .. } => "satisfies none of the alternatives".to_owned(),
        K::OneOfNotValid { .. } => "satisfies none of the alternatives".to_owned(),
        K::OneOfMultipleValid { .. } => "satisfies more than one of the alternatives".to_owned(),
        K::Pattern { pattern } => format!("does not match the pattern {}", short(pattern)),
        K::BacktrackLimitExceeded { .. } | K::RegexEngineFailure { .. } => {
            "could not be matched with the pattern".to_owned()
        }
        K::Constant { expected_value } => {
            format!("is not the constant {}", short(&expected_value.to_string()))
        }
        K::Contains => "does not contain the items that it must".to_owned(),
        K::ContentEncoding { content_encoding } => format!("is not encoded as {}", short(content_encoding)),
        K::FromUtf8 { .. } => "does not decode to UTF-8".to_owned(),
        K::ContentMediaType { content_media_type } => {
            format!("is not of media type {}", short(content_media_type))
        }
        K::Enum { options } => format!("is not one of {}", short(&options.to_string())),
        K::ExclusiveMaximum { limit } => format!("is not less than {limit}"),
        K::ExclusiveMinimum { limit } => format!("is not greater than {limit}"),
        K::Maximum { limit } => format!("is greater than {limit}"),
        K::Minimum { limit } => format!("is less than {limit}"),
        K::MultipleOf { multiple_of } => format!("is not a multiple of {multiple_of}"),
        K::FalseSchema => "is not allowed here".to_owned(),
        K::Format { format } => format!("is not of format {}", short(format)),
        K::MaxItems { limit } => format!("has more than {limit} items"),
        K::MinItems { limit } => format!("has fewer than {limit} items"),
        K::MaxLength { limit } => format!("is longer than {limit} characters"),
        K::MinLength { limit } => format!("is shorter than {limit} characters"),
        K::MaxProperties { limit } => format!("has more than {limit} members"),
        K::MinProperties { limit } => format!("has fewer than {limit} members"),
        K::Not { .. } => "satisfies what it must not".to_owned(),
        K::PropertyNames { .. } => "has a member whose name is not allowed".to_owned(),
        K::Required { property } => format!("has no member {}", short(&property.to_string())),
        K::Type { kind } => format!("is not of type {}", types(kind)),
        K::UnevaluatedItems { .. } => "has items that the schema does not allow".to_owned(),
        K::UniqueItems => "has an item twice".to_owned(),
        K::Custom { .. } | K::Referencing(_) => "does not satisfy the schema".to_owned(),
    }
}

fn types(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(one) => one.to_string(),
        TypeKind::Multiple(set) => set.iter().map(|one| one.to_string()).collect::<Vec<_>>().join(" or "),
    }
}

/// The schema's own text, cut where it is long.
fn short(text: &str) -> String {
    const LIMIT: usize = 120;
    if text.chars().count() <= LIMIT {
        return text.to_owned();
    }
    text.chars().take(LIMIT).chain(['…']).collect()
}

#[cfg(test)]
mod tests;
