//! Why rules cannot be registered, and why a rule refuses an event.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::expression::{EvaluationError, ExpressionError};

/// Why a rule cannot be registered (ET006).
#[derive(Debug, Clone, PartialEq)]
pub struct RuleError {
    /// The rule's place in the array, from 0; none if it is about the whole array.
    pub position: Option<usize>,
    /// The rule's name, as far as it has one.
    pub name: Option<String>,
    /// What is wrong with it.
    pub problem: RuleProblem,
}

/// What is wrong with a rule.
#[derive(Debug, Clone, PartialEq)]
pub enum RuleProblem {
    /// Rules are an array.
    NotAList,
    /// There are too many.
    TooMany {
        /// How many there may be.
        limit: usize,
    },
    /// A rule is an object.
    NotAnObject,
    /// A member is absent, no string, empty or too long.
    Member {
        /// Its name.
        member: &'static str,
    },
    /// A rule has no members but `name`, `expr` and `message`.
    UnknownMember,
    /// An earlier rule has this name.
    NameTaken {
        /// The earlier rule's place, from 0.
        by: usize,
    },
    /// `expr` is no expression, or mentions what does not exist.
    Expression(ExpressionError),
}

impl RuleError {
    pub(super) fn of_all(problem: RuleProblem) -> Self {
        RuleError { position: None, name: None, problem }
    }

    /// A word for programs.
    pub fn reason(&self) -> &'static str {
        match &self.problem {
            RuleProblem::NotAList => "not_a_list",
            RuleProblem::TooMany { .. } => "too_many_rules",
            RuleProblem::NotAnObject => "not_an_object",
            RuleProblem::Member { .. } => "member",
            RuleProblem::UnknownMember => "unknown_member",
            RuleProblem::NameTaken { .. } => "name_taken",
            RuleProblem::Expression(_) => "expression",
        }
    }

    /// The place, as an RFC 6901 pointer into the registry event's payload.
    pub fn pointer(&self) -> String {
        let rule = self.position.map_or("/rules".to_owned(), |position| format!("/rules/{position}"));
        match &self.problem {
            RuleProblem::Member { member } => format!("{rule}/{member}"),
            RuleProblem::NameTaken { .. } => rule + "/name",
            RuleProblem::Expression(_) => rule + "/expr",
            _ => rule,
        }
    }

    /// A JSON object for programs.
    pub fn detail(&self) -> Value {
        let mut detail = Map::new();
        detail.insert("reason".to_owned(), self.reason().into());
        detail.insert("pointer".to_owned(), self.pointer().into());
        if let Some(name) = &self.name {
            detail.insert("rule".to_owned(), name.as_str().into());
        }
        if let RuleProblem::Expression(error) = &self.problem {
            detail.insert("expression".to_owned(), error.detail());
            detail.insert("message".to_owned(), error.to_string().into());
        }
        Value::Object(detail)
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.position, &self.name) {
            (None, _) => {}
            // People count from 1.
            (Some(position), None) => write!(f, "rule {}: ", position.saturating_add(1))?,
            (Some(position), Some(name)) => write!(f, "rule {} {name:?}: ", position.saturating_add(1))?,
        }
        match &self.problem {
            RuleProblem::NotAList => f.write_str("rules are an array"),
            RuleProblem::TooMany { limit } => write!(f, "there are more than {limit} rules"),
            RuleProblem::NotAnObject => f.write_str("a rule is an object with name, expr and message"),
            RuleProblem::Member { member } => write!(f, "{member} is absent, no string, empty or too long"),
            RuleProblem::UnknownMember => f.write_str("a rule has no members but name, expr and message"),
            RuleProblem::NameTaken { by } => {
                write!(f, "the name is that of rule {}", by.saturating_add(1))
            }
            RuleProblem::Expression(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl std::error::Error for RuleError {}

/// Why a schema's rules refuse an event.
#[derive(Debug, Clone, PartialEq)]
pub enum RuleRefusal {
    /// These rules are not true (ET008); at least one.
    Violated(Vec<ViolatedRule>),
    /// A rule has no answer: it failed, or ran past its budget (ET014).
    Failed {
        /// The rule's name.
        rule: String,
        /// Why.
        error: EvaluationError,
    },
}

/// A rule that is not true of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViolatedRule {
    /// Its name.
    pub name: String,
    /// What its violation means, in the words of whoever registered it.
    pub message: String,
}

impl RuleRefusal {
    /// `ET008` or `ET014`.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            RuleRefusal::Violated(_) => "ET008",
            RuleRefusal::Failed { .. } => "ET014",
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            RuleRefusal::Violated(_) => "ets.schema_version shows the rules of a schema",
            RuleRefusal::Failed { .. } => {
                "a rule must have an answer for every payload and state; test with has() what may be absent"
            }
        }
    }

    /// A JSON object for programs.
    pub fn detail(&self) -> Value {
        match self {
            RuleRefusal::Violated(rules) => json!({
                "rules": rules
                    .iter()
                    .map(|rule| json!({"rule": rule.name, "message": rule.message}))
                    .collect::<Vec<_>>(),
            }),
            RuleRefusal::Failed { rule, error } => {
                json!({"rule": rule, "reason": error.reason(), "message": error.to_string()})
            }
        }
    }
}

impl fmt::Display for RuleRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RuleRefusal::Violated(rules) => {
                let Some(first) = rules.first() else { return f.write_str("the event violates a rule") };
                write!(f, "the event violates rule {:?}: {}", first.name, one_line(&first.message))?;
                if let more @ 1.. = rules.len().saturating_sub(1) {
                    write!(f, " (and {more} more)")?;
                }
                Ok(())
            }
            RuleRefusal::Failed { rule, error } => write!(f, "rule {rule:?} failed: {error}"),
        }
    }
}

impl std::error::Error for RuleRefusal {}

/// A message is whatever somebody registered; an error's is one line.
fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
