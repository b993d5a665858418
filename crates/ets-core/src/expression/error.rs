//! Why an expression is refused, and why an evaluation fails.

use std::fmt;

use serde_json::{Value, json};

use super::value::Type;

/// Where in an expression something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Bytes before it.
    pub offset: usize,
    /// Its line, from 1.
    pub line: usize,
    /// Its column in characters, from 1.
    pub column: usize,
}

impl Position {
    /// The position of a byte of a text.
    pub(super) fn of(source: &str, offset: usize) -> Self {
        let before = source.get(..offset).unwrap_or(source);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position {
            offset,
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        }
    }
}

/// Why an expression cannot be registered, and where it is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpressionError {
    /// What is wrong.
    pub problem: ExpressionProblem,
    /// Where.
    pub position: Position,
}

impl ExpressionError {
    /// A word for programs.
    pub fn reason(&self) -> &'static str {
        self.problem.reason()
    }

    /// What a program needs to point at the place.
    pub fn detail(&self) -> Value {
        let Position { offset, line, column } = self.position;
        json!({"reason": self.reason(), "offset": offset, "line": line, "column": column})
    }
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.position.line, self.position.column, self.problem)
    }
}

impl std::error::Error for ExpressionError {}

/// What is wrong with an expression. Names are those that the expression uses.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // The members say what they are: a name, or the limit that is exceeded.
pub enum ExpressionProblem {
    /// It is too long.
    TooLong { limit: usize },
    /// Brackets, arguments and macros are nested too deep.
    TooDeep { limit: usize },
    /// Something else must stand here.
    Expected { what: &'static str },
    /// No token of the language starts with this.
    Character,
    /// A string has no end.
    UnclosedString,
    /// A string has an escape that there is not, or one that is no character.
    Escape,
    /// A number is beyond its type.
    NumberTooLarge,
    /// CEL has it, this profile has not.
    NotOffered { what: &'static str },
    /// A name that means nothing here.
    UnknownName { name: String },
    /// `event` has no such member.
    UnknownEventMember { name: String },
    /// There is no such function.
    UnknownFunction { name: String },
    /// A function takes another number of arguments.
    ArgumentCount { name: &'static str, expected: usize },
    /// `event` stands alone; only its members are values.
    BareEvent,
    /// The name cannot be a variable.
    ReservedName { name: String },
    /// The argument of `has` is no selection of a member.
    NotASelection,
    /// The pattern of `matches` is not written out as a string.
    PatternNotLiteral,
    /// A pattern is none.
    Pattern,
    /// A pattern has something whose meaning is another elsewhere.
    PatternNotOffered { what: &'static str },
    /// The patterns of the expression could take too long to match.
    PatternTooLarge { limit: usize },
}

impl ExpressionProblem {
    /// A word for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            ExpressionProblem::TooLong { .. } => "too_long",
            ExpressionProblem::TooDeep { .. } => "too_deep",
            ExpressionProblem::Expected { .. } => "syntax",
            ExpressionProblem::Character => "character",
            ExpressionProblem::UnclosedString => "unclosed_string",
            ExpressionProblem::Escape => "escape",
            ExpressionProblem::NumberTooLarge => "number_too_large",
            ExpressionProblem::NotOffered { .. } => "not_offered",
            ExpressionProblem::UnknownName { .. } => "unknown_name",
            ExpressionProblem::UnknownEventMember { .. } => "unknown_event_member",
            ExpressionProblem::UnknownFunction { .. } => "unknown_function",
            ExpressionProblem::ArgumentCount { .. } => "argument_count",
            ExpressionProblem::BareEvent => "bare_event",
            ExpressionProblem::ReservedName { .. } => "reserved_name",
            ExpressionProblem::NotASelection => "not_a_selection",
            ExpressionProblem::PatternNotLiteral => "pattern_not_literal",
            ExpressionProblem::Pattern => "pattern",
            ExpressionProblem::PatternNotOffered { .. } => "pattern_not_offered",
            ExpressionProblem::PatternTooLarge { .. } => "pattern_too_large",
        }
    }
}

impl fmt::Display for ExpressionProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExpressionProblem::TooLong { limit } => write!(f, "longer than {limit} bytes"),
            ExpressionProblem::TooDeep { limit } => write!(f, "nested deeper than {limit} levels"),
            ExpressionProblem::Expected { what } => write!(f, "expected {what}"),
            ExpressionProblem::Character => f.write_str("a character that has no meaning here"),
            ExpressionProblem::UnclosedString => f.write_str("a string without an end"),
            ExpressionProblem::Escape => f.write_str("an escape that is no character"),
            ExpressionProblem::NumberTooLarge => f.write_str("a number beyond its type"),
            ExpressionProblem::NotOffered { what } => write!(f, "{what} are not offered"),
            ExpressionProblem::UnknownName { name } => write!(f, "there is no name {}", short(name)),
            ExpressionProblem::UnknownEventMember { name } => {
                write!(f, "event has no member {}", short(name))
            }
            ExpressionProblem::UnknownFunction { name } => write!(f, "there is no function {}", short(name)),
            ExpressionProblem::ArgumentCount { name, expected } => {
                write!(f, "{name} takes {expected} argument{}", if *expected == 1 { "" } else { "s" })
            }
            ExpressionProblem::BareEvent => f.write_str("event is no value, only its members are"),
            ExpressionProblem::ReservedName { name } => write!(f, "{} cannot be a variable", short(name)),
            ExpressionProblem::NotASelection => f.write_str("has takes a selection such as payload.name"),
            ExpressionProblem::PatternNotLiteral => {
                f.write_str("the pattern of matches must be written out as a string")
            }
            ExpressionProblem::Pattern => f.write_str("not a pattern"),
            ExpressionProblem::PatternNotOffered { what } => write!(f, "{what} are not offered in patterns"),
            ExpressionProblem::PatternTooLarge { limit } => {
                write!(f, "the patterns together weigh more than {limit}")
            }
        }
    }
}

