//! `allOf`, `anyOf`, `oneOf`, `not` and `if` of the schema to be satisfied.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::checker::Checker;
use super::document::Node;
use super::failure::{Check, Findings};
use super::shape::{Shape, Types};

/// How often documents are divided to find the alternative that each satisfies.
const MAX_DIVISIONS: usize = 4;
/// The most values of a member by which documents are divided.
const MAX_PINNED: usize = 40;
/// The most members by which it is tried.
const MAX_DISCRIMINATORS: usize = 8;

static NULL: Value = Value::Null;
static TRUE: Value = Value::Bool(true);
static FALSE: Value = Value::Bool(false);

impl<'s> Checker<'s> {
    pub(super) fn satisfies_composition(
        &mut self,
        shape: &Shape<'s>,
        target: Node<'s>,
        members: &'s Map<String, Value>,
        keyword: &'s str,
        value: &'s Value,
    ) -> Check {
        let schemas: Vec<Node<'s>> =
            value.as_array().into_iter().flatten().map(|schema| target.at(schema)).collect();
        match keyword {
            "allOf" => {
                let mut findings = Findings::default();
                for schema in schemas {
                    findings.take(self.satisfies(shape, schema));
                    if findings.has_failed() && self.is_quiet() {
                        break;
                    }
                }
                findings.into_check()
            }
            "anyOf" => self.satisfies_any(shape, target, &schemas, 0),
            "oneOf" => self.satisfies_one(shape, target, &schemas, 0),
            "not" => {
                if self.is_disjoint(shape, target.at(value)) {
                    return Ok(());
                }
                self.fail(shape, target, keyword, || {
                    "documents may have been allowed that are excluded now".to_owned()
                })
            }
            "if" => self.satisfies_condition(shape, target, members, target.at(value)),
            // Judged with `if`.
            "then" | "else" => Ok(()),
            _ => self.fail_without_witness(target, keyword, || {
                "what the keyword means cannot be compared".to_owned()
            }),
        }
    }

    fn satisfies_condition(
        &mut self,
        shape: &Shape<'s>,
        target: Node<'s>,
        members: &'s Map<String, Value>,
        condition: Node<'s>,
    ) -> Check {
        let mut findings = Findings::default();
        if let Some(then) = members.get("then") {
            for with in self.branches(shape.clone(), &[condition]) {
                findings.take(self.satisfies(&with, target.at(then)));
            }
        }
        if let Some(other) = members.get("else") {
            let (mut without, facts) = shape.undecided();
            without.nots.insert(condition.key(), condition);
            for without in self.branches(without, &facts) {
                findings.take(self.satisfies(&without, target.at(other)));
            }
        }
        findings.into_check()
    }

    fn satisfies_any(
        &mut self,
        shape: &Shape<'s>,
        target: Node<'s>,
        schemas: &[Node<'s>],
        divisions: usize,
    ) -> Check {
        let is_one = |checker: &mut Self, schema: &Node<'s>| {
            checker.quietly(|checker| checker.satisfies(shape, *schema).is_ok())
        };
        if schemas.iter().any(|schema| is_one(self, schema)) {
            return Ok(());
        }
        if let Some(parts) = self.divide(shape, schemas, divisions) {
            let mut findings = Findings::default();
            for part in parts {
                findings.take(self.satisfies_any(&part, target, schemas, divisions + 1));
                if findings.has_failed() && self.is_quiet() {
                    break;
                }
            }
            return findings.into_check();
        }
        if self.is_quiet() {
            return Err(Vec::new());
        }
        // Where only one alternative is left, its reasons are the reasons.
        let left: Vec<Node<'s>> =
            schemas.iter().copied().filter(|schema| !self.is_disjoint(shape, *schema)).collect();
        match left.as_slice() {
            [one] => self.satisfies(shape, *one),
            _ => self.fail(shape, target, "anyOf", || {
                "documents that were allowed may satisfy none of the alternatives".to_owned()
            }),
        }
    }

