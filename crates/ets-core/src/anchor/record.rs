//! A row of `ets.anchor`, held against the checkpoint, the declaration and, as far as
//! that goes without anybody's keys, its evidence.

use uuid::Uuid;

use super::opentimestamps::{BlockHeaders, Proof, Standing};
use super::{ANCHORING, AnchorStatement, WitnessedCheckpoint, declaration, verify_event_evidence};
use crate::canonical::{Limits, Payload};
use crate::event::EventId;
use crate::hash::Digest;
use crate::name::Origin;
use crate::verify::{Check, Finding, FindingClass, Trust};

/// How far an anchor came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnchorState {
    /// Published; the evidence is not a proof yet.
    Pending,
    /// There is evidence, and whoever recorded it had verified it.
    Confirmed,
    /// The last attempt failed.
    Failed,
}

impl AnchorState {
    /// The state of this name.
    pub fn of(name: &str) -> Option<AnchorState> {
        [AnchorState::Pending, AnchorState::Confirmed, AnchorState::Failed]
            .into_iter()
            .find(|state| state.as_str() == name)
    }

    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            AnchorState::Pending => "pending",
            AnchorState::Confirmed => "confirmed",
            AnchorState::Failed => "failed",
        }
    }
}

/// A row of `ets.anchor`, whatever it holds.
#[derive(Debug, Clone)]
pub struct AnchorRecord {
    /// Its number.
    pub anchor_id: i64,
    /// The checkpoint's.
    pub checkpoint_id: i64,
    /// Kind and place.
    pub service: String,
    /// None: a state that there is not.
    pub state: Option<AnchorState>,
    /// What was published.
    pub statement: String,
    /// What came back.
    pub evidence: Option<Vec<u8>>,
    /// Where at the service.
    pub reference: Option<String>,
    /// The event that declares it.
    pub declaration_id: Option<Uuid>,
}

/// What a checkpoint's rows say of it. The MetaRoot stands for its roots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedCheckpoint {
    /// The ledger's id.
    pub ledger_id: Uuid,
    /// The ledger's name.
    pub origin: Origin,
    /// Its number.
    pub checkpoint_id: u64,
    /// The event that declares it.
    pub checkpoint_event_id: EventId,
    /// Its MetaRoot.
    pub meta_root: Digest,
}

impl From<&AnchorStatement> for SealedCheckpoint {
    fn from(statement: &AnchorStatement) -> Self {
        SealedCheckpoint {
            ledger_id: *statement.ledger_id(),
            origin: statement.origin().clone(),
            checkpoint_id: statement.checkpoint_id(),
            checkpoint_event_id: *statement.checkpoint_event_id(),
            meta_root: *statement.meta_root(),
        }
    }
}

/// The event that a row names as its declaration.
#[derive(Debug, Clone)]
pub struct Declaration {
    /// The event's id.
    pub event_id: Uuid,
    /// The event's schema.
    pub schema_version: String,
    /// The payload, canonical (RFC 8785).
    pub payload: String,
    /// Whether its hash and its signature hold, as far as whoever read it looked.
    pub is_sound: bool,
}

impl AnchorRecord {
    /// Every check that can be made of it without the service's keys, in this order:
    /// `anchor_statement`, `anchor_state`, and if the statement can be read
    /// `anchor_declaration` and `anchor_evidence`.
    ///
    /// `sealed` is the checkpoint of the row's number, or why there is none;
    /// `declared` the event that it names, `None` where there is none, or why it cannot
    /// be read.
    pub fn checks(
        &self,
        sealed: &Result<SealedCheckpoint, String>,
        declared: &Result<Option<Declaration>, String>,
    ) -> Vec<Check> {
        let published = AnchorStatement::parse(&self.statement);
        let mut checks = vec![
            match &published {
                Ok(published) => self.statement_check(published, sealed),
                Err(error) => check("anchor_statement", Some(false), error.to_string()),
            },
            self.state_check(),
        ];
        if let Ok(published) = &published {
            checks.push(self.declaration_check(published, declared));
            checks.extend(self.evidence_check(published));
        }
        checks
    }

    /// What [`AnchorRecord::checks`] finds wrong, and as unverifiable that it claims to be
    /// confirmed where nothing that the server signed says so: such a row may have been put
    /// there by whoever can write rows.
    pub fn findings(
        &self,
        sealed: &Result<SealedCheckpoint, String>,
        declared: &Result<Option<Declaration>, String>,
    ) -> Vec<Finding> {
        let failed = self.checks(sealed, declared).into_iter().filter(|check| check.passed == Some(false));
        let mut findings: Vec<Finding> =
            failed.map(|check| self.finding(FindingClass::Seal, check.name, &check.detail)).collect();
        if self.state == Some(AnchorState::Confirmed) && self.declaration_id.is_none() {
            findings.push(self.finding(
                FindingClass::Unverifiable,
                "anchor_declaration",
                "confirmed, but not declared; ets.record_anchor declares it when it is told the same again",
            ));
        }
        findings
    }

    /// A finding that names the anchor.
    pub fn finding(&self, class: FindingClass, check: &'static str, problem: &str) -> Finding {
        let (anchor, checkpoint) = (self.anchor_id, self.checkpoint_id);
        Finding {
            event_id: self.declaration_id,
            ..Finding::new(class, check, format!("anchor {anchor} of checkpoint {checkpoint}: {problem}"))
        }
    }

