//! What an audit says: for people, and for programs.

use std::fmt::Write as _;

use ets_core::hash::to_hex;
use ets_core::verify::{Finding, Verdict};
use serde_json::{Value, json};

use super::evidence::{Evidence, Standing};
use super::examine::Examined;
use crate::output::{self, printable};

/// A report.
pub struct Report {
    pub verdict: Verdict,
    /// `SELF-CONSISTENT`, `WITNESSED` or `ANCHORED`; none unless the verdict is MATCH.
    pub trust: Option<&'static str>,
    pub ledger_id: String,
    pub origin: Option<String>,
    pub root_key: Option<String>,
    /// Whether somebody said whose ledger it should be.
    pub is_named: bool,
    pub events: u64,
    pub streams: u64,
    pub unsealed: u64,
    /// Name, size and root of each domain's tree.
    pub domains: Vec<(String, u64, String)>,
    pub checkpoints: Vec<Checkpoint>,
    pub evidence: Vec<Held>,
    /// Leaves that evidence of each standing covers.
    pub witnessed: u64,
    pub anchored: u64,
    pub findings: Vec<Finding>,
    pub finding_count: u64,
    /// What became of the auditor's own memory.
    pub remembered: String,
    /// What was checked.
    pub checked: Vec<&'static str>,
    /// What was not, and why.
    pub not_checked: Vec<String>,
}

/// A checkpoint in the timeline.
pub struct Checkpoint {
    pub id: i64,
    /// When, by the server's clock.
    pub created_at: String,
    pub meta_root: String,
    pub leaves: u64,
}

/// A piece of evidence, and whether the ledger continues it.
pub struct Held {
    pub source: String,
    pub standing: Standing,
    pub leaves: u64,
    pub holds: bool,
}

/// What a check is made on.
#[derive(PartialEq, Eq)]
enum Needs {
    Events,
    /// What a database makes of them.
    Database,
}

/// What is checked, in the order in which it is.
const CHECKED: [(&str, Needs); 13] = [
    ("the registry's events, and the authority, keys and schemas that they make", Needs::Events),
    ("each payload's canonical form and hash, each event's link to the one before", Needs::Events),
    ("each signature, strictly; each signer's authority at the time", Needs::Events),
    ("each payload against its JSON Schema and its rules", Needs::Events),
    ("the states that the events make, against those that are kept", Needs::Database),
    ("each leaf against its event, each tile and root against the leaves", Needs::Events),
    (
        "authority that was lost before the event was sealed; keys that may have been in other hands",
        Needs::Events,
    ),
    ("each checkpoint's MetaRoot, domains, order and signed notes", Needs::Events),
    ("that no event is in two domains or leaves, and none that a seal saw is without one", Needs::Events),
    ("the heads of streams, and the tables made from the registry", Needs::Database),
    (
        "each recorded anchor against its checkpoint, its declaration and, where whom to trust is named, its evidence",
        Needs::Database,
    ),
    ("that rows asked for in two ways are the same rows", Needs::Database),
    ("the evidence from outside, where there is any", Needs::Events),
];

