//! What operators do. Arithmetic has no mixed types, and no result that its
//! type does not hold: an `int` does not wrap, a `double` is finite.

use std::rc::Rc;

use super::budget::{Budget, ITEM_BYTES};
use super::comparison::{compare, equal};
use super::error::EvaluationError;
use super::tree::Operator;
use super::value::{List, Text, Val};

/// What an evaluation comes to.
pub(super) type Outcome<'a> = Result<Val<'a>, EvaluationError>;

/// The value of `left operator right`.
pub(super) fn apply<'a>(
    operator: Operator,
    left: &Val<'a>,
    right: &Val<'a>,
    budget: &mut Budget,
) -> Outcome<'a> {
    budget.step()?;
    match operator {
        Operator::Equal => Ok(Val::Bool(equal(left, right, budget)?)),
        Operator::Unequal => Ok(Val::Bool(!equal(left, right, budget)?)),
        Operator::In => contains(left, right, budget).map(Val::Bool),
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
            let order =
                compare(left, right, budget)?.ok_or_else(|| mismatch(operator.symbol(), left, right))?;
            Ok(Val::Bool(match operator {
                Operator::Less => order.is_lt(),
                Operator::LessOrEqual => order.is_le(),
                Operator::Greater => order.is_gt(),
                _ => order.is_ge(),
            }))
        }
        Operator::Add | Operator::Subtract | Operator::Multiply | Operator::Divide | Operator::Remainder => {
            match (left, right) {
                (Val::Int(left), Val::Int(right)) => of_ints(operator, *left, *right).map(Val::Int),
                (Val::Double(left), Val::Double(right)) if operator != Operator::Remainder => {
                    of_doubles(operator, *left, *right).map(Val::Double)
                }
                (Val::Text(left), Val::Text(right)) if operator == Operator::Add => {
                    concatenate(left, right, budget)
                }
                (Val::List(left), Val::List(right)) if operator == Operator::Add => join(left, right, budget),
                _ => Err(mismatch(operator.symbol(), left, right)),
            }
        }
    }
}

fn of_ints(operator: Operator, left: i64, right: i64) -> Result<i64, EvaluationError> {
    if matches!(operator, Operator::Divide | Operator::Remainder) && right == 0 {
        return Err(EvaluationError::DivideByZero);
    }
    match operator {
        Operator::Add => left.checked_add(right),
        Operator::Subtract => left.checked_sub(right),
        Operator::Multiply => left.checked_mul(right),
        Operator::Divide => left.checked_div(right),
        _ => left.checked_rem(right),
    }
    .ok_or(EvaluationError::Overflow { operation: operator.symbol() })
}

fn of_doubles(operator: Operator, left: f64, right: f64) -> Result<f64, EvaluationError> {
    if operator == Operator::Divide && right == 0.0 {
        return Err(EvaluationError::DivideByZero);
    }
    let result = match operator {
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        _ => left / right,
    };
    if result.is_finite() {
        Ok(result)
    } else {
        Err(EvaluationError::Overflow { operation: operator.symbol() })
    }
}

/// `-operand`
pub(super) fn negate<'a>(operand: &Val<'a>, budget: &mut Budget) -> Outcome<'a> {
    budget.step()?;
    match operand {
        Val::Int(value) => {
            value.checked_neg().map(Val::Int).ok_or(EvaluationError::Overflow { operation: "-" })
        }
        Val::Double(value) => Ok(Val::Double(-value)),
        other => Err(undefined("-", other)),
    }
}

fn concatenate<'a>(left: &Text<'a>, right: &Text<'a>, budget: &mut Budget) -> Outcome<'a> {
    let length = left.len().saturating_add(right.len());
    budget.read(length)?;
    budget.allocate(length)?;
    let mut text = String::with_capacity(length);
    text.push_str(left);
    text.push_str(right);
    Ok(Val::Text(Text::Built(text.into())))
}

fn join<'a>(left: &List<'a>, right: &List<'a>, budget: &mut Budget) -> Outcome<'a> {
    let length = left.len().saturating_add(right.len());
    budget.steps(length)?;
    budget.allocate(length.saturating_mul(ITEM_BYTES))?;
    let items: Vec<Val<'a>> = left.iter().chain(right.iter()).collect();
    Ok(Val::List(List::Built(Rc::from(items))))
}

/// `left in right`
fn contains(left: &Val<'_>, right: &Val<'_>, budget: &mut Budget) -> Result<bool, EvaluationError> {
    match right {
        Val::List(items) => {
            for item in items.iter() {
                budget.step()?;
                if equal(left, &item, budget)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Val::Map(entries) => {
            if let Val::Text(key) = left {
                budget.read(key.len())?;
            }
            match entries.get(left) {
                Ok(found) => Ok(found.is_some()),
                Err(_) => Err(mismatch("in", left, right)),
            }
        }
        _ => Err(mismatch("in", left, right)),
    }
}

/// The error that an operation is not defined for these two.
pub(super) fn mismatch(operation: &'static str, left: &Val<'_>, right: &Val<'_>) -> EvaluationError {
    EvaluationError::TypeMismatch { operation, left: left.type_of(), right: Some(right.type_of()) }
}

/// The error that an operation is not defined for this one.
pub(super) fn undefined(operation: &'static str, operand: &Val<'_>) -> EvaluationError {
    EvaluationError::TypeMismatch { operation, left: operand.type_of(), right: None }
}
