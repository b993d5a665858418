//! Single schemas inside a document, applied to single values by the evaluator
//! itself: what it says is what validation will say.

use std::collections::HashMap;

use jsonschema::Registry;
use serde_json::{Value, json};

use super::super::{Dialect, bounds, draft_of, evaluator_options};
use super::document::{Document, Node, NodeKey, Side};

/// The most schemas that are compiled for one comparison: each takes memory.
const MAX_COMPILED: usize = 400;
/// How deep a value may be where a schema's cost grows with the depth.
const MAX_DEPTH_WHERE_COSTLY: usize = 6;
/// The most violations of one value that are looked at.
const MAX_VIOLATIONS: usize = 16;

pub(super) struct Evaluators<'s> {
    old: Source<'s>,
    new: Source<'s>,
    compiled: HashMap<NodeKey, Option<jsonschema::Validator>>,
    patterns: HashMap<String, Option<jsonschema::Validator>>,
}

struct Source<'s> {
    registry: Option<Registry<'s>>,
    dialect: Dialect,
    is_costly: bool,
}

/// Names the document in references to it; nothing is fetched.
const DOCUMENT: &str = "urn:ets:schema";

impl<'s> Evaluators<'s> {
    pub fn new(old: &Document<'s>, new: &Document<'s>) -> Self {
        Evaluators {
            old: Source::of(old),
            new: Source::of(new),
            compiled: HashMap::new(),
            patterns: HashMap::new(),
        }
    }

    fn compiled(
        &mut self,
        node: Node<'s>,
        pointer: impl FnOnce() -> String,
    ) -> Option<&jsonschema::Validator> {
        let room = self.compiled.len() + self.patterns.len() < MAX_COMPILED;
        let source = match node.side {
            Side::Old => &self.old,
            Side::New => &self.new,
        };
        self.compiled
            .entry(node.key())
            .or_insert_with(|| if room { source.compile(&pointer()) } else { None })
            .as_ref()
    }

    pub fn has_compiled(&self, node: Node<'_>) -> bool {
        node.schema.is_boolean() || self.compiled.contains_key(&node.key())
    }

    /// Whether the schema accepts the value; none where that cannot be told.
    pub fn accepts(
        &mut self,
        node: Node<'s>,
        value: &Value,
        pointer: impl FnOnce() -> String,
    ) -> Option<bool> {
        if let Value::Bool(accepts) = node.schema {
            return Some(*accepts);
        }
        if self.is_too_deep(node, value) {
            return None;
        }
        self.compiled(node, pointer).map(|compiled| compiled.is_valid(value))
    }

    /// Pointers to the keywords that the value violates.
    pub fn violated(
        &mut self,
        node: Node<'s>,
        value: &Value,
        pointer: impl FnOnce() -> String,
    ) -> Vec<String> {
        if self.is_too_deep(node, value) {
            return Vec::new();
        }
        let Some(compiled) = self.compiled(node, pointer) else { return Vec::new() };
        let errors = compiled.iter_errors(value).take(MAX_VIOLATIONS);
        errors.map(|error| error.schema_path().as_str().to_owned()).collect()
    }

    /// Whether the pattern matches somewhere in the text.
    pub fn matches(&mut self, pattern: &str, text: &str) -> Option<bool> {
        let room = self.compiled.len() + self.patterns.len() < MAX_COMPILED;
        let compiled = self.patterns.entry(pattern.to_owned()).or_insert_with(|| {
            let options = evaluator_options(Dialect::Draft202012);
            if room { options.build(&json!({ "pattern": pattern })).ok() } else { None }
        });
        compiled.as_ref().map(|compiled| compiled.is_valid(&Value::from(text)))
    }

    fn is_too_deep(&self, node: Node<'_>, value: &Value) -> bool {
        let source = match node.side {
            Side::Old => &self.old,
            Side::New => &self.new,
        };
        source.is_costly && depth(value) > MAX_DEPTH_WHERE_COSTLY
    }
}

impl<'s> Source<'s> {
    fn of(document: &Document<'s>) -> Self {
        let registry = Registry::new()
            .draft(draft_of(document.dialect))
            .add(DOCUMENT, document.root)
            .and_then(|registry| registry.prepare())
            .ok();
        let growth = bounds::check(document.root, document.dialect);
        Source { registry, dialect: document.dialect, is_costly: !matches!(growth, Ok(None)) }
    }

    fn compile(&self, pointer: &str) -> Option<jsonschema::Validator> {
        let registry = self.registry.as_ref()?;
        let reference = json!({ "$ref": format!("{DOCUMENT}#{}", percent_encoded(pointer)) });
        evaluator_options(self.dialect).with_registry(registry).build(&reference).ok()
    }
}

fn percent_encoded(pointer: &str) -> String {
    let mut text = String::with_capacity(pointer.len());
    for byte in pointer.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
