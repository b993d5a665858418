//! Equality and order. Values of different types are unequal and have no order;
//! numbers are compared by their exact values, whatever their types.

use std::cmp::Ordering;

use super::budget::Budget;
use super::error::EvaluationError;
use super::value::{List, MAX_VALUE_DEPTH, Map, Val, integral};

/// Whether two values are equal. Every pair of values that is looked at is
/// charged.
pub(super) fn equal(left: &Val<'_>, right: &Val<'_>, budget: &mut Budget) -> Result<bool, EvaluationError> {
    equal_within(left, right, budget, MAX_VALUE_DEPTH)
}

fn equal_within(
    left: &Val<'_>,
    right: &Val<'_>,
    budget: &mut Budget,
    depth_left: usize,
) -> Result<bool, EvaluationError> {
    Ok(match (left, right) {
        (Val::Null, Val::Null) => true,
        (Val::Bool(left), Val::Bool(right)) => left == right,
        (Val::Type(left), Val::Type(right)) => left == right,
        (Val::Text(left), Val::Text(right)) => {
            if left.len() != right.len() {
                return Ok(false);
            }
            budget.read(left.len())?;
            **left == **right
        }
        (Val::List(left), Val::List(right)) => {
            let inner = depth_left.checked_sub(1).ok_or(EvaluationError::TooDeep)?;
            equal_lists(left, right, budget, inner)?
        }
        (Val::Map(left), Val::Map(right)) => {
            let inner = depth_left.checked_sub(1).ok_or(EvaluationError::TooDeep)?;
            equal_maps(left, right, budget, inner)?
        }
        _ => compare_numbers(left, right) == Some(Ordering::Equal),
    })
}

fn equal_lists(
    left: &List<'_>,
    right: &List<'_>,
    budget: &mut Budget,
    depth_left: usize,
) -> Result<bool, EvaluationError> {
    if left.len() != right.len() {
        return Ok(false);
    }
    for (left, right) in left.iter().zip(right.iter()) {
        budget.step()?;
        if !equal_within(&left, &right, budget, depth_left)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn equal_maps(
    left: &Map<'_>,
    right: &Map<'_>,
    budget: &mut Budget,
    depth_left: usize,
) -> Result<bool, EvaluationError> {
    if left.len() != right.len() {
        return Ok(false);
    }
    for (key, value) in left.entries(budget)? {
        budget.step()?;
        if let Val::Text(key) = &key {
            budget.read(key.len())?;
        }
        let is_same = match right.get(&key) {
            Ok(Some(other)) => equal_within(&value, &other, budget, depth_left)?,
            _ => false,
        };
        if !is_same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The order of two values that have one.
pub(super) fn compare(
    left: &Val<'_>,
    right: &Val<'_>,
    budget: &mut Budget,
) -> Result<Option<Ordering>, EvaluationError> {
    Ok(match (left, right) {
        (Val::Bool(left), Val::Bool(right)) => Some(left.cmp(right)),
        (Val::Text(left), Val::Text(right)) => {
            budget.read(left.len().min(right.len()))?;
            // The order of UTF-8 bytes is that of code points.
            Some(str::cmp(left, right))
        }
        _ => compare_numbers(left, right),
    })
}

fn compare_numbers(left: &Val<'_>, right: &Val<'_>) -> Option<Ordering> {
    match (left, right) {
        (Val::Int(left), Val::Int(right)) => Some(left.cmp(right)),
        (Val::Double(left), Val::Double(right)) => left.partial_cmp(right),
        (Val::Int(left), Val::Double(right)) => compare_mixed(*left, *right),
        (Val::Double(left), Val::Int(right)) => compare_mixed(*right, *left).map(Ordering::reverse),
        _ => None,
    }
}

/// Neither type holds all values of the other, so neither is converted.
fn compare_mixed(int: i64, double: f64) -> Option<Ordering> {
    match integral(double.trunc()) {
        // What was cut off lies between 0 and the double.
        Some(whole) => Some(int.cmp(&whole).then(double.trunc().partial_cmp(&double)?)),
        None => 0.0.partial_cmp(&double),
    }
}
