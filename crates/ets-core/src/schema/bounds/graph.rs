//! Which schema applies which: to the same value, to a member, to an item.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::super::{Dialect, SchemaError};

/// The schemas inside a schema that can be reached by applying it, sorted so
/// that whatever a schema applies to the same value comes after it.
pub(super) struct Graph<'s> {
    pub nodes: Vec<Node<'s>>,
}

/// One schema, and what it applies.
pub(super) struct Node<'s> {
    /// The schema.
    pub schema: &'s Value,
    /// RFC 6901 pointer to it.
    pub pointer: String,
    /// Schemas applied to the same value, and how often.
    pub in_place: Vec<(usize, u64)>,
    /// Schemas applied to the member of a name.
    pub members: Vec<(&'s str, usize)>,
    /// Schemas applied to any member, whatever its name.
    pub any_member: Vec<usize>,
    /// Schemas applied to the item at an index.
    pub items: Vec<(usize, usize)>,
    /// Schemas applied to any item.
    pub any_item: Vec<usize>,
    /// Schemas applied to the names of members.
    pub names: Vec<usize>,
    /// Whether it has an `unevaluated…` keyword.
    pub is_unrolled: bool,
}

impl<'s> Graph<'s> {
    /// Reads a schema whose nesting is bounded.
    ///
    /// # Errors
    /// [`SchemaError::Reference`] if a reference leads nowhere inside the
    /// schema, [`SchemaError::Loop`] if one leads back to itself.
    pub fn read(schema: &'s Value, dialect: Dialect) -> Result<Self, SchemaError> {
        let mut reader = Reader {
            dialect,
            resources: Vec::new(),
            anchors: HashMap::new(),
            found: Vec::new(),
            index: HashMap::new(),
        };
        let root = reader.add_resource(schema, String::new(), schema.get("$id").and_then(Value::as_str));
        // First every `$id` and anchor, then the references to them.
        reader.declare(schema, String::new(), root)?;
        reader.node(schema, String::new(), root);
        let mut nodes = Vec::new();
        while let Some(found) = reader.found.get(nodes.len()).cloned() {
            nodes.push(reader.edges(found)?);
        }
        sort(nodes)
    }
}

/// A schema document of its own: the root, or what has an `$id`.
struct Resource<'s> {
    contents: &'s Value,
    pointer: String,
    id: Option<&'s str>,
}

#[derive(Clone)]
struct Found<'s> {
    schema: &'s Value,
    pointer: String,
    resource: usize,
}

struct Reader<'s> {
    dialect: Dialect,
    resources: Vec<Resource<'s>>,
    /// By resource and name; several where an anchor is dynamic.
    anchors: HashMap<(usize, &'s str), Vec<Found<'s>>>,
    found: Vec<Found<'s>>,
    /// Nodes by where in memory their schema is.
    index: HashMap<*const Value, usize>,
}

/// Where a keyword's schemas are, and what they are applied to.
#[derive(Clone, Copy, PartialEq)]
enum Applied {
    SameValue,
    Member,
    AnyMember,
    Item,
    AnyItem,
    Names,
    /// To nothing, unless referred to.
    Nothing,
}

#[derive(Clone, Copy)]
enum Shape {
    One,
    Array,
    Object,
    OneOrArray,
}

