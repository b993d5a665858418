//! What `ets anchor` has of the ledger, and what it writes into `ets.anchor`.

use ets_core::anchor::AnchorStatement;
use ets_core::checkpoint::DomainRoot;
use ets_core::event::EventId;
use ets_core::hash::Digest;
use ets_core::name::DomainName;
use postgres::Client;

use super::service::{Failure, Outcome, Source};
use crate::database;

/// How an attempt ended.
pub enum Came {
    Out(Outcome),
    /// It had been confirmed, and still verifies.
    There,
    /// It had been confirmed, and is not there any more.
    Gone(String),
}

/// Records what came of an attempt; the state in a word, and what there is to say.
pub fn settle(
    client: &mut Client,
    statement: &AnchorStatement,
    service: &str,
    came: Result<Came, Failure>,
) -> Result<(&'static str, Option<String>), String> {
    let mut awaits = None;
    let (state, evidence, failure) = match came {
        Ok(Came::There) => return Ok(("confirmed", None)),
        // The record stays: it was confirmed then. That it is gone is for people.
        Ok(Came::Gone(problem)) => return Ok(("gone", Some(problem))),
        Ok(Came::Out(Outcome::Confirmed(evidence))) => ("confirmed", Some(evidence), None),
        Ok(Came::Out(Outcome::Pending { evidence, awaits: text })) => {
            awaits = Some(text);
            ("pending", Some(evidence), None)
        }
        Err(failure) => ("failed", None, Some(failure)),
    };
    let reason = failure.as_ref().map(|failure| failure.reason.as_str());
    let retry = failure.as_ref().is_none_or(|failure| failure.retry);
    let checkpoint = i64::try_from(statement.checkpoint_id()).map_err(|error| error.to_string())?;
    let sql = "SELECT ets.record_anchor($1, $2, $3, $4, $5, $6, NULL, $7)";
    client
        .query_one(sql, &[&checkpoint, &service, &state, &statement.to_jcs(), &evidence, &reason, &retry])
        .map_err(|error| format!("cannot record what came of {service}: {}", database::message(&error)))?;
    Ok((state, failure.map(|failure| failure.reason).or(awaits)))
}

/// What `ets.anchor` has of a checkpoint and a service.
pub enum Known {
    /// Nothing, or what is to be tried again, with what an earlier attempt got, and
    /// whether the next attempt is later, or for somebody to ask for.
    Open {
        evidence: Option<Vec<u8>>,
        is_waiting: bool,
    },
    Confirmed(Vec<u8>),
}

pub fn known(client: &mut Client, statement: &AnchorStatement, service: &str) -> Result<Known, String> {
    let checkpoint = i64::try_from(statement.checkpoint_id()).map_err(|error| error.to_string())?;
    // Without a next attempt, what failed waits for somebody to look at it.
    let sql = "SELECT anchor.state, anchor.evidence,
                      coalesce(anchor.next_attempt > pg_catalog.clock_timestamp(), anchor.state = 'failed')
                 FROM ets.anchor AS anchor
                WHERE anchor.checkpoint_id = $1 AND anchor.service = $2";
    let row = client.query_opt(sql, &[&checkpoint, &service]).map_err(|error| database::message(&error))?;
    let Some(row) = row else { return Ok(Known::Open { evidence: None, is_waiting: false }) };
    Ok(match (row.get(0), row.get(1)) {
        ("confirmed", Some(evidence)) => Known::Confirmed(evidence),
        (_, evidence) => {
            Known::Open { evidence, is_waiting: row.get::<_, Option<bool>>(2).unwrap_or_default() }
        }
    })
}

/// What services may ask for, from the database itself.
pub struct Database<'a> {
    pub client: &'a mut Client,
}

impl Source for Database<'_> {
    fn checkpoint_note(&mut self, domain: &DomainName) -> Result<String, Failure> {
        let row = self.client.query_one("SELECT ets.checkpoint_note($1)", &[&domain.as_str()]);
        row.map(|row| row.get(0)).map_err(|error| Failure::passing(database::message(&error)))
    }

    fn consistency_proof(&mut self, domain: &DomainName, from: u64, to: u64) -> Result<Vec<Digest>, Failure> {
        let size = |size: u64| {
            i64::try_from(size).map_err(|_| Failure::lasting(format!("no tree has the size {size}")))
        };
        let sql = "SELECT proof.hash FROM ets.consistency_proof($1, $2, $3) AS proof ORDER BY proof.step";
        let rows = self.client.query(sql, &[&domain.as_str(), &size(from)?, &size(to)?]);
        let rows = rows.map_err(|error| Failure::passing(database::message(&error)))?;
        let hash = |row: &postgres::Row| Digest::try_from(row.get::<_, &[u8]>(0));
        rows.iter()
            .map(hash)
            .collect::<Result<_, _>>()
            .map_err(|_| Failure::passing("a step of the consistency proof is no hash"))
    }

    fn root_at(&mut self, domain: &DomainName, size: u64) -> Result<Option<Digest>, Failure> {
        let Ok(size) = i64::try_from(size) else { return Ok(None) };
        let sql = "SELECT root.root_hash FROM ets.domain_root AS root
                    WHERE root.domain = $1 AND root.tree_size = $2 ORDER BY root.checkpoint_id LIMIT 1";
        let row = self.client.query_opt(sql, &[&domain.as_str(), &size]);
        let row = row.map_err(|error| Failure::passing(database::message(&error)))?;
        row.map(|row| Digest::try_from(row.get::<_, &[u8]>(0)))
            .transpose()
            .map_err(|_| Failure::lasting(format!("the root of domain {domain} at {size} is no hash")))
    }
}

