//! Items of arrays: by their place, by their number, and those that must occur.

use serde_json::{Map, Value};

use super::checker::Checker;
use super::document::Node;
use super::failure::{Check, Findings, join};
use super::keywords;
use super::number;
use super::shape::{Contains, ItemRule, Shape, Types};

/// The longest tuple whose places are looked at one by one.
const MAX_PLACES: usize = 256;

impl<'s> Checker<'s> {
    pub(super) fn satisfies_array(
        &mut self,
        shape: &Shape<'s>,
        target: Node<'s>,
        members: &'s Map<String, Value>,
        keyword: &'s str,
        value: &'s Value,
    ) -> Check {
        match keyword {
            "prefixItems" | "items" | "additionalItems" => {
                // One rule, judged once: at `items` if that is there.
                let is_first = keyword == "items" || !members.contains_key("items");
                let rule = keywords::item_rule(self.document(target), target, members);
                match rule {
                    Some(rule) if is_first => self.satisfies_items(shape, target, keyword, &rule),
                    _ => Ok(()),
                }
            }
            "unevaluatedItems" => {
                if !self.evaluates_alike(target, members) {
                    return self.fail(shape, target, keyword, || {
                        "which items it applies to depends on the document".to_owned()
                    });
                }
                match self.unevaluated_items(target, members, value) {
                    Some(rule) => self.satisfies_items(shape, target, keyword, &rule),
                    None => Ok(()),
                }
            }
            "contains" => self.satisfies_contains(shape, target, members),
            // Judged with `contains`.
            "minContains" | "maxContains" => Ok(()),
            "minItems" => {
                let of_contains = shape.contains.iter().map(|contains| contains.count.min);
                let known = of_contains.fold(shape.items.min, u64::max);
                if number::count(value).is_some_and(|count| known >= count) {
                    return Ok(());
                }
                self.fail_array(shape, target, keyword, || {
                    format!("arrays of fewer than {value} items were allowed")
                })
            }
            "maxItems" => {
                let reachable = self.reachable_items(shape);
                if number::count(value).is_some_and(|count| reachable <= count) {
                    return Ok(());
                }
                self.fail_array(shape, target, keyword, || {
                    format!("arrays of more than {value} items were allowed")
                })
            }
            _ => {
                if *value != Value::Bool(true) || shape.is_unique || self.reachable_items(shape) <= 1 {
                    return Ok(());
                }
                self.fail_array(shape, target, keyword, || {
                    "arrays with an item twice were allowed".to_owned()
                })
            }
        }
    }

    fn satisfies_items(
        &mut self,
        shape: &Shape<'s>,
        target: Node<'s>,
        keyword: &'s str,
        rule: &ItemRule<'s>,
    ) -> Check {
        let places = shape.item_rules.iter().map(ItemRule::len).fold(rule.len(), usize::max);
        if places > MAX_PLACES {
            return self.fail(shape, target, keyword, || "the tuples are too long to compare".to_owned());
        }
        let reachable = self.reachable_items(shape);
        let mut findings = Findings::default();
        for place in 0..=places {
            if u64::try_from(place).is_ok_and(|place| place >= reachable) || !self.spend(1) {
                break;
            }
            let Some(node) = rule.node(place) else { continue };
            let known = item_nodes(shape, place);
            let check = self.below(&known, node);
            findings.take(self.in_arrays(shape, place, &known, node, check));
            if findings.has_failed() && self.is_quiet() {
                break;
            }
        }
        if !self.spend(1) {
            findings.take(
                self.fail(shape, target, keyword, || "the comparison would take too many steps".to_owned()),
            );
        }
        findings.into_check()
    }

