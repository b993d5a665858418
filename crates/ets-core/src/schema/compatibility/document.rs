//! The two schema documents, and where things are in them.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::super::{Dialect, SchemaError, dialect_of};

/// Which of the two versions a schema belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Side {
    Old,
    New,
}

/// A schema somewhere in one of the two documents.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'s> {
    pub schema: &'s Value,
    pub side: Side,
}

/// Tells nodes apart: a place, not a content.
pub(super) type NodeKey = (Side, usize);

impl<'s> Node<'s> {
    pub fn key(self) -> NodeKey {
        (self.side, address(self.schema))
    }

    /// A schema inside this one, or beside it.
    pub fn at(self, schema: &'s Value) -> Self {
        Node { schema, side: self.side }
    }

    /// The keyword's value, if this is a schema with keywords.
    pub fn get(self, keyword: &str) -> Option<&'s Value> {
        self.schema.get(keyword)
    }
}

pub(super) fn address(value: &Value) -> usize {
    std::ptr::from_ref(value).addr()
}

/// One schema document.
pub(super) struct Document<'s> {
    pub root: &'s Value,
    pub dialect: Dialect,
    pub side: Side,
    /// For each value its parent and its place there.
    places: HashMap<usize, (&'s Value, Token<'s>)>,
    anchors: HashMap<&'s str, &'s Value>,
    /// Pointer to, and name of, a keyword that makes references mean something
    /// else than what they lead to in this document.
    pub indirection: Option<(String, &'static str)>,
}

#[derive(Clone, Copy)]
enum Token<'s> {
    Name(&'s str),
    Index(usize),
}

impl<'s> Document<'s> {
    /// Notes where everything is, in a schema that the validator accepted.
    ///
    /// # Errors
    /// [`SchemaError::Dialect`].
    pub fn read(root: &'s Value, side: Side) -> Result<Self, SchemaError> {
        let mut document = Document {
            root,
            dialect: dialect_of(root)?,
            side,
            places: HashMap::new(),
            anchors: HashMap::new(),
            indirection: None,
        };
        let mut todo = vec![root];
        while let Some(value) = todo.pop() {
            match value {
                Value::Array(items) => {
                    for (at, item) in items.iter().enumerate() {
                        document.places.insert(address(item), (value, Token::Index(at)));
                        todo.push(item);
                    }
                }
                Value::Object(members) => {
                    for (name, member) in members {
                        document.places.insert(address(member), (value, Token::Name(name)));
                        todo.push(member);
                    }
                    document.note_identity(value, members);
                }
                _ => {}
            }
        }
        Ok(document)
    }

    /// Anchors are followed. Embedded resources and dynamic references are not:
    /// what they mean depends on more than the place they stand at. It is looked
    /// for everywhere, because a pointer may lead to any place.
    fn note_identity(&mut self, value: &'s Value, members: &'s Map<String, Value>) {
        let is_root = std::ptr::eq(value, self.root);
        for keyword in ["$id", "$dynamicRef", "$dynamicAnchor", "$recursiveRef"] {
            if members.get(keyword).is_some_and(Value::is_string) && !(is_root && keyword == "$id") {
                let pointer = format!("{}/{keyword}", self.pointer(value));
                self.indirection.get_or_insert((pointer, keyword));
            }
        }
        if self.dialect == Dialect::Draft202012
            && let Some(name) = members.get("$anchor").and_then(Value::as_str)
            && self.anchors.insert(name, value).is_some()
        {
            let pointer = format!("{}/$anchor", self.pointer(value));
            self.indirection.get_or_insert((pointer, "$anchor"));
        }
    }

    pub fn node(&self) -> Node<'s> {
        Node { schema: self.root, side: self.side }
    }

    /// RFC 6901 pointer to a value of this document.
    pub fn pointer(&self, value: &Value) -> String {
        let mut tokens = Vec::new();
        let mut at = address(value);
        while let Some((parent, token)) = self.places.get(&at) {
            tokens.push(match token {
                Token::Name(name) => name.replace('~', "~0").replace('/', "~1"),
                Token::Index(at) => at.to_string(),
            });
            at = address(parent);
        }
        tokens.iter().rev().fold(String::new(), |pointer, token| pointer + "/" + token)
    }

    /// The schema that a `$ref` leads to, inside this document.
    pub fn resolve(&self, reference: &str) -> Option<Node<'s>> {
        let (base, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let id = self.root.get("$id").and_then(Value::as_str).map(|id| id.strip_suffix('#').unwrap_or(id));
        if !base.is_empty() && id != Some(base) {
            return None;
        }
        let fragment = super::super::bounds::percent_decoded(fragment)?;
        let schema = if fragment.is_empty() || fragment.starts_with('/') {
            self.root.pointer(&fragment)?
        } else {
            self.anchors.get(fragment.as_str()).copied()?
        };
        Some(Node { schema, side: self.side })
    }

    /// The `$ref` of a schema, and whether it stands alone: draft-07 ignores
    /// whatever is beside it.
    pub fn reference(&self, members: &'s Map<String, Value>) -> Option<(&'s str, bool)> {
        let reference = members.get("$ref").and_then(Value::as_str)?;
        Some((reference, self.dialect == Dialect::Draft7))
    }

    /// Whether a keyword decides anything in this schema.
    pub fn asserts(&self, members: &Map<String, Value>, keyword: &str) -> bool {
        let latest = self.dialect == Dialect::Draft202012;
        match keyword {
            "type"
            | "enum"
            | "const"
            | "multipleOf"
            | "maximum"
            | "exclusiveMaximum"
            | "minimum"
            | "exclusiveMinimum"
            | "maxLength"
            | "minLength"
            | "pattern"
            | "maxItems"
            | "minItems"
            | "uniqueItems"
            | "contains"
            | "maxProperties"
            | "minProperties"
            | "required"
            | "properties"
            | "patternProperties"
            | "additionalProperties"
            | "propertyNames"
            | "allOf"
            | "anyOf"
            | "oneOf"
            | "not"
            | "if"
            | "items"
            | "dependencies"
            | "$ref" => true,
            "then" | "else" => members.contains_key("if"),
            "format" => members
                .get(keyword)
                .and_then(Value::as_str)
                .is_none_or(|name| super::strings::is_asserted_format(name, self.dialect)),
            "additionalItems" => members.get("items").is_some_and(Value::is_array),
            "prefixItems"
            | "dependentRequired"
            | "dependentSchemas"
            | "unevaluatedItems"
            | "unevaluatedProperties" => latest,
            "minContains" | "maxContains" => latest && members.contains_key("contains"),
            "contentMediaType" | "contentEncoding" => !latest,
            // Annotations, definitions and keywords that nobody knows.
            _ => false,
        }
    }
}
