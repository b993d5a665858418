//! States of streams, computed again from their events or read where they are
//! kept.

use ets_core::canonical::{Limits, parse_json, to_jcs};
use ets_core::event::{Event, EventId};
use ets_core::expression::EventScope;
use ets_core::name::{DomainName, StreamName};
use ets_core::registry::Registry;
use ets_core::state::{StateFold, StateRootBuilder, StreamState, state_hash};
use ets_core::verify::{ChainVerifier, Finding};
use serde_json::json;

use crate::api::append::no_domain;
use crate::db::{self, Row, View};
use crate::error::{Error, Result, sqlstate};
use crate::function::{Call, Record, Rows};
use crate::value::{Type, Value};
use crate::{events, gate, ledger, rows};

crate::sql_functions! {
    ets_replay pg_finfo_ets_replay => replay;
    ets_state pg_finfo_ets_state => state;
    ets_state_root pg_finfo_ets_state_root => state_root;
}

fn replay(call: &Call) -> Result<Rows> {
    let domain: DomainName = call.required_text(0, "domain")?.parse()?;
    let stream: Option<StreamName> = call.text(1).map(|text| text.parse()).transpose()?;
    let until_event = call.uuid(2).map(|_| call.required_event_id(2, "until_event")).transpose()?;
    let from_kept = call.bool(3).ok_or_else(|| Error::null("from_kept"))?;
    if from_kept && until_event.is_some() {
        return Err(Error::parameter("from_kept", "goes without until_event")
            .hint("a kept state is that of now; leave from_kept out to replay up to an event"));
    }
    let replayer = Replayer::new(&domain)?;
    if let Some(id) = until_event {
        events::by_id(View::Query, id)?;
    }
    if let Some(stream) = &stream {
        replayer.require_stream(stream)?;
    }
    let mut rows = Rows::open(call)?;
    let put = |state: Replayed| {
        rows.put(&[
            state.stream.as_str().into(),
            state.sequence.into(),
            Value::Jsonb(to_jcs(&state.state)),
            state_hash(&state.state).into(),
        ])
    };
    if from_kept {
        replayer.starting_from_kept(stream.as_ref(), put)?;
    } else {
        replayer.starting_from_genesis(stream.as_ref(), until_event, put)?;
    }
    Ok(rows)
}

fn state(call: &Call) -> Result<Record> {
    let domain: DomainName = call.required_text(0, "domain")?.parse()?;
    let stream: StreamName = call.required_text(1, "stream")?.parse()?;
    let replayer = Replayer::new(&domain)?;
    replayer.require_stream(&stream)?;
    let mut found = None;
    replayer.starting_from_kept(Some(&stream), |state| {
        found = Some(state);
        Ok(())
    })?;
    let found = found.ok_or_else(|| no_stream(&domain, &stream))?;
    Ok(Record(vec![
        found.sequence.into(),
        Value::Jsonb(to_jcs(&found.state)),
        state_hash(&found.state).into(),
    ]))
}

fn state_root(call: &Call) -> Result<Value> {
    let domain: DomainName = call.required_text(0, "domain")?.parse()?;
    let mut root = StateRootBuilder::default();
    Replayer::new(&domain)?.starting_from_genesis(None, None, |state| {
        let state_hash = state_hash(&state.state);
        let leaf = StreamState { stream: state.stream, sequence: state.sequence, state_hash };
        root.push(&leaf).map_err(|error| {
            Error::new(sqlstate::CORRUPTED, error.to_string())
                .hint("the collation of ets.ledger_event.stream must be \"C\"")
        })
    })?;
    Ok(root.root().into())
}

/// A stream's state and the sequence of the last event in it.
struct Replayed {
    stream: StreamName,
    sequence: u64,
    state: serde_json::Value,
}

/// Computes states of one domain's streams, one at a time, in the order of their
/// names' bytes. What it reads is what the calling query sees.
struct Replayer<'a> {
    domain: &'a DomainName,
    registry: std::sync::Arc<Registry>,
}

/// The state that a scan is in the middle of.
struct Running {
    stream: StreamName,
    sequence: u64,
    fold: StateFold,
}