/// A name of the expression, cut where it is long.
fn short(name: &str) -> String {
    const LIMIT: usize = 64;
    if name.chars().count() <= LIMIT {
        return name.to_owned();
    }
    name.chars().take(LIMIT).chain(['…']).collect()
}

/// Why an expression has no value. It never holds a value of the payload or the
/// state; a name is one that the expression itself uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EvaluationError {
    /// The operation is not defined for values of these types.
    TypeMismatch {
        /// An operator, or a function's name.
        operation: &'static str,
        /// The type of its first operand.
        left: Type,
        /// The type of its second one.
        right: Option<Type>,
    },
    /// A map has no such member.
    NoSuchMember {
        /// Its name, where the expression names it.
        member: Option<Box<str>>,
    },
    /// A list has no such item.
    OutOfBounds,
    /// A division or remainder by zero, of either type.
    DivideByZero,
    /// The result is beyond its type.
    Overflow {
        /// An operator, or a function's name.
        operation: &'static str,
    },
    /// A string denotes no value of the type.
    Conversion {
        /// The type.
        to: Type,
    },
    /// A map is built with one key twice.
    DuplicateKey,
    /// A rule's value is no `bool`.
    NotBoolean {
        /// Its type.
        found: Type,
    },
    /// The value is none that JSON has: a type, or a map with keys that are no
    /// strings.
    NotJson {
        /// The type that has no place in JSON.
        found: Type,
    },
    /// Values are nested deeper than any payload can be.
    TooDeep,
    /// The evaluation took too many steps.
    BudgetSteps,
    /// The evaluation built too much.
    BudgetMemory,
}

impl EvaluationError {
    /// A word for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            EvaluationError::TypeMismatch { .. } => "type_mismatch",
            EvaluationError::NoSuchMember { .. } => "no_such_member",
            EvaluationError::OutOfBounds => "out_of_bounds",
            EvaluationError::DivideByZero => "divide_by_zero",
            EvaluationError::Overflow { .. } => "overflow",
            EvaluationError::Conversion { .. } => "conversion",
            EvaluationError::DuplicateKey => "duplicate_key",
            EvaluationError::NotBoolean { .. } => "not_boolean",
            EvaluationError::NotJson { .. } => "not_json",
            EvaluationError::TooDeep => "too_deep",
            EvaluationError::BudgetSteps => "budget_steps",
            EvaluationError::BudgetMemory => "budget_memory",
        }
    }

    /// Whether the evaluation ends here, whatever `&&`, `||`, `all` or `exists`
    /// stand around.
    pub(super) fn is_final(&self) -> bool {
        matches!(
            self,
            EvaluationError::TooDeep | EvaluationError::BudgetSteps | EvaluationError::BudgetMemory
        )
    }
}

impl fmt::Display for EvaluationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EvaluationError::TypeMismatch { operation, left, right: Some(right) } => {
                write!(f, "{operation} is not defined for {left} and {right}")
            }
            EvaluationError::TypeMismatch { operation, left, right: None } => {
                write!(f, "{operation} is not defined for {left}")
            }
            EvaluationError::NoSuchMember { member: Some(member) } => {
                write!(f, "there is no member {}", short(member))
            }
            EvaluationError::NoSuchMember { member: None } => f.write_str("there is no such member"),
            EvaluationError::OutOfBounds => f.write_str("an index is outside its list"),
            EvaluationError::DivideByZero => f.write_str("a division by zero"),
            EvaluationError::Overflow { operation } => write!(f, "the result of {operation} is out of range"),
            EvaluationError::Conversion { to } => write!(f, "a string denotes no {to}"),
            EvaluationError::DuplicateKey => f.write_str("a map has a key twice"),
            EvaluationError::NotBoolean { found } => write!(f, "the result is {found} and not bool"),
            EvaluationError::NotJson { found } => write!(f, "the result has {found}, which JSON has not"),
            EvaluationError::TooDeep => f.write_str("values are nested too deep"),
            EvaluationError::BudgetSteps => f.write_str("the evaluation takes too many steps"),
            EvaluationError::BudgetMemory => f.write_str("the evaluation builds too much"),
        }
    }
}

impl std::error::Error for EvaluationError {}
