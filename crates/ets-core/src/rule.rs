//! Business rules: what must be true of an event beyond its JSON Schema.
//!
//! A rule is `{"name","expr","message"}`; `expr` is an [`Expression`] that must
//! be true of the payload, the event and, if it mentions it, the stream's state
//! before this event. The rules of a schema are judged in their order.

mod error;

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::expression::{Expression, Scope};

pub use error::{RuleError, RuleProblem, RuleRefusal, ViolatedRule};

/// The most rules of one schema; as `ets.schema/1.0.0` says.
pub const MAX_RULES: usize = 256;
/// The longest name of a rule, in characters; as `ets.schema/1.0.0` says.
pub const MAX_RULE_NAME: usize = 64;
/// The longest message of a rule, in characters; as `ets.schema/1.0.0` says.
pub const MAX_RULE_MESSAGE: usize = 1024;
/// The longest expression, in characters; as `ets.schema/1.0.0` says.
pub const MAX_RULE_EXPRESSION: usize = 8192;
/// The most violated rules that are reported of one event.
pub const MAX_VIOLATED_RULES: usize = 32;

/// The rules of one schema, compiled.
#[derive(Debug, Default)]
pub struct RuleSet {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    name: String,
    message: String,
    expression: Expression,
}

impl Rule {
    fn needs_state(&self) -> bool {
        self.expression.mentions_state()
    }

    fn needs_head(&self) -> bool {
        self.needs_state() || self.expression.mentions_sequence()
    }
}

impl RuleSet {
    /// Compiles an array of rules, whose names differ.
    ///
    /// # Errors
    /// Everything that is wrong, at least one [`RuleError`], in the order of the
    /// rules.
    pub fn compile(rules: &Value) -> Result<RuleSet, Vec<RuleError>> {
        let Value::Array(list) = rules else { return Err(vec![RuleError::of_all(RuleProblem::NotAList)]) };
        if list.len() > MAX_RULES {
            return Err(vec![RuleError::of_all(RuleProblem::TooMany { limit: MAX_RULES })]);
        }
        let mut positions: HashMap<&str, usize> = HashMap::new();
        let (mut rules, mut errors) = (Vec::with_capacity(list.len()), Vec::new());
        for (position, value) in list.iter().enumerate() {
            let name = value.get("name").and_then(Value::as_str);
            let mut refuse = |problem| {
                errors.push(RuleError {
                    position: Some(position),
                    name: name.map(|name| name.chars().take(MAX_RULE_NAME).collect()),
                    problem,
                });
            };
            match rule_of(value) {
                Ok(rule) => rules.push(rule),
                Err(problem) => refuse(problem),
            }
            if let Some(name) = name {
                match positions.get(name) {
                    Some(first) => refuse(RuleProblem::NameTaken { by: *first }),
                    None => drop(positions.insert(name, position)),
                }
            }
        }
        if errors.is_empty() { Ok(RuleSet { rules }) } else { Err(errors) }
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a rule mentions `state`.
    pub fn needs_state(&self) -> bool {
        self.rules.iter().any(Rule::needs_state)
    }

    /// Whether a rule mentions `state` or `event.sequence`, which are known only
    /// under the lock of the stream's head.
    pub fn needs_head(&self) -> bool {
        self.rules.iter().any(Rule::needs_head)
    }

    /// Judges the rules that mention neither `state` nor `event.sequence`: step 5
    /// of the gate. The scope's state and sequence can be anything.
    ///
    /// # Errors
    /// [`RuleRefusal`]: rules that are not true, or one that has no answer.
    pub fn check_without_head(&self, scope: &Scope<'_>) -> Result<(), RuleRefusal> {
        self.check_where(|rule| !rule.needs_head(), scope)
    }

    /// Judges the rules that [`RuleSet::check_without_head`] does not: step 7 of
    /// the gate.
    ///
    /// # Errors
    /// As [`RuleSet::check_without_head`].
    pub fn check_with_head(&self, scope: &Scope<'_>) -> Result<(), RuleRefusal> {
        self.check_where(Rule::needs_head, scope)
    }

    /// Judges the rules that do not mention `state`: all that one event shows by
    /// itself.
    ///
    /// # Errors
    /// As [`RuleSet::check_without_head`].
    pub fn check_without_state(&self, scope: &Scope<'_>) -> Result<(), RuleRefusal> {
        self.check_where(|rule| !rule.needs_state(), scope)
    }

    /// Judges all rules.
    ///
    /// # Errors
    /// As [`RuleSet::check_without_head`].
    pub fn check(&self, scope: &Scope<'_>) -> Result<(), RuleRefusal> {
        self.check_where(|_| true, scope)
    }

    /// The rules are judged in their order. The first that fails ends it, so that
    /// an event costs at most one rule's whole budget more than its answers; what
    /// was found untrue before it is the better answer, since a rule often
    /// relies on those before it.
    fn check_where(&self, wanted: impl Fn(&Rule) -> bool, scope: &Scope<'_>) -> Result<(), RuleRefusal> {
        let mut violated = Vec::new();
        for rule in self.rules.iter().filter(|rule| wanted(rule)) {
            match rule.expression.is_true(scope) {
                Ok(true) => {}
                Ok(false) => {
                    violated.push(ViolatedRule { name: rule.name.clone(), message: rule.message.clone() });
                    if violated.len() >= MAX_VIOLATED_RULES {
                        break;
                    }
                }
                Err(_) if !violated.is_empty() => break,
                Err(error) => return Err(RuleRefusal::Failed { rule: rule.name.clone(), error }),
            }
        }
        if violated.is_empty() { Ok(()) } else { Err(RuleRefusal::Violated(violated)) }
    }
}

/// Whether a rule among `rules` could mention `state`: exactly, for rules that
/// compile. Only those are compiled whose text has the word at all, because
/// whoever reads a registry's history asks this of every schema in it.
pub(crate) fn mention_state(rules: &Value) -> bool {
    let sources = rules.as_array().into_iter().flatten().filter_map(|rule| rule.get("expr")?.as_str());
    sources
        .filter(|source| source.contains("state"))
        .any(|source| Expression::compile(source).map_or(true, |expression| expression.mentions_state()))
}

fn rule_of(value: &Value) -> Result<Rule, RuleProblem> {
    let Value::Object(members) = value else { return Err(RuleProblem::NotAnObject) };
    if members.keys().any(|name| !["name", "expr", "message"].contains(&name.as_str())) {
        return Err(RuleProblem::UnknownMember);
    }
    let name = text(members, "name", MAX_RULE_NAME)?;
    let message = text(members, "message", MAX_RULE_MESSAGE)?;
    let source = text(members, "expr", MAX_RULE_EXPRESSION)?;
    Ok(Rule {
        name: name.to_owned(),
        message: message.to_owned(),
        expression: Expression::compile(source).map_err(RuleProblem::Expression)?,
    })
}

fn text<'a>(
    members: &'a Map<String, Value>,
    member: &'static str,
    limit: usize,
) -> Result<&'a str, RuleProblem> {
    match members.get(member) {
        Some(Value::String(text))
            if !text.is_empty() && text.chars().take(limit.saturating_add(1)).count() <= limit =>
        {
            Ok(text)
        }
        _ => Err(RuleProblem::Member { member }),
    }
}

#[cfg(test)]
mod tests;
