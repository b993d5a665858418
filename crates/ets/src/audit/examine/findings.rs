//! What was found so far.

use std::collections::HashSet;

use ets_core::verify::{Finding, FindingClass, Verdict};

/// What was found so far.
pub struct Findings {
    pub rows: Vec<Finding>,
    /// All of them, also those beyond `limit`.
    pub count: u64,
    limit: usize,
    /// What the worst of them makes of the verdict.
    pub verdict: Verdict,
    said: HashSet<String>,
    /// What was said of evidence that the ledger does not continue.
    pub(super) broken: Vec<String>,
}

impl Findings {
    pub(super) fn new(limit: usize) -> Self {
        Findings {
            rows: Vec::new(),
            count: 0,
            limit,
            verdict: Verdict::Match,
            said: HashSet::new(),
            broken: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, finding: Finding) {
        // Rules that nobody can evaluate outside are said once.
        if finding.class == FindingClass::Unverifiable
            && finding.check == "rules"
            && !self.said.insert(finding.detail.clone())
        {
            return;
        }
        self.count += 1;
        if finding.check == "kept_checkpoint" {
            self.broken.push(finding.detail.clone());
        }
        self.verdict = match (self.verdict, finding.class.verdict()) {
            (Verdict::Mismatch, _) | (_, Verdict::Mismatch) => Verdict::Mismatch,
            (Verdict::Match, other) => other,
            (verdict, _) => verdict,
        };
        if self.rows.len() < self.limit {
            self.rows.push(finding);
        }
    }

    pub(super) fn extend(&mut self, found: Vec<Finding>) {
        found.into_iter().for_each(|finding| self.add(finding));
    }
}
