//! Reading events and states.

use serde_json::json;

use crate::db::View;
use crate::error::{Error, Result, sqlstate};
use crate::events;
use crate::function::Call;
use crate::value::Value;

crate::sql_functions! {
    ets_event_document pg_finfo_ets_event_document => event_document;
}

/// The event is hashed and its signature verified as it is read: what leaves
/// here is what its actor signed, or nothing does.
fn event_document(call: &Call) -> Result<Value> {
    let id = call.required_event_id(0, "event_id")?;
    crate::ledger::id()?;
    let event = events::by_id(View::Query, id)?;
    if !event.payload.is_stored_form() || !event.check_hash() || !event.header.check_key_id() {
        return Err(Error::new(sqlstate::HASH, format!("event {id} does not hash to its current_hash"))
            .detail(json!({"event_id": id.to_string(), "computed": event.computed_hash().to_string()}))
            .hint("the row was changed past the gate; run ets.verify_ledger() to see what else was"));
    }
    if !event.header.check_signature() {
        return Err(Error::new(sqlstate::SIGNATURE, format!("the signature of event {id} does not hold"))
            .detail(json!({"event_id": id.to_string()}))
            .hint("the row was changed past the gate; run ets.verify_ledger() to see what else was"));
    }
    Ok(Value::Json(event.document()))
}
