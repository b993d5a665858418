//! Steps 5 and 7 of the gate: JSON Schema, business rules, and the state after.
//!
//! What decides is ets-core, the same as offline; here its answers become errors,
//! and the stream's state comes from its head's row.

use std::cell::RefCell;
use std::sync::Arc;

use ets_core::canonical::{Limits, Payload};
use ets_core::event::Event;
use ets_core::expression::{EventScope, Scope};
use ets_core::key::KeyId;
use ets_core::name::{DomainName, SchemaVersion, StreamName};
use ets_core::registry::{CompiledSchema, CompiledSchemas, Registry, SchemaRecord};
use ets_core::replay::StreamReplay;
use ets_core::rule::RuleRefusal;
use ets_core::schema::violations_json;
use serde_json::{Value as Json, json};

use crate::db::{self, View};
use crate::error::{Error, Result, sqlstate};
use crate::transaction::Head;
use crate::{gucs, rows, rule_function};

/// The compiled schema, from the backend's cache.
pub fn compiled(schema: &SchemaRecord) -> Result<Arc<CompiledSchema>> {
    thread_local! {
        static COMPILED: RefCell<CompiledSchemas> = RefCell::new(CompiledSchemas::default());
    }
    COMPILED.with_borrow_mut(|compiled| compiled.get(schema)).map_err(|error| {
        Error::new(sqlstate::SCHEMA, format!("schema {} cannot be evaluated: {error}", schema.name))
            .detail(json!({"schema_version": schema.name.as_str()}))
            .hint("an engine that is not known here needs a later version of pg_ets")
    })
}

/// An event that is judged, as far as it is known before its head is locked.
pub struct Subject<'a> {
    schema: &'a SchemaRecord,
    compiled: Arc<CompiledSchema>,
    payload: &'a Payload,
    key_id: String,
    owner: &'a str,
    domain: &'a DomainName,
    stream: &'a StreamName,
    /// The registry version that it is judged at.
    version: u64,
    /// Whether this server's settings limit it.
    is_new: bool,
}

impl<'a> Subject<'a> {
    /// A new append. `schema` is one of the registry's, `compiled` its compiled form.
    pub fn new(
        registry: &'a Registry,
        schema: &'a SchemaRecord,
        compiled: Arc<CompiledSchema>,
        payload: &'a Payload,
        key_id: &KeyId,
        domain: &'a DomainName,
        stream: &'a StreamName,
    ) -> Self {
        Subject {
            schema,
            compiled,
            payload,
            key_id: key_id.to_string(),
            owner: registry.owner_at(key_id, registry.version()).unwrap_or_default(),
            domain,
            stream,
            version: registry.version(),
            is_new: true,
        }
    }

    /// An event that was admitted elsewhere at an earlier registry version:
    /// settings do not limit it.
    pub fn admitted(registry: &'a Registry, schema: &'a SchemaRecord, event: &'a Event) -> Result<Self> {
        let (header, compiled) = (&event.header, compiled(schema)?);
        let (payload, key_id) = (&event.payload, &header.key_id);
        Ok(Subject {
            owner: registry.owner_at(key_id, header.registry_version).unwrap_or_default(),
            version: header.registry_version,
            is_new: false,
            ..Subject::new(registry, schema, compiled, payload, key_id, &header.domain, &header.stream)
        })
    }

    /// The end of step 5: the rules that are SQL functions.
    pub fn check_functions(&self) -> Result<()> {
        let functions = self.schema.rule_functions_at(self.version);
        rule_function::check(functions, self.payload.canonical(), || self.event_json())
            .map_err(|error| error.with_detail_member("schema_version", self.schema.name.as_str().into()))
    }

    /// Step 5, all that can be judged anywhere: the JSON Schema, then the rules that mention
    /// neither `state` nor `event.sequence`. Calls nothing of Postgres.
    pub fn check_offline(&self) -> Result<()> {
        let violations = self.compiled.validator.validate(self.payload.value());
        if !violations.is_empty() {
            return Err(violated(&self.schema.name, &violations_json(&violations), violations.len()));
        }
        if !self.compiled.rules.is_empty() {
            let refusal = self.compiled.rules.check_without_head(&self.scope(0, &Json::Null));
            refusal.map_err(|refusal| self.refused(&refusal))?;
        }
        Ok(())
    }

