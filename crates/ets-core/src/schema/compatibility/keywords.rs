//! What each keyword says of the documents that satisfy it.

use serde_json::{Map, Value};

use super::checker::Checker;
use super::document::{Document, Node};
use super::number::{self, equal_values};
use super::shape::{Contains, Interval, ItemRule, MemberRule, Shape, Types};

/// Takes in a keyword that applies no schema, or applies it to names and items
/// only. A value that is not understood is left out.
pub(super) fn add_assertion<'s>(
    shape: &mut Shape<'s>,
    node: Node<'s>,
    members: &'s Map<String, Value>,
    keyword: &str,
    value: &'s Value,
) {
    match keyword {
        "type" => shape.types = shape.types.and(Types::named(value)),
        "enum" => restrict(shape, value.as_array().into_iter().flatten().collect()),
        "const" => restrict(shape, vec![value]),
        "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum" => add_bounds(shape, node.schema),
        "multipleOf" => {
            if let Value::Number(multiple) = value {
                shape.multiples.push(multiple);
            }
        }
        "minLength" => shape.length.min = shape.length.min.max(number::count(value).unwrap_or(0)),
        "maxLength" => shape.length.max = shape.length.max.min(number::count(value).unwrap_or(u64::MAX)),
        "pattern" => shape.patterns.extend(value.as_str()),
        "contentMediaType" | "contentEncoding" => {
            let text = |keyword: &str| members.get(keyword).and_then(Value::as_str);
            shape.contents.insert((text("contentMediaType"), text("contentEncoding")));
        }
        "minItems" => shape.items.min = shape.items.min.max(number::count(value).unwrap_or(0)),
        "maxItems" => shape.items.max = shape.items.max.min(number::count(value).unwrap_or(u64::MAX)),
        "uniqueItems" => shape.is_unique |= *value == Value::Bool(true),
        "minProperties" => shape.members.min = shape.members.min.max(number::count(value).unwrap_or(0)),
        "maxProperties" => {
            shape.members.max = shape.members.max.min(number::count(value).unwrap_or(u64::MAX));
        }
        "required" => value.as_array().into_iter().flatten().for_each(|name| {
            if let Some(name) = name.as_str() {
                shape.require(name);
            }
        }),
        "dependentRequired" => {
            for (name, names) in value.as_object().into_iter().flatten() {
                if let Value::Array(names) = names {
                    add_dependents(shape, name, names);
                }
            }
        }
        "propertyNames" => shape.names.push(node.at(value)),
        _ => {}
    }
}

pub(super) fn add_dependents<'s>(shape: &mut Shape<'s>, name: &'s str, names: &'s Vec<Value>) {
    shape.dependents.push((name, names));
    if shape.required.contains(name) {
        names.iter().filter_map(Value::as_str).for_each(|name| shape.require(name));
    }
}

fn restrict<'s>(shape: &mut Shape<'s>, values: Vec<&'s Value>) {
    match &mut shape.values {
        None => shape.values = Some(values),
        Some(known) => known.retain(|one| values.iter().any(|two| equal_values(one, two))),
    }
}

fn add_bounds(shape: &mut Shape<'_>, schema: &Value) {
    for (_, bound) in number::lower_bounds(schema) {
        if shape.lower.is_none_or(|lower| bound.implies_lower(lower)) {
            shape.lower = Some(bound);
        }
    }
    for (_, bound) in number::upper_bounds(schema) {
        if shape.upper.is_none_or(|upper| bound.implies_upper(upper)) {
            shape.upper = Some(bound);
        }
    }
}

/// Takes in what a schema says of members and items by their place.
pub(super) fn add_rules<'s>(
    shape: &mut Shape<'s>,
    document: &Document<'s>,
    node: Node<'s>,
    members: &'s Map<String, Value>,
) {
    shape.member_rules.extend(member_rule(node, members));
    shape.item_rules.extend(item_rule(document, node, members));
    shape.contains.extend(contains(document, node, members));
}

/// `properties`, `patternProperties` and `additionalProperties` of one schema.
pub(super) fn member_rule<'s>(node: Node<'s>, members: &'s Map<String, Value>) -> Option<MemberRule<'s>> {
    let object = |keyword: &str| members.get(keyword).and_then(Value::as_object);
    let rule = MemberRule {
        side: node.side,
        properties: object("properties").into_iter().collect(),
        patterns: object("patternProperties").into_iter().collect(),
        judges_named: true,
        rest: members.get("additionalProperties"),
    };
    let is_empty = rule.properties.is_empty() && rule.patterns.is_empty() && rule.rest.is_none();
    (!is_empty).then_some(rule)
}

