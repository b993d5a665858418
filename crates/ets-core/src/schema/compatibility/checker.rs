//! Proofs that every document of a shape satisfies a schema.
//!
//! A claim is about all documents of a conjunction of schemas. It is reduced to
//! claims about the same documents and simpler schemas, or about their members
//! and items. A claim that comes back about members of members may be taken as
//! proved: documents are finite, so that is induction on their depth. One that
//! comes back about the same documents may not, and counts as unproved.

use std::collections::HashMap;

use serde_json::Value;

use super::document::{Document, Node, NodeKey, Side};
use super::evaluate::Evaluators;
use super::failure::{Check, Failure, Findings};
use super::sample::Samples;
use super::shape::{Shape, ShapeKey, Types};

/// How much work one comparison may be, in small steps.
const MAX_STEPS: usize = 300_000;
/// How deep claims may lead to claims: the stack is not endless.
const MAX_NESTING: usize = 150;
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Claim {
    /// What satisfies all of these satisfies that.
    Subset(Vec<NodeKey>, NodeKey),
    /// There are no such documents.
    Empty(ShapeKey),
}

enum Known {
    Proved,
    /// With the failures, if somebody asked why.
    Unproved(Option<Vec<Failure>>),
    /// At this place among the open claims, and this deep in the document.
    Open(usize, usize),
}

pub(super) struct Checker<'s> {
    pub old: Document<'s>,
    pub new: Document<'s>,
    pub evaluators: Evaluators<'s>,
    steps: usize,
    nesting: usize,
    /// How many members and items deep the present claim is.
    depth: usize,
    /// Claims within which nobody asks why.
    quiet: usize,
    known: HashMap<Claim, Known>,
    open: usize,
    /// The outermost open claim that was taken as proved.
    assumed: usize,
    /// The old schemas around, for pointers.
    pub origins: Vec<Node<'s>>,
    pub samples: Samples,
}

/// The schema that nothing satisfies.
pub(super) static NOTHING: Value = Value::Bool(false);

impl<'s> Checker<'s> {
    pub fn new(old: Document<'s>, new: Document<'s>) -> Self {
        Checker {
            evaluators: Evaluators::new(&old, &new),
            origins: vec![old.node()],
            old,
            new,
            steps: MAX_STEPS,
            nesting: 0,
            depth: 0,
            quiet: 0,
            known: HashMap::new(),
            open: 0,
            assumed: usize::MAX,
            samples: Samples::default(),
        }
    }