    fn satisfies_one(
        &mut self,
        shape: &Shape<'s>,
        target: Node<'s>,
        schemas: &[Node<'s>],
        divisions: usize,
    ) -> Check {
        let left: Vec<Node<'s>> =
            schemas.iter().copied().filter(|schema| !self.is_disjoint(shape, *schema)).collect();
        if let [one] = left.as_slice() {
            return self.satisfies(shape, *one);
        }
        if let Some(parts) = self.divide(shape, schemas, divisions) {
            let mut findings = Findings::default();
            for part in parts {
                findings.take(self.satisfies_one(&part, target, schemas, divisions + 1));
                if findings.has_failed() && self.is_quiet() {
                    break;
                }
            }
            return findings.into_check();
        }
        self.fail(shape, target, "oneOf", || {
            if left.is_empty() {
                "documents that were allowed satisfy none of the alternatives".to_owned()
            } else {
                "documents that were allowed may satisfy none or several of the alternatives".to_owned()
            }
        })
    }

    /// The documents of a shape in parts, so that each may be of one alternative:
    /// by type, by the value of a member that has few, by whether a member is there.
    fn divide(
        &mut self,
        shape: &Shape<'s>,
        schemas: &[Node<'s>],
        divisions: usize,
    ) -> Option<Vec<Shape<'s>>> {
        if divisions >= MAX_DIVISIONS || !self.spend(1 + shape.size()) {
            return None;
        }
        let part = |types: Types| {
            let mut part = shape.clone();
            part.types = types;
            part.prune_types();
            part
        };
        let types: Vec<Types> = shape.types.each().collect();
        if types.len() > 1 {
            return Some(types.into_iter().map(part).collect());
        }
        if shape.types != Types::OBJECT {
            return None;
        }
        let (named, required) = self.discriminators(schemas);
        let named = named.into_iter().filter(|name| !shape.pinned.contains_key(name));
        for name in named.filter(|name| !shape.absent.contains(name)).take(MAX_DISCRIMINATORS) {
            let Some(values) = self.member_values(shape, name) else { continue };
            if values.len() + usize::from(!shape.required.contains(name)) < 2 {
                continue;
            }
            let mut parts = Vec::new();
            for value in values {
                let (mut part, facts) = shape.undecided();
                part.pinned.insert(name, value);
                part.require(name);
                parts.extend(self.branches(part, &facts));
            }
            parts.extend(self.without_member(shape, name));
            return Some(parts);
        }
        let is_open = |name: &&&'s str| !shape.required.contains(*name) && !shape.absent.contains(*name);
        let name = required.iter().find(is_open)?;
        let (mut with, facts) = shape.undecided();
        with.require(name);
        let mut parts = self.branches(with, &facts);
        parts.extend(self.without_member(shape, name));
        Some(parts)
    }

    fn without_member(&mut self, shape: &Shape<'s>, name: &'s str) -> Vec<Shape<'s>> {
        if shape.required.contains(name) {
            return Vec::new();
        }
        let (mut without, facts) = shape.undecided();
        without.absent.insert(name);
        self.branches(without, &facts)
    }

    /// The members that alternatives describe, and those that they require.
    fn discriminators(&self, schemas: &[Node<'s>]) -> (BTreeSet<&'s str>, BTreeSet<&'s str>) {
        let (mut named, mut required) = (BTreeSet::new(), BTreeSet::new());
        let mut todo = schemas.to_vec();
        let mut looked_at = 0;
        while let Some(node) = todo.pop() {
            looked_at += 1;
            let Value::Object(members) = node.schema else { continue };
            if looked_at > 256 {
                break;
            }
            if let Some((reference, _)) = self.document(node).reference(members) {
                todo.extend(self.document(node).resolve(reference));
            }
            for (keyword, value) in members {
                match (keyword.as_str(), value) {
                    ("allOf", Value::Array(schemas)) => {
                        todo.extend(schemas.iter().map(|schema| node.at(schema)));
                    }
                    ("not", schema) => todo.push(node.at(schema)),
                    ("properties", Value::Object(properties)) => {
                        named.extend(properties.keys().map(String::as_str));
                    }
                    ("required", Value::Array(names)) => {
                        required.extend(names.iter().filter_map(Value::as_str));
                    }
                    _ => {}
                }
            }
        }
        (named, required)
    }

    /// The values that a member may have, if they can be listed.
    fn member_values(&mut self, shape: &Shape<'s>, name: &'s str) -> Option<Vec<&'s Value>> {
        let classes = self.name_classes(shape, None)?;
        let class = classes.iter().find(|class| class.name == Some(name))?;
        let nodes = class.nodes(&shape.member_rules);
        let mut values: Vec<&'s Value> = Vec::new();
        for known in self.branches(Shape::any(), &nodes) {
            match &known.values {
                Some(listed) => values.extend(listed),
                None if known.types.without(Types::BOOLEAN.or(Types::NULL)).is_empty() => {
                    if known.types.has(Types::NULL) {
                        values.push(&NULL);
                    }
                    if known.types.has(Types::BOOLEAN) {
                        values.extend([&TRUE, &FALSE]);
                    }
                }
                None => return None,
            }
        }
        values.sort_by_key(|value| value.to_string());
        values.dedup();
        (values.len() <= MAX_PINNED).then_some(values)
    }
}
