//! Schemas whose cost depends on how deep a payload is.
//!
//! A recursive schema may apply itself twice to each member of a value, and so
//! 2^d times to a value at depth d. Most recursive schemas do not, and that can
//! be seen: follow, from the root, which schemas can ever be applied together
//! to one value. Where there are few such sets, each within the limit, nothing
//! has to be measured; for the others the same is followed along each payload.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::MAX_APPLICATIONS;
use super::graph::Graph;

/// The most applications of schemas to all values of a payload together.
const MAX_APPLICATIONS_TO_PAYLOAD: u64 = 1_000_000;
/// How far sets of schemas are followed before a schema counts as one whose
/// payloads are to be measured.
const MAX_STEPS: usize = 50_000;

/// Measures payloads of one schema.
#[derive(Debug)]
pub(in super::super) struct Growth {
    nodes: Vec<Node>,
    root: usize,
}

/// As the graph's node, without the schema itself.
#[derive(Debug)]
struct Node {
    in_place: Vec<(usize, u64)>,
    members: HashMap<String, usize>,
    any_member: Vec<usize>,
    items: Vec<(usize, usize)>,
    any_item: Vec<usize>,
    names: Vec<usize>,
}

/// Which schemas are applied to a value, and how often. In the order of the
/// graph, so that what a schema applies to the same value comes after it.
type Applied = BTreeMap<usize, u64>;

impl Growth {
    /// What measures payloads; none where no payload can be too costly.
    pub(super) fn of(graph: &Graph<'_>) -> Option<Self> {
        let root = graph.nodes.iter().position(|node| node.pointer.is_empty())?;
        let nodes = graph
            .nodes
            .iter()
            .map(|node| Node {
                in_place: node.in_place.clone(),
                members: node.members.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect(),
                any_member: node.any_member.clone(),
                items: node.items.clone(),
                any_item: node.any_item.clone(),
                names: node.names.clone(),
            })
            .collect();
        let growth = Growth { nodes, root };
        if growth.is_bounded() { None } else { Some(growth) }
    }

    /// Whether the payload's cost is within the limit.
    pub fn admits(&self, payload: &Value) -> bool {
        let mut left = MAX_APPLICATIONS_TO_PAYLOAD;
        let mut todo = vec![(payload, Applied::from([(self.root, 1)]))];
        while let Some((value, applied)) = todo.pop() {
            let applied = self.in_place(applied);
            match left.checked_sub(total(&applied)) {
                Some(rest) => left = rest,
                None => return false,
            }
            match value {
                Value::Object(members) => {
                    let names = self.to_names(&applied);
                    for (name, member) in members {
                        match left.checked_sub(total(&self.in_place(names.clone()))) {
                            Some(rest) => left = rest,
                            None => return false,
                        }
                        let applied = self.to_member(&applied, Some(name));
                        if !applied.is_empty() {
                            todo.push((member, applied));
                        }
                    }
                }
                Value::Array(items) => {
                    for (at, item) in items.iter().enumerate() {
                        let applied = self.to_item(&applied, Some(at));
                        if !applied.is_empty() {
                            todo.push((item, applied));
                        }
                    }
                }
                _ => {}
            }
        }
        true
    }

    /// Whether every set of schemas that can ever be applied together to one
    /// value is within the limit, as far as that can be told in a few steps.
    fn is_bounded(&self) -> bool {
        let mut steps = 0;
        let start = Applied::from([(self.root, 1)]);
        let mut seen = BTreeSet::from([start.clone()]);
        let mut todo = vec![start];
        while let Some(applied) = todo.pop() {
            let applied = self.in_place(applied);
            if total(&applied) > MAX_APPLICATIONS {
                return false;
            }
            let nodes = || applied.keys().filter_map(|at| self.nodes.get(*at));
            let names: BTreeSet<&str> =
                nodes().flat_map(|node| node.members.keys().map(String::as_str)).collect();
            let places: BTreeSet<usize> =
                nodes().flat_map(|node| node.items.iter().map(|(at, _)| *at)).collect();
            steps += applied.len() * (names.len() + places.len() + 3);
            if steps > MAX_STEPS {
                return false;
            }
            let members =
                names.into_iter().map(Some).chain([None]).map(|name| self.to_member(&applied, name));
            let items = places.into_iter().map(Some).chain([None]).map(|at| self.to_item(&applied, at));
            for next in members.chain(items).chain([self.to_names(&applied)]) {
                if !next.is_empty() && seen.insert(next.clone()) {
                    todo.push(next);
                }
            }
        }
        true
    }

    /// With what these schemas apply to the same value.
    fn in_place(&self, mut applied: Applied) -> Applied {
        let mut all = Applied::new();
        while let Some((at, times)) = applied.pop_first() {
            all.insert(at, times);
            for (next, factor) in self.nodes.get(at).map_or(&[][..], |node| &node.in_place) {
                add(&mut applied, *next, times.saturating_mul(*factor));
            }
        }
        all
    }

    fn to_member(&self, applied: &Applied, name: Option<&str>) -> Applied {
        self.step(applied, |node| {
            let named = name.and_then(|name| node.members.get(name));
            named.into_iter().chain(&node.any_member)
        })
    }

    fn to_item(&self, applied: &Applied, place: Option<usize>) -> Applied {
        self.step(applied, |node| {
            let placed = node.items.iter().filter(move |(at, _)| Some(*at) == place).map(|(_, next)| next);
            placed.chain(&node.any_item)
        })
    }

    fn to_names(&self, applied: &Applied) -> Applied {
        self.step(applied, |node| node.names.iter())
    }

    fn step<'a, I: Iterator<Item = &'a usize>>(
        &'a self,
        applied: &Applied,
        next: impl Fn(&'a Node) -> I,
    ) -> Applied {
        let mut result = Applied::new();
        for (at, times) in applied {
            for next in self.nodes.get(*at).into_iter().flat_map(&next) {
                add(&mut result, *next, *times);
            }
        }
        result
    }
}

fn add(applied: &mut Applied, at: usize, times: u64) {
    let count = applied.entry(at).or_default();
    *count = count.saturating_add(times);
}

fn total(applied: &Applied) -> u64 {
    applied.values().fold(0, |sum, times| sum.saturating_add(*times))
}