/// The keywords of both dialects that hold schemas.
const KEYWORDS: [(&str, Shape, Applied); 24] = [
    ("$defs", Shape::Object, Applied::Nothing),
    ("definitions", Shape::Object, Applied::Nothing),
    ("allOf", Shape::Array, Applied::SameValue),
    ("anyOf", Shape::Array, Applied::SameValue),
    ("oneOf", Shape::Array, Applied::SameValue),
    ("not", Shape::One, Applied::SameValue),
    ("if", Shape::One, Applied::SameValue),
    ("then", Shape::One, Applied::SameValue),
    ("else", Shape::One, Applied::SameValue),
    ("dependentSchemas", Shape::Object, Applied::SameValue),
    ("dependencies", Shape::Object, Applied::SameValue),
    ("properties", Shape::Object, Applied::Member),
    ("patternProperties", Shape::Object, Applied::AnyMember),
    ("additionalProperties", Shape::One, Applied::AnyMember),
    ("unevaluatedProperties", Shape::One, Applied::AnyMember),
    ("propertyNames", Shape::One, Applied::Names),
    ("prefixItems", Shape::Array, Applied::Item),
    ("items", Shape::OneOrArray, Applied::AnyItem),
    ("additionalItems", Shape::One, Applied::AnyItem),
    ("contains", Shape::One, Applied::AnyItem),
    ("unevaluatedItems", Shape::One, Applied::AnyItem),
    ("contentSchema", Shape::One, Applied::Nothing),
    ("$ref", Shape::One, Applied::Nothing),
    ("$dynamicRef", Shape::One, Applied::Nothing),
];

/// How often a schema with an `unevaluated…` keyword may apply what it applies
/// to the same value: once to judge, and again to see what was evaluated.
const UNEVALUATED_FACTOR: u64 = 3;

impl<'s> Reader<'s> {
    fn add_resource(&mut self, contents: &'s Value, pointer: String, id: Option<&'s str>) -> usize {
        let id = id.map(|id| id.strip_suffix('#').unwrap_or(id));
        self.resources.push(Resource { contents, pointer, id });
        self.resources.len() - 1
    }

    /// The schemas that a schema holds, each with its pointer, place and label.
    fn parts(&self, schema: &'s Value, pointer: &str) -> Vec<(&'s Value, String, Applied, &'s str, usize)> {
        let Some(members) = schema.as_object() else { return Vec::new() };
        // Draft-07: whatever stands beside a reference is ignored.
        if self.dialect == Dialect::Draft7 && members.get("$ref").is_some_and(Value::is_string) {
            return Vec::new();
        }
        let mut parts = Vec::new();
        for (keyword, shape, applied) in KEYWORDS {
            let Some(value) = members.get(keyword) else { continue };
            match (shape, value) {
                (Shape::One | Shape::OneOrArray, Value::Object(_) | Value::Bool(_)) => {
                    parts.push((value, format!("{pointer}/{keyword}"), applied, "", 0));
                }
                (Shape::Array | Shape::OneOrArray, Value::Array(items)) => {
                    // Draft-07 has an array of schemas under `items`.
                    let applied = if applied == Applied::AnyItem { Applied::Item } else { applied };
                    for (at, item) in items.iter().enumerate() {
                        parts.push((item, format!("{pointer}/{keyword}/{at}"), applied, "", at));
                    }
                }
                (Shape::Object, Value::Object(named)) => {
                    for (name, item) in named {
                        let escaped = name.replace('~', "~0").replace('/', "~1");
                        parts.push((item, format!("{pointer}/{keyword}/{escaped}"), applied, name, 0));
                    }
                }
                _ => {}
            }
        }
        parts.retain(|(value, ..)| value.is_object() || value.is_boolean());
        parts
    }

