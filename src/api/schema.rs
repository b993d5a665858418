//! JSON Schemas outside the ledger: judging a payload, and comparing two versions.

use std::cell::RefCell;
use std::rc::Rc;

use ets_core::canonical::{Limits, parse_json};
use ets_core::schema::compatibility::compatibility;
use ets_core::schema::{SchemaError, Validator};

use crate::api::canonical::payload_argument;
use crate::error::{Error, Result, sqlstate};
use crate::function::{Call, Rows};

crate::sql_functions! {
    ets_validate pg_finfo_ets_validate => validate;
    ets_schema_diff pg_finfo_ets_schema_diff => schema_diff;
}

fn validate(call: &Call) -> Result<Rows> {
    let validator = validator_of(call.required_jsonb(0, "schema")?)?;
    let payload = payload_argument(call, 1)?;
    let violations = validator.validate(payload.value());
    let mut rows = Rows::open(call)?;
    for violation in violations {
        rows.put(&[
            violation.instance_pointer.into(),
            violation.schema_pointer.into(),
            violation.keyword.into(),
            violation.message.into(),
        ])?;
    }
    Ok(rows)
}

fn schema_diff(call: &Call) -> Result<Rows> {
    let schema =
        |position, name| Ok::<_, Error>(parse_json(&call.required_jsonb(position, name)?, &Limits::CEILING)?);
    let (old, new) = (schema(0, "old")?, schema(1, "new")?);
    let found = compatibility(&old, &new).map_err(|error| refused(&error))?;
    let mut rows = Rows::open(call)?;
    for reason in found.reasons() {
        rows.put(&[
            reason.verdict.word().into(),
            reason.old_pointer.as_str().into(),
            reason.new_pointer.as_str().into(),
            reason.keyword.as_str().into(),
            reason.message.as_str().into(),
        ])?;
    }
    Ok(rows)
}

/// The compiled schema of `text`.
///
/// The last one is kept, since a query asks for many payloads under one schema.
/// Not more than one: whoever may call this could otherwise fill a backend's
/// memory with compiled patterns, and push the gate's own out of its cache.
fn validator_of(text: String) -> Result<Rc<Validator>> {
    LAST.with_borrow_mut(|last| {
        if let Some((known, validator)) = last
            && *known == text
        {
            return Ok(Rc::clone(validator));
        }
        let schema = parse_json(&text, &Limits::CEILING)?;
        let validator = Rc::new(Validator::compile(&schema).map_err(|error| refused(&error))?);
        *last = Some((text, Rc::clone(&validator)));
        Ok(validator)
    })
}

fn refused(error: &SchemaError) -> Error {
    Error::new(sqlstate::SCHEMA, format!("the schema is refused: {error}"))
        .detail(error.detail())
        .hint(error.hint())
}

thread_local! {
    static LAST: RefCell<Option<(String, Rc<Validator>)>> = const { RefCell::new(None) };
}
