//! What a schema may cost.

use serde_json::Value;

use super::{Dialect, SchemaError};
use crate::canonical;

/// The longest schema, in bytes of its JCS text.
pub const MAX_SCHEMA_BYTES: usize = 64 << 10;

/// Refuses a schema that is too large.
pub(super) fn check(schema: &Value, _: Dialect) -> Result<(), SchemaError> {
    if canonical::to_jcs(schema).len() > MAX_SCHEMA_BYTES {
        return Err(SchemaError::TooLarge { limit: MAX_SCHEMA_BYTES });
    }
    Ok(())
}
