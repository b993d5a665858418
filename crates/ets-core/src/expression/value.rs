//! Values while an expression is evaluated. JSON is borrowed and looked at only
//! where the expression looks.

use std::cmp::Ordering;
use std::fmt;
use std::rc::Rc;

use serde_json::{Map as JsonMap, Number, Value};

use super::budget::{Budget, ITEM_BYTES};
use super::error::EvaluationError;

/// The deepest value that is compared or returned; no payload is deeper, and
/// nothing that an expression builds from one.
pub const MAX_VALUE_DEPTH: usize = 256;
/// 2^53 - 1: a JSON number beyond it is a `double` even if it is integral.
const MAX_INTEGER: i64 = (1 << 53) - 1;

/// A type of the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// JSON null.
    Null,
    /// true or false.
    Bool,
    /// A signed integer of 64 bits.
    Int,
    /// A finite IEEE 754 double.
    Double,
    /// Unicode text.
    String,
    /// A JSON array.
    List,
    /// A JSON object, or a map with other keys.
    Map,
    /// The type of types.
    Type,
}

impl Type {
    const ALL: [Type; 8] =
        [Type::Null, Type::Bool, Type::Int, Type::Double, Type::String, Type::List, Type::Map, Type::Type];

    /// The type that an expression calls so.
    pub(super) fn named(name: &str) -> Option<Type> {
        Type::ALL.into_iter().find(|one| one.name() == name)
    }

