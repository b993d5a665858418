//! JSON numbers, compared exactly.

use std::cmp::Ordering;

use serde_json::{Number, Value};

/// Beyond this, doubles are compared as doubles; all of them are integers.
const HUGE: f64 = 1e30;
/// Integers up to this are doubles: 2^53.
pub(super) const MAX_SAFE: i128 = 1 << 53;

/// The value of a JSON number.
#[derive(Debug, Clone, Copy)]
pub(super) enum Exact {
    Integer(i128),
    /// A fraction, or an integer beyond [`HUGE`].
    Double(f64),
}

impl Exact {
    pub fn of(number: &Number) -> Self {
        if let Some(integer) = number.as_i64() {
            return Exact::Integer(integer.into());
        }
        if let Some(integer) = number.as_u64() {
            return Exact::Integer(integer.into());
        }
        // Without arbitrary_precision every other number is a finite double.
        let double = number.as_f64().unwrap_or(f64::NAN);
        if double.fract() == 0.0 && double.abs() < HUGE {
            #[allow(clippy::cast_possible_truncation)] // an integer below 2^127
            return Exact::Integer(double as i128);
        }
        Exact::Double(double)
    }

    pub fn is_integer(self) -> bool {
        match self {
            Exact::Integer(_) => true,
            Exact::Double(double) => double.fract() == 0.0,
        }
    }

    pub fn integer(self) -> Option<i128> {
        match self {
            Exact::Integer(integer) => Some(integer),
            Exact::Double(_) => None,
        }
    }

    pub fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Exact::Integer(one), Exact::Integer(two)) => one.cmp(&two),
            (Exact::Double(one), Exact::Double(two)) => one.total_cmp(&two),
            (Exact::Integer(one), Exact::Double(two)) => compare_mixed(one, two),
            (Exact::Double(one), Exact::Integer(two)) => compare_mixed(two, one).reverse(),
        }
    }

    /// As a JSON number, where it is one.
    pub fn to_value(self) -> Option<Value> {
        match self {
            Exact::Integer(integer) => i64::try_from(integer)
                .map(Value::from)
                .or_else(|_| u64::try_from(integer).map(Value::from))
                .ok(),
            Exact::Double(double) => Number::from_f64(double).map(Value::Number),
        }
    }
}

fn compare_mixed(integer: i128, double: f64) -> Ordering {
    if double.abs() >= HUGE {
        return if double > 0.0 { Ordering::Less } else { Ordering::Greater };
    }
    // A fraction: it lies above its floor and below the next integer.
    #[allow(clippy::cast_possible_truncation)] // below 2^127
    let floor = double.floor() as i128;
    if integer <= floor { Ordering::Less } else { Ordering::Greater }
}

/// One end of a range of numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    pub value: Exact,
    pub is_exclusive: bool,
}

impl Bound {
    /// The lower bound of the integers that satisfy this lower bound.
    pub fn up_to_integer(self) -> Self {
        let least = match self.value {
            Exact::Integer(integer) => integer.saturating_add(i128::from(self.is_exclusive)),
            Exact::Double(double) if double.abs() < HUGE => {
                #[allow(clippy::cast_possible_truncation)] // below 2^127
                let least = double.ceil() as i128;
                least
            }
            Exact::Double(_) => return self,
        };
        Bound { value: Exact::Integer(least), is_exclusive: false }
    }

    /// The upper bound of the integers that satisfy this upper bound.
    pub fn down_to_integer(self) -> Self {
        let greatest = match self.value {
            Exact::Integer(integer) => integer.saturating_sub(i128::from(self.is_exclusive)),
            Exact::Double(double) if double.abs() < HUGE => {
                #[allow(clippy::cast_possible_truncation)] // below 2^127
                let greatest = double.floor() as i128;
                greatest
            }
            Exact::Double(_) => return self,
        };
        Bound { value: Exact::Integer(greatest), is_exclusive: false }
    }

    /// Whether every number at or above this bound is at or above `other`.
    pub fn implies_lower(self, other: Bound) -> bool {
        match self.value.compare(other.value) {
            Ordering::Greater => true,
            Ordering::Equal => self.is_exclusive || !other.is_exclusive,
            Ordering::Less => false,
        }
    }

    /// Whether every number at or below this bound is at or below `other`.
    pub fn implies_upper(self, other: Bound) -> bool {
        match self.value.compare(other.value) {
            Ordering::Less => true,
            Ordering::Equal => self.is_exclusive || !other.is_exclusive,
            Ordering::Greater => false,
        }
    }
}

/// The bounds that a schema's keywords name, each with its keyword.
pub(super) fn lower_bounds(schema: &Value) -> impl Iterator<Item = (&'static str, Bound)> {
    bounds(schema, [("minimum", false), ("exclusiveMinimum", true)])
}

pub(super) fn upper_bounds(schema: &Value) -> impl Iterator<Item = (&'static str, Bound)> {
    bounds(schema, [("maximum", false), ("exclusiveMaximum", true)])
}

fn bounds(
    schema: &Value,
    keywords: [(&'static str, bool); 2],
) -> impl Iterator<Item = (&'static str, Bound)> {
    keywords.into_iter().filter_map(move |(keyword, is_exclusive)| {
        let Some(Value::Number(number)) = schema.get(keyword) else { return None };
        Some((keyword, Bound { value: Exact::of(number), is_exclusive }))
    })
}

/// Whether every multiple of `one` is a multiple of `other`, also for the
/// evaluator, which divides integers exactly and fractions nearly so.
pub(super) fn is_multiple(one: &Number, other: &Number) -> bool {
    let (one, other) = (Exact::of(one), Exact::of(other));
    if one.compare(other) == Ordering::Equal {
        return true;
    }
    match (one.integer(), other.integer()) {
        (Some(one), Some(other)) => {
            (1..=MAX_SAFE).contains(&one) && (1..=MAX_SAFE).contains(&other) && one % other == 0
        }
        _ => false,
    }
}

/// Equality of JSON values as `enum` and `const` mean it: 1 is 1.0.
pub(super) fn equal_values(one: &Value, two: &Value) -> bool {
    match (one, two) {
        (Value::Number(one), Value::Number(two)) => Exact::of(one).compare(Exact::of(two)) == Ordering::Equal,
        (Value::Array(one), Value::Array(two)) => {
            one.len() == two.len() && one.iter().zip(two).all(|(one, two)| equal_values(one, two))
        }
        (Value::Object(one), Value::Object(two)) => {
            one.len() == two.len()
                && one.iter().all(|(name, one)| two.get(name).is_some_and(|two| equal_values(one, two)))
        }
        _ => one == two,
    }
}

/// A count such as `minLength`: JSON Schema lets it be written as 2.0.
pub(super) fn count(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => Exact::of(number).integer().and_then(|count| u64::try_from(count).ok()),
        _ => None,
    }
}
