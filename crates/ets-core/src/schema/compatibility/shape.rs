//! What is known of the documents that satisfy some schemas at once.
//!
//! A shape is one alternative of the conjunction of schemas, read keyword by
//! keyword. It may leave out what it cannot express: then it describes more
//! documents than there are, and whatever holds for all of them holds for those.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Number, Value};

use super::document::{Node, NodeKey, Side, address};
use super::number::{Bound, Exact};

/// A set of JSON types; integers and other numbers are apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Types(u8);

impl Types {
    pub const NONE: Types = Types(0);
    pub const NULL: Types = Types(1);
    pub const BOOLEAN: Types = Types(2);
    pub const INTEGER: Types = Types(4);
    pub const FRACTION: Types = Types(8);
    pub const STRING: Types = Types(16);
    pub const ARRAY: Types = Types(32);
    pub const OBJECT: Types = Types(64);
    pub const NUMBER: Types = Types(4 | 8);
    pub const ALL: Types = Types(127);

    pub fn and(self, other: Types) -> Types {
        Types(self.0 & other.0)
    }

    pub fn or(self, other: Types) -> Types {
        Types(self.0 | other.0)
    }

    pub fn without(self, other: Types) -> Types {
        Types(self.0 & !other.0)
    }

    pub fn has(self, other: Types) -> bool {
        self.0 & other.0 != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each type alone.
    pub fn each(self) -> impl Iterator<Item = Types> {
        (0..7).map(|bit| Types(1 << bit)).filter(move |one| self.has(*one))
    }

    /// The types that the keyword `type` names.
    pub fn named(value: &Value) -> Types {
        let one = |name: &Value| match name.as_str() {
            Some("null") => Types::NULL,
            Some("boolean") => Types::BOOLEAN,
            Some("integer") => Types::INTEGER,
            Some("number") => Types::NUMBER,
            Some("string") => Types::STRING,
            Some("array") => Types::ARRAY,
            Some("object") => Types::OBJECT,
            _ => Types::NONE,
        };
        match value {
            Value::Array(names) => names.iter().fold(Types::NONE, |types, name| types.or(one(name))),
            name => one(name),
        }
    }

    pub fn of(value: &Value) -> Types {
        match value {
            Value::Null => Types::NULL,
            Value::Bool(_) => Types::BOOLEAN,
            Value::Number(number) if Exact::of(number).is_integer() => Types::INTEGER,
            Value::Number(_) => Types::FRACTION,
            Value::String(_) => Types::STRING,
            Value::Array(_) => Types::ARRAY,
            Value::Object(_) => Types::OBJECT,
        }
    }

    /// For people.
    pub fn names(self) -> String {
        let names = [
            (Types::NULL, "null"),
            (Types::BOOLEAN, "boolean"),
            (Types::INTEGER, "integer"),
            (Types::FRACTION, "number that is no integer"),
            (Types::STRING, "string"),
            (Types::ARRAY, "array"),
            (Types::OBJECT, "object"),
        ];
        let names: Vec<&str> =
            names.into_iter().filter(|(one, _)| self.has(*one)).map(|(_, name)| name).collect();
        names.join(", ")
    }
}

/// One alternative of a conjunction of schemas.
#[derive(Debug, Clone)]
pub(super) struct Shape<'s> {
    /// Every schema that is known to hold.
    pub facts: BTreeMap<NodeKey, Node<'s>>,
    /// Schemas that are known not to hold.
    pub nots: BTreeMap<NodeKey, Node<'s>>,
    pub types: Types,
    /// The only values there are.
    pub values: Option<Vec<&'s Value>>,
    pub lower: Option<Bound>,
    pub upper: Option<Bound>,
    pub multiples: Vec<&'s Number>,
    /// In code points.
    pub length: Interval,
    pub patterns: BTreeSet<&'s str>,
    pub formats: BTreeSet<&'s str>,
    /// `contentMediaType` and `contentEncoding` of draft-07, which asserts them.
    pub contents: BTreeSet<(Option<&'s str>, Option<&'s str>)>,
    pub items: Interval,
    pub is_unique: bool,
    pub item_rules: Vec<ItemRule<'s>>,
    pub contains: Vec<Contains<'s>>,
    pub members: Interval,
    /// This and all below, as everything about members, says nothing of what is
    /// no object.
    pub required: BTreeSet<&'s str>,
    pub absent: BTreeSet<&'s str>,
    /// Members whose value is known.
    pub pinned: BTreeMap<&'s str, &'s Value>,
    pub member_rules: Vec<MemberRule<'s>>,
    pub names: Vec<Node<'s>>,
    /// Members that require others.
    pub dependents: Vec<(&'s str, &'s Vec<Value>)>,
}

