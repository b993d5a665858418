//! What a schema may cost.
//!
//! Everything here is judged before the schema is compiled, and by constants, so
//! that every machine refuses the same schemas. Size, nesting and patterns are
//! plain limits. References are harder: 25 definitions that each apply the one
//! before twice are a page of text and 2^25 checks of every value, and nothing
//! can interrupt them. So the schema is read as a graph of which schema applies
//! which, and the applications of one value are counted in it ([`graph`]).

mod graph;
mod growth;

use std::collections::BTreeSet;

use serde_json::Value;

use self::graph::Graph;
pub(super) use self::graph::percent_decoded;
pub(super) use self::growth::Growth;
use super::{Dialect, SchemaError};
use crate::canonical;

/// The longest schema, in bytes of its JCS text.
pub const MAX_SCHEMA_BYTES: usize = 64 << 10;
/// The deepest nesting of a schema; a boolean has depth 0.
pub const MAX_SCHEMA_DEPTH: usize = 64;
/// The longest pattern, in bytes.
pub const MAX_PATTERN_BYTES: usize = 2 << 10;
/// The most different patterns in a schema: each may take megabytes once compiled.
pub const MAX_PATTERNS: usize = 128;
/// The most schemas applied inside each other to one value.
pub const MAX_REFERENCE_CHAIN: usize = 64;
/// The most times that schemas are applied to one value because one is applied
/// to it.
pub const MAX_APPLICATIONS: u64 = 4096;
/// The same of all schemas with an `unevaluated…` keyword together, for which
/// the evaluator unrolls the references when it compiles.
const MAX_UNROLLED: u64 = 16 * MAX_APPLICATIONS;

/// Refuses a schema that could exhaust whoever evaluates it. Where its cost
/// depends on the payload's depth, gives what measures a payload.
///
/// # Errors
/// [`SchemaError`] names the place and the limit.
pub(super) fn check(schema: &Value, dialect: Dialect) -> Result<Option<Growth>, SchemaError> {
    // First of all: what follows, and the evaluator's compiler, recurse.
    check_depth(schema)?;
    if canonical::to_jcs(schema).len() > MAX_SCHEMA_BYTES {
        return Err(SchemaError::TooLarge { limit: MAX_SCHEMA_BYTES });
    }
    let graph = Graph::read(schema, dialect)?;
    check_patterns(&graph)?;
    check_fan_out(&graph)?;
    Ok(Growth::of(&graph))
}

fn check_depth(schema: &Value) -> Result<(), SchemaError> {
    let mut todo = vec![(schema, 0)];
    while let Some((value, depth)) = todo.pop() {
        if depth > MAX_SCHEMA_DEPTH {
            return Err(SchemaError::TooDeep { limit: MAX_SCHEMA_DEPTH });
        }
        match value {
            Value::Array(items) => todo.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(members) => todo.extend(members.values().map(|member| (member, depth + 1))),
            _ => {}
        }
    }
    Ok(())
}

fn check_patterns(graph: &Graph<'_>) -> Result<(), SchemaError> {
    let mut different = BTreeSet::new();
    for node in &graph.nodes {
        let own = node.schema.get("pattern").and_then(Value::as_str).map(|pattern| (pattern, "pattern"));
        let of_members = node.schema.get("patternProperties").and_then(Value::as_object);
        let of_members = of_members.into_iter().flat_map(|patterns| patterns.keys());
        for (pattern, keyword) in
            own.into_iter().chain(of_members.map(|key| (key.as_str(), "patternProperties")))
        {
            let pointer = format!("{}/{keyword}", node.pointer);
            if pattern.len() > MAX_PATTERN_BYTES {
                return Err(SchemaError::PatternTooLong { pointer, limit: MAX_PATTERN_BYTES });
            }
            different.insert(pattern);
            if different.len() > MAX_PATTERNS {
                return Err(SchemaError::TooManyPatterns { pointer, limit: MAX_PATTERNS });
            }
        }
    }
    Ok(())
}

/// Counts, from the innermost schemas outwards, how deep and how often schemas
/// are applied to the value that a schema is applied to.
fn check_fan_out(graph: &Graph<'_>) -> Result<(), SchemaError> {
    let mut costs = vec![(1usize, 1u64); graph.nodes.len()];
    let mut unrolled = 0u64;
    for (index, node) in graph.nodes.iter().enumerate().rev() {
        let (mut chain, mut applications) = (1usize, 1u64);
        for (next, times) in &node.in_place {
            // Nodes are sorted so that `next` comes after `index`.
            let (inner_chain, inner_applications) = costs.get(*next).copied().unwrap_or((1, 1));
            chain = chain.max(inner_chain.saturating_add(1));
            applications = applications.saturating_add(inner_applications.saturating_mul(*times));
        }
        let pointer = || node.pointer.clone();
        if chain > MAX_REFERENCE_CHAIN {
            return Err(SchemaError::ReferenceChain { pointer: pointer(), limit: MAX_REFERENCE_CHAIN });
        }
        if node.is_unrolled {
            unrolled = unrolled.saturating_add(applications);
        }
        if applications > MAX_APPLICATIONS || unrolled > MAX_UNROLLED {
            return Err(SchemaError::FanOut { pointer: pointer(), limit: MAX_APPLICATIONS });
        }
        if let Some(cost) = costs.get_mut(index) {
            *cost = (chain, applications);
        }
    }
    Ok(())
}
