//! From a conjunction of schemas to the shapes of the documents that satisfy it.
//!
//! `allOf` and `$ref` are taken in; `anyOf`, `oneOf`, `if` and dependent schemas
//! make alternatives. Where there would be too many, a choice is left out, and
//! the shape describes more documents than there are.

use std::collections::VecDeque;

use serde_json::{Map, Value};

use super::checker::Checker;
use super::document::Node;
use super::keywords::{add_assertion, add_dependents, add_rules};
use super::shape::{Shape, Types};

/// The most alternatives of one conjunction.
const MAX_BRANCHES: usize = 48;

/// A disjunction that a shape satisfies.
enum Choice<'s> {
    AnyOf(Vec<Node<'s>>),
    OneOf(Vec<Node<'s>>),
    /// The condition, and what holds with and without it.
    If(Node<'s>, Option<Node<'s>>, Option<Node<'s>>),
    /// If the member is there, the schema holds.
    Dependent(&'s str, Node<'s>),
}

/// A shape, and what is still to be taken in.
struct Partial<'s> {
    shape: Shape<'s>,
    pending: Vec<Node<'s>>,
    choices: VecDeque<Choice<'s>>,
}

impl<'s> Checker<'s> {
    /// The alternatives of the documents of a shape that satisfy the schemas too.
    /// None if there are no such documents.
    pub fn branches(&mut self, start: Shape<'s>, nodes: &[Node<'s>]) -> Vec<Shape<'s>> {
        let mut done = Vec::new();
        let mut todo = vec![Partial { shape: start, pending: nodes.to_vec(), choices: VecDeque::new() }];
        while let Some(mut partial) = todo.pop() {
            if !self.take_in(&mut partial) {
                continue;
            }
            let Some(choice) = partial.choices.pop_front() else {
                done.push(partial.shape);
                continue;
            };
            let room = MAX_BRANCHES.saturating_sub(done.len() + todo.len());
            match self.alternatives(&partial, &choice) {
                Some(alternatives) if alternatives.len() <= room => {
                    // The first one is to come first.
                    for (pending, nots, absent) in alternatives.into_iter().rev() {
                        let mut shape = partial.shape.clone();
                        shape.absent.extend(absent);
                        for node in nots {
                            shape.nots.insert(node.key(), node);
                        }
                        let mut choices: VecDeque<Choice<'s>> = VecDeque::new();
                        choices.extend(partial.choices.iter().map(Choice::copy));
                        todo.push(Partial { shape, pending, choices });
                    }
                }
                // Known already, or too many: the shape stays as it is.
                _ => todo.push(partial),
            }
        }
        done
    }

    /// Takes in everything that is no choice. False if no document is left.
    fn take_in(&mut self, partial: &mut Partial<'s>) -> bool {
        let mut nots: Vec<Node<'s>> = partial.shape.nots.values().copied().collect();
        loop {
            while let Some(node) = partial.pending.pop() {
                if !self.spend(1 + partial.shape.size() / 8) {
                    return true;
                }
                if partial.shape.facts.insert(node.key(), node).is_some() {
                    continue;
                }
                match node.schema {
                    Value::Bool(false) => return false,
                    Value::Object(members) => self.add(partial, node, members),
                    _ => {}
                }
            }
            let Some(node) = nots.pop() else { break };
            if !self.add_not(partial, node, &mut nots) {
                return false;
            }
        }
        partial.shape.prune_types();
        !partial.shape.types.is_empty()
    }

    fn add(&mut self, partial: &mut Partial<'s>, node: Node<'s>, members: &'s Map<String, Value>) {
        let document = self.document(node);
        if let Some((reference, is_alone)) = document.reference(members) {
            partial.pending.extend(document.resolve(reference));
            if is_alone {
                return;
            }
        }
        add_rules(&mut partial.shape, self.document(node), node, members);
        for (keyword, value) in members {
            if !self.document(node).asserts(members, keyword) {
                continue;
            }
            let shape = &mut partial.shape;
            let array = || value.as_array().into_iter().flatten().map(|schema| node.at(schema));
            match keyword.as_str() {
                "allOf" => partial.pending.extend(array()),
                "anyOf" => partial.choices.push_back(Choice::AnyOf(array().collect())),
                "oneOf" => partial.choices.push_back(Choice::OneOf(array().collect())),
                "if" if members.contains_key("then") || members.contains_key("else") => {
                    partial.choices.push_back(Choice::If(
                        node.at(value),
                        members.get("then").map(|schema| node.at(schema)),
                        members.get("else").map(|schema| node.at(schema)),
                    ))
                }
                "not" => {
                    let not = node.at(value);
                    shape.nots.insert(not.key(), not);
                    let mut nots = vec![not];
                    while let Some(not) = nots.pop() {
                        if !self.add_not(partial, not, &mut nots) {
                            partial.shape.types = Types::NONE;
                        }
                    }
                }
                "dependentSchemas" | "dependencies" => {
                    for (name, dependent) in value.as_object().into_iter().flatten() {
                        match dependent {
                            Value::Array(names) => add_dependents(&mut partial.shape, name, names),
                            schema => {
                                partial.choices.push_back(Choice::Dependent(name, node.at(schema)));
                            }
                        }
                    }
                }
                "unevaluatedProperties" => {
                    if let Some(rule) = self.unevaluated_members(node, members, value) {
                        partial.shape.member_rules.push(rule);
                    }
                }
                "unevaluatedItems" => {
                    if let Some(rule) = self.unevaluated_items(node, members, value) {
                        partial.shape.item_rules.push(rule);
                    }
                }
                "format" => shape.formats.extend(value.as_str()),
                keyword => add_assertion(shape, node, members, keyword, value),
            }
        }
    }

    /// Takes in that a schema does not hold, where that can be said without a
    /// negation. False if no document is left.
    fn add_not(&mut self, partial: &mut Partial<'s>, node: Node<'s>, nots: &mut Vec<Node<'s>>) -> bool {
        let Value::Object(members) = node.schema else { return *node.schema != Value::Bool(true) };
        let document = self.document(node);
        let mut asserting = members.iter().filter(|(keyword, _)| document.asserts(members, keyword));
        let (Some((keyword, value)), None) = (asserting.next(), asserting.next()) else {
            return members.iter().any(|(keyword, _)| document.asserts(members, keyword));
        };
        let shape = &mut partial.shape;
        match (keyword.as_str(), value) {
            ("type", value) => shape.types = shape.types.without(Types::named(value)),
            ("not", value) => partial.pending.push(node.at(value)),
            ("anyOf", Value::Array(schemas)) => {
                for not in schemas.iter().map(|schema| node.at(schema)) {
                    if shape.nots.insert(not.key(), not).is_none() {
                        nots.push(not);
                    }
                }
            }
            ("$ref", Value::String(reference)) => {
                if let Some(not) = document.resolve(reference)
                    && shape.nots.insert(not.key(), not).is_none()
                {
                    nots.push(not);
                }
            }
            ("required", Value::Array(names)) => {
                // Something that lacks one of the members is an object.
                shape.types = shape.types.and(Types::OBJECT);
                if let [Value::String(name)] = names.as_slice() {
                    shape.absent.insert(name);
                }
            }
            _ => {}
        }
        true
    }

    /// The alternatives of a choice: what holds, what does not hold, and which
    /// member is absent. None if the choice tells nothing new.
    #[allow(clippy::type_complexity)] // three lists
    fn alternatives(
        &mut self,
        partial: &Partial<'s>,
        choice: &Choice<'s>,
    ) -> Option<Vec<(Vec<Node<'s>>, Vec<Node<'s>>, Option<&'s str>)>> {
        let holds = |node: &Node<'s>| partial.shape.facts.contains_key(&node.key());
        Some(match choice {
            Choice::AnyOf(schemas) if schemas.iter().any(holds) => return None,
            Choice::AnyOf(schemas) => {
                schemas.iter().map(|schema| (vec![*schema], Vec::new(), None)).collect()
            }
            Choice::OneOf(schemas) => (0..schemas.len())
                .filter(|at| !schemas.iter().any(holds) || schemas.get(*at).is_some_and(holds))
                .map(|at| {
                    let mut others = schemas.clone();
                    let one = others.remove(at);
                    (vec![one], others, None)
                })
                .collect(),
            Choice::If(condition, then, _) if holds(condition) => {
                vec![(then.iter().copied().collect(), Vec::new(), None)]
            }
            Choice::If(condition, _, other) if partial.shape.nots.contains_key(&condition.key()) => {
                vec![(other.iter().copied().collect(), Vec::new(), None)]
            }
            Choice::If(condition, then, other) => {
                let mut with = vec![*condition];
                with.extend(then);
                let without: Vec<Node<'s>> = other.iter().copied().collect();
                vec![(with, Vec::new(), None), (without, vec![*condition], None)]
            }
            Choice::Dependent(name, _) if partial.shape.absent.contains(name) => return None,
            Choice::Dependent(name, schema) => {
                // Both absence and being required speak of objects only: whatever is
                // none is among those without the member.
                vec![(vec![*schema], Vec::new(), None), (Vec::new(), Vec::new(), Some(*name))]
            }
        })
    }
}

impl<'s> Choice<'s> {
    fn copy(&self) -> Self {
        match self {
            Choice::AnyOf(schemas) => Choice::AnyOf(schemas.clone()),
            Choice::OneOf(schemas) => Choice::OneOf(schemas.clone()),
            Choice::If(condition, then, other) => Choice::If(*condition, *then, *other),
            Choice::Dependent(name, schema) => Choice::Dependent(name, *schema),
        }
    }
}