impl Report {
    /// The report of an examination that held the ledger against `kept`.
    pub fn of(examined: &Examined, kept: &[Evidence], is_named: bool) -> Self {
        let mut evidence: Vec<Held> = kept
            .iter()
            .zip(&examined.holds)
            .map(|(kept, holds)| Held {
                source: kept.source.clone(),
                standing: kept.standing,
                leaves: kept.roots.iter().map(|root| root.tree_size).sum(),
                holds: *holds,
            })
            .collect();
        evidence.extend(examined.anchors.proven.iter().map(|proven| Held {
            source: proven.source.clone(),
            standing: proven.standing,
            leaves: proven.leaves,
            holds: true,
        }));
        let covered = |standing| {
            let held = evidence.iter().filter(|held| held.holds && held.standing >= standing);
            held.map(|held| held.leaves).max().unwrap_or(0)
        };
        let (witnessed, anchored) = (covered(Standing::Witnessed), covered(Standing::Anchored));
        let ledger = examined.verified.registry.as_ref().map(|registry| registry.ledger());
        let mut not_checked = vec![
            "the database's guards (triggers, functions, privileges): whoever answers can show them as he likes; \
             ets.verify_ledger() looks at them from inside"
                .to_owned(),
            "time: timestamps and the order between streams are the server's word, up to the moments at which \
             a checkpoint was kept or published"
                .to_owned(),
        ];
        not_checked.extend(examined.lacks.iter().cloned());
        not_checked.extend(examined.anchors.untold.iter().cloned());
        if examined.unsealed > 0 {
            not_checked
                .push(format!("{} events have no leaf yet: they are in no checkpoint", examined.unsealed));
        }
        let verdict = match examined.findings.verdict {
            Verdict::Match if !is_named => Verdict::Unverifiable,
            verdict => verdict,
        };
        if !is_named {
            not_checked.push(
                "whose ledger this is: trusting the ledger's own root key; name it with --root-key or --trust"
                    .to_owned(),
            );
        }
        let has = |standing| evidence.iter().any(|held| held.holds && held.standing == standing);
        let trust = (verdict == Verdict::Match).then(|| match () {
            () if has(Standing::Anchored) => "ANCHORED",
            () if has(Standing::Witnessed) => "WITNESSED",
            () => "SELF-CONSISTENT",
        });
        Report {
            verdict,
            trust,
            ledger_id: examined.ledger_id.to_string(),
            origin: ledger.map(|ledger| ledger.origin.to_string()),
            root_key: ledger.map(|ledger| to_hex(&ledger.root_public_key)),
            is_named,
            events: examined.events,
            streams: examined.streams,
            unsealed: examined.unsealed,
            domains: examined
                .trees
                .iter()
                .map(|tree| (tree.domain.to_string(), tree.tree_size, tree.root.to_string()))
                .collect(),
            checkpoints: examined
                .checkpoints
                .iter()
                .map(|seal| Checkpoint {
                    id: seal.checkpoint_id,
                    created_at: seal.created_at.map_or_else(String::new, |at| at.to_string()),
                    meta_root: to_hex(&seal.meta_root),
                    leaves: seal.leaves,
                })
                .collect(),
            evidence,
            witnessed,
            anchored,
            findings: examined.findings.rows.clone(),
            finding_count: examined.findings.count,
            remembered: String::new(),
            checked: CHECKED
                .iter()
                .filter(|(_, needs)| examined.is_database || *needs == Needs::Events)
                .map(|(what, _)| *what)
                .collect(),
            not_checked,
        }
    }

    /// Whether the next audit may build on this one: nothing was wrong.
    pub fn can_be_remembered(&self) -> bool {
        self.is_named && self.verdict != Verdict::Mismatch
    }

    /// How far trust goes, in a sentence.
    pub fn reach(&self) -> String {
        let sealed: u64 = self.domains.iter().map(|(_, size, _)| size).sum();
        match self.trust {
            None => "how far trust goes is not said of a ledger that does not match".to_owned(),
            Some("ANCHORED") => format!(
                "published statements cover {} of {sealed} sealed events, the auditor's own copies {}; what came \
                 later is consistent in itself",
                self.anchored, self.witnessed
            ),
            Some("WITNESSED") => format!(
                "the auditor's own copies cover {} of {sealed} sealed events; what came later is consistent in itself",
                self.witnessed
            ),
            Some(_) => "everything fits together; whoever holds the server's key could have made it so: keep --state, \
                 and publish checkpoints"
                .to_owned(),
        }
    }

