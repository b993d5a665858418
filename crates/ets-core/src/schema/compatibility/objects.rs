//! Members of objects: which must be there, which may, and what they may be.

use serde_json::{Map, Value};

use super::checker::Checker;
use super::document::Node;
use super::failure::{Check, Findings, join};
use super::keywords;
use super::names::NameClass;
use super::number;
use super::shape::{MemberRule, Shape, Types};

use super::super::short;

impl<'s> Checker<'s> {
    pub(super) fn satisfies_object(
        &mut self,
        shape: &Shape<'s>,
        target: Node<'s>,
        members: &'s Map<String, Value>,
        keyword: &'s str,
        value: &'s Value,
    ) -> Check {
        match keyword {
            "properties" | "patternProperties" | "additionalProperties" => {
                // One rule, judged once: at the first of these that is there.
                let first = ["properties", "patternProperties", "additionalProperties"]
                    .into_iter()
                    .find(|keyword| members.contains_key(*keyword));
                match keywords::member_rule(target, members) {
                    Some(rule) if first == Some(keyword) => {
                        self.satisfies_members(shape, target, keyword, &rule)
                    }
                    _ => Ok(()),
                }
            }
            "unevaluatedProperties" => {
                if !self.evaluates_alike(target, members) {
                    return self.fail_of(shape, target, keyword, Types::OBJECT, || {
                        "which members it applies to depends on the document".to_owned()
                    });
                }
                match self.unevaluated_members(target, members, value) {
                    Some(rule) => self.satisfies_members(shape, target, keyword, &rule),
                    None => Ok(()),
                }
            }
            "required" => {
                let mut findings = Findings::default();
                for name in value.as_array().into_iter().flatten().filter_map(Value::as_str) {
                    if !shape.required.contains(name) {
                        findings.take(self.fail_of(shape, target, keyword, Types::OBJECT, || {
                            format!("the member {:?} becomes required", short(name))
                        }));
                    }
                }
                findings.into_check()
            }
            "minProperties" => {
                let required = u64::try_from(shape.required.len()).unwrap_or(u64::MAX);
                if number::count(value).is_some_and(|count| shape.members.min.max(required) >= count) {
                    return Ok(());
                }
                self.fail_of(shape, target, keyword, Types::OBJECT, || {
                    format!("objects of fewer than {value} members were allowed")
                })
            }
            "maxProperties" => {
                let most = self.most_members(shape);
                if number::count(value).is_some_and(|count| most <= count) {
                    return Ok(());
                }
                self.fail_of(shape, target, keyword, Types::OBJECT, || {
                    format!("objects of more than {value} members were allowed")
                })
            }
            "propertyNames" => self.satisfies_names(shape, target, keyword, target.at(value)),
            _ => self.satisfies_dependents(shape, target, keyword, value),
        }
    }

    fn satisfies_members(
        &mut self,
        shape: &Shape<'s>,
        target: Node<'s>,
        keyword: &'s str,
        rule: &MemberRule<'s>,
    ) -> Check {
        let Some(classes) = self.name_classes(shape, Some(rule)) else {
            return self.fail_of(shape, target, keyword, Types::OBJECT, || {
                "there are too many patterns to compare".to_owned()
            });
        };
        let mut findings = Findings::default();
        for class in classes {
            let wanted = class.nodes(std::slice::from_ref(rule));
            for node in wanted {
                if *node.schema == Value::Bool(true) {
                    continue;
                }
                findings.take(self.member_satisfies(shape, &class, node));
                if findings.has_failed() && self.is_quiet() {
                    return findings.into_check();
                }
            }
        }
        findings.into_check()
    }

    fn member_satisfies(&mut self, shape: &Shape<'s>, class: &NameClass<'s>, target: Node<'s>) -> Check {
        if let Some(pinned) = class.name.and_then(|name| shape.pinned.get(name)) {
            if self.accepts(target, pinned) == Some(true) {
                return Ok(());
            }
            return self.fail_of(shape, target, "", Types::OBJECT, || {
                "a value that was allowed is refused now".to_owned()
            });
        }
        let known = class.nodes(&shape.member_rules);
        let check = self.below(&known, target);
        let mut failures = match check {
            Err(failures) if !self.is_quiet() => failures,
            other => return other,
        };
        if known.is_empty() {
            let pointer = self.keyword_pointer(target, "");
            let old_pointer = self.old_pointer(shape, "additionalProperties");
            join(&mut failures, |failure| {
                failure.keyword = keyword_of_member(&pointer).to_owned();
                failure.new_pointer = pointer;
                failure.old_pointer = old_pointer;
                failure.message = match class.name {
                    Some(name) => format!(
                        "the old schema is open and allowed any value of the member {:?}",
                        short(name)
                    ),
                    None => "the old schema is open and allowed other members of any value".to_owned(),
                };
            });
        }
        let name = self.sample_name(shape, class);
        for failure in &mut failures {
            let values = std::mem::take(&mut failure.witnesses);
            let Some(name) = &name else { continue };
            failure.witnesses = values
                .into_iter()
                .filter_map(|value| self.object_with(shape, vec![(name.clone(), value)]))
                .collect();
        }
        Err(failures)
    }

