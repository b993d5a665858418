//! Macros: a condition or a value for every item of a list, or every key of a
//! map in ascending order.

use std::rc::Rc;

use super::budget::ITEM_BYTES;
use super::error::EvaluationError;
use super::evaluator::{Evaluator, keep_first};
use super::operators::{Outcome, undefined};
use super::tree::{Macro, MacroKind, Node};
use super::value::{List, Val};

impl<'a> Evaluator<'a> {
    /// The value of a macro over `range`.
    pub(super) fn run_macro(&mut self, body: &'a Macro, range: &Val<'a>) -> Outcome<'a> {
        let items = match range {
            Val::List(items) => items.clone(),
            Val::Map(map) => {
                let entries = map.entries(&mut self.budget)?;
                List::Built(entries.into_iter().map(|(key, _)| key).collect())
            }
            other => return Err(undefined(body.kind.name(), other)),
        };
        let outcome = match body.kind {
            MacroKind::All => self.quantify(body, &items, false),
            MacroKind::Exists => self.quantify(body, &items, true),
            MacroKind::ExistsOne => self.exists_one(body, &items),
            MacroKind::Map | MacroKind::Filter => self.collect(body, &items),
        };
        self.variables.truncate(body.slot);
        outcome
    }

    /// `all` and `exists`, which are `&&` and `||` over the items.
    fn quantify(&mut self, body: &'a Macro, items: &List<'a>, decisive: bool) -> Outcome<'a> {
        let mut failure = None;
        for item in items.iter() {
            self.bind(body, item)?;
            match self.holds(body) {
                Ok(answer) if answer == decisive => return Ok(Val::Bool(answer)),
                Ok(_) => {}
                Err(error) => keep_first(&mut failure, error)?,
            }
        }
        failure.map_or(Ok(Val::Bool(!decisive)), Err)
    }

    fn exists_one(&mut self, body: &'a Macro, items: &List<'a>) -> Outcome<'a> {
        let mut count = 0_usize;
        for item in items.iter() {
            self.bind(body, item)?;
            count += usize::from(self.holds(body)?);
        }
        Ok(Val::Bool(count == 1))
    }

    fn collect(&mut self, body: &'a Macro, items: &List<'a>) -> Outcome<'a> {
        let mut collected = Vec::new();
        for item in items.iter() {
            self.bind(body, item.clone())?;
            if self.holds(body)? {
                let value = body.result.as_ref().map_or(Ok(item), |result| self.evaluate(result))?;
                self.budget.allocate(ITEM_BYTES)?;
                collected.push(value);
            }
        }
        Ok(Val::List(List::Built(Rc::from(collected))))
    }

    /// Gives the variable its next value.
    fn bind(&mut self, body: &Macro, item: Val<'a>) -> Result<(), EvaluationError> {
        self.budget.step()?;
        // Also drops what an inner macro left behind when it failed.
        self.variables.truncate(body.slot);
        self.variables.push(item);
        Ok(())
    }

    /// Whether the condition is true of the item.
    fn holds(&mut self, body: &'a Macro) -> Result<bool, EvaluationError> {
        match body.condition.as_ref().map(|condition: &'a Node| self.evaluate(condition)).transpose()? {
            None | Some(Val::Bool(true)) => Ok(true),
            Some(Val::Bool(false)) => Ok(false),
            Some(other) => Err(undefined(body.kind.name(), &other)),
        }
    }
}