/// From `min` to `max`, both included.
#[derive(Debug, Clone, Copy)]
pub(super) struct Interval {
    pub min: u64,
    pub max: u64,
}

impl Interval {
    const ANY: Interval = Interval { min: 0, max: u64::MAX };

    pub fn is_empty(self) -> bool {
        self.min > self.max
    }
}

/// `prefixItems` and `items` (draft-07: `items` and `additionalItems`) of one
/// schema, or its `unevaluatedItems`.
#[derive(Debug, Clone, Copy)]
pub(super) struct ItemRule<'s> {
    pub side: Side,
    pub prefix: &'s [Value],
    /// Applies from this place on.
    pub rest_from: usize,
    pub rest: Option<&'s Value>,
}

impl<'s> ItemRule<'s> {
    pub fn node(&self, at: usize) -> Option<Node<'s>> {
        let schema = match self.prefix.get(at) {
            Some(schema) => Some(schema),
            None => self.rest.filter(|_| at >= self.rest_from),
        };
        schema.map(|schema| Node { schema, side: self.side })
    }

    /// From here on all places are alike.
    pub fn len(&self) -> usize {
        self.prefix.len().max(if self.rest.is_some() { self.rest_from } else { 0 })
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Contains<'s> {
    pub node: Node<'s>,
    pub count: Interval,
}

/// `properties`, `patternProperties` and `additionalProperties` of one schema,
/// or its `unevaluatedProperties`.
#[derive(Debug, Clone)]
pub(super) struct MemberRule<'s> {
    pub side: Side,
    pub properties: Vec<&'s Map<String, Value>>,
    pub patterns: Vec<&'s Map<String, Value>>,
    /// False where the named members are only what `rest` does not apply to.
    pub judges_named: bool,
    pub rest: Option<&'s Value>,
}

impl<'s> MemberRule<'s> {
    /// The schemas applied to a member, of this name or of one that none of the
    /// `properties` names.
    pub fn nodes(&self, name: Option<&str>, matches: &dyn Fn(&str) -> bool) -> Vec<Node<'s>> {
        let named = self.properties.iter().filter_map(|named| named.get(name?));
        let matched = self.patterns.iter().flat_map(|patterns| patterns.iter());
        let matched = matched.filter(|(pattern, _)| matches(pattern)).map(|(_, schema)| schema);
        let mut schemas: Vec<&'s Value> = named.chain(matched).collect();
        if schemas.is_empty() {
            schemas.extend(self.rest);
        } else if !self.judges_named {
            schemas.clear();
        }
        schemas.into_iter().map(|schema| Node { schema, side: self.side }).collect()
    }
}

/// What tells shapes apart; everything else in them follows from it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ShapeKey {
    facts: Vec<NodeKey>,
    nots: Vec<NodeKey>,
    types: Types,
    values: Option<Vec<usize>>,
    patterns: Vec<String>,
    required: Vec<String>,
    absent: Vec<String>,
    pinned: Vec<(String, usize)>,
}