    /// The payload that declares this row.
    pub fn declared_payload(&self, statement: &AnchorStatement) -> serde_json::Value {
        declaration(
            u64::try_from(self.anchor_id).unwrap_or(0),
            statement,
            &self.service,
            self.reference.as_deref(),
            self.evidence.as_deref().unwrap_or_default(),
        )
    }

    /// What was published is this ledger's checkpoint.
    fn statement_check(
        &self,
        published: &AnchorStatement,
        sealed: &Result<SealedCheckpoint, String>,
    ) -> Check {
        let (passed, detail) = match sealed {
            Ok(sealed) if *sealed == SealedCheckpoint::from(published) => {
                (true, format!("checkpoint {} of this ledger", self.checkpoint_id))
            }
            Ok(_) => (false, format!("checkpoint {} of this ledger is another", self.checkpoint_id)),
            Err(problem) => (false, problem.clone()),
        };
        check("anchor_statement", Some(passed), detail)
    }

    fn state_check(&self) -> Check {
        const NAME: &str = "anchor_state";
        match (self.state, &self.evidence) {
            (None, _) => check(NAME, Some(false), "no state of an anchor"),
            (Some(AnchorState::Confirmed), None) => check(NAME, Some(false), "confirmed without evidence"),
            (Some(AnchorState::Confirmed), Some(_)) => check(NAME, Some(true), "confirmed"),
            (Some(state), _) => check(NAME, None, state.as_str()),
        }
    }

    /// What the server declared is what the row says.
    fn declaration_check(
        &self,
        statement: &AnchorStatement,
        declared: &Result<Option<Declaration>, String>,
    ) -> Check {
        const NAME: &str = "anchor_declaration";
        match (self.state, self.declaration_id) {
            (Some(AnchorState::Confirmed), Some(_)) => {}
            (Some(AnchorState::Confirmed), None) => {
                return check(NAME, None, "confirmed, but not declared: the server's key was not there");
            }
            (_, None) => return check(NAME, None, "only what is confirmed is declared"),
            (_, Some(_)) => return check(NAME, Some(false), "declared, but not confirmed"),
        }
        let event = match declared {
            Ok(Some(event)) => event,
            Ok(None) => return check(NAME, Some(false), "the event that declares it is not there"),
            Err(problem) => return check(NAME, Some(false), problem.clone()),
        };
        let expected = Payload::from_value(self.declared_payload(statement), &Limits::CEILING);
        let agrees = event.schema_version == ANCHORING
            && expected.is_ok_and(|expected| expected.canonical() == event.payload)
            && event.is_sound;
        let says = if agrees { "says the same" } else { "says something else" };
        check(NAME, Some(agrees), format!("event {} in ets.audit {says}", event.event_id))
    }

    /// What the evidence proves, as far as it can be told without the service's keys.
    fn evidence_check(&self, statement: &AnchorStatement) -> Option<Check> {
        const NAME: &str = "anchor_evidence";
        let evidence = self.evidence.as_deref()?;
        if self.state != Some(AnchorState::Confirmed) {
            return Some(check(NAME, None, "no proof yet"));
        }
        let text = String::from_utf8_lossy(evidence);
        let proven = match self.service.split(' ').next() {
            Some("ledger") => verify_event_evidence(statement, &text, &Trust::Nothing),
            Some("witness") => cosigned(statement, &self.service, &text),
            Some("opentimestamps") => in_block(statement, evidence),
            _ => Ok("the database cannot tell: ets anchor and ets audit look at the place itself".to_owned()),
        };
        Some(match proven {
            // Evidence names its own ledger or witnesses: that they are those that were meant, nobody here knows.
            Ok(proven) => check(NAME, None, proven),
            Err(problem) => check(NAME, Some(false), problem),
        })
    }
}

fn check(name: &'static str, passed: Option<bool>, detail: impl Into<String>) -> Check {
    Check { name, passed, detail: detail.into() }
}

/// What the notes in the evidence prove, if they are of the witnesses that name the service.
fn cosigned(statement: &AnchorStatement, service: &str, evidence: &str) -> Result<String, String> {
    let found = WitnessedCheckpoint::parse(evidence).map_err(|error| error.to_string())?;
    if service != format!("witness {}", found.policy) {
        return Err(format!("the evidence is of other witnesses: {}", found.policy));
    }
    found.verify(statement).map_err(|error| error.to_string())?;
    Ok(format!(
        "{} of {} witnesses cosigned every domain, by keys that the evidence alone vouches for",
        found.policy.quorum(),
        found.policy.witnesses().len(),
    ))
}

/// Where an OpenTimestamps proof leads; whether that block is there, nobody here knows.
fn in_block(statement: &AnchorStatement, evidence: &[u8]) -> Result<String, String> {
    let proof = Proof::parse(evidence)
        .map_err(|error| format!("the evidence is no OpenTimestamps proof: {error}"))?;
    if *proof.digest() != statement.digest() {
        return Err("the evidence is the timestamp of something else".into());
    }
    match proof.standing(&BlockHeaders::default()) {
        Standing::HeaderMissing { height } => {
            Ok(format!("it leads to Bitcoin block {height}, whose header is not in the database"))
        }
        _ => Err("the evidence leads to no Bitcoin block".into()),
    }
}