/// A checkpoint as it goes out, its MetaRoot computed from its roots and compared.
pub fn read(client: &mut Client, checkpoint: Option<i64>) -> Result<Option<AnchorStatement>, String> {
    let refused = |error: postgres::Error| database::message(&error);
    let mut transaction = client
        .build_transaction()
        .isolation_level(postgres::IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .map_err(refused)?;
    let sql = "SELECT ledger.ledger_id, ledger.origin, checkpoint.checkpoint_id, checkpoint.checkpoint_event_id,
                      checkpoint.meta_root
                 FROM ets.ledger AS ledger, ets.checkpoint AS checkpoint
                WHERE checkpoint.checkpoint_id = coalesce($1, (SELECT max(last.checkpoint_id) FROM ets.checkpoint AS last))";
    let Some(row) = transaction.query_opt(sql, &[&checkpoint]).map_err(refused)? else { return Ok(None) };
    let number: i64 = row.get(2);
    let sql = "SELECT root.domain, root.tree_size, root.root_hash FROM ets.domain_root AS root
                WHERE root.checkpoint_id = $1 ORDER BY root.domain";
    let rows = transaction.query(sql, &[&number]).map_err(refused)?;
    let wrong = |what: &str| format!("checkpoint {number} is not what was sealed: {what}");
    let mut roots = Vec::new();
    for root in &rows {
        roots.push(DomainRoot {
            domain: root.get::<_, &str>(0).parse().map_err(|_| wrong("a tree of no domain"))?,
            tree_size: u64::try_from(root.get::<_, i64>(1)).map_err(|_| wrong("a size below 0"))?,
            root: Digest::try_from(root.get::<_, &[u8]>(2)).map_err(|_| wrong("a root that is none"))?,
        });
    }
    let meta_root: &[u8] = row.get(4);
    let statement = AnchorStatement::new(
        row.get(0),
        row.get::<_, &str>(1).parse().map_err(|_| wrong("the ledger's origin is none"))?,
        u64::try_from(number).map_err(|_| wrong("its number"))?,
        EventId::from_uuid(row.get(3)).ok_or_else(|| wrong("its event id is no UUID of version 7"))?,
        roots,
    )
    .map_err(|error| wrong(&error.to_string()))?;
    if statement.meta_root().as_bytes()[..] != *meta_root {
        return Err(wrong("its domain roots give another MetaRoot"));
    }
    Ok(Some(statement))
}

/// An anchor that is there.
pub struct Recorded {
    pub anchor_id: i64,
    pub checkpoint_id: i64,
    pub service: String,
    pub statement: String,
    pub evidence: Vec<u8>,
}

/// Every anchor that is confirmed, in order.
///
/// # Errors
/// What the server said.
pub fn confirmed(client: &mut Client) -> Result<Vec<Recorded>, String> {
    let sql = "SELECT anchor.anchor_id, anchor.checkpoint_id, anchor.service, anchor.statement, coalesce(anchor.evidence, '')
                 FROM ets.anchor AS anchor WHERE anchor.state = 'confirmed' ORDER BY anchor.anchor_id";
    let rows = client.query(sql, &[]).map_err(|error| database::message(&error))?;
    let recorded = rows.iter().map(|row| Recorded {
        anchor_id: row.get(0),
        checkpoint_id: row.get(1),
        service: row.get(2),
        statement: row.get(3),
        evidence: row.get(4),
    });
    Ok(recorded.collect())
}

/// The checkpoints before the `last` of which this service still owes the proof; those
/// that were asked for longest ago come first.
///
/// # Errors
/// What the server said.
pub fn owed(client: &mut Client, service: &str, last: u64) -> Result<Vec<i64>, String> {
    let last = i64::try_from(last).map_err(|error| error.to_string())?;
    // What failed after it was asked for has its evidence still.
    let sql = "SELECT anchor.checkpoint_id FROM ets.anchor AS anchor
                WHERE anchor.service = $1 AND anchor.checkpoint_id < $2
                  AND (anchor.state = 'pending' OR anchor.state = 'failed' AND anchor.evidence IS NOT NULL AND anchor.next_attempt IS NOT NULL)
                ORDER BY anchor.next_attempt, anchor.checkpoint_id";
    let rows = client.query(sql, &[&service, &last]).map_err(|error| database::message(&error))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