    /// Whether it can be shown that a member which must be there cannot be.
    pub(super) fn has_impossible_member(&mut self, shape: &Shape<'s>) -> bool {
        let Some(classes) = self.name_classes(shape, None) else { return false };
        let required: Vec<&'s str> = shape.required.iter().copied().collect();
        for name in required {
            // It has no class if its name is not allowed.
            let Some(class) = classes.iter().find(|class| class.name == Some(name)) else { return true };
            let nodes = class.nodes(&shape.member_rules);
            let is_impossible = match shape.pinned.get(name) {
                Some(pinned) => nodes.iter().any(|node| self.accepts(*node, pinned) == Some(false)),
                None => self.are_disjoint(&nodes),
            };
            if is_impossible {
                return true;
            }
        }
        shape.members.min > 0 && self.most_members_of(shape, &classes) < shape.members.min
    }

    /// The number of members that an object of the shape has at most.
    fn most_members(&mut self, shape: &Shape<'s>) -> u64 {
        match self.name_classes(shape, None) {
            Some(classes) => self.most_members_of(shape, &classes),
            None => shape.members.max,
        }
    }

    fn most_members_of(&mut self, shape: &Shape<'s>, classes: &[NameClass<'s>]) -> u64 {
        let mut possible = 0u64;
        for class in classes {
            let nodes = class.nodes(&shape.member_rules);
            if self.are_disjoint(&nodes) {
                continue;
            }
            if class.name.is_none() {
                return shape.members.max;
            }
            possible += 1;
        }
        possible.min(shape.members.max)
    }

    fn satisfies_names(
        &mut self,
        shape: &Shape<'s>,
        target: Node<'s>,
        keyword: &'s str,
        names: Node<'s>,
    ) -> Check {
        let Some(classes) = self.name_classes(shape, None) else {
            return self.fail_of(shape, target, keyword, Types::OBJECT, || {
                "there are too many patterns to compare".to_owned()
            });
        };
        let mut findings = Findings::default();
        for class in classes {
            let nodes = class.nodes(&shape.member_rules);
            if self.are_disjoint(&nodes) {
                continue;
            }
            let check = match class.name {
                Some(name) if self.accepts(names, &Value::from(name)) == Some(true) => Ok(()),
                Some(_) => self.fail_of(shape, target, keyword, Types::OBJECT, String::new),
                None => self.one_deeper(|checker| checker.other_names_satisfy(shape, &class, names)),
            };
            let mut failures = match check {
                Err(failures) if !self.is_quiet() => failures,
                Err(failures) => return Err(failures),
                Ok(()) => continue,
            };
            let pointer = self.keyword_pointer(target, keyword);
            let old_pointer = self.old_pointer(shape, keyword);
            join(&mut failures, |failure| {
                failure.new_pointer = pointer;
                failure.old_pointer = old_pointer;
                failure.keyword = keyword.to_owned();
                failure.message = match class.name {
                    Some(name) => format!("the name {:?} is no longer allowed", short(name)),
                    None => "names of members may no longer be allowed".to_owned(),
                };
            });
            // The witnesses of a name are names.
            let value = self.samples_of(&nodes).into_iter().next();
            for failure in failures.iter_mut().filter(|_| class.name.is_none()) {
                let names = std::mem::take(&mut failure.witnesses);
                let names = names.iter().filter_map(|name| Some((name.as_str()?.to_owned(), value.clone()?)));
                failure.witnesses =
                    names.filter_map(|member| self.object_with(shape, vec![member])).collect();
            }
            findings.take(Err(failures));
        }
        findings.into_check()
    }

    fn other_names_satisfy(&mut self, shape: &Shape<'s>, class: &NameClass<'s>, names: Node<'s>) -> Check {
        let mut any = Shape::any();
        any.types = Types::STRING;
        let mut findings = Findings::default();
        for mut name in self.branches(any, &shape.names) {
            name.patterns.extend(&class.patterns);
            findings.take(self.satisfies(&name, names));
        }
        findings.into_check()
    }

    fn satisfies_dependents(
        &mut self,
        shape: &Shape<'s>,
        target: Node<'s>,
        keyword: &'s str,
        value: &'s Value,
    ) -> Check {
        let mut findings = Findings::default();
        for (name, dependent) in value.as_object().into_iter().flatten() {
            if shape.absent.contains(name.as_str()) || (findings.has_failed() && self.is_quiet()) {
                continue;
            }
            let mut with = shape.clone();
            with.types = Types::OBJECT;
            with.require(name);
            with.prune_types();
            if with.types.is_empty() {
                continue;
            }
            match dependent {
                Value::Array(names) => {
                    let lost =
                        names.iter().filter_map(Value::as_str).find(|one| !with.required.contains(one));
                    if let Some(lost) = lost
                        && !self.is_empty(&with)
                    {
                        findings.take(self.fail_of(&with, target, keyword, Types::OBJECT, || {
                            format!("{:?} becomes required where {:?} is", short(lost), short(name))
                        }));
                    }
                }
                schema => {
                    // What had been left open may be decided by the member.
                    let (with, facts) = with.undecided();
                    for shape in self.branches(with, &facts) {
                        findings.take(self.satisfies(&shape, target.at(schema)));
                    }
                }
            }
        }
        findings.into_check()
    }
}

fn keyword_of_member(pointer: &str) -> &'static str {
    match pointer.rsplit('/').next() {
        Some("additionalProperties") => "additionalProperties",
        Some("unevaluatedProperties") => "unevaluatedProperties",
        _ if pointer.rsplit('/').nth(1) == Some("patternProperties") => "patternProperties",
        _ => "properties",
    }
}
