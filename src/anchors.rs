//! Rows of `ets.anchor`: what was published of a checkpoint, held against the
//! checkpoint and against what the server declared.

use ets_core::anchor::opentimestamps::{self, BlockHeaders, Standing};
use ets_core::anchor::{ANCHORING, AnchorStatement, WitnessedCheckpoint, declaration, verify_event_evidence};
use ets_core::canonical::{Limits, Payload};
use ets_core::event::{Event, EventId};
use ets_core::verify::{Check, Trust};
use serde_json::{Value as Json, json};

use crate::db::{self, Row, View};
use crate::error::{Error, Result, sqlstate};
use crate::{ledger, rows, seal};

/// How far an anchor came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Published; the evidence is not a proof yet.
    Pending,
    /// There is evidence, and whoever recorded it had verified it.
    Confirmed,
    /// The last attempt failed.
    Failed,
}

impl State {
    /// The state of this name.
    pub fn of(name: &str) -> Option<State> {
        [State::Pending, State::Confirmed, State::Failed].into_iter().find(|state| state.as_str() == name)
    }

    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Confirmed => "confirmed",
            State::Failed => "failed",
        }
    }
}

/// A row of `ets.anchor`, whatever it holds.
pub struct Anchor {
    /// Its number.
    pub anchor_id: i64,
    /// The checkpoint's.
    pub checkpoint_id: i64,
    /// Kind and place.
    pub service: String,
    /// None: a state that there is not.
    pub state: Option<State>,
    /// What was published.
    pub statement: String,
    /// What came back.
    pub evidence: Option<Vec<u8>>,
    /// Where at the service.
    pub reference: Option<String>,
    /// The event that declares it.
    pub declaration_id: Option<[u8; 16]>,
}

/// The statement that reads [`Anchor`]s; the rest of it follows `FROM ets.anchor AS anchor`.
#[macro_export]
macro_rules! select_anchors {
    ($rest:literal) => {
        concat!(
            "SELECT anchor.anchor_id, anchor.checkpoint_id, anchor.service, anchor.state, anchor.statement,
                    anchor.evidence, anchor.reference, anchor.declaration_id
               FROM ets.anchor AS anchor ",
            $rest
        )
    };
}

impl Anchor {
    /// From a row of [`select_anchors!`].
    pub fn of(row: &Row) -> Anchor {
        Anchor {
            anchor_id: row.int(1).unwrap_or(0),
            checkpoint_id: row.int(2).unwrap_or(0),
            service: row.text(3).unwrap_or_default(),
            state: row.text(4).and_then(|name| State::of(&name)),
            statement: row.text(5).unwrap_or_default(),
            evidence: row.bytes(6),
            reference: row.text(7),
            declaration_id: row.uuid(8),
        }
    }

    /// Every check that can be made of it here.
    ///
    /// # Errors
    /// Only of Postgres: what is wrong with a row is a check that failed.
    pub fn checks(&self) -> Result<Vec<Check>> {
        let (statement, of_statement) = self.statement()?;
        let mut checks = vec![of_statement, self.state_check()];
        if let Some(statement) = &statement {
            checks.push(self.declaration(statement)?);
            checks.extend(self.evidence(statement));
        }
        Ok(checks)
    }

    /// What was published is this ledger's checkpoint.
    fn statement(&self) -> Result<(Option<AnchorStatement>, Check)> {
        const NAME: &str = "anchor_statement";
        let published = match AnchorStatement::parse(&self.statement) {
            Ok(published) => published,
            Err(error) => return Ok((None, check(NAME, Some(false), error.to_string()))),
        };
        let stored = u64::try_from(self.checkpoint_id).ok().map(|id| statement_of(View::Query, id));
        let (passed, detail) = match stored {
            Some(Err(Error::Postgres)) => return Err(Error::Postgres),
            Some(Ok(stored)) if stored == published => {
                (true, format!("checkpoint {} of this ledger", self.checkpoint_id))
            }
            Some(Err(error)) => (false, error.to_string()),
            _ => (false, format!("checkpoint {} of this ledger is another", self.checkpoint_id)),
        };
        Ok((Some(published), check(NAME, Some(passed), detail)))
    }

    fn state_check(&self) -> Check {
        const NAME: &str = "anchor_state";
        match (self.state, &self.evidence) {
            (None, _) => check(NAME, Some(false), "no state of an anchor"),
            (Some(State::Confirmed), None) => check(NAME, Some(false), "confirmed without evidence"),
            (Some(State::Confirmed), Some(_)) => check(NAME, Some(true), "confirmed"),
            (Some(state), _) => check(NAME, None, state.as_str()),
        }
    }

