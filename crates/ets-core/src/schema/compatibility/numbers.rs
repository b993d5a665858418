//! Bounds and multiples of numbers.

use serde_json::Value;

use super::checker::Checker;
use super::document::Node;
use super::failure::Check;
use super::number::{self, Bound, Exact};
use super::shape::{Shape, Types};

impl<'s> Checker<'s> {
    pub(super) fn satisfies_number(
        &mut self,
        shape: &Shape<'s>,
        target: Node<'s>,
        keyword: &'s str,
        value: &'s Value,
    ) -> Check {
        let Value::Number(limit) = value else {
            return self.fail_without_witness(target, keyword, || "the limit is not understood".to_owned());
        };
        let bound = Bound { value: Exact::of(limit), is_exclusive: keyword.starts_with("exclusive") };
        let is_satisfied = match keyword {
            "multipleOf" => {
                let is_any_integer = Exact::of(limit).integer() == Some(1);
                (is_any_integer && !shape.types.has(Types::FRACTION))
                    || shape.multiples.iter().any(|multiple| number::is_multiple(multiple, limit))
            }
            "minimum" | "exclusiveMinimum" => shape.lower.is_some_and(|lower| {
                (!shape.types.has(Types::FRACTION) || lower.implies_lower(bound))
                    && lower.up_to_integer().implies_lower(bound.up_to_integer())
            }),
            _ => shape.upper.is_some_and(|upper| {
                (!shape.types.has(Types::FRACTION) || upper.implies_upper(bound))
                    && upper.down_to_integer().implies_upper(bound.down_to_integer())
            }),
        };
        if is_satisfied {
            return Ok(());
        }
        self.fail(shape, target, keyword, || match keyword {
            "multipleOf" => format!("numbers were allowed that are not multiples of {limit}"),
            "minimum" => format!("numbers below {limit} were allowed"),
            "exclusiveMinimum" => format!("numbers were allowed that are not above {limit}"),
            "maximum" => format!("numbers above {limit} were allowed"),
            _ => format!("numbers were allowed that are not below {limit}"),
        })
    }
}
