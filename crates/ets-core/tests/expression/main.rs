//! The expression language: against the conformance tests of CEL, against
//! another implementation, and against whoever means harm.

mod conformance;
mod hostile;
mod language;
mod limits;
mod oracle;
mod refused;

use ets_core::expression::{EvaluationError, EventScope, Expression, Scope};
use serde_json::Value;

const EVENT: EventScope<'_> = EventScope {
    schema_version: "order.placed/1.2.0",
    key_id: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    owner: "agent-7",
    domain: "Orders",
    stream: "order-1",
    sequence: 3,
};

fn compiled(source: &str) -> Expression {
    match Expression::compile(source) {
        Ok(expression) => expression,
        Err(error) => panic!("{error}: {source}"),
    }
}

fn evaluate(source: &str, payload: &Value, state: &Value) -> Result<Value, EvaluationError> {
    let result = compiled(source).evaluate(&Scope { payload, event: EVENT, state });
    if let Err(error) = &result {
        let message = error.to_string();
        assert!(!message.is_empty() && !message.ends_with('.') && !error.reason().is_empty());
    }
    result
}

/// Runs a table with lines `expression => JSON`, `expression => !reason`: what
/// the expression comes to. Blank lines and lines that start with `#` say nothing.
fn run_table(table: &str, payload: &Value, state: &Value) {
    let mut lines = 0;
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (source, expected) = line.rsplit_once(" => ").expect("a line with =>");
        let result = evaluate(source, payload, state);
        match expected.strip_prefix('!') {
            Some(reason) => match result {
                Err(error) => assert_eq!(error.reason(), reason, "{line}"),
                Ok(value) => panic!("{line}: got {value}"),
            },
            None => {
                let expected: Value = serde_json::from_str(expected).expect("JSON");
                // `1` and `1.0` are different values here: an int and a double.
                assert_eq!(result.as_ref(), Ok(&expected), "{line}");
            }
        }
        lines += 1;
    }
    assert!(lines > 0);
}

/// A generator of numbers that is the same everywhere (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).unwrap_or(0) % bound
    }
}