impl From<Running> for Replayed {
    fn from(running: Running) -> Self {
        let Running { stream, sequence, fold } = running;
        Replayed { stream, sequence, state: fold.into_state() }
    }
}

impl<'a> Replayer<'a> {
    fn new(domain: &'a DomainName) -> Result<Self> {
        let registry = ledger::registry(View::Query)?;
        if registry.domain(domain.as_str()).is_none() {
            return Err(no_domain(domain));
        }
        Ok(Replayer { domain, registry })
    }

    /// Replays the domain, or one stream of it, from its first events; up to the
    /// greatest id that is not above `until`. Ids increase in each stream, so in
    /// that event's own stream it is the last.
    ///
    /// Each event is hashed, its signature verified and its link to the one
    /// before checked before it counts.
    fn starting_from_genesis(
        &self,
        stream: Option<&StreamName>,
        until: Option<EventId>,
        mut put: impl FnMut(Replayed) -> Result<()>,
    ) -> Result<()> {
        let mut chain = ChainVerifier::new(self.registry.ledger().ledger_id, None);
        let mut findings = Vec::new();
        let mut running: Option<Running> = None;
        let until = Value::or_null(until, Type::Uuid);
        let each = |row: &Row| {
            let event = rows::event(row)?;
            if !event.payload.is_stored_form() {
                return Err(not_canonical(&event));
            }
            chain.push(&event, &mut findings);
            if let Some(finding) = findings.first() {
                return Err(refusal(finding));
            }
            if running.as_ref().is_some_and(|running| running.stream != event.header.stream)
                && let Some(done) = running.take()
            {
                put(done.into())?;
            }
            let running = running.get_or_insert_with(|| Running {
                stream: event.header.stream.clone(),
                sequence: 0,
                fold: StateFold::new(),
            });
            running.sequence = event.header.sequence;
            self.apply(&mut running.fold, &event)
        };
        // Two statements, so that the index leads straight to the one stream.
        match stream {
            None => db::scan(
                View::Query,
                crate::select_events!("WHERE event.domain OPERATOR(pg_catalog.=) $1
                    AND ($2 IS NULL OR event.event_id OPERATOR(pg_catalog.<=) $2)
                  ORDER BY event.domain USING OPERATOR(pg_catalog.<), event.stream USING OPERATOR(pg_catalog.<),
                           event.sequence USING OPERATOR(pg_catalog.<)"),
                &[self.domain.as_str().into(), until],
                BATCH,
                each,
            ),
            Some(stream) => db::scan(
                View::Query,
                crate::select_events!("WHERE event.domain OPERATOR(pg_catalog.=) $1 AND event.stream OPERATOR(pg_catalog.=) $3
                    AND ($2 IS NULL OR event.event_id OPERATOR(pg_catalog.<=) $2)
                  ORDER BY event.sequence USING OPERATOR(pg_catalog.<)"),
                &[self.domain.as_str().into(), until, stream.as_str().into()],
                BATCH,
                each,
            ),
        }?;
        running.map_or(Ok(()), |last| put(last.into()))
    }

    /// As [`Replayer::starting_from_genesis`], but takes the state that the gate keeps
    /// where the domain keeps one: it is that after the stream's last event.
    fn starting_from_kept(
        &self,
        stream: Option<&StreamName>,
        mut put: impl FnMut(Replayed) -> Result<()>,
    ) -> Result<()> {
        if !self.registry.keeps_state(self.domain) {
            return self.starting_from_genesis(stream, None, put);
        }
        db::scan(
            View::Query,
            "SELECT head.stream, head.sequence, head.state FROM ets.stream_head AS head
              WHERE head.domain OPERATOR(pg_catalog.=) $1 AND ($2 IS NULL OR head.stream OPERATOR(pg_catalog.=) $2)
                AND head.sequence OPERATOR(pg_catalog.>) 0
              ORDER BY head.stream USING OPERATOR(pg_catalog.<)",
            &[self.domain.as_str().into(), Value::or_null(stream.map(StreamName::as_str), Type::Text)],
            BATCH,
            |row| {
                let impossible = || {
                    Error::new(sqlstate::CORRUPTED, "ets.stream_head holds an impossible row")
                        .detail(json!({"domain": self.domain.as_str(), "stream": row.text(1)}))
                        .hint("run ets.verify_ledger() to see what was changed")
                };
                let stream = row.text(1).and_then(|text| text.parse().ok()).ok_or_else(impossible)?;
                let sequence = row.int(2).and_then(|n| u64::try_from(n).ok()).ok_or_else(impossible)?;
                match row.jsonb(3) {
                    None => self.starting_from_genesis(Some(&stream), None, &mut put as &mut dyn FnMut(_) -> _),
                    Some(text) => {
                        let state = parse_json(&text, &Limits::CEILING).map_err(|_| impossible())?;
                        put(Replayed { stream, sequence, state })
                    }
                }
            },
        )
    }

    fn apply(&self, fold: &mut StateFold, event: &Event) -> Result<()> {
        let header = &event.header;
        let schema = self.registry.schema(&header.schema_version).ok_or_else(|| {
            Error::new(sqlstate::SCHEMA, format!("schema {} is not registered", header.schema_version))
                .detail(json!({"event_id": header.event_id.to_string()}))
                .hint("the row was changed past the gate; run ets.verify_ledger() to see what else was")
        })?;
        let scope = EventScope {
            schema_version: header.schema_version.as_str(),
            key_id: &header.key_id.to_string(),
            owner: self.registry.owner_at(&header.key_id, header.registry_version).unwrap_or_default(),
            domain: header.domain.as_str(),
            stream: header.stream.as_str(),
            sequence: header.sequence,
        };
        fold.apply(&gate::semantics::compiled(schema)?.reducer, &event.payload, scope).map_err(|error| {
            Error::new(sqlstate::REDUCER, format!("after event {}, {error}", header.event_id))
                .detail(json!({"event_id": header.event_id.to_string(), "reason": error.reason()}))
                .hint(error.hint())
        })
    }

    fn require_stream(&self, stream: &StreamName) -> Result<()> {
        db::first(
            View::Query,
            "SELECT true FROM ets.ledger_event AS event
              WHERE event.domain OPERATOR(pg_catalog.=) $1 AND event.stream OPERATOR(pg_catalog.=) $2 LIMIT 1",
            &[self.domain.as_str().into(), stream.as_str().into()],
            |_| Ok(()),
        )?
        .ok_or_else(|| no_stream(self.domain, stream))
    }
}

/// How many events a scan fetches at once.
const BATCH: std::ffi::c_long = 256;

/// `ET011` for a stream that has no event.
fn no_stream(domain: &DomainName, stream: &StreamName) -> Error {
    Error::new(sqlstate::NOT_FOUND, format!("no stream {stream:?} in domain {domain}"))
        .detail(json!({"domain": domain.as_str(), "stream": stream.as_str()}))
        .hint("a stream begins with its first event; ets.streams lists those there are")
}

/// What verification finds wrong with an event ends a replay: ET003 if it is its
/// signature or key, else ET002.
fn refusal(finding: &Finding) -> Error {
    let code = if finding.check == "signature" { sqlstate::SIGNATURE } else { sqlstate::HASH };
    let (stream, sequence) = (finding.stream.as_deref().unwrap_or_default(), finding.sequence.unwrap_or(0));
    let event = finding.event_id.map_or_else(|| format!("event {sequence}"), |id| format!("event {id}"));
    Error::new(code, format!("{event} of stream {stream:?}: {}", finding.detail))
        .detail(json!({
            "event_id": finding.event_id.map(|id| id.to_string()),
            "domain": finding.domain,
            "stream": finding.stream,
            "sequence": finding.sequence,
            "check": finding.check,
            "expected": finding.expected,
            "actual": finding.actual,
        }))
        .hint("the row was changed past the gate; run ets.verify_ledger() to see what else was")
}

fn not_canonical(event: &Event) -> Error {
    let header = &event.header;
    Error::new(
        sqlstate::HASH,
        format!("event {}: the stored payload is not its canonical value", header.event_id),
    )
    .detail(json!({"event_id": header.event_id.to_string(), "check": "payload"}))
    .hint("the row was changed past the gate; run ets.verify_ledger() to see what else was")
}
