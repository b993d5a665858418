//! Schemas that say the same in the same words.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::checker::Checker;
use super::document::{Node, NodeKey};

/// How deep two schemas are compared.
const MAX_DEPTH: usize = 128;

impl<'s> Checker<'s> {
    /// Whether two schemas have the same keywords with the same values, but for
    /// annotations, and references that lead to such schemas. Keywords that
    /// nothing else here understands are compared too.
    pub fn same(&mut self, one: Node<'s>, two: Node<'s>) -> bool {
        one.key() == two.key()
            || (self.document(one).dialect == self.document(two).dialect
                && self.same_schema(one, two, &mut HashSet::new(), 0))
    }

    fn same_schema(
        &mut self,
        one: Node<'s>,
        two: Node<'s>,
        assumed: &mut HashSet<(NodeKey, NodeKey)>,
        depth: usize,
    ) -> bool {
        if depth > MAX_DEPTH || !self.spend(1) {
            return false;
        }
        let (Value::Object(first), Value::Object(second)) = (one.schema, two.schema) else {
            return one.schema == two.schema;
        };
        let (first_keywords, second_keywords) = (self.asserting(one, first), self.asserting(two, second));
        if first_keywords.len() != second_keywords.len() {
            return false;
        }
        let mut applying = Vec::new();
        for ((keyword, first), (other, second)) in first_keywords.into_iter().zip(second_keywords) {
            if keyword != other {
                return false;
            }
            if applies(keyword) {
                applying.push((keyword, first, second));
            } else if first != second {
                return false;
            }
        }
        // The cheap ones were first. The way back here needs no second look.
        if !assumed.insert((one.key(), two.key())) {
            return true;
        }
        applying.into_iter().all(|(keyword, first, second)| {
            self.same_applied(keyword, (one, first), (two, second), assumed, depth + 1)
        })
    }

    fn same_applied(
        &mut self,
        keyword: &str,
        (one, first): (Node<'s>, &'s Value),
        (two, second): (Node<'s>, &'s Value),
        assumed: &mut HashSet<(NodeKey, NodeKey)>,
        depth: usize,
    ) -> bool {
        match (keyword, first, second) {
            ("$ref", Value::String(first), Value::String(second)) => {
                let targets = (self.document(one).resolve(first), self.document(two).resolve(second));
                match targets {
                    (Some(one), Some(two)) => self.same_schema(one, two, assumed, depth),
                    _ => false,
                }
            }
            ("properties" | "patternProperties" | "dependentSchemas" | "dependencies", first, second) => {
                let (Value::Object(first), Value::Object(second)) = (first, second) else { return false };
                first.len() == second.len()
                    && first.iter().all(|(name, first)| match (first, second.get(name)) {
                        (_, None) => false,
                        (Value::Array(_), Some(second)) => first == second,
                        (_, Some(second)) => self.same_schema(one.at(first), two.at(second), assumed, depth),
                    })
            }
            (_, Value::Array(first), Value::Array(second)) => {
                first.len() == second.len()
                    && first.iter().zip(second).all(|(first, second)| {
                        self.same_schema(one.at(first), two.at(second), assumed, depth)
                    })
            }
            (_, first, second) => self.same_schema(one.at(first), two.at(second), assumed, depth),
        }
    }

    /// The keywords that decide something, in the order of their names.
    fn asserting(&self, node: Node<'s>, members: &'s Map<String, Value>) -> Vec<(&'s str, &'s Value)> {
        let document = self.document(node);
        let is_alone = document.reference(members).is_some_and(|(_, is_alone)| is_alone);
        let mut keywords: Vec<(&'s str, &'s Value)> = members
            .iter()
            .filter(
                |(keyword, _)| {
                    if is_alone { *keyword == "$ref" } else { document.asserts(members, keyword) }
                },
            )
            .map(|(keyword, value)| (keyword.as_str(), value))
            .collect();
        keywords.sort_unstable_by_key(|(keyword, _)| *keyword);
        keywords
    }
}

/// Whether the keyword's value holds schemas.
fn applies(keyword: &str) -> bool {
    matches!(
        keyword,
        "$ref"
            | "allOf"
            | "anyOf"
            | "oneOf"
            | "not"
            | "if"
            | "then"
            | "else"
            | "properties"
            | "patternProperties"
            | "additionalProperties"
            | "unevaluatedProperties"
            | "propertyNames"
            | "prefixItems"
            | "items"
            | "additionalItems"
            | "unevaluatedItems"
            | "contains"
            | "dependentSchemas"
            | "dependencies"
    )
}