    pub fn document(&self, node: Node<'_>) -> &Document<'s> {
        match node.side {
            Side::Old => &self.old,
            Side::New => &self.new,
        }
    }

    /// Takes a number of steps, if there are so many left.
    pub fn spend(&mut self, steps: usize) -> bool {
        self.steps = self.steps.saturating_sub(steps);
        self.steps > 0
    }

    pub fn is_quiet(&self) -> bool {
        self.quiet > 0
    }

    /// Asks whether, not why.
    pub fn quietly<T>(&mut self, ask: impl FnOnce(&mut Self) -> T) -> T {
        self.quiet += 1;
        let answer = ask(self);
        self.quiet -= 1;
        answer
    }

    /// Asks with other steps than those that the proofs have.
    pub fn with_steps<T>(&mut self, steps: &mut usize, ask: impl FnOnce(&mut Self) -> T) -> T {
        std::mem::swap(&mut self.steps, steps);
        let answer = ask(self);
        std::mem::swap(&mut self.steps, steps);
        answer
    }

    /// Asks about members or items of the present documents.
    pub fn one_deeper<T>(&mut self, ask: impl FnOnce(&mut Self) -> T) -> T {
        self.depth += 1;
        let answer = ask(self);
        self.depth -= 1;
        answer
    }

    /// Whether the claim about members or items holds: what satisfies all of the
    /// schemas satisfies the target.
    pub fn below(&mut self, nodes: &[Node<'s>], target: Node<'s>) -> Check {
        self.one_deeper(|checker| checker.all_satisfy(nodes, target))
    }

    /// Whether what satisfies all of the schemas satisfies the target.
    pub fn all_satisfy(&mut self, nodes: &[Node<'s>], target: Node<'s>) -> Check {
        if *target.schema == Value::Bool(true) {
            return Ok(());
        }
        let mut keys: Vec<NodeKey> = nodes.iter().map(|node| node.key()).collect();
        keys.sort_unstable();
        keys.dedup();
        if !self.spend(1 + keys.len()) {
            return self.out_of_steps(target);
        }
        let origin = nodes.iter().find(|node| node.side == Side::Old).or(self.origins.last()).copied();
        self.origins.extend(origin);
        let check = self.prove(Claim::Subset(keys, target.key()), target, |checker| {
            for node in nodes {
                if checker.same(*node, target) {
                    return Ok(());
                }
            }
            let mut findings = Findings::default();
            for shape in checker.branches(Shape::any(), nodes) {
                findings.take(checker.satisfies(&shape, target));
                if findings.has_failed() && checker.is_quiet() {
                    break;
                }
            }
            findings.into_check()
        });
        if origin.is_some() {
            self.origins.pop();
        }
        check
    }

    /// Whether it can be shown that no document has this shape.
    pub fn is_empty(&mut self, shape: &Shape<'s>) -> bool {
        if shape.types.is_empty() {
            return true;
        }
        if !self.spend(1 + shape.size()) {
            return false;
        }
        let target = Node { schema: &NOTHING, side: Side::New };
        self.quietly(|checker| {
            let claim = Claim::Empty(shape.key());
            checker.prove(claim, target, |checker| checker.show_empty(shape)).is_ok()
        })
    }

    /// Whether no document of this shape satisfies the schema.
    pub fn is_disjoint(&mut self, shape: &Shape<'s>, node: Node<'s>) -> bool {
        let both = self.branches(shape.clone(), &[node]);
        both.iter().all(|shape| self.is_empty(shape))
    }

    fn prove(&mut self, claim: Claim, target: Node<'s>, proof: impl FnOnce(&mut Self) -> Check) -> Check {
        match self.known.get(&claim) {
            Some(Known::Proved) => return Ok(()),
            Some(Known::Unproved(Some(failures))) => return Err(failures.clone()),
            Some(Known::Unproved(None)) if self.is_quiet() => return Err(Vec::new()),
            Some(Known::Open(place, depth)) => {
                if *depth < self.depth {
                    self.assumed = self.assumed.min(*place);
                    return Ok(());
                }
                return Err(Vec::new());
            }
            _ => {}
        }
        if self.nesting >= MAX_NESTING {
            return self.fail_without_witness(target, "", || {
                "the schemas are nested too deep to be compared".to_owned()
            });
        }
        let place = self.open;
        self.known.insert(claim.clone(), Known::Open(place, self.depth));
        let assumed_outside = std::mem::replace(&mut self.assumed, usize::MAX);
        self.open += 1;
        self.nesting += 1;
        let check = proof(self);
        self.nesting -= 1;
        self.open -= 1;
        let depends_on_outer = self.assumed < place;
        self.assumed = assumed_outside.min(if depends_on_outer { self.assumed } else { usize::MAX });
        match &check {
            // What rests on a claim that is still open is not yet known.
            Ok(()) if depends_on_outer => self.known.remove(&claim),
            Ok(()) => self.known.insert(claim, Known::Proved),
            Err(_) if self.is_quiet() => self.known.insert(claim, Known::Unproved(None)),
            Err(failures) => self.known.insert(claim, Known::Unproved(Some(failures.clone()))),
        };
        check
    }

    /// Whether every document of the shape satisfies the schema.
    pub fn satisfies(&mut self, shape: &Shape<'s>, target: Node<'s>) -> Check {
        if !self.spend(1 + shape.facts.len()) {
            return self.out_of_steps(target);
        }
        let is_known = shape.facts.contains_key(&target.key())
            || shape.facts.values().any(|fact| self.same(*fact, target));
        if is_known {
            return Ok(());
        }
        if self.nesting >= MAX_NESTING {
            return self.fail_without_witness(target, "", || {
                "the schemas are nested too deep to be compared".to_owned()
            });
        }
        self.nesting += 1;
        let check = match target.schema {
            Value::Bool(true) => Ok(()),
            Value::Bool(false) if self.is_empty(shape) => Ok(()),
            Value::Object(members) => self.satisfies_keywords(shape, target, members),
            _ => self.fail(shape, target, "", || "nothing is allowed here any more".to_owned()),
        };
        self.nesting -= 1;
        check
    }

    fn satisfies_keywords(
        &mut self,
        shape: &Shape<'s>,
        target: Node<'s>,
        members: &'s serde_json::Map<String, Value>,
    ) -> Check {
        let values = self.finite(shape);
        let is_finite = values.is_some();
        if is_finite {
            self.quiet += 1;
        }
        let mut findings = Findings::default();
        let reference = self.document(target).reference(members);
        let is_alone = reference.is_some_and(|(_, is_alone)| is_alone);
        if let Some((reference, _)) = reference {
            findings.take(match self.document(target).resolve(reference) {
                Some(node) => self.satisfies(shape, node),
                None => self.fail_without_witness(target, "$ref", || {
                    "what the reference leads to depends on where it is followed".to_owned()
                }),
            });
        }
        for (keyword, value) in members {
            if is_alone || keyword == "$ref" || !self.document(target).asserts(members, keyword) {
                continue;
            }
            if findings.has_failed() && self.is_quiet() {
                break;
            }
            findings.take(self.satisfies_keyword(shape, target, members, keyword, value));
        }
        if is_finite {
            self.quiet -= 1;
        }
        if !findings.has_failed() {
            return Ok(());
        }
        // Whatever has few values can be tried; the rest may have none.
        match values {
            Some(values) => self.values_satisfy(shape, &values, target),
            None if self.is_empty(shape) => Ok(()),
            None => findings.into_check(),
        }
    }

    fn satisfies_keyword(
        &mut self,
        shape: &Shape<'s>,
        target: Node<'s>,
        members: &'s serde_json::Map<String, Value>,
        keyword: &'s str,
        value: &'s Value,
    ) -> Check {
        let has = |types: Types| shape.types.has(types);
        match keyword {
            "type" => {
                let lost = shape.types.without(Types::named(value));
                if lost.is_empty() {
                    return Ok(());
                }
                self.fail_of(shape, target, keyword, lost, || {
                    format!("the type is no longer allowed: {}", lost.names())
                })
            }
            "enum" | "const" => self.fail(shape, target, keyword, || {
                "only certain values are allowed, and there were others".to_owned()
            }),
            "minimum" | "exclusiveMinimum" | "maximum" | "exclusiveMaximum" | "multipleOf" => {
                if has(Types::NUMBER) { self.satisfies_number(shape, target, keyword, value) } else { Ok(()) }
            }
            "minLength" | "maxLength" | "pattern" | "format" | "contentMediaType" | "contentEncoding" => {
                if has(Types::STRING) {
                    self.satisfies_string(shape, target, members, keyword, value)
                } else {
                    Ok(())
                }
            }
            "items" | "prefixItems" | "additionalItems" | "unevaluatedItems" | "minItems" | "maxItems"
            | "uniqueItems" | "contains" | "minContains" | "maxContains" => {
                if has(Types::ARRAY) {
                    self.satisfies_array(shape, target, members, keyword, value)
                } else {
                    Ok(())
                }
            }
            "properties"
            | "patternProperties"
            | "additionalProperties"
            | "unevaluatedProperties"
            | "required"
            | "minProperties"
            | "maxProperties"
            | "propertyNames"
            | "dependentRequired"
            | "dependentSchemas"
            | "dependencies" => {
                if has(Types::OBJECT) {
                    self.satisfies_object(shape, target, members, keyword, value)
                } else {
                    Ok(())
                }
            }
            _ => self.satisfies_composition(shape, target, members, keyword, value),
        }
    }
}