/// The rule for items by their place: `prefixItems` and `items`, or in draft-07
/// an array of `items` and `additionalItems`.
pub(super) fn item_rule<'s>(
    document: &Document<'s>,
    node: Node<'s>,
    members: &'s Map<String, Value>,
) -> Option<ItemRule<'s>> {
    let is_used = |keyword: &str| document.asserts(members, keyword);
    let of = |keyword: &str| members.get(keyword).filter(|_| is_used(keyword));
    let (prefix, rest) = match (of("prefixItems"), of("items")) {
        (_, Some(Value::Array(prefix))) => (prefix.as_slice(), of("additionalItems")),
        (Some(Value::Array(prefix)), rest) => (prefix.as_slice(), rest),
        (_, None) => return None,
        (_, rest) => (&[][..], rest),
    };
    Some(ItemRule { side: node.side, prefix, rest_from: prefix.len(), rest })
}

/// `contains` with how often: without other words at least once.
pub(super) fn contains<'s>(
    document: &Document<'s>,
    node: Node<'s>,
    members: &'s Map<String, Value>,
) -> Option<Contains<'s>> {
    let schema = members.get("contains")?;
    let bound = |keyword: &str| members.get(keyword).filter(|_| document.asserts(members, keyword));
    let min = bound("minContains").map_or(Some(1), number::count)?;
    let max = bound("maxContains").map_or(Some(u64::MAX), number::count)?;
    Some(Contains { node: node.at(schema), count: Interval { min, max } })
}

/// What a schema and those that it applies to the same value evaluate of it, for
/// the `unevaluated…` keywords.
#[derive(Default)]
struct Evaluated<'s> {
    properties: Vec<&'s Map<String, Value>>,
    patterns: Vec<&'s Map<String, Value>>,
    all_members: bool,
    prefix: usize,
    all_items: bool,
}

impl<'s> Checker<'s> {
    /// The rule that `unevaluatedProperties` makes, where what is evaluated is the
    /// same for all documents.
    pub fn unevaluated_members(
        &self,
        node: Node<'s>,
        members: &'s Map<String, Value>,
        rest: &'s Value,
    ) -> Option<MemberRule<'s>> {
        let evaluated = self.evaluated(node, members)?;
        (!evaluated.all_members).then_some(MemberRule {
            side: node.side,
            properties: evaluated.properties,
            patterns: evaluated.patterns,
            judges_named: false,
            rest: Some(rest),
        })
    }

    /// The rule that `unevaluatedItems` makes, where what is evaluated is the same
    /// for all documents.
    pub fn unevaluated_items(
        &self,
        node: Node<'s>,
        members: &'s Map<String, Value>,
        rest: &'s Value,
    ) -> Option<ItemRule<'s>> {
        let evaluated = self.evaluated(node, members)?;
        (!evaluated.all_items).then_some(ItemRule {
            side: node.side,
            prefix: &[],
            rest_from: evaluated.prefix,
            rest: Some(rest),
        })
    }

    /// Whether the `unevaluated…` keywords of a schema mean the same for all
    /// documents, so that a rule says all of it.
    pub fn evaluates_alike(&self, node: Node<'s>, members: &'s Map<String, Value>) -> bool {
        self.evaluated(node, members).is_some()
    }

    /// None where it depends on the document.
    fn evaluated(&self, node: Node<'s>, members: &'s Map<String, Value>) -> Option<Evaluated<'s>> {
        let document = self.document(node);
        let mut evaluated = Evaluated::default();
        let mut todo = vec![members];
        let mut is_first = true;
        while let Some(members) = todo.pop() {
            if let Some((reference, is_alone)) = document.reference(members) {
                match document.resolve(reference)?.schema {
                    Value::Object(members) => todo.push(members),
                    Value::Bool(_) => {}
                    _ => return None,
                }
                if is_alone {
                    continue;
                }
            }
            for (keyword, value) in members {
                match (keyword.as_str(), value) {
                    (
                        "anyOf" | "oneOf" | "not" | "if" | "dependentSchemas" | "dependencies" | "contains",
                        _,
                    ) => return None,
                    ("allOf", Value::Array(schemas)) => {
                        todo.extend(schemas.iter().filter_map(Value::as_object));
                    }
                    ("properties", Value::Object(named)) => evaluated.properties.push(named),
                    ("patternProperties", Value::Object(patterns)) => evaluated.patterns.push(patterns),
                    ("additionalProperties", _) => evaluated.all_members = true,
                    ("unevaluatedProperties", _) => evaluated.all_members |= !is_first,
                    ("prefixItems", Value::Array(items)) => {
                        evaluated.prefix = evaluated.prefix.max(items.len());
                    }
                    ("items", _) => evaluated.all_items = true,
                    ("unevaluatedItems", _) => evaluated.all_items |= !is_first,
                    _ => {}
                }
            }
            is_first = false;
        }
        Some(evaluated)
    }
}
