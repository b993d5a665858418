//! States of streams, computed again from their events or read where they are
//! kept; and whether the two agree.

use ets_core::canonical::{Limits, parse_json, to_jcs};
use ets_core::name::{DomainName, StreamName};
use ets_core::registry::Registry;
use ets_core::state::{StateRootBuilder, StreamState, state_hash};
use ets_core::verify::{Finding, FindingClass};
use serde_json::json;

use crate::api::append::no_domain;
use crate::api::verify::findings;
use crate::db::{self, View};
use crate::error::{self, Error, Result, sqlstate};
use crate::function::{Call, Record, Rows};
use crate::replay::{self, Replayed, Scope};
use crate::runs::{self, Check, Done, Run};
use crate::value::{Type, Value};
use crate::{clock, events, ledger, seal, verification};

crate::sql_functions! {
    ets_replay pg_finfo_ets_replay => replay;
    ets_state pg_finfo_ets_state => state;
    ets_state_root pg_finfo_ets_state_root => state_root;
    ets_verify_replay pg_finfo_ets_verify_replay => verify_replay;
}

fn replay(call: &Call) -> Result<Rows> {
    let domain: DomainName = call.required_text(0, "domain")?.parse()?;
    let stream: Option<StreamName> = call.text(1).map(|text| text.parse()).transpose()?;
    let until = call.uuid(2).map(|_| call.required_event_id(2, "until_event")).transpose()?;
    let from_kept = call.bool(3).ok_or_else(|| Error::null("from_kept"))?;
    let signatures = call.bool(4).ok_or_else(|| Error::null("verify_signatures"))?;
    if from_kept && until.is_some() {
        return Err(Error::parameter("from_kept", "goes without until_event")
            .hint("a kept state is that of now; leave from_kept out to replay up to an event"));
    }
    let registry = registry_with(&domain)?;
    if let Some(id) = until {
        events::by_id(View::Query, id)?;
    }
    if let Some(stream) = &stream {
        require_stream(&domain, stream)?;
    }
    let mut rows = Rows::open(call)?;
    let scope = Scope { domain: &domain, stream: stream.as_ref(), until, signatures };
    let mut put = |stream: &StreamName, sequence: u64, state: &serde_json::Value| {
        rows.put(&[
            stream.as_str().into(),
            sequence.into(),
            Value::Jsonb(to_jcs(state)),
            state_hash(state).into(),
        ])
    };
    if from_kept {
        kept(&registry, &scope, &mut put)?
    } else {
        replayed(&registry, &scope, &mut put)?
    }
    Ok(rows)
}

fn state(call: &Call) -> Result<Record> {
    let domain: DomainName = call.required_text(0, "domain")?.parse()?;
    let stream: StreamName = call.required_text(1, "stream")?.parse()?;
    let registry = registry_with(&domain)?;
    require_stream(&domain, &stream)?;
    let mut found = None;
    let scope = Scope { domain: &domain, stream: Some(&stream), until: None, signatures: true };
    kept(&registry, &scope, &mut |_, sequence, state| {
        found = Some(vec![sequence.into(), Value::Jsonb(to_jcs(state)), state_hash(state).into()]);
        Ok(())
    })?;
    found.map(Record).ok_or_else(|| no_stream(&domain, &stream))
}

fn state_root(call: &Call) -> Result<Value> {
    let domain: DomainName = call.required_text(0, "domain")?.parse()?;
    let mut root = StateRootBuilder::default();
    let scope = Scope { domain: &domain, stream: None, until: None, signatures: true };
    replayed(&*registry_with(&domain)?, &scope, &mut |stream, sequence, state| {
        push(&mut root, stream, sequence, state)
    })?;
    Ok(root.root().into())
}

fn push(
    root: &mut StateRootBuilder,
    stream: &StreamName,
    sequence: u64,
    state: &serde_json::Value,
) -> Result<()> {
    let leaf = StreamState { stream: stream.clone(), sequence, state_hash: state_hash(state) };
    root.push(&leaf).map_err(|error| {
        Error::new(sqlstate::CORRUPTED, error.to_string())
            .hint("the collation of ets.ledger_event.stream must be \"C\"")
    })
}

fn verify_replay(call: &Call) -> Result<Rows> {
    let domain = call.text(0).map(|name| name.parse::<DomainName>()).transpose()?;
    let started_at = clock::now()?;
    let replayed = verification::replay(domain.as_ref(), MAX_FINDINGS)?;
    let found = replayed.findings;
    if found.is_full() {
        error::notice(&format!("verification stopped at {MAX_FINDINGS} findings: there may be more"), "");
    }
    let last = seal::last_checkpoint(View::Query)?;
    let run = Run {
        check: Check::Replay,
        domain,
        incremental: false,
        started_at,
        checkpoint: last.map(|last| (last.checkpoint_id, last.meta_root)),
        cycle: None,
    };
    let done = Done {
        events: replayed.events,
        findings: found.rows.clone(),
        finding_count: found.count,
        state_roots: replayed.state_roots,
    };
    runs::record(&run, &done)?;
    findings(call, &found.rows)
}