    /// What the server declared is what the row says.
    fn declaration(&self, statement: &AnchorStatement) -> Result<Check> {
        const NAME: &str = "anchor_declaration";
        if self.state != Some(State::Confirmed) {
            return Ok(match self.declaration_id {
                None => check(NAME, None, "only what is confirmed is declared"),
                Some(_) => check(NAME, Some(false), "declared, but not confirmed"),
            });
        }
        let Some(id) = self.declaration_id else {
            return Ok(check(NAME, None, "confirmed, but not declared: the server's key was not there"));
        };
        let event = match EventId::from_slice(&id).map(declared).transpose() {
            Err(Error::Postgres) => return Err(Error::Postgres),
            Err(error) => return Ok(check(NAME, Some(false), error.to_string())),
            Ok(event) => event.flatten(),
        };
        let Some(event) = event else {
            return Ok(check(NAME, Some(false), "the event that declares it is not there"));
        };
        let expected = Payload::from_value(self.declared_payload(statement), &Limits::CEILING);
        let agrees = event.header.schema_version.as_str() == ANCHORING
            && expected.is_ok_and(|expected| expected.canonical() == event.payload.canonical())
            && event.check_hash()
            && event.header.check_signature();
        let detail = format!(
            "event {} in ets.audit {}",
            event.header.event_id,
            if agrees { "says the same" } else { "says something else" }
        );
        Ok(check(NAME, Some(agrees), detail))
    }

    /// The payload that declares this row.
    pub fn declared_payload(&self, statement: &AnchorStatement) -> Json {
        declaration(
            u64::try_from(self.anchor_id).unwrap_or(0),
            statement,
            &self.service,
            self.reference.as_deref(),
            self.evidence.as_deref().unwrap_or_default(),
        )
    }

    /// What the evidence proves, as far as it can be told without the service's keys.
    fn evidence(&self, statement: &AnchorStatement) -> Option<Check> {
        const NAME: &str = "anchor_evidence";
        let evidence = self.evidence.as_deref()?;
        if self.state != Some(State::Confirmed) {
            return Some(check(NAME, None, "no proof yet"));
        }
        let text = String::from_utf8_lossy(evidence);
        let proven = match self.service.split(' ').next() {
            Some("ledger") => verify_event_evidence(statement, &text, &Trust::Nothing),
            Some("witness") => cosigned(statement, &self.service, &text),
            Some("opentimestamps") => stamped(statement, evidence),
            _ => {
                return Some(check(
                    NAME,
                    None,
                    "the database cannot tell: ets anchor and ets audit look at the place itself",
                ));
            }
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
fn cosigned(
    statement: &AnchorStatement,
    service: &str,
    evidence: &str,
) -> std::result::Result<String, String> {
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
fn stamped(statement: &AnchorStatement, evidence: &[u8]) -> std::result::Result<String, String> {
    let proof = opentimestamps::Proof::parse(evidence)
        .map_err(|error| format!("the evidence is no OpenTimestamps proof: {error}"))?;
    if *proof.digest() != opentimestamps::stamped(statement) {
        return Err("the evidence is the timestamp of something else".into());
    }
    match proof.standing(&BlockHeaders::default()) {
        Standing::HeaderMissing { height } => {
            Ok(format!("it leads to Bitcoin block {height}, whose header is not in the database"))
        }
        _ => Err("the evidence leads to no Bitcoin block".into()),
    }
}

fn declared(id: EventId) -> Result<Option<Event>> {
    db::first(
        View::Query,
        crate::select_events!(
            "WHERE event.event_id OPERATOR(pg_catalog.=) $1 AND event.domain OPERATOR(pg_catalog.=) 'ets.audit'"
        ),
        &[id.into()],
        rows::event,
    )
}

/// The statement of a checkpoint, from its rows.
///
/// # Errors
/// ET011 if there is no such checkpoint, ET002 if its rows do not give its MetaRoot.
pub fn statement_of(view: View, checkpoint_id: u64) -> Result<AnchorStatement> {
    let announced = ledger::announced()?;
    let checkpoint = seal::checkpoint(view, checkpoint_id)?;
    let roots = seal::domain_roots(view, checkpoint_id)?;
    let different = |problem: String| {
        Error::new(sqlstate::HASH, format!("checkpoint {checkpoint_id} is not what was sealed: {problem}"))
            .detail(json!({"checkpoint_id": checkpoint_id}))
            .hint("run ets.verify_ledger() to see what was changed")
    };
    let statement = AnchorStatement::new(
        announced.ledger_id,
        announced.origin,
        checkpoint_id,
        checkpoint.checkpoint_event_id,
        roots,
    )
    .map_err(|error| different(error.to_string()))?;
    if *statement.meta_root() != checkpoint.meta_root {
        return Err(different("its domain roots give another MetaRoot".into()));
    }
    Ok(statement)
}

/// Whether there is the table: a ledger of an earlier layout has none until `ets.arm`.
pub fn exist() -> Result<bool> {
    let found = db::first(
        View::Query,
        "SELECT true FROM pg_catalog.pg_class AS class
           JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid OPERATOR(pg_catalog.=) class.relnamespace
          WHERE namespace.nspname OPERATOR(pg_catalog.=) 'ets' AND class.relname OPERATOR(pg_catalog.=) 'anchor'",
        &[],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}
