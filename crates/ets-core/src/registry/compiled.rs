//! Schema versions in the form in which events are judged by them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};

use super::record::SchemaRecord;
use crate::expression::ExpressionError;
use crate::hash::Digest;
use crate::rule::{RuleError, RuleSet};
use crate::schema::{SchemaError, Validator, engine_of};
use crate::state::Reducer;

/// The engines that this version evaluates: a dialect of JSON Schema, and what
/// rules and reducers are written in where there are any.
const ENGINES: [[&str; 2]; 2] =
    [["draft2020-12/1", "draft2020-12/1+cel/1"], ["draft-07/1", "draft-07/1+cel/1"]];

/// The engine that a schema version is recorded with: the dialect of its JSON
/// Schema ([`engine_of`]), and `+cel/1` ([`crate::expression::ENGINE`]) if it has
/// rules or its reducer is an expression.
///
/// # Errors
/// [`SchemaError::Dialect`] if `$schema` names an unknown one.
pub fn engine_for(schema: &Value, rules: &Value, reducer: &str) -> Result<&'static str, SchemaError> {
    let dialect = engine_of(schema)?;
    let has_expressions =
        rules.as_array().is_none_or(|rules| !rules.is_empty()) || Reducer::is_expression(reducer);
    let found = ENGINES.iter().find(|[without, _]| *without == dialect);
    Ok(found.map_or(dialect, |[without, with]| if has_expressions { with } else { without }))
}

/// Whether this version evaluates what is recorded with `engine`.
pub(super) fn is_known_engine(engine: &str) -> bool {
    ENGINES.as_flattened().contains(&engine)
}

/// A schema version, compiled: what its events must be, and what they do to their
/// stream's state.
#[derive(Debug)]
pub struct CompiledSchema {
    /// The JSON Schema.
    pub validator: Validator,
    /// The business rules.
    pub rules: RuleSet,
    /// The reducer.
    pub reducer: Reducer,
}

impl CompiledSchema {
    pub(super) fn of(record: &SchemaRecord) -> Result<Self, CompileError> {
        if !is_known_engine(&record.engine) {
            return Err(CompileError::UnknownEngine { engine: record.engine.clone() });
        }
        let mut errors = Vec::new();
        let validator = Validator::compile(&record.schema);
        let validator = validator.map_err(|error| errors.push(BodyError::Schema(error)));
        let rules = RuleSet::compile(&record.rules);
        let rules = rules.map_err(|all| errors.extend(all.into_iter().map(BodyError::Rule)));
        let reducer = Reducer::compile(&record.reducer);
        let reducer = reducer.map_err(|error| errors.push(BodyError::Reducer(error)));
        match (validator, rules, reducer) {
            (Ok(validator), Ok(rules), Ok(reducer)) => Ok(CompiledSchema { validator, rules, reducer }),
            _ => Err(CompileError::Malformed(errors)),
        }
    }
}

/// Compiled schemas, by the hash of what they hold: one that changed, in whatever
/// way, is another.
#[derive(Debug, Default)]
pub struct CompiledSchemas {
    by_body: HashMap<Digest, Result<Arc<CompiledSchema>, CompileError>>,
}

impl CompiledSchemas {
    /// How many are kept.
    const MAX_KEPT: usize = 1024;

    /// The compiled form of a schema version, made now if it is not kept.
    ///
    /// # Errors
    /// [`CompileError`], as [`SchemaRecord::compile`].
    pub fn get(&mut self, record: &SchemaRecord) -> Result<Arc<CompiledSchema>, CompileError> {
        if let Some(kept) = self.by_body.get(&record.body_hash) {
            return kept.clone();
        }
        if self.by_body.len() >= Self::MAX_KEPT {
            self.by_body.clear();
        }
        let compiled = record.compile().map(Arc::new);
        self.by_body.insert(record.body_hash, compiled.clone());
        compiled
    }
}

/// Why a schema version cannot be evaluated.
#[derive(Debug, Clone, PartialEq)]
pub enum CompileError {
    /// It is recorded with an engine that this version does not have: a later one
    /// may be able to.
    UnknownEngine {
        /// The engine.
        engine: String,
    },
    /// These parts of it do not compile; at least one.
    Malformed(Vec<BodyError>),
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CompileError::UnknownEngine { engine } => {
                write!(f, "the engine {engine:?} is not known to this version")
            }
            CompileError::Malformed(errors) => match errors.split_first() {
                None => f.write_str("the schema does not compile"),
                Some((first, [])) => fmt::Display::fmt(first, f),
                Some((first, more)) => write!(f, "{first} (and {} more)", more.len()),
            },
        }
    }
}

impl std::error::Error for CompileError {}

/// What is wrong with one part of a schema version.
#[derive(Debug, Clone, PartialEq)]
pub enum BodyError {
    /// The JSON Schema.
    Schema(SchemaError),
    /// A rule, or the list of them.
    Rule(RuleError),
    /// The reducer: none of the three words, and no expression.
    Reducer(ExpressionError),
}

impl BodyError {
    /// A JSON object for programs.
    pub fn detail(&self) -> Value {
        match self {
            BodyError::Schema(error) => error.detail(),
            BodyError::Rule(error) => error.detail(),
            BodyError::Reducer(error) => json!({
                "reason": "reducer", "pointer": "/reducer",
                "expression": error.detail(), "message": error.to_string(),
            }),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            BodyError::Schema(error) => error.hint(),
            BodyError::Rule(_) => "docs/rules.md describes rules and the language of their expressions",
            BodyError::Reducer(_) => "a reducer is merge, replace, none or an expression as in docs/rules.md",
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BodyError::Schema(error) => fmt::Display::fmt(error, f),
            BodyError::Rule(error) => fmt::Display::fmt(error, f),
            BodyError::Reducer(error) => write!(f, "the reducer: {error}"),
        }
    }
}

impl std::error::Error for BodyError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_names_the_dialect_and_the_language_where_there_is_an_expression() {
        let (plain, draft7) = (json!(true), json!({"$schema": "http://json-schema.org/draft-07/schema#"}));
        let rule = json!([{"name": "a", "expr": "true", "message": "m"}]);
        for (schema, rules, reducer, engine) in [
            (&plain, json!([]), "merge", "draft2020-12/1"),
            (&plain, rule.clone(), "none", "draft2020-12/1+cel/1"),
            (&draft7, json!([]), "replace", "draft-07/1"),
            (&draft7, json!([]), "payload", "draft-07/1+cel/1"),
        ] {
            assert_eq!(engine_for(schema, &rules, reducer), Ok(engine));
            assert!(is_known_engine(engine));
            assert!(!engine.contains('+') || engine.ends_with(crate::expression::ENGINE));
        }
        for unknown in ["", "draft2020-12/2", "draft2020-12/1+cel/2", "cel/1"] {
            assert!(!is_known_engine(unknown), "{unknown}");
        }
    }
}
