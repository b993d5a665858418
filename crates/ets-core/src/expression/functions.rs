//! The functions of the language.

use std::rc::Rc;

use super::budget::Budget;
use super::error::EvaluationError;
use super::operators::{Outcome, mismatch, undefined};
use super::pattern::Pattern;
use super::tree::{Find, Function};
use super::value::{Text, Type, Val, integral};

/// The value of a function of one argument.
pub(super) fn apply<'a>(function: Function, argument: Val<'a>, budget: &mut Budget) -> Outcome<'a> {
    match function {
        Function::Size => size(&argument, budget),
        Function::Int => int(&argument, budget),
        Function::Double => double(&argument, budget),
        Function::String => string(argument, budget),
        Function::Type => Ok(Val::Type(argument.type_of())),
        Function::Dyn => Ok(argument),
    }
}

/// Code points of a string, items of a list, entries of a map.
fn size<'a>(argument: &Val<'a>, budget: &mut Budget) -> Outcome<'a> {
    let size = match argument {
        Val::Text(text) => {
            budget.read(text.len())?;
            text.chars().count()
        }
        Val::List(items) => items.len(),
        Val::Map(entries) => entries.len(),
        other => return Err(undefined("size", other)),
    };
    i64::try_from(size).map(Val::Int).map_err(|_| EvaluationError::Overflow { operation: "size" })
}

/// A `double` is cut off towards zero; a string is decimal digits, a sign before them.
fn int<'a>(argument: &Val<'a>, budget: &mut Budget) -> Outcome<'a> {
    match argument {
        Val::Int(value) => Ok(Val::Int(*value)),
        Val::Double(value) => {
            integral(value.trunc()).map(Val::Int).ok_or(EvaluationError::Overflow { operation: "int" })
        }
        Val::Text(text) => {
            budget.read(text.len())?;
            text.parse().map(Val::Int).map_err(|_| EvaluationError::Conversion { to: Type::Int })
        }
        other => Err(undefined("int", other)),
    }
}

/// An `int` becomes the nearest double, ties to even; so does a string of
/// decimal digits with sign, fraction and exponent.
fn double<'a>(argument: &Val<'a>, budget: &mut Budget) -> Outcome<'a> {
    match argument {
        Val::Double(value) => Ok(Val::Double(*value)),
        Val::Int(value) => Ok(Val::Double(*value as f64)),
        Val::Text(text) => {
            budget.read(text.len())?;
            // The parser would also take words such as `inf`.
            let is_decimal = |byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
            let number = Some(&**text)
                .filter(|text| text.bytes().all(is_decimal))
                .and_then(|text| text.parse::<f64>().ok())
                .ok_or(EvaluationError::Conversion { to: Type::Double })?;
            if number.is_finite() {
                Ok(Val::Double(number))
            } else {
                Err(EvaluationError::Overflow { operation: "double" })
            }
        }
        other => Err(undefined("double", other)),
    }
}

/// A `double` is written as ECMAScript and RFC 8785 do.
fn string<'a>(argument: Val<'a>, budget: &mut Budget) -> Outcome<'a> {
    let written: Rc<str> = match argument {
        Val::Text(text) => return Ok(Val::Text(text)),
        Val::Bool(true) => return Ok(Val::text("true")),
        Val::Bool(false) => return Ok(Val::text("false")),
        Val::Int(value) => Rc::from(value.to_string()),
        Val::Double(value) => Rc::from(ryu_js::Buffer::new().format(value)),
        other => return Err(undefined("string", &other)),
    };
    budget.allocate(written.len())?;
    Ok(Val::Text(Text::Built(written)))
}

/// Whether one string is found in another, and where it must be.
pub(super) fn find<'a>(find: Find, text: &Val<'a>, part: &Val<'a>, budget: &mut Budget) -> Outcome<'a> {
    let operation = match find {
        Find::Contains => "contains",
        Find::StartsWith => "startsWith",
        Find::EndsWith => "endsWith",
    };
    let (Val::Text(text), Val::Text(part)) = (text, part) else {
        return Err(mismatch(operation, text, part));
    };
    let is_found = match find {
        Find::Contains => {
            budget.read(text.len())?;
            budget.read(part.len())?;
            text.contains(&**part)
        }
        Find::StartsWith => {
            budget.read(part.len())?;
            text.starts_with(&**part)
        }
        Find::EndsWith => {
            budget.read(part.len())?;
            text.ends_with(&**part)
        }
    };
    Ok(Val::Bool(is_found))
}

/// Whether a pattern matches somewhere in a string.
pub(super) fn matches<'a>(pattern: &Pattern, text: &Val<'a>, budget: &mut Budget) -> Outcome<'a> {
    match text {
        Val::Text(text) => {
            budget.steps(pattern.steps(text.len()))?;
            Ok(Val::Bool(pattern.is_match(text)))
        }
        other => Err(undefined("matches", other)),
    }
}
