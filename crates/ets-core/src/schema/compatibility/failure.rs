//! What could not be proved, and where.

use serde_json::Value;

use super::checker::Checker;
use super::document::{Node, Side};
use super::shape::{Shape, Types};

/// The most failures that are carried along.
const MAX_FAILURES: usize = 64;

/// The most documents that are kept to show one failure.
pub(super) const MAX_WITNESSES: usize = 6;

/// Something that could not be proved.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub old_pointer: String,
    pub new_pointer: String,
    pub keyword: String,
    pub message: String,
    /// Documents that may satisfy the old schemas and violate the new one.
    pub witnesses: Vec<Value>,
}

/// Whether a claim was proved. When nobody asks why, failures are left out.
pub(super) type Check = Result<(), Vec<Failure>>;

/// Makes one failure of several, with the witnesses of all.
pub(super) fn join(failures: &mut Vec<Failure>, change: impl FnOnce(&mut Failure)) {
    let witnesses = failures.iter_mut().flat_map(|failure| std::mem::take(&mut failure.witnesses));
    let witnesses: Vec<Value> = witnesses.take(MAX_WITNESSES).collect();
    failures.truncate(1);
    if let Some(failure) = failures.first_mut() {
        failure.witnesses = witnesses;
        change(failure);
    }
}

/// Puts several checks into one.
#[derive(Default)]
pub(super) struct Findings {
    has_failed: bool,
    failures: Vec<Failure>,
}

impl Findings {
    pub fn take(&mut self, check: Check) {
        if let Err(failures) = check {
            self.has_failed = true;
            let room = MAX_FAILURES.saturating_sub(self.failures.len());
            self.failures.extend(failures.into_iter().take(room));
        }
    }

    pub fn has_failed(&self) -> bool {
        self.has_failed
    }

    pub fn into_check(self) -> Check {
        if self.has_failed { Err(self.failures) } else { Ok(()) }
    }
}

impl<'s> Checker<'s> {
    /// A failure at a keyword of the target, with documents that may show it.
    pub fn fail(
        &mut self,
        shape: &Shape<'s>,
        target: Node<'s>,
        keyword: &str,
        message: impl FnOnce() -> String,
    ) -> Check {
        self.fail_of(shape, target, keyword, shape.types, message)
    }

    /// As [`Self::fail`], of documents of these types only.
    pub fn fail_of(
        &mut self,
        shape: &Shape<'s>,
        target: Node<'s>,
        keyword: &str,
        types: Types,
        message: impl FnOnce() -> String,
    ) -> Check {
        if self.is_quiet() {
            return Err(Vec::new());
        }
        let witnesses = self.witnesses(shape, types, target, keyword);
        let old_pointer = self.old_pointer(shape, keyword);
        let new_pointer = self.keyword_pointer(target, keyword);
        let keyword = keyword.to_owned();
        Err(vec![Failure { old_pointer, new_pointer, keyword, message: message(), witnesses }])
    }

    pub fn fail_without_witness(
        &mut self,
        target: Node<'s>,
        keyword: &str,
        message: impl FnOnce() -> String,
    ) -> Check {
        if self.is_quiet() {
            return Err(Vec::new());
        }
        let old_pointer = self.origin_pointer();
        let new_pointer = self.keyword_pointer(target, keyword);
        let keyword = keyword.to_owned();
        Err(vec![Failure { old_pointer, new_pointer, keyword, message: message(), witnesses: Vec::new() }])
    }

    pub fn out_of_steps(&mut self, target: Node<'s>) -> Check {
        self.fail_without_witness(target, "", || "the comparison would take too many steps".to_owned())
    }

    pub fn keyword_pointer(&self, node: Node<'s>, keyword: &str) -> String {
        let pointer = self.document(node).pointer(node.schema);
        if keyword.is_empty() { pointer } else { format!("{pointer}/{keyword}") }
    }

    /// Where the old version said something of the same kind, or the schema that
    /// said nothing.
    pub fn old_pointer(&self, shape: &Shape<'s>, keyword: &str) -> String {
        let said = shape.facts.values().find(|fact| {
            let members = fact.schema.as_object();
            fact.side == Side::Old
                && members.is_some_and(|members| {
                    members.contains_key(keyword) && self.old.asserts(members, keyword)
                })
        });
        match said {
            Some(fact) => self.keyword_pointer(*fact, keyword),
            None => self.origin_pointer(),
        }
    }

    fn origin_pointer(&self) -> String {
        self.origins.last().map_or_else(String::new, |origin| self.old.pointer(origin.schema))
    }
}