impl<'s> Shape<'s> {
    /// Every JSON value.
    pub fn any() -> Self {
        Shape {
            facts: BTreeMap::new(),
            nots: BTreeMap::new(),
            types: Types::ALL,
            values: None,
            lower: None,
            upper: None,
            multiples: Vec::new(),
            length: Interval::ANY,
            patterns: BTreeSet::new(),
            formats: BTreeSet::new(),
            contents: BTreeSet::new(),
            items: Interval::ANY,
            is_unique: false,
            item_rules: Vec::new(),
            contains: Vec::new(),
            members: Interval::ANY,
            required: BTreeSet::new(),
            absent: BTreeSet::new(),
            pinned: BTreeMap::new(),
            member_rules: Vec::new(),
            names: Vec::new(),
            dependents: Vec::new(),
        }
    }

    pub fn key(&self) -> ShapeKey {
        ShapeKey {
            facts: self.facts.keys().copied().collect(),
            nots: self.nots.keys().copied().collect(),
            types: self.types,
            values: self.values.as_ref().map(|values| values.iter().map(|value| address(value)).collect()),
            patterns: self.patterns.iter().map(|pattern| (*pattern).to_owned()).collect(),
            required: self.required.iter().map(|name| (*name).to_owned()).collect(),
            absent: self.absent.iter().map(|name| (*name).to_owned()).collect(),
            pinned: self.pinned.iter().map(|(name, value)| ((*name).to_owned(), address(value))).collect(),
        }
    }

    /// What was decided of the documents besides the schemas that hold: to take
    /// those in again, now that more is known.
    pub fn undecided(&self) -> (Self, Vec<Node<'s>>) {
        let mut shape = Shape::any();
        shape.nots.clone_from(&self.nots);
        shape.types = self.types;
        shape.values.clone_from(&self.values);
        shape.patterns.clone_from(&self.patterns);
        shape.required.clone_from(&self.required);
        shape.absent.clone_from(&self.absent);
        shape.pinned.clone_from(&self.pinned);
        (shape, self.facts.values().copied().collect())
    }

    /// How much there is to copy.
    pub fn size(&self) -> usize {
        self.facts.len()
            + self.nots.len()
            + self.values.as_ref().map_or(0, Vec::len)
            + self.required.len()
            + self.absent.len()
            + self.pinned.len()
    }

    /// With a member that is there; what that requires follows.
    pub fn require(&mut self, name: &'s str) {
        let mut todo = vec![name];
        while let Some(name) = todo.pop() {
            if self.required.insert(name) {
                let dependents = self.dependents.iter().filter(|(on, _)| *on == name);
                todo.extend(dependents.flat_map(|(_, names)| names.iter()).filter_map(Value::as_str));
            }
        }
    }

    /// Takes out the types of which there can be no value, as far as that can be
    /// seen without a look at items and members.
    pub fn prune_types(&mut self) {
        if let Some(values) = &mut self.values {
            let types = self.types;
            values.retain(|value| types.has(Types::of(value)));
            self.types = values.iter().fold(Types::NONE, |types, value| types.or(Types::of(value)));
        }
        if self.multiples.iter().any(|multiple| Exact::of(multiple).is_integer()) {
            self.types = self.types.without(Types::FRACTION);
        }
        if let (Some(lower), Some(upper)) = (self.lower, self.upper) {
            let (least, greatest) = (lower.up_to_integer(), upper.down_to_integer());
            if least.value.compare(greatest.value).is_gt() {
                self.types = self.types.without(Types::INTEGER);
            }
            let order = lower.value.compare(upper.value);
            if order.is_gt()
                || (order.is_eq() && (lower.is_exclusive || upper.is_exclusive || lower.value.is_integer()))
            {
                self.types = self.types.without(Types::FRACTION);
            }
            if order.is_eq() && (lower.is_exclusive || upper.is_exclusive) {
                self.types = self.types.without(Types::INTEGER);
            }
        }
        if self.length.is_empty() {
            self.types = self.types.without(Types::STRING);
        }
        if self.items.is_empty() {
            self.types = self.types.without(Types::ARRAY);
        }
        let required = u64::try_from(self.required.len()).unwrap_or(u64::MAX);
        if self.members.is_empty()
            || required > self.members.max
            || self.required.intersection(&self.absent).next().is_some()
        {
            self.types = self.types.without(Types::OBJECT);
        }
    }
}
