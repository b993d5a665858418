//! Documents made to fit a shape: a proof that something is refused now which
//! was accepted is a document of which that is so. Whatever is made here is only
//! proposed; the validators decide.

use std::collections::HashMap;

use serde_json::{Map, Number, Value, json};

use super::arrays::item_nodes;
use super::checker::Checker;
use super::document::{Node, NodeKey};
use super::failure::MAX_WITNESSES;
use super::names::NameClass;
use super::number::{self, Exact};
use super::shape::{Interval, Shape, Types};
use super::text;

/// Steps for making documents, apart from those for proofs.
const MAX_STEPS: usize = 120_000;
/// How deep documents are made.
const MAX_DEPTH: usize = 8;
/// The longest strings and arrays that are made.
const MAX_LENGTH: u64 = 300;
/// The most values that are proposed for one schema.
const MAX_PROPOSED: usize = 48;

pub(super) struct Samples {
    steps: usize,
    depth: usize,
    known: HashMap<Vec<NodeKey>, Vec<Value>>,
}

impl Default for Samples {
    fn default() -> Self {
        Samples { steps: MAX_STEPS, depth: 0, known: HashMap::new() }
    }
}

impl<'s> Checker<'s> {
    /// Documents of the shape, of one of these types, that violate the keyword.
    pub(super) fn witnesses(
        &mut self,
        shape: &Shape<'s>,
        types: Types,
        target: Node<'s>,
        keyword: &str,
    ) -> Vec<Value> {
        let pointer = self.keyword_pointer(target, keyword);
        self.sampling(|checker| {
            let mut witnesses = Vec::new();
            for value in checker.proposed(shape, types, Some(target)) {
                if witnesses.len() >= MAX_WITNESSES {
                    break;
                }
                if checker.accepts(target, &value) == Some(false)
                    && (keyword.is_empty() || checker.violates(target, &value, &pointer))
                    && checker.may_have(shape, &value)
                {
                    witnesses.push(value);
                }
            }
            witnesses
        })
    }

    fn violates(&mut self, target: Node<'s>, value: &Value, pointer: &str) -> bool {
        let place = self.keyword_pointer(target, "");
        let violated = self.evaluators.violated(target, value, || place);
        violated.iter().any(|violated| violated == pointer)
    }

    fn sampling<T: Default>(&mut self, make: impl FnOnce(&mut Self) -> T) -> T {
        if self.samples.depth >= MAX_DEPTH {
            return T::default();
        }
        self.samples.depth += 1;
        let is_outermost = self.samples.depth == 1;
        let mut steps = self.samples.steps;
        let made = if is_outermost {
            let made = self.with_steps(&mut steps, |checker| checker.quietly(make));
            self.samples.steps = steps;
            made
        } else {
            make(self)
        };
        self.samples.depth -= 1;
        made
    }