    /// Notes the resources and anchors in a schema and in what it holds.
    fn declare(&mut self, schema: &'s Value, pointer: String, resource: usize) -> Result<(), SchemaError> {
        let mut todo = vec![(schema, pointer, resource)];
        while let Some((schema, pointer, mut resource)) = todo.pop() {
            let keyword = |name: &str| schema.get(name).and_then(Value::as_str);
            let is_root = std::ptr::eq(schema, self.resources.first().map_or(schema, |root| root.contents));
            let ignored = self.dialect == Dialect::Draft7 && keyword("$ref").is_some();
            let mut anchors: Vec<&'s str> = Vec::new();
            if let Some(id) = keyword("$id").filter(|_| !is_root && !ignored) {
                match id.strip_prefix('#') {
                    Some(name) if self.dialect == Dialect::Draft7 => anchors.push(name),
                    // A relative one would have to be resolved against its base
                    // exactly as the evaluator does.
                    _ if !is_absolute(id) => {
                        return Err(SchemaError::Reference { pointer: pointer + "/$id" });
                    }
                    _ => resource = self.add_resource(schema, pointer.clone(), Some(id)),
                }
            }
            if !is_root && keyword("$schema").is_some_and(|uri| Dialect::of_uri(uri) != Some(self.dialect)) {
                return Err(SchemaError::Malformed {
                    pointer: pointer + "/$schema",
                    keyword: "$schema".to_owned(),
                });
            }
            if self.dialect == Dialect::Draft202012 {
                anchors.extend(keyword("$anchor"));
                anchors.extend(keyword("$dynamicAnchor"));
            }
            for name in anchors {
                let found = Found { schema, pointer: pointer.clone(), resource };
                self.anchors.entry((resource, name)).or_default().push(found);
            }
            for (part, pointer, ..) in self.parts(schema, &pointer) {
                todo.push((part, pointer, resource));
            }
        }
        Ok(())
    }

    /// The node of a schema, made when it is first met.
    fn node(&mut self, schema: &'s Value, pointer: String, resource: usize) -> usize {
        // A schema with an `$id` is a resource of its own.
        let own = self.resources.iter().position(|other| std::ptr::eq(other.contents, schema));
        let resource = own.unwrap_or(resource);
        *self.index.entry(std::ptr::from_ref(schema)).or_insert_with(|| {
            self.found.push(Found { schema, pointer, resource });
            self.found.len() - 1
        })
    }

    fn edges(&mut self, found: Found<'s>) -> Result<Node<'s>, SchemaError> {
        let Found { schema, pointer, resource } = found;
        let is_unrolled =
            schema.get("unevaluatedProperties").is_some() || schema.get("unevaluatedItems").is_some();
        let mut node = Node {
            schema,
            pointer: pointer.clone(),
            in_place: Vec::new(),
            members: Vec::new(),
            any_member: Vec::new(),
            items: Vec::new(),
            any_item: Vec::new(),
            names: Vec::new(),
            is_unrolled,
        };
        let mut in_place: BTreeMap<usize, u64> = BTreeMap::new();
        let factor = if is_unrolled { UNEVALUATED_FACTOR } else { 1 };
        for (part, pointer, applied, name, at) in self.parts(schema, &pointer) {
            if applied == Applied::Nothing {
                continue;
            }
            let next = self.node(part, pointer, resource);
            match applied {
                Applied::SameValue => *in_place.entry(next).or_default() += factor,
                Applied::Member => node.members.push((name, next)),
                Applied::AnyMember => node.any_member.push(next),
                Applied::Item => node.items.push((at, next)),
                Applied::AnyItem => node.any_item.push(next),
                Applied::Names => node.names.push(next),
                Applied::Nothing => {}
            }
        }
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let targets = self.resolve(reference, resource);
            let place = || SchemaError::Reference { pointer: format!("{pointer}/$ref") };
            for target in targets.ok_or_else(place)? {
                let next = self.node(target.schema, target.pointer, target.resource);
                *in_place.entry(next).or_default() += factor;
            }
        }
        if self.dialect == Dialect::Draft202012
            && let Some(reference) = schema.get("$dynamicRef").and_then(Value::as_str)
        {
            // Which anchor of the name is meant depends on the way here: count all.
            let mut targets = self
                .resolve(reference, resource)
                .ok_or_else(|| SchemaError::Reference { pointer: format!("{pointer}/$dynamicRef") })?;
            let name = reference.rsplit('#').next().unwrap_or_default();
            for ((_, other), found) in &self.anchors {
                if *other == name {
                    targets.extend(found.iter().cloned());
                }
            }
            targets.sort_by(|one, two| one.pointer.cmp(&two.pointer));
            targets.dedup_by(|one, two| one.pointer == two.pointer);
            for target in targets {
                let next = self.node(target.schema, target.pointer, target.resource);
                *in_place.entry(next).or_default() += factor;
            }
        }
        node.in_place = in_place.into_iter().collect();
        Ok(node)
    }

