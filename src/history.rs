//! The registered history against a new version of a schema.
//!
//! A version that passes the structural check accepts all that its predecessor
//! accepted. That its history passes too is checked on the events themselves:
//! before the registry's head is locked, so that nothing waits, and cancellable.
//! What is appended meanwhile is under the structural check alone.

use std::borrow::Cow;

use ets_core::event::Event;
use ets_core::name::SchemaVersion;
use ets_core::registry::Registry;
use ets_core::schema::{Validator, violations_json};
use serde_json::{Value as Json, json};

use crate::db::{self, View};
use crate::error::{Error, Result, sqlstate};
use crate::rows;

/// What registers a schema.
pub const REGISTRATION: &str = "ets.schema/1.0.0";

/// Refuses (ET006) a registration of a schema, by its registry payload, if an
/// event of an earlier version of its name violates it. What is wrong with the
/// registration otherwise is left to the registry.
pub fn check(registry: &Registry, registration: &Json) -> Result<()> {
    let member = |name: &str| registration.get(name);
    let Some(name) =
        member("name").and_then(Json::as_str).and_then(|name| name.parse::<SchemaVersion>().ok())
    else {
        return Ok(());
    };
    let (Some(predecessor), Some(Ok(validator))) =
        (registry.newest_of(name.name()), member("schema").map(Validator::compile))
    else {
        return Ok(());
    };
    let pointer = member("schema_pointer").and_then(Json::as_str);
    db::scan(
        View::Latest,
        crate::select_events!(
            "WHERE event.domain OPERATOR(pg_catalog.=) $1
               AND pg_catalog.starts_with(event.schema_version, $2)"
        ),
        &[predecessor.domain.as_str().into(), format!("{}/", name.name()).into()],
        BATCH,
        |row| {
            let event = rows::event(row)?;
            let old = registry.schema(&event.header.schema_version);
            let payload =
                under_its_name(&event, &name, old.and_then(|old| old.schema_pointer.as_deref()), pointer);
            let violations = validator.validate(&payload);
            if violations.is_empty() {
                return Ok(());
            }
            let header = &event.header;
            Err(Error::new(
                sqlstate::SCHEMA,
                format!("schema {name} is refused: event {} violates it", header.event_id),
            )
            .detail(json!({
                "schema_version": name.as_str(),
                "reason": "history",
                "event_id": header.event_id.to_string(),
                "appended_under": header.schema_version.as_str(),
                "violations": violations_json(&violations),
            }))
            .hint("a new version accepts whatever earlier versions of its name accepted; else choose another name"))
        },
    )
}

/// The payload as the new version has it. Where both versions have the same
/// `schema_pointer`, each payload names its own version there.
fn under_its_name<'a>(
    event: &'a Event,
    name: &SchemaVersion,
    old_pointer: Option<&str>,
    new_pointer: Option<&str>,
) -> Cow<'a, Json> {
    let payload = event.payload.value();
    match new_pointer.filter(|pointer| old_pointer == Some(pointer)) {
        None => Cow::Borrowed(payload),
        Some(pointer) => {
            let mut payload = payload.clone();
            if let Some(own) = payload.pointer_mut(pointer) {
                *own = name.as_str().into();
            }
            Cow::Owned(payload)
        }
    }
}

/// How many events are fetched at once.
const BATCH: std::ffi::c_long = 256;
