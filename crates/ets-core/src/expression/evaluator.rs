//! Evaluation: as deep as the text nests, from left to right, every operation
//! charged. Each kind of node has its own function, so that the frames on the
//! stack stay small.

use std::rc::Rc;

use super::Scope;
use super::budget::{Budget, ENTRY_BYTES, ITEM_BYTES, MAP_BYTES};
use super::error::EvaluationError;
use super::functions;
use super::operators::{self, Outcome, mismatch, undefined};
use super::tree::{EventMember, Node, Operator, Step};
use super::value::{Key, List, Map, Text, Val, integral};

/// One evaluation.
pub(super) struct Evaluator<'a> {
    scope: &'a Scope<'a>,
    pub(super) budget: Budget,
    /// The items that the macros around are at, the outermost first.
    pub(super) variables: Vec<Val<'a>>,
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(scope: &'a Scope<'a>) -> Self {
        Evaluator { scope, budget: Budget::new(), variables: Vec::new() }
    }

    pub(super) fn budget(&mut self) -> &mut Budget {
        &mut self.budget
    }

    pub(super) fn evaluate(&mut self, node: &'a Node) -> Outcome<'a> {
        match node {
            Node::Path { base, steps } => self.path(base, steps),
            Node::Chain { first, rest } => self.chain(first, rest),
            Node::And(operands) => self.logic(operands, "&&", false),
            Node::Or(operands) => self.logic(operands, "||", true),
            Node::Conditional { cases, otherwise } => self.conditional(cases, otherwise),
            Node::Not { times, operand } => self.not(*times, operand),
            Node::Negate { times, operand } => self.negate(*times, operand),
            Node::Has { operand, member } => self.has(operand, member),
            Node::List(items) => self.list(items),
            Node::Map(entries) => self.map(entries),
            leaf => self.leaf(leaf),
        }
    }

    fn leaf(&mut self, node: &'a Node) -> Outcome<'a> {
        self.budget.step()?;
        Ok(match node {
            Node::Bool(value) => Val::Bool(*value),
            Node::Int(value) => Val::Int(*value),
            Node::Double(value) => Val::Double(*value),
            Node::Text(text) => Val::text(text),
            Node::Type(value) => Val::Type(*value),
            Node::Payload => Val::of(self.scope.payload),
            Node::State => Val::of(self.scope.state),
            Node::Event(member) => self.event(*member),
            Node::Variable(slot) => self.variables.get(*slot).cloned().unwrap_or(Val::Null),
            _ => Val::Null,
        })
    }

    fn event(&self, member: EventMember) -> Val<'a> {
        let event = &self.scope.event;
        match member {
            EventMember::SchemaVersion => Val::text(event.schema_version),
            EventMember::KeyId => Val::text(event.key_id),
            EventMember::Owner => Val::text(event.owner),
            EventMember::Domain => Val::text(event.domain),
            EventMember::Stream => Val::text(event.stream),
            EventMember::Sequence => Val::of_sequence(event.sequence),
        }
    }

    fn path(&mut self, base: &'a Node, steps: &'a [Step]) -> Outcome<'a> {
        let mut value = self.evaluate(base)?;
        for step in steps {
            self.budget.step()?;
            value = match step {
                Step::Member(name) => self.select(&value, name)?,
                Step::Index(index) => {
                    let index = self.evaluate(index)?;
                    self.index(&value, &index)?
                }
                Step::Apply(function) => functions::apply(*function, value, &mut self.budget)?,
                Step::Find(find, part) => {
                    let part = self.evaluate(part)?;
                    functions::find(*find, &value, &part, &mut self.budget)?
                }
                Step::Matches(pattern) => functions::matches(pattern, &value, &mut self.budget)?,
                Step::Macro(body) => self.run_macro(body, &value)?,
            };
        }
        Ok(value)
    }

    fn select(&mut self, value: &Val<'a>, name: &str) -> Outcome<'a> {
        let Val::Map(map) = value else { return Err(undefined("selection", value)) };
        self.budget.read(name.len())?;
        map.member(name).ok_or_else(|| EvaluationError::NoSuchMember { member: Some(name.into()) })
    }

    fn index(&mut self, value: &Val<'a>, index: &Val<'a>) -> Outcome<'a> {
        match (value, index) {
            (Val::List(items), Val::Int(_) | Val::Double(_)) => {
                let position = match index {
                    Val::Int(position) => Some(*position),
                    Val::Double(position) => integral(*position),
                    _ => None,
                };
                position
                    .and_then(|position| usize::try_from(position).ok())
                    .and_then(|position| items.get(position))
                    .ok_or(EvaluationError::OutOfBounds)
            }
            (Val::Map(map), key) => {
                if let Val::Text(key) = key {
                    self.budget.read(key.len())?;
                }
                match map.get(key) {
                    Ok(found) => found.ok_or(EvaluationError::NoSuchMember { member: None }),
                    Err(_) => Err(mismatch("index", value, index)),
                }
            }
            _ => Err(mismatch("index", value, index)),
        }
    }

    fn has(&mut self, operand: &'a Node, member: &str) -> Outcome<'a> {
        let value = self.evaluate(operand)?;
        self.budget.step()?;
        let Val::Map(map) = &value else { return Err(undefined("has", &value)) };
        self.budget.read(member.len())?;
        Ok(Val::Bool(map.member(member).is_some()))
    }

    fn chain(&mut self, first: &'a Node, rest: &'a [(Operator, Node)]) -> Outcome<'a> {
        let mut value = self.evaluate(first)?;
        for (operator, operand) in rest {
            let operand = self.evaluate(operand)?;
            value = operators::apply(*operator, &value, &operand, &mut self.budget)?;
        }
        Ok(value)
    }

    /// `&&` and `||`: the answer as soon as an operand decides it, even if an
    /// operand before it was an error; else the first error.
    fn logic(&mut self, operands: &'a [Node], symbol: &'static str, decisive: bool) -> Outcome<'a> {
        self.budget.step()?;
        let mut failure = None;
        for operand in operands {
            match self.evaluate(operand) {
                Ok(Val::Bool(answer)) if answer == decisive => return Ok(Val::Bool(answer)),
                Ok(Val::Bool(_)) => {}
                Ok(other) => keep_first(&mut failure, undefined(symbol, &other))?,
                Err(error) => keep_first(&mut failure, error)?,
            }
        }
        failure.map_or(Ok(Val::Bool(!decisive)), Err)
    }

    fn conditional(&mut self, cases: &'a [(Node, Node)], otherwise: &'a Node) -> Outcome<'a> {
        for (condition, value) in cases {
            self.budget.step()?;
            match self.evaluate(condition)? {
                Val::Bool(true) => return self.evaluate(value),
                Val::Bool(false) => {}
                other => return Err(undefined("?:", &other)),
            }
        }
        self.evaluate(otherwise)
    }

    fn not(&mut self, times: usize, operand: &'a Node) -> Outcome<'a> {
        let value = self.evaluate(operand)?;
        self.budget.steps(times)?;
        match value {
            Val::Bool(value) => Ok(Val::Bool(value ^ (times % 2 == 1))),
            other => Err(undefined("!", &other)),
        }
    }

    fn negate(&mut self, times: usize, operand: &'a Node) -> Outcome<'a> {
        let mut value = self.evaluate(operand)?;
        for _ in 0..times {
            value = operators::negate(&value, &mut self.budget)?;
        }
        Ok(value)
    }

    fn list(&mut self, nodes: &'a [Node]) -> Outcome<'a> {
        self.budget.step()?;
        self.budget.allocate(nodes.len().saturating_mul(ITEM_BYTES))?;
        let items = nodes.iter().map(|node| self.evaluate(node)).collect::<Result<Vec<_>, _>>()?;
        Ok(Val::List(List::Built(Rc::from(items))))
    }

    fn map(&mut self, nodes: &'a [(Node, Node)]) -> Outcome<'a> {
        self.budget.step()?;
        self.budget.allocate(MAP_BYTES)?;
        let mut entries = Vec::with_capacity(nodes.len());
        for (key, value) in nodes {
            let key = match self.evaluate(key)? {
                Val::Bool(key) => Key::Bool(key),
                Val::Int(key) => Key::Int(key),
                Val::Text(key) => self.text_key(&key)?,
                other => return Err(undefined("a key", &other)),
            };
            self.budget.allocate(ENTRY_BYTES)?;
            entries.push((key, self.evaluate(value)?));
        }
        Map::of_entries(entries).map(Val::Map).ok_or(EvaluationError::DuplicateKey)
    }

    fn text_key(&mut self, key: &Text<'a>) -> Result<Key, EvaluationError> {
        self.budget.read(key.len())?;
        self.budget.allocate(key.len())?;
        Ok(Key::Text(match key {
            Text::Borrowed(text) => Rc::from(*text),
            Text::Built(text) => Rc::clone(text),
        }))
    }
}

/// Keeps the first of several errors, unless this one ends the evaluation.
pub(super) fn keep_first(
    first: &mut Option<EvaluationError>,
    error: EvaluationError,
) -> Result<(), EvaluationError> {
    if error.is_final() {
        return Err(error);
    }
    first.get_or_insert(error);
    Ok(())
}