    /// The report as one JSON object.
    pub fn to_json(&self) -> String {
        let findings: Vec<Value> = self.findings.iter().map(finding_json).collect();
        let evidence = self.evidence.iter().map(|held| {
            json!({
                "holds": held.holds,
                "leaves": held.leaves,
                "source": held.source,
                "standing": match held.standing { Standing::Witnessed => "witnessed", Standing::Anchored => "anchored" },
            })
        });
        let domains = self
            .domains
            .iter()
            .map(|(name, size, root)| json!({"domain": name, "root": root, "tree_size": size}));
        let last = self.checkpoints.last().map(
            |last| json!({"checkpoint_id": last.id, "created_at": last.created_at, "meta_root": last.meta_root}),
        );
        json!({
            "checked": self.checked,
            "checkpoints": self.checkpoints.len(),
            "covered": {"anchored": self.anchored, "witnessed": self.witnessed},
            "domains": domains.collect::<Vec<_>>(),
            "events": self.events,
            "evidence": evidence.collect::<Vec<_>>(),
            "finding_count": self.finding_count,
            "findings": findings,
            "last_checkpoint": last,
            "ledger_id": self.ledger_id,
            "not_checked": self.not_checked,
            "origin": self.origin,
            "root_key": self.root_key,
            "root_key_named": self.is_named,
            "streams": self.streams,
            "trust": self.trust,
            "unsealed": self.unsealed,
            "verdict": self.verdict.as_str(),
        })
        .to_string()
    }

    /// The report for a terminal.
    pub fn to_text(&self, colour: bool) -> String {
        let mut out = format!(
            "ledger {} ({})\n  root key {}{}\n",
            self.ledger_id,
            printable(self.origin.as_deref().unwrap_or("unknown")),
            self.root_key.as_deref().unwrap_or("unknown"),
            if self.is_named { "" } else { ", which nobody named" },
        );
        let _ = writeln!(
            out,
            "  {} events in {} streams, {} without a leaf; {} checkpoints",
            self.events,
            self.streams,
            self.unsealed,
            self.checkpoints.len()
        );
        if let Some(last) = self.checkpoints.last() {
            let _ =
                writeln!(out, "  checkpoint {} of {}: MetaRoot {}", last.id, last.created_at, last.meta_root);
        }
        for (name, size, root) in &self.domains {
            let _ = writeln!(out, "  {:<24} {size:>10}  {root}", printable(name));
        }
        out.push_str("checked\n");
        for checked in &self.checked {
            let _ = writeln!(out, "  {checked}");
        }
        out.push_str("not checked\n");
        for left in &self.not_checked {
            let _ = writeln!(out, "  {left}");
        }
        if !self.evidence.is_empty() {
            out.push_str("evidence from outside\n");
        }
        for held in &self.evidence {
            let word = if held.holds { "holds " } else { "BROKEN" };
            let _ = writeln!(out, "  {word}  {} leaves  {}", held.leaves, printable(&held.source));
        }
        if self.finding_count > 0 {
            let _ = writeln!(out, "findings ({})", self.finding_count);
        }
        for finding in &self.findings {
            let _ = writeln!(out, "  {}", printable(&finding.to_string()));
        }
        let hidden = self.finding_count.saturating_sub(self.findings.len() as u64);
        if hidden > 0 {
            let _ = writeln!(out, "  and {hidden} more: --max-findings shows them");
        }
        if !self.remembered.is_empty() {
            let _ = writeln!(out, "{}", printable(&self.remembered));
        }
        let trust = self.trust.map(|word| format!(" {word}: {}", self.reach())).unwrap_or_default();
        out + &output::painted(self.verdict, colour) + &trust
    }
}

fn finding_json(finding: &Finding) -> Value {
    json!({
        "actual": finding.actual,
        "check": finding.check,
        "class": finding.class.as_str(),
        "detail": finding.detail,
        "domain": finding.domain,
        "event_id": finding.event_id.map(|id| id.to_string()),
        "expected": finding.expected,
        "sequence": finding.sequence,
        "stream": finding.stream,
    })
}