    /// As an expression calls it.
    pub fn name(self) -> &'static str {
        match self {
            Type::Null => "null_type",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Double => "double",
            Type::String => "string",
            Type::List => "list",
            Type::Map => "map",
            Type::Type => "type",
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A value. Cloning is cheap: it shares what it holds.
#[derive(Debug, Clone)]
pub(super) enum Val<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// Always finite.
    Double(f64),
    Text(Text<'a>),
    List(List<'a>),
    Map(Map<'a>),
    Type(Type),
}

impl<'a> Val<'a> {
    /// A JSON value.
    pub(super) fn of(json: &'a Value) -> Self {
        match json {
            Value::Null => Val::Null,
            Value::Bool(value) => Val::Bool(*value),
            Value::Number(number) => Val::of_number(number),
            Value::String(text) => Val::text(text),
            Value::Array(items) => Val::List(List::Json(items)),
            Value::Object(members) => Val::Map(Map::Json(members)),
        }
    }

    /// An `int` if the number is integral and at most 2^53 - 1 in size, else a
    /// `double`.
    fn of_number(number: &Number) -> Self {
        let in_range = |integer: &i64| integer.unsigned_abs() <= MAX_INTEGER.unsigned_abs();
        if let Some(integer) = number.as_i64().filter(in_range) {
            return Val::Int(integer);
        }
        let double = number.as_f64().filter(|double| double.is_finite()).unwrap_or(0.0);
        if double.trunc() == double && double.abs() <= MAX_INTEGER as f64 {
            return Val::Int(double as i64);
        }
        Val::Double(double)
    }

    /// A place in a stream, under the same rule.
    pub(super) fn of_sequence(sequence: u64) -> Self {
        Val::of_number(&Number::from(sequence))
    }

    pub(super) fn text(text: &'a str) -> Self {
        Val::Text(Text::Borrowed(text))
    }

    pub(super) fn type_of(&self) -> Type {
        match self {
            Val::Null => Type::Null,
            Val::Bool(_) => Type::Bool,
            Val::Int(_) => Type::Int,
            Val::Double(_) => Type::Double,
            Val::Text(_) => Type::String,
            Val::List(_) => Type::List,
            Val::Map(_) => Type::Map,
            Val::Type(_) => Type::Type,
        }
    }
}

/// A string.
#[derive(Debug, Clone)]
pub(super) enum Text<'a> {
    Borrowed(&'a str),
    Built(Rc<str>),
}

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Text::Borrowed(text) => text,
            Text::Built(text) => text,
        }
    }
}

/// A list.
#[derive(Debug, Clone)]
pub(super) enum List<'a> {
    Json(&'a [Value]),
    Built(Rc<[Val<'a>]>),
}

impl<'a> List<'a> {
    pub(super) fn len(&self) -> usize {
        match self {
            List::Json(items) => items.len(),
            List::Built(items) => items.len(),
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<Val<'a>> {
        match self {
            List::Json(items) => items.get(index).map(Val::of),
            List::Built(items) => items.get(index).cloned(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Val<'a>> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

/// A key of a map that an expression builds. Numbers that are equal are one key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Bool(bool),
    Int(i64),
    Text(Rc<str>),
}

impl Key {
    pub(super) fn value<'a>(&self) -> Val<'a> {
        match self {
            Key::Bool(value) => Val::Bool(*value),
            Key::Int(value) => Val::Int(*value),
            Key::Text(text) => Val::Text(Text::Built(Rc::clone(text))),
        }
    }
}

/// A map.
#[derive(Debug, Clone)]
pub(super) enum Map<'a> {
    Json(&'a JsonMap<String, Value>),
    /// In ascending order of the keys.
    Built(Rc<[(Key, Val<'a>)]>),
}

impl<'a> Map<'a> {
    /// The map of these entries; `None` if a key is there twice.
    pub(super) fn of_entries(mut entries: Vec<(Key, Val<'a>)>) -> Option<Self> {
        entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let is_strict = entries.is_sorted_by(|(a, _), (b, _)| a < b);
        is_strict.then(|| Map::Built(Rc::from(entries)))
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Map::Json(members) => members.len(),
            Map::Built(entries) => entries.len(),
        }
    }

    /// The member of a name.
    pub(super) fn member(&self, name: &str) -> Option<Val<'a>> {
        match self {
            Map::Json(members) => members.get(name).map(Val::of),
            Map::Built(entries) => find(entries, |key| match key {
                Key::Text(key) => str::cmp(key, name),
                _ => Ordering::Less,
            }),
        }
    }

    /// The value of a key; `None` if there is none.
    ///
    /// # Errors
    /// The key's type, if it can be no key.
    pub(super) fn get(&self, key: &Val<'_>) -> Result<Option<Val<'a>>, Type> {
        let key = match key {
            Val::Text(name) => return Ok(self.member(name)),
            Val::Bool(value) => Key::Bool(*value),
            Val::Int(value) => Key::Int(*value),
            Val::Double(value) => match integral(*value) {
                Some(value) => Key::Int(value),
                None => return Ok(None),
            },
            other => return Err(other.type_of()),
        };
        Ok(match self {
            Map::Json(_) => None,
            Map::Built(entries) => find(entries, |other| other.cmp(&key)),
        })
    }

    /// Keys and values in ascending order of the keys: false, true, integers,
    /// strings by their UTF-8 bytes. Charges for the list of them.
    pub(super) fn entries(&self, budget: &mut Budget) -> Result<Vec<(Val<'a>, Val<'a>)>, EvaluationError> {
        budget.steps(self.len())?;
        budget.allocate(self.len().saturating_mul(2 * ITEM_BYTES))?;
        Ok(match self {
            Map::Json(members) => {
                let mut sorted: Vec<(&str, &Value)> =
                    members.iter().map(|(name, member)| (name.as_str(), member)).collect();
                // They are sorted already, unless a feature of the JSON library
                // keeps them in the order in which they were written.
                if !sorted.is_sorted_by_key(|(name, _)| *name) {
                    sorted.sort_unstable_by_key(|(name, _)| *name);
                }
                sorted.into_iter().map(|(name, member)| (Val::text(name), Val::of(member))).collect()
            }
            Map::Built(entries) => entries.iter().map(|(key, value)| (key.value(), value.clone())).collect(),
        })
    }
}

fn find<'a>(entries: &[(Key, Val<'a>)], order: impl Fn(&Key) -> Ordering) -> Option<Val<'a>> {
    let at = entries.binary_search_by(|(key, _)| order(key)).ok()?;
    entries.get(at).map(|(_, value)| value.clone())
}

/// The integer that a double equals.
pub(super) fn integral(double: f64) -> Option<i64> {
    // 2^63 is a double, 2^63 - 1 is none.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    (double.trunc() == double && (-BEYOND..BEYOND).contains(&double)).then_some(double as i64)
}