    /// What a reference leads to: `#`, `#/pointer` or `#anchor`, alone or after
    /// the `$id` of a resource inside this schema, in the very same words.
    fn resolve(&self, reference: &str, resource: usize) -> Option<Vec<Found<'s>>> {
        let (base, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let resource = if base.is_empty() {
            resource
        } else {
            self.resources.iter().position(|resource| resource.id == Some(base))?
        };
        let Resource { contents, pointer, .. } = self.resources.get(resource)?;
        let fragment = percent_decoded(fragment)?;
        if fragment.is_empty() {
            return Some(vec![Found { schema: contents, pointer: pointer.clone(), resource }]);
        }
        if !fragment.starts_with('/') {
            return self.anchors.get(&(resource, fragment.as_str())).cloned();
        }
        let schema = contents.pointer(&fragment)?;
        Some(vec![Found { schema, pointer: format!("{pointer}{fragment}"), resource }])
    }
}

fn is_absolute(uri: &str) -> bool {
    uri.split_once(':').is_some_and(|(scheme, _)| {
        scheme.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    })
}

pub(in super::super) fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16).and_then(|d| u8::try_from(d).ok());
            bytes.push(digit()? << 4 | digit()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Sorts nodes so that what a schema applies to the same value comes after it.
///
/// # Errors
/// [`SchemaError::Loop`] if that cannot be.
fn sort(nodes: Vec<Node<'_>>) -> Result<Graph<'_>, SchemaError> {
    let mut pending = vec![0usize; nodes.len()];
    for (next, _) in nodes.iter().flat_map(|node| &node.in_place) {
        if let Some(count) = pending.get_mut(*next) {
            *count += 1;
        }
    }
    let mut order: Vec<usize> = (0..nodes.len()).filter(|at| pending.get(*at) == Some(&0)).collect();
    let mut done = 0;
    while let Some(at) = order.get(done).copied() {
        done += 1;
        for (next, _) in nodes.get(at).map_or(&[][..], |node| &node.in_place) {
            if let Some(count) = pending.get_mut(*next) {
                *count -= 1;
                if *count == 0 {
                    order.push(*next);
                }
            }
        }
    }
    if order.len() < nodes.len() {
        let node = nodes.iter().zip(&pending).find(|(_, count)| **count > 0).map(|(node, _)| node);
        return Err(SchemaError::Loop {
            pointer: node.map_or_else(String::new, |node| node.pointer.clone()),
        });
    }
    let mut rank = vec![0usize; nodes.len()];
    for (new, old) in order.iter().enumerate() {
        if let Some(rank) = rank.get_mut(*old) {
            *rank = new;
        }
    }
    let renamed = |at: &mut usize| *at = rank.get(*at).copied().unwrap_or(*at);
    let mut sorted: Vec<(usize, Node<'_>)> = Vec::with_capacity(nodes.len());
    for (old, mut node) in nodes.into_iter().enumerate() {
        node.in_place.iter_mut().for_each(|(at, _)| renamed(at));
        node.members.iter_mut().for_each(|(_, at)| renamed(at));
        node.items.iter_mut().for_each(|(_, at)| renamed(at));
        for list in [&mut node.any_member, &mut node.any_item, &mut node.names] {
            list.iter_mut().for_each(renamed);
        }
        let mut new = old;
        renamed(&mut new);
        sorted.push((new, node));
    }
    sorted.sort_by_key(|(new, _)| *new);
    Ok(Graph { nodes: sorted.into_iter().map(|(_, node)| node).collect() })
}