/// As many findings are reported.
const MAX_FINDINGS: usize = 1000;

fn registry_with(domain: &DomainName) -> Result<std::sync::Arc<Registry>> {
    let registry = ledger::registry(View::Query)?;
    if registry.domain(domain.as_str()).is_none() {
        return Err(no_domain(domain));
    }
    Ok(registry)
}

/// What takes a stream, the sequence of its last event and the state after it.
type Put<'a> = &'a mut dyn FnMut(&StreamName, u64, &serde_json::Value) -> Result<()>;

/// Replays from the first events; the first thing wrong ends it.
fn replayed(registry: &Registry, scope: &Scope<'_>, put: Put<'_>) -> Result<()> {
    let wrong = |finding: Finding| match finding.class {
        // What an SQL function said then cannot be asked again; the state is known.
        FindingClass::Unverifiable => Ok(()),
        _ => Err(refusal(&finding)),
    };
    replay::from_genesis(registry, scope, wrong, |done: Replayed| match &done.state {
        Some(state) => put(&done.stream, done.sequence, state),
        None => Err(unknown(scope.domain, &done)),
    })?;
    Ok(())
}

/// As [`replayed`], but takes the state that the gate keeps where it keeps one: it
/// is that after the stream's last event.
fn kept(registry: &Registry, scope: &Scope<'_>, put: Put<'_>) -> Result<()> {
    if !registry.keeps_state(scope.domain) {
        return replayed(registry, scope, put);
    }
    db::scan(
        View::Query,
        "SELECT head.stream, head.sequence, head.state FROM ets.stream_head AS head
          WHERE head.domain OPERATOR(pg_catalog.=) $1 AND ($2 IS NULL OR head.stream OPERATOR(pg_catalog.=) $2)
            AND head.sequence OPERATOR(pg_catalog.>) 0
          ORDER BY head.stream USING OPERATOR(pg_catalog.<)",
        &[scope.domain.as_str().into(), Value::or_null(scope.stream.map(StreamName::as_str), Type::Text)],
        BATCH,
        |row| {
            let impossible = || {
                Error::new(sqlstate::CORRUPTED, "ets.stream_head holds an impossible row")
                    .detail(json!({"domain": scope.domain.as_str(), "stream": row.text(1)}))
                    .hint("run ets.verify_ledger() to see what was changed")
            };
            let stream: StreamName =
                row.text(1).and_then(|text| text.parse().ok()).ok_or_else(impossible)?;
            let sequence = row.int(2).and_then(|n| u64::try_from(n).ok()).ok_or_else(impossible)?;
            match row.jsonb(3) {
                // Nothing has asked for it since the domain began to keep states.
                None => {
                    let scope = Scope { stream: Some(&stream), ..*scope };
                    replayed(registry, &scope, put)
                }
                Some(text) => {
                    let state = parse_json(&text, &Limits::CEILING).map_err(|_| impossible())?;
                    put(&stream, sequence, &state)
                }
            }
        },
    )
}

fn require_stream(domain: &DomainName, stream: &StreamName) -> Result<()> {
    db::first(
        View::Query,
        "SELECT true FROM ets.ledger_event AS event
          WHERE event.domain OPERATOR(pg_catalog.=) $1 AND event.stream OPERATOR(pg_catalog.=) $2 LIMIT 1",
        &[domain.as_str().into(), stream.as_str().into()],
        |_| Ok(()),
    )?
    .ok_or_else(|| no_stream(domain, stream))
}

/// How many heads a scan fetches at once.
const BATCH: std::ffi::c_long = 256;

/// ET014, for a state that no finding but one of class `unverifiable` has lost.
fn unknown(domain: &DomainName, done: &Replayed) -> Error {
    let stream = &done.stream;
    Error::new(sqlstate::REDUCER, format!("the state of stream {stream:?} cannot be evaluated"))
        .detail(json!({"domain": domain.as_str(), "stream": stream.as_str(), "sequence": done.sequence}))
        .hint("SELECT * FROM ets.verify_replay(…) says why")
}

/// `ET011` for a stream that has no event.
fn no_stream(domain: &DomainName, stream: &StreamName) -> Error {
    Error::new(sqlstate::NOT_FOUND, format!("no stream {stream:?} in domain {domain}"))
        .detail(json!({"domain": domain.as_str(), "stream": stream.as_str()}))
        .hint("a stream begins with its first event; ets.streams lists those there are")
}

/// What is found wrong with an event ends a replay: ET003 if it is its signature or
/// key, ET008 a rule, ET014 the reducer, else ET002.
fn refusal(finding: &Finding) -> Error {
    let code = match finding.check {
        "signature" => sqlstate::SIGNATURE,
        "rules" => sqlstate::RULE,
        "reducer" => sqlstate::REDUCER,
        _ => sqlstate::HASH,
    };
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