    /// A few values that satisfy all of the schemas.
    pub(super) fn samples_of(&mut self, nodes: &[Node<'s>]) -> Vec<Value> {
        let mut keys: Vec<NodeKey> = nodes.iter().map(|node| node.key()).collect();
        keys.sort_unstable();
        if let Some(known) = self.samples.known.get(&keys) {
            return known.clone();
        }
        let values = self.sampling(|checker| {
            let mut values = Vec::new();
            for shape in checker.branches(Shape::any(), nodes) {
                for value in checker.proposed(&shape, shape.types, None) {
                    if values.len() < 4 && !values.contains(&value) && checker.may_have(&shape, &value) {
                        values.push(value);
                    }
                }
            }
            values
        });
        self.samples.known.insert(keys, values.clone());
        values
    }

    /// Values that may be of the shape, and may violate the target.
    fn proposed(&mut self, shape: &Shape<'s>, types: Types, target: Option<Node<'s>>) -> Vec<Value> {
        if !self.spend(10) {
            return Vec::new();
        }
        let mut values = Vec::new();
        if let Some(known) = &shape.values {
            values.extend(known.iter().map(|value| (*value).clone()));
            return values;
        }
        for fact in shape.facts.values() {
            values.extend(fact.get("default").cloned());
            let examples = fact.get("examples").and_then(Value::as_array);
            values.extend(examples.into_iter().flatten().take(4).cloned());
        }
        values.retain(|value| types.has(Types::of(value)) && shape.types.has(Types::of(value)));
        for one in shape.types.and(types).each() {
            match one {
                Types::NULL => values.push(Value::Null),
                Types::BOOLEAN => values.extend([Value::Bool(true), Value::Bool(false)]),
                Types::INTEGER | Types::FRACTION => {
                    let numbers = numbers(shape, target);
                    values.extend(numbers.into_iter().filter(|value| one.has(Types::of(value))).take(16));
                }
                Types::STRING => values.extend(text::strings(shape, target, MAX_LENGTH)),
                Types::ARRAY => values.extend(self.arrays(shape, target)),
                _ => values.extend(self.objects(shape, target)),
            }
        }
        values.truncate(MAX_PROPOSED);
        values
    }

    fn arrays(&mut self, shape: &Shape<'s>, target: Option<Node<'s>>) -> Vec<Value> {
        let of_contains = shape.contains.iter().map(|contains| contains.count.min).max().unwrap_or(0);
        let least = Interval { min: shape.items.min.max(of_contains), max: shape.items.max };
        let mut lengths = sizes(least, target, ["minItems", "maxItems"]);
        lengths.extend([2, 3].into_iter().filter(|length| least.min <= *length && *length <= least.max));
        lengths.truncate(6);
        let mut arrays: Vec<Value> =
            lengths.into_iter().filter_map(|length| self.array_of(shape, length, None)).collect();
        if let Some(contained) = target.and_then(|target| Some(target.at(target.get("contains")?))) {
            // Such items only, one more than the target wants.
            let most =
                target.and_then(|target| target.get("maxContains")).and_then(number::count).unwrap_or(0);
            let mut nodes = item_nodes(shape, 0);
            nodes.push(contained);
            let length = usize::try_from(most.saturating_add(1).max(least.min).min(MAX_LENGTH)).unwrap_or(1);
            let items = self.samples_of(&nodes);
            if !items.is_empty() {
                arrays.push(items.iter().cycle().take(length).cloned().collect());
                arrays.extend(items.first().map(|item| Value::Array(vec![item.clone(); length])));
            }
        }
        if !shape.is_unique && shape.items.max >= 2 {
            // The same item twice.
            let item = self.samples_of(&item_nodes(shape, 0)).into_iter().next();
            arrays.extend(item.and_then(|item| self.array_with(shape, 1, Some(item))));
        }
        arrays
    }

    /// An array of the shape with a certain item at a certain place.
    pub(super) fn array_with(
        &mut self,
        shape: &Shape<'s>,
        place: usize,
        item: Option<Value>,
    ) -> Option<Value> {
        let length = u64::try_from(place).ok()?.checked_add(1)?.max(shape.items.min);
        self.sampling(|checker| checker.array_of(shape, length, item.map(|item| (place, item))))
    }

    fn array_of(&mut self, shape: &Shape<'s>, length: u64, given: Option<(usize, Value)>) -> Option<Value> {
        if length > MAX_LENGTH {
            return None;
        }
        let wanted: Vec<Value> = shape
            .contains
            .iter()
            .filter(|contains| contains.count.min > 0)
            .flat_map(|contains| self.samples_of(&[contains.node]))
            .collect();
        let mut items: Vec<Value> = Vec::new();
        for place in 0..usize::try_from(length).ok()? {
            if let Some((at, item)) = &given
                && *at == place
            {
                items.push(item.clone());
                continue;
            }
            let nodes = item_nodes(shape, place);
            let known = self.samples_of(&nodes);
            let mut proposed = wanted.iter().filter(|_| nodes.is_empty()).chain(&known);
            let fresh = proposed.find(|item| !shape.is_unique || !items.contains(item)).cloned();
            let integer = || Some(json!(1_000 + place)).filter(|_| nodes.is_empty());
            items.push(fresh.or_else(integer).or_else(|| known.first().cloned())?);
        }
        Some(Value::Array(items))
    }

    fn objects(&mut self, shape: &Shape<'s>, target: Option<Node<'s>>) -> Vec<Value> {
        let mut objects = Vec::new();
        objects.extend(self.object_with(shape, Vec::new()));
        let Some(classes) = self.name_classes(shape, None) else { return objects };
        // Each member alone, and all of them together.
        let mut all = Vec::new();
        for class in classes.iter().take(24) {
            let value = self.samples_of(&class.nodes(&shape.member_rules)).into_iter().next();
            let name = self.sample_name(shape, class);
            if let (Some(name), Some(value)) = (name, value) {
                all.push((name, value));
            }
        }
        for member in all.clone() {
            objects.extend(self.object_with(shape, vec![member]));
        }
        let most = usize::try_from(shape.members.max).unwrap_or(usize::MAX);
        let few: Vec<(String, Value)> = all.iter().take(most).cloned().collect();
        objects.extend(self.object_with(shape, few));
        for size in sizes(shape.members, target, ["minProperties", "maxProperties"]) {
            let mut members = all.clone();
            members.truncate(usize::try_from(size).unwrap_or(usize::MAX));
            let mut extra = 0;
            while u64::try_from(members.len()).is_ok_and(|len| len < size) {
                members.push((format!("m{extra}"), json!(0)));
                extra += 1;
            }
            objects.extend(self.object_with(shape, members));
        }
        if let Some(target) = target {
            // A member that the target requires where others are.
            for keyword in ["dependentRequired", "dependentSchemas", "dependencies"] {
                let names: Vec<String> = target
                    .get(keyword)
                    .and_then(Value::as_object)
                    .into_iter()
                    .flat_map(Map::keys)
                    .cloned()
                    .collect();
                for name in names.into_iter().take(8) {
                    objects.extend(self.object_with(shape, vec![(name, json!(0))]));
                }
            }
        }
        objects
    }

    /// An object of the shape with certain members.
    pub(super) fn object_with(&mut self, shape: &Shape<'s>, members: Vec<(String, Value)>) -> Option<Value> {
        self.sampling(|checker| {
            let mut object: Map<String, Value> = members.into_iter().collect();
            let mut full = shape.clone();
            let names: Vec<&'s str> = shape
                .dependents
                .iter()
                .map(|(name, _)| *name)
                .filter(|name| object.contains_key(*name))
                .collect();
            names.into_iter().for_each(|name| full.require(name));
            let classes = checker.name_classes(&full, None)?;
            for name in &full.required {
                if object.contains_key(*name) {
                    continue;
                }
                let value = match full.pinned.get(name) {
                    Some(pinned) => (*pinned).clone(),
                    None => {
                        let class = classes.iter().find(|class| class.name == Some(name))?;
                        checker.samples_of(&class.nodes(&full.member_rules)).into_iter().next()?
                    }
                };
                object.insert((*name).to_owned(), value);
            }
            let wanted = usize::try_from(shape.members.min.min(MAX_LENGTH)).unwrap_or_default();
            for class in &classes {
                let value = checker.samples_of(&class.nodes(&full.member_rules)).into_iter().next();
                let Some(value) = value else { continue };
                while object.len() < wanted {
                    let Some(name) = checker.other_name(&full, class, &object) else { break };
                    object.insert(name, value.clone());
                }
            }
            Some(Value::Object(object))
        })
    }

    /// A name of the class.
    pub(super) fn sample_name(&mut self, shape: &Shape<'s>, class: &NameClass<'s>) -> Option<String> {
        self.other_name(shape, class, &Map::new())
    }

    /// A name of the class that no member has yet.
    fn other_name(
        &mut self,
        shape: &Shape<'s>,
        class: &NameClass<'s>,
        taken: &Map<String, Value>,
    ) -> Option<String> {
        if let Some(name) = class.name {
            return Some(name.to_owned()).filter(|name| !taken.contains_key(name));
        }
        self.sampling(|checker| {
            let classes = checker.name_classes(shape, None)?;
            let named = |name: &str| classes.iter().any(|class| class.name == Some(name));
            let rules = shape.member_rules.iter().flat_map(|rule| &rule.patterns);
            let mut patterns: Vec<&str> =
                rules.flat_map(|patterns| patterns.keys()).map(String::as_str).collect();
            patterns.extend(&class.patterns);
            let of_patterns = class.patterns.iter().flat_map(|pattern| text::of_pattern(pattern));
            let mut proposed: Vec<String> =
                of_patterns.flat_map(|name| ["", "x", "y", "z"].map(|end| format!("{name}{end}"))).collect();
            proposed.extend(
                shape
                    .names
                    .iter()
                    .flat_map(|names| checker.samples_of(&[*names]))
                    .filter_map(|name| name.as_str().map(str::to_owned)),
            );
            proposed.extend(["other", "x", "z9", "Other", "_", "0", "more", "y"].map(str::to_owned));
            proposed.into_iter().find(|name| {
                !named(name)
                    && !taken.contains_key(name)
                    && !shape.absent.contains(name.as_str())
                    && checker.allows_name(shape, name)
                    && patterns.iter().all(|pattern| {
                        checker.evaluators.matches(pattern, name) == Some(class.patterns.contains(pattern))
                    })
            })
        })
    }
}

/// The limits of an interval, and just outside of what the target allows.
fn sizes(known: Interval, target: Option<Node<'_>>, [min, max]: [&str; 2]) -> Vec<u64> {
    let count = |keyword: &str| target?.get(keyword).and_then(number::count);
    let mut sizes = vec![known.min];
    sizes.extend(count(min).and_then(|count| count.checked_sub(1)));
    sizes.extend(count(max).and_then(|count| count.checked_add(1)));
    sizes.extend([known.min.saturating_add(1), known.max]);
    sizes.retain(|size| known.min <= *size && *size <= known.max && *size <= MAX_LENGTH);
    sizes.dedup();
    sizes
}

fn numbers(shape: &Shape<'_>, target: Option<Node<'_>>) -> Vec<Value> {
    let mut points: Vec<Exact> = [shape.lower, shape.upper].into_iter().flatten().map(|b| b.value).collect();
    if let Some(target) = target {
        points.extend(number::lower_bounds(target.schema).map(|(_, bound)| bound.value));
        points.extend(number::upper_bounds(target.schema).map(|(_, bound)| bound.value));
    }
    points.push(Exact::Integer(0));
    let mut values = Vec::new();
    for point in &points {
        match point {
            Exact::Integer(at) => {
                for near in [0, 1, -1, 2, -2] {
                    values.extend(at.checked_add(near).and_then(|near| Exact::Integer(near).to_value()));
                }
                #[allow(clippy::cast_precision_loss)] // only a proposal
                for near in [0.5, -0.5, 0.25] {
                    values.extend(Number::from_f64(*at as f64 + near).map(Value::Number));
                }
            }
            Exact::Double(at) => {
                for near in [*at, at.floor(), at.ceil(), at + 0.125, at - 0.125] {
                    values.extend(Number::from_f64(near).map(Value::Number));
                }
            }
        }
    }
    let mut multiples = Vec::new();
    for multiple in shape.multiples.iter().filter_map(|multiple| multiple.as_f64()) {
        for point in &points {
            #[allow(clippy::cast_precision_loss)] // only a proposal
            let at = match point {
                Exact::Integer(at) => *at as f64,
                Exact::Double(at) => *at,
            };
            for times in [0.0, 1.0, -1.0, 2.0] {
                let near = ((at / multiple).round() + times) * multiple;
                multiples.extend(Exact::of(&Number::from_f64(near).unwrap_or(Number::from(0))).to_value());
            }
        }
    }
    if multiples.is_empty() { values } else { multiples }
}
