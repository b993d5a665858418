//! Whether a new version of a schema accepts whatever its predecessor accepted.

use std::borrow::Cow;

use serde_json::Value;

use crate::registry::RegistryError;
use crate::registry::compiled::{BodyError, is_known_engine};
use crate::registry::record::SchemaRecord;
use crate::schema::compatibility::{Compatibility, compatibility};

/// Refuses `new` unless it accepts every payload that `old`, the version of its
/// name before it, accepted.
///
/// Where both have the same `schema_pointer`, every payload names its own version
/// there, so that the two differ in what they demand of that one string.
pub(super) fn check(old: &SchemaRecord, new: &SchemaRecord) -> Result<(), RegistryError> {
    if !is_known_engine(&old.engine) {
        let (name, engine) = (old.name.clone(), old.engine.clone());
        return Err(RegistryError::UnknownEngine { name, engine });
    }
    let is_named = old.schema_pointer.is_some() && old.schema_pointer == new.schema_pointer;
    let judged = if is_named {
        compatibility(&without_own_name(old), &without_own_name(new))
    } else {
        compatibility(&old.schema, &new.schema)
    };
    match judged {
        Ok(Compatibility::Compatible) => Ok(()),
        Ok(compatibility) => Err(RegistryError::IncompatibleSchema {
            name: new.name.clone(),
            predecessor: old.name.clone(),
            compatibility,
        }),
        // The new one compiles: that has been seen.
        Err(error) => Err(RegistryError::MalformedSchema {
            name: old.name.clone(),
            errors: vec![BodyError::Schema(error)],
        }),
    }
}

/// The JSON Schema, with its own version's name, where it demands that of the
/// string at its `schema_pointer`, replaced by what all versions have in common.
fn without_own_name(record: &SchemaRecord) -> Cow<'_, Value> {
    let Some(pointer) = &record.schema_pointer else { return Cow::Borrowed(&record.schema) };
    // A step into the payload is two into the schema.
    let place = pointer.replace('/', "/properties/");
    let own = Value::from(record.name.as_str());
    let demands = |keyword: &str, demanded: &Value| {
        record.schema.pointer(&format!("{place}/{keyword}")).is_some_and(|found| found == demanded)
    };
    let common = Value::from(record.name.name());
    let (keyword, common) = if demands("const", &own) {
        ("const", common)
    } else if demands("enum", &Value::Array(vec![own])) {
        ("enum", Value::Array(vec![common]))
    } else {
        return Cow::Borrowed(&record.schema);
    };
    let mut schema = Value::clone(&record.schema);
    if let Some(found) = schema.pointer_mut(&format!("{place}/{keyword}")) {
        *found = common;
    }
    Cow::Owned(schema)
}
