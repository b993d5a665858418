//! The JSON of a value.

use serde_json::{Map as JsonMap, Number, Value};

use super::budget::{Budget, ENTRY_BYTES, ITEM_BYTES, MAP_BYTES};
use super::error::EvaluationError;
use super::value::{MAX_VALUE_DEPTH, Type, Val};

/// The value as JSON, which is charged like the building of it.
///
/// # Errors
/// [`EvaluationError::NotJson`] of a type, and of a map with a key that is no
/// string.
pub(super) fn to_json(value: &Val<'_>, budget: &mut Budget) -> Result<Value, EvaluationError> {
    to_json_within(value, budget, MAX_VALUE_DEPTH)
}

fn to_json_within(value: &Val<'_>, budget: &mut Budget, depth_left: usize) -> Result<Value, EvaluationError> {
    budget.step()?;
    Ok(match value {
        Val::Null => Value::Null,
        Val::Bool(value) => Value::Bool(*value),
        Val::Int(value) => Value::Number(Number::from(*value)),
        Val::Double(value) => {
            Value::Number(Number::from_f64(*value).ok_or(EvaluationError::NotJson { found: Type::Double })?)
        }
        Val::Text(text) => Value::String(copied(text, budget)?),
        Val::List(items) => {
            let inner = depth_left.checked_sub(1).ok_or(EvaluationError::TooDeep)?;
            budget.allocate(items.len().saturating_mul(ITEM_BYTES))?;
            Value::Array(
                items.iter().map(|item| to_json_within(&item, budget, inner)).collect::<Result<_, _>>()?,
            )
        }
        Val::Map(map) => {
            let inner = depth_left.checked_sub(1).ok_or(EvaluationError::TooDeep)?;
            budget.allocate(MAP_BYTES)?;
            let mut members = JsonMap::new();
            for (key, value) in map.entries(budget)? {
                let Val::Text(key) = key else {
                    return Err(EvaluationError::NotJson { found: Type::Map });
                };
                budget.allocate(ENTRY_BYTES)?;
                members.insert(copied(&key, budget)?, to_json_within(&value, budget, inner)?);
            }
            Value::Object(members)
        }
        Val::Type(_) => return Err(EvaluationError::NotJson { found: Type::Type }),
    })
}

fn copied(text: &str, budget: &mut Budget) -> Result<String, EvaluationError> {
    budget.read(text.len())?;
    budget.allocate(text.len())?;
    Ok(text.to_owned())
}
