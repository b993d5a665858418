//! Rules and reducers: the Common Expression Language, fenced.
//!
//! The language is a profile of CEL (the language definition of
//! `google/cel-spec`) over JSON, written down in `docs/rules.md`. Whether an
//! event is accepted depends on it for ever, so parser and evaluator are here
//! and not in a library: what they accept, answer and charge must not move with
//! a release of somebody else's, and no text may exhaust the server that
//! compiles it.
//!
//! An expression is a pure function of its [`Scope`]. There is no clock, no
//! randomness, no locale and no order of members in it; a `double` is always
//! finite; and what it costs is counted in steps and bytes that are the same on
//! every machine.

mod budget;
mod comparison;
mod error;
mod evaluator;
mod functions;
mod json;
mod lexer;
mod literal;
mod macros;
mod operators;
mod parser;
mod pattern;
mod primary;
mod tree;
mod value;

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

pub use budget::{MAX_ALLOCATED_BYTES, MAX_STEPS};
pub use error::{EvaluationError, ExpressionError, ExpressionProblem, Position};
pub use parser::{MAX_DEPTH, MAX_EXPRESSION_BYTES};
pub use pattern::MAX_PATTERN_WEIGHT;
pub use value::{MAX_VALUE_DEPTH, Type};

use evaluator::Evaluator;
use parser::Parsed;

/// The name of this profile, as a schema's registry event records it. Whatever
/// changes what an expression means, may cost or is refused for changes it.
pub const ENGINE: &str = "cel/1";

/// A compiled expression. Cloning shares it.
#[derive(Clone)]
pub struct Expression {
    compiled: Arc<Compiled>,
}

struct Compiled {
    source: Box<str>,
    parsed: Parsed,
}

impl Expression {
    /// Compiles an expression, in time and memory proportional to its length,
    /// which is bounded.
    ///
    /// # Errors
    /// [`ExpressionError`] if it does not parse, names what does not exist, or
    /// goes beyond a limit; and says where.
    pub fn compile(source: &str) -> Result<Expression, ExpressionError> {
        let parsed = parser::parse(source)?;
        Ok(Expression { compiled: Arc::new(Compiled { source: source.into(), parsed }) })
    }

    /// The text that was compiled.
    pub fn source(&self) -> &str {
        &self.compiled.source
    }

    /// Whether the state before the event can make a difference.
    pub fn mentions_state(&self) -> bool {
        self.compiled.parsed.mentions_state
    }

    /// Whether the event's place in its stream can make a difference.
    pub fn mentions_sequence(&self) -> bool {
        self.compiled.parsed.mentions_sequence
    }

    /// The expression's value as JSON. An integral `double` is still written as
    /// one (`2.0`), and an `int` may be any of 64 bits: whoever keeps the value
    /// brings it under the number rule of [`Payload`](crate::canonical::Payload).
    ///
    /// # Errors
    /// [`EvaluationError`], also if the value is none that JSON has.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, EvaluationError> {
        let mut evaluator = Evaluator::new(scope);
        let value = evaluator.evaluate(&self.compiled.parsed.root)?;
        json::to_json(&value, evaluator.budget())
    }

    /// Whether the expression is true.
    ///
    /// # Errors
    /// [`EvaluationError`], also if its value is no `bool`.
    pub fn is_true(&self, scope: &Scope<'_>) -> Result<bool, EvaluationError> {
        match Evaluator::new(scope).evaluate(&self.compiled.parsed.root)? {
            value::Val::Bool(answer) => Ok(answer),
            other => Err(EvaluationError::NotBoolean { found: other.type_of() }),
        }
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.source()).finish()
    }
}

/// What an expression sees.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The event's payload.
    pub payload: &'a Value,
    /// What else is known of the event before it is stored.
    pub event: EventScope<'a>,
    /// The stream's state before the event; JSON null at first.
    pub state: &'a Value,
}

/// The members of `event`.
#[derive(Debug, Clone, Copy)]
pub struct EventScope<'a> {
    /// The schema version that the event names.
    pub schema_version: &'a str,
    /// The id of the key that signed it.
    pub key_id: &'a str,
    /// The owner that the registry knows for this key.
    pub owner: &'a str,
    /// The domain that the event belongs to.
    pub domain: &'a str,
    /// The stream that it continues.
    pub stream: &'a str,
    /// Its place in the stream, from 1.
    pub sequence: u64,
}
