//! The names that a member may have: those that schemas name, one by one, and
//! all others, divided by the patterns that they match.

use std::collections::BTreeSet;

use serde_json::Value;

use super::checker::Checker;
use super::document::Node;
use super::patterns::Pattern;
use super::shape::{MemberRule, Shape, Types};

/// The most classes of names that no schema names.
const MAX_CLASSES: usize = 128;

/// Names that the schemas at hand treat alike.
#[derive(Debug, Clone)]
pub(super) struct NameClass<'s> {
    /// None for names that no schema names.
    pub name: Option<&'s str>,
    /// The patterns that match.
    pub patterns: BTreeSet<&'s str>,
}

impl<'s> NameClass<'s> {
    /// The schemas that are applied to a member of such a name.
    pub fn nodes(&self, rules: &[MemberRule<'s>]) -> Vec<Node<'s>> {
        let matches = |pattern: &str| self.patterns.contains(pattern);
        rules.iter().flat_map(|rule| rule.nodes(self.name, &matches)).collect()
    }
}

impl<'s> Checker<'s> {
    /// Classes of all names that a member of an object of this shape may have, so
    /// that neither the shape nor the rule tells those of one class apart. None if
    /// there would be too many.
    pub(super) fn name_classes(
        &mut self,
        shape: &Shape<'s>,
        also: Option<&MemberRule<'s>>,
    ) -> Option<Vec<NameClass<'s>>> {
        let rules = || shape.member_rules.iter().chain(also);
        let mut names: BTreeSet<&'s str> = shape.required.iter().copied().collect();
        names.extend(shape.pinned.keys());
        names.extend(
            rules().flat_map(|rule| &rule.properties).flat_map(|named| named.keys()).map(String::as_str),
        );
        let patterns = rules().flat_map(|rule| &rule.patterns).flat_map(|patterns| patterns.keys());
        let mut patterns: BTreeSet<&'s str> = patterns.map(String::as_str).collect();

        let allowed = self.allowed_names(shape);
        let mut is_open = true;
        let mut certain: BTreeSet<&'s str> = BTreeSet::new();
        if !shape.names.is_empty() && allowed.iter().all(|name| name.values.is_some()) {
            is_open = false;
            let values = allowed.iter().filter_map(|name| name.values.as_ref()).flatten();
            names.extend(values.filter_map(|value| value.as_str()));
        } else if let [only] = allowed.as_slice() {
            certain.clone_from(&only.patterns);
            patterns.extend(&certain);
        }
        for pattern in &patterns {
            if let Pattern::Exact(name) = Pattern::read(pattern) {
                names.insert(name);
            }
        }
        if !self.spend(names.len() * (1 + patterns.len())) {
            return None;
        }
        let mut classes = Vec::new();
        for name in names {
            if !shape.absent.contains(name) && self.allows_name(shape, name) {
                let mut matched = BTreeSet::new();
                for pattern in &patterns {
                    if self.evaluators.matches(pattern, name)? {
                        matched.insert(*pattern);
                    }
                }
                classes.push(NameClass { name: Some(name), patterns: matched });
            }
        }
        if is_open {
            let sets = matched_sets(&patterns, &certain)?;
            if !self.spend(sets.len()) {
                return None;
            }
            classes.extend(sets.into_iter().map(|patterns| NameClass { name: None, patterns }));
        }
        Some(classes)
    }

    /// The shapes of the names that `propertyNames` allows; none where it is silent.
    fn allowed_names(&mut self, shape: &Shape<'s>) -> Vec<Shape<'s>> {
        if shape.names.is_empty() {
            return Vec::new();
        }
        let mut any = Shape::any();
        any.types = Types::STRING;
        self.branches(any, &shape.names)
    }

    /// Whether `propertyNames` allows the name, as far as that can be told.
    pub(super) fn allows_name(&mut self, shape: &Shape<'s>, name: &str) -> bool {
        let name = Value::from(name);
        shape.names.iter().all(|node| self.accepts(*node, &name) != Some(false))
    }
}

/// The sets of patterns that a name may match which none of the schemas names.
fn matched_sets<'s>(
    patterns: &BTreeSet<&'s str>,
    certain: &BTreeSet<&'s str>,
) -> Option<Vec<BTreeSet<&'s str>>> {
    let mut sets: Vec<BTreeSet<&'s str>> = vec![BTreeSet::new()];
    let mut unmatched: Vec<BTreeSet<&'s str>> = vec![BTreeSet::new()];
    for pattern in patterns {
        let read = Pattern::read(pattern);
        let mut next = (Vec::new(), Vec::new());
        for (set, rest) in sets.into_iter().zip(unmatched) {
            let is_implied = set.iter().any(|known| Pattern::read(known).implies(read));
            let is_excluded = matches!(read, Pattern::Exact(_))
                || set.iter().any(|known| Pattern::read(known).excludes(read))
                || rest.iter().any(|known| read.implies(Pattern::read(known)));
            let must = is_implied || read.is_any() || certain.contains(pattern);
            if !is_excluded {
                let mut with = set.clone();
                with.insert(*pattern);
                next.0.push(with);
                next.1.push(rest.clone());
            }
            if !must {
                let mut without = rest;
                without.insert(*pattern);
                next.0.push(set);
                next.1.push(without);
            }
        }
        (sets, unmatched) = next;
        if sets.len() > MAX_CLASSES {
            return None;
        }
    }
    Some(sets)
}
