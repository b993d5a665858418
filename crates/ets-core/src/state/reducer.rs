//! Reducers: how an event changes its stream's state.

use std::fmt;

use serde_json::{Map, Value};

use super::StateError;
use crate::canonical::{Limits, Payload};
use crate::expression::{Expression, ExpressionError, Scope};

/// How an event changes its stream's state, which is null at first.
#[derive(Debug)]
pub enum Reducer {
    /// The payload is a JSON Merge Patch (RFC 7396) to the state.
    Merge,
    /// The payload is the new state.
    Replace,
    /// The state stays as it was.
    None,
    /// The new state is this expression's value.
    Expression(Expression),
}

impl Reducer {
    /// The reducer of this text: `merge`, `replace`, `none`, or an expression.
    ///
    /// # Errors
    /// [`ExpressionError`] if it is none of them.
    pub fn compile(text: &str) -> Result<Self, ExpressionError> {
        match text {
            "merge" => Ok(Reducer::Merge),
            "replace" => Ok(Reducer::Replace),
            "none" => Ok(Reducer::None),
            source => Expression::compile(source).map(Reducer::Expression),
        }
    }

    /// Whether this text is another than the three words, and so is evaluated by
    /// the expressions' engine.
    pub fn is_expression(text: &str) -> bool {
        !matches!(text, "merge" | "replace" | "none")
    }

    /// Whether the next state depends on the one before.
    pub fn needs_state(&self) -> bool {
        match self {
            Reducer::Merge | Reducer::None => true,
            Reducer::Replace => false,
            Reducer::Expression(expression) => expression.mentions_state(),
        }
    }

    /// The state after an event, from the payload, event and state in `scope`. It
    /// obeys the number rule, and is within `limits`.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn next_state(&self, scope: &Scope<'_>, limits: &Limits) -> Result<Payload, StateError> {
        let next = match self {
            Reducer::Merge => {
                let mut state = scope.state.clone();
                merge_patch(&mut state, scope.payload);
                state
            }
            Reducer::Replace => scope.payload.clone(),
            Reducer::None => scope.state.clone(),
            Reducer::Expression(expression) => expression.evaluate(scope).map_err(StateError::Failed)?,
        };
        Payload::from_value(next, limits).map_err(StateError::Form)
    }

    /// The text that compiles to it.
    pub fn as_str(&self) -> &str {
        match self {
            Reducer::Merge => "merge",
            Reducer::Replace => "replace",
            Reducer::None => "none",
            Reducer::Expression(expression) => expression.source(),
        }
    }
}

impl fmt::Display for Reducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `MergePatch(Target, Patch)` of RFC 7396, section 2. Recursive, so bounded by the
/// depth that payloads can have.
pub(super) fn merge_patch(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge_patch(target.entry(name.as_str()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::expression::EventScope;

    #[test]
    fn merge_is_the_merge_patch_of_rfc_7396() {
        // RFC 7396, appendix A, all of it; then the first event of a stream.
        let cases = [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a":"b"}), json!(["c"]), json!(["c"])),
            (json!({"a":"foo"}), json!(null), json!(null)),
            (json!({"a":"foo"}), json!("bar"), json!("bar")),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
            (json!(null), json!({"a":{"b":1},"c":null}), json!({"a":{"b":1}})),
        ];
        let event = EventScope {
            schema_version: "a/1.0.0",
            key_id: "k",
            owner: "o",
            domain: "d",
            stream: "s",
            sequence: 1,
        };
        for (state, payload, expected) in cases {
            let scope = Scope { payload: &payload, event, state: &state };
            let next = |reducer: Reducer| {
                reducer.next_state(&scope, &Limits::CEILING).map(crate::canonical::Payload::into_value)
            };
            assert_eq!(next(Reducer::Merge), Ok(expected), "{state} {payload}");
            assert_eq!(next(Reducer::Replace), Ok(payload.clone()));
            assert_eq!(next(Reducer::None), Ok(state.clone()));
        }
    }

    #[test]
    fn what_is_no_word_is_an_expression() {
        for word in ["merge", "replace", "none"] {
            let reducer = Reducer::compile(word).expect(word);
            assert!(!Reducer::is_expression(word) && !matches!(reducer, Reducer::Expression(_)));
            assert_eq!(reducer.to_string(), word);
        }
        let reducer = Reducer::compile("payload").expect("an expression");
        assert!(matches!(reducer, Reducer::Expression(_)) && !reducer.needs_state());
        assert!(Reducer::is_expression("payload") && reducer.as_str() == "payload");
        assert!(Reducer::compile("state").expect("an expression").needs_state());
        for bad in ["", "Merge", "none ", "merge(", "absent"] {
            assert!(Reducer::compile(bad).is_err(), "{bad}");
        }
    }
}