    /// Puts the witnesses of an item into arrays.
    fn in_arrays(
        &mut self,
        shape: &Shape<'s>,
        place: usize,
        known: &[Node<'s>],
        target: Node<'s>,
        check: Check,
    ) -> Check {
        let mut failures = match check {
            Err(failures) if !self.is_quiet() => failures,
            other => return other,
        };
        if known.is_empty() {
            let of_items = self.old_pointer(shape, "items");
            join(&mut failures, |failure| {
                failure.old_pointer = of_items;
                failure.message = "items of any value were allowed at this place".to_owned();
            });
            let pointer = self.keyword_pointer(target, "");
            for failure in &mut failures {
                failure.new_pointer.clone_from(&pointer);
                failure.keyword = "items".to_owned();
            }
        }
        for failure in &mut failures {
            let items = std::mem::take(&mut failure.witnesses);
            failure.witnesses =
                items.into_iter().filter_map(|item| self.array_with(shape, place, Some(item))).collect();
        }
        Err(failures)
    }

    /// The number of items that an array of the shape has at most.
    pub(super) fn reachable_items(&mut self, shape: &Shape<'s>) -> u64 {
        let places = shape.item_rules.iter().map(ItemRule::len).max();
        let Some(places) = places else { return shape.items.max };
        for place in 0..=places.min(MAX_PLACES) {
            let count = u64::try_from(place).unwrap_or(u64::MAX);
            if count >= shape.items.max {
                break;
            }
            let nodes = item_nodes(shape, place);
            if self.are_disjoint(&nodes) {
                return count;
            }
        }
        shape.items.max
    }

    fn satisfies_contains(
        &mut self,
        shape: &Shape<'s>,
        target: Node<'s>,
        members: &'s Map<String, Value>,
    ) -> Check {
        let Some(wanted) = keywords::contains(self.document(target), target, members) else {
            return self
                .fail_without_witness(target, "contains", || "the number is not understood".to_owned());
        };
        let reachable = self.reachable_items(shape);
        let mut findings = Findings::default();
        if wanted.count.min > 0 && !self.contains_at_least(shape, &wanted, reachable) {
            let keyword = if members.contains_key("minContains") { "minContains" } else { "contains" };
            findings.take(self.fail_array(shape, target, keyword, || {
                "arrays that do not contain such items may have been allowed".to_owned()
            }));
        }
        if wanted.count.max < reachable && !self.contains_at_most(shape, &wanted, reachable) {
            findings.take(self.fail_array(shape, target, "maxContains", || {
                "arrays that contain more such items may have been allowed".to_owned()
            }));
        }
        findings.into_check()
    }

    fn contains_at_least(&mut self, shape: &Shape<'s>, wanted: &Contains<'s>, reachable: u64) -> bool {
        let of_contains = shape.contains.iter().any(|known| {
            known.count.min >= wanted.count.min
                && self.quietly(|checker| checker.below(&[known.node], wanted.node).is_ok())
        });
        if of_contains {
            return true;
        }
        // Items that are certainly there, and certainly such.
        let mut found = 0;
        let places = shape.item_rules.iter().map(ItemRule::len).max().unwrap_or(0);
        if places > MAX_PLACES {
            return false;
        }
        for place in 0..=places {
            let at = u64::try_from(place).unwrap_or(u64::MAX);
            let there = shape.items.min.min(reachable).saturating_sub(at);
            if there == 0 {
                break;
            }
            let nodes = item_nodes(shape, place);
            if self.quietly(|checker| checker.below(&nodes, wanted.node).is_ok()) {
                // From the last place on all are alike.
                found += if place == places { there } else { 1 };
            }
        }
        found >= wanted.count.min
    }

    fn contains_at_most(&mut self, shape: &Shape<'s>, wanted: &Contains<'s>, reachable: u64) -> bool {
        let of_contains = shape.contains.iter().any(|known| {
            known.count.max <= wanted.count.max
                && self.quietly(|checker| checker.below(&[wanted.node], known.node).is_ok())
        });
        if of_contains {
            return true;
        }
        let mut possible = 0u64;
        let places = shape.item_rules.iter().map(ItemRule::len).max().unwrap_or(0);
        if places > MAX_PLACES {
            return false;
        }
        for place in 0..=places {
            let at = u64::try_from(place).unwrap_or(u64::MAX);
            let there = reachable.saturating_sub(at);
            if there == 0 {
                break;
            }
            let mut nodes = item_nodes(shape, place);
            nodes.push(wanted.node);
            if !self.are_disjoint(&nodes) {
                possible = possible.saturating_add(if place == places { there } else { 1 });
            }
        }
        possible <= wanted.count.max
    }

    fn fail_array(
        &mut self,
        shape: &Shape<'s>,
        target: Node<'s>,
        keyword: &str,
        message: impl FnOnce() -> String,
    ) -> Check {
        self.fail_of(shape, target, keyword, Types::ARRAY, message)
    }
}

/// The schemas that are applied to the item at a place.
pub(super) fn item_nodes<'s>(shape: &Shape<'s>, place: usize) -> Vec<Node<'s>> {
    shape.item_rules.iter().filter_map(|rule| rule.node(place)).collect()
}
