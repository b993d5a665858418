//! Shapes with few values, and shapes with none.

use serde_json::Value;

use super::checker::{Checker, NOTHING};
use super::document::{Node, Side};
use super::failure::{Check, Findings};
use super::number::{Exact, equal_values};
use super::shape::{Shape, Types};

/// The most integers of a range that are tried one by one.
const MAX_INTEGERS: i128 = 32;
/// Steps that a schema costs which is compiled for one value.
const COMPILING: usize = 150;

impl<'s> Checker<'s> {
    /// The values of a shape, if they can be listed; perhaps some more.
    pub fn finite(&mut self, shape: &Shape<'s>) -> Option<Vec<Value>> {
        if let Some(values) = &shape.values {
            if !self.spend(values.len()) {
                return None;
            }
            return Some(values.iter().map(|value| (*value).clone()).collect());
        }
        let mut values = Vec::new();
        for types in shape.types.each() {
            match types {
                Types::NULL => values.push(Value::Null),
                Types::BOOLEAN => values.extend([Value::Bool(false), Value::Bool(true)]),
                Types::INTEGER => values.extend(integers(shape)?),
                Types::STRING if shape.length.max == 0 => values.push(Value::from("")),
                Types::ARRAY if shape.items.max == 0 => values.push(Value::Array(Vec::new())),
                Types::OBJECT if shape.members.max == 0 => values.push(Value::Object(serde_json::Map::new())),
                _ => return None,
            }
        }
        Some(values)
    }

    /// Whether the schema accepts the value; none where that cannot be told.
    pub fn accepts(&mut self, node: Node<'s>, value: &Value) -> Option<bool> {
        let cost = if self.evaluators.has_compiled(node) { 2 } else { COMPILING };
        if !self.spend(cost) {
            return None;
        }
        let pointer = self.keyword_pointer(node, "");
        self.evaluators.accepts(node, value, || pointer)
    }

    /// Whether a value may be one of the shape's: nothing that is known of the
    /// shape refuses it.
    pub fn may_have(&mut self, shape: &Shape<'s>, value: &Value) -> bool {
        if !shape.types.has(Types::of(value))
            || shape.values.as_ref().is_some_and(|values| !values.iter().any(|one| equal_values(one, value)))
        {
            return false;
        }
        if let Value::Object(members) = value
            && (shape.required.iter().any(|name| !members.contains_key(*name))
                || shape.absent.iter().any(|name| members.contains_key(*name))
                || shape
                    .pinned
                    .iter()
                    .any(|(name, pinned)| members.get(*name).is_some_and(|one| !equal_values(one, pinned))))
        {
            return false;
        }
        let facts: Vec<Node<'s>> = shape.facts.values().copied().collect();
        let nots: Vec<Node<'s>> = shape.nots.values().copied().collect();
        facts.into_iter().all(|fact| self.accepts(fact, value) != Some(false))
            && nots.into_iter().all(|not| self.accepts(not, value) != Some(true))
    }

    /// Whether each of the values that the shape has satisfies the schema.
    pub fn values_satisfy(&mut self, shape: &Shape<'s>, values: &[Value], target: Node<'s>) -> Check {
        let mut findings = Findings::default();
        for value in values {
            if self.accepts(target, value) == Some(true) || !self.may_have(shape, value) {
                continue;
            }
            if self.is_quiet() {
                return Err(Vec::new());
            }
            let keyword = if shape.values.is_some() { "enum" } else { "type" };
            let mut failure = self
                .fail_without_witness(target, "", || "a value that was allowed is refused now".to_owned());
            if let Err(failures) = &mut failure {
                let pointer = self.keyword_pointer(target, "");
                let violated = self.evaluators.violated(target, value, || pointer);
                for failure in failures {
                    failure.witnesses.push(value.clone());
                    failure.old_pointer = self.old_pointer(shape, keyword);
                    if keyword == "enum" && !failure.old_pointer.ends_with("/enum") {
                        failure.old_pointer = self.old_pointer(shape, "const");
                    }
                    if let Some(pointer) = violated.first() {
                        failure.new_pointer.clone_from(pointer);
                        failure.keyword = pointer.rsplit('/').next().unwrap_or_default().to_owned();
                    }
                }
            }
            findings.take(failure);
        }
        findings.into_check()
    }

    /// Shows that there is no document of the shape: type by type.
    pub fn show_empty(&mut self, shape: &Shape<'s>) -> Check {
        if let Some(values) = self.finite(shape)
            && values.iter().all(|value| !self.may_have(shape, value))
        {
            return Ok(());
        }
        for types in shape.types.each() {
            let is_empty = match types {
                Types::ARRAY => {
                    let reachable = self.reachable_items(shape);
                    shape.items.min > reachable
                        || shape.contains.iter().any(|contains| contains.count.min > reachable)
                }
                Types::OBJECT => self.has_impossible_member(shape),
                _ => false,
            };
            if is_empty {
                continue;
            }
            let mut only = shape.clone();
            only.types = types;
            only.prune_types();
            let nots: Vec<Node<'s>> = shape.nots.values().copied().collect();
            if !only.types.is_empty() && !nots.into_iter().any(|not| self.satisfies(&only, not).is_ok()) {
                return Err(Vec::new());
            }
        }
        Ok(())
    }

    /// Whether it can be shown that no value satisfies all of the schemas.
    pub fn are_disjoint(&mut self, nodes: &[Node<'s>]) -> bool {
        let nothing = Node { schema: &NOTHING, side: Side::New };
        !nodes.is_empty() && self.quietly(|checker| checker.below(nodes, nothing).is_ok())
    }
}

fn integers(shape: &Shape<'_>) -> Option<Vec<Value>> {
    let (lower, upper) = (shape.lower?.up_to_integer(), shape.upper?.down_to_integer());
    let (least, greatest) = (lower.value.integer()?, upper.value.integer()?);
    if greatest.checked_sub(least)? >= MAX_INTEGERS {
        return None;
    }
    (least..=greatest).map(|integer| Exact::Integer(integer).to_value()).collect()
}