    /// Whether there are rules that only step 7 can judge: they mention `state` or
    /// `event.sequence`.
    pub fn needs_head(&self) -> bool {
        self.compiled.rules.needs_head()
    }

    /// Step 7, the rules: on the state before this event, which is to be
    /// `sequence` of its stream.
    pub fn check_with_head(&self, sequence: u64, state: &Json) -> Result<()> {
        let refusal = self.compiled.rules.check_with_head(&self.scope(sequence, state));
        refusal.map_err(|refusal| self.refused(&refusal))
    }

    /// Step 7, the reducer: the state after this event.
    pub fn next_state(&self, sequence: u64, state: &Json) -> Result<Json> {
        let limits = if self.is_new { gucs::payload_limits() } else { Limits::CEILING };
        let next = self.compiled.reducer.next_state(&self.scope(sequence, state), &limits);
        Ok(next
            .map_err(|error| {
                Error::new(sqlstate::REDUCER, format!("the state after this event is refused: {error}"))
                    .detail(error.detail())
                    .hint(error.hint())
            })?
            .into_value())
    }

    fn scope<'s>(&'s self, sequence: u64, state: &'s Json) -> Scope<'s> {
        Scope {
            payload: self.payload.value(),
            event: EventScope {
                schema_version: self.schema.name.as_str(),
                key_id: &self.key_id,
                owner: self.owner,
                domain: self.domain.as_str(),
                stream: self.stream.as_str(),
                sequence,
            },
            state,
        }
    }

    /// What an SQL function sees of the event. Its sequence is not known yet.
    fn event_json(&self) -> Json {
        json!({
            "schema_version": self.schema.name.as_str(),
            "key_id": self.key_id,
            "owner": self.owner,
            "domain": self.domain.as_str(),
            "stream": self.stream.as_str(),
        })
    }

    fn refused(&self, refusal: &RuleRefusal) -> Error {
        let code = match refusal {
            RuleRefusal::Violated(_) => sqlstate::RULE,
            RuleRefusal::Failed { .. } => sqlstate::REDUCER,
        };
        Error::new(code, refusal.to_string())
            .detail(refusal.detail())
            .with_detail_member("schema_version", self.schema.name.as_str().into())
            .hint(refusal.hint())
    }
}

fn violated(name: &SchemaVersion, violations: &Json, count: usize) -> Error {
    Error::new(sqlstate::VIOLATION, format!("the payload violates schema {name} in {count} places"))
        .detail(json!({"schema_version": name.as_str(), "violations": violations}))
        .hint("each violation names the place in the payload and the keyword of the schema")
}

/// The state of a stream whose head is locked: the kept one; replayed from the
/// stream's events where none is kept yet, because nothing asked for it when they
/// were appended.
pub fn state_before(
    registry: &Registry,
    domain: &DomainName,
    stream: &StreamName,
    head: &Head,
) -> Result<Json> {
    if let Some(state) = &head.state {
        return Ok(state.clone());
    }
    if head.sequence == 0 {
        return Ok(Json::Null);
    }
    let mut replay = StreamReplay::new(registry).trusting_signatures();
    let mut findings = Vec::new();
    db::scan(
        View::Latest,
        crate::select_events!(
            "WHERE event.domain OPERATOR(pg_catalog.=) $1 AND event.stream OPERATOR(pg_catalog.=) $2
             ORDER BY event.sequence USING OPERATOR(pg_catalog.<)"
        ),
        &[domain.as_str().into(), stream.as_str().into()],
        BATCH,
        |row| {
            replay.push(&rows::event(row)?, &mut findings);
            Ok(())
        },
    )?;
    let reached = replay.sequence() == head.sequence;
    replay.take_state().filter(|_| reached).ok_or_else(|| {
        Error::new(sqlstate::HASH, format!("the state of stream {stream:?} cannot be replayed"))
            .detail(json!({
                "domain": domain.as_str(), "stream": stream.as_str(),
                "finding": findings.first().map(ToString::to_string),
            }))
            .hint("SELECT * FROM ets.verify_chain(…) says what is wrong with the stream")
    })
}

/// How many events a replay fetches at once.
const BATCH: std::ffi::c_long = 256;
