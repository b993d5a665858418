//! States: what a stream's events add up to, and the root over a domain's states.

mod reducer;
mod root;

use std::fmt;

use serde_json::{Value, json};

use crate::canonical::{self, CanonicalError, Limits, MAX_PAYLOAD_BYTES, Payload};
use crate::expression::{EvaluationError, EventScope, Scope};
use crate::hash::{Digest, sha256};

pub use reducer::Reducer;
pub use root::{DuplicateStream, StateRootBuilder, StreamState, state_root};

/// `state_hash = SHA256( JCS(state) )`.
pub fn state_hash(state: &Value) -> Digest {
    sha256(&[canonical::to_jcs(state).as_bytes()])
}

/// A stream's state as its events go by, from the first one or from a state that
/// was kept.
#[derive(Debug, Clone)]
pub struct StateFold {
    state: Value,
    /// The state's canonical text is no longer than this.
    bytes_at_most: usize,
}

impl StateFold {
    /// Before the first event: null.
    pub fn new() -> Self {
        StateFold::from_kept(Value::Null)
    }

    /// Goes on from a state that was kept.
    pub fn from_kept(state: Value) -> Self {
        let bytes_at_most = canonical::to_jcs(&state).len();
        StateFold { state, bytes_at_most }
    }

    /// The next event. `event` is seen by a reducer that is an expression.
    ///
    /// `merge`, `replace` and `none` make no number and no nesting that was not
    /// in a payload, so of the ceilings only the size can be passed. It is
    /// measured only when the sum of what went in reaches it: a long stream costs
    /// no more than its events. What an expression makes is looked at each time.
    ///
    /// # Errors
    /// [`StateError`]; the fold must not be used further.
    pub fn apply(
        &mut self,
        reducer: &Reducer,
        payload: &Payload,
        event: EventScope<'_>,
    ) -> Result<(), StateError> {
        let bytes = payload.canonical().len();
        match reducer {
            Reducer::Merge => {
                reducer::merge_patch(&mut self.state, payload.value());
                // The comma between, or the braces of a state that was no object.
                self.bytes_at_most = self.bytes_at_most.saturating_add(bytes).saturating_add(2);
            }
            Reducer::Replace => {
                self.state.clone_from(payload.value());
                self.bytes_at_most = bytes;
            }
            Reducer::None => {}
            Reducer::Expression(_) => {
                let scope = Scope { payload: payload.value(), event, state: &self.state };
                let next = reducer.next_state(&scope, &Limits::CEILING)?;
                self.bytes_at_most = next.canonical().len();
                self.state = next.into_value();
            }
        }
        if self.bytes_at_most > MAX_PAYLOAD_BYTES {
            self.bytes_at_most = canonical::to_jcs(&self.state).len();
        }
        if self.bytes_at_most > MAX_PAYLOAD_BYTES {
            return Err(StateError::Form(CanonicalError::TooLarge { limit: MAX_PAYLOAD_BYTES }));
        }
        Ok(())
    }

    /// The state now.
    pub fn state(&self) -> &Value {
        &self.state
    }

    /// The state at the end.
    pub fn into_state(self) -> Value {
        self.state
    }
}

impl Default for StateFold {
    fn default() -> Self {
        StateFold::new()
    }
}

/// Why an event has no next state (ET014).
#[derive(Debug, Clone, PartialEq)]
pub enum StateError {
    /// The reducer's expression failed, or ran past its budget.
    Failed(EvaluationError),
    /// The next state has no canonical form, or is too large or deep. Offsets in
    /// it mean nothing.
    Form(CanonicalError),
}

impl StateError {
    /// `ET014`.
    pub fn sqlstate(&self) -> &'static str {
        "ET014"
    }

    /// A word for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            StateError::Failed(error) => error.reason(),
            StateError::Form(CanonicalError::TooLarge { .. }) => "too_large",
            StateError::Form(CanonicalError::TooDeep { .. }) => "too_deep",
            StateError::Form(CanonicalError::Number { .. }) => "number",
            StateError::Form(_) => "form",
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            StateError::Failed(_) => {
                "a reducer must have a value for every payload and state; test with has() what may be absent"
            }
            StateError::Form(CanonicalError::Number { .. }) => {
                "compute with integers, such as minor units: a state's numbers obey the rule of payloads"
            }
            StateError::Form(_) => {
                "use a reducer that forgets, such as none or replace, where states would only grow"
            }
        }
    }

    /// A JSON object for programs.
    pub fn detail(&self) -> Value {
        match self {
            StateError::Failed(error) => json!({"reason": self.reason(), "message": error.to_string()}),
            StateError::Form(CanonicalError::TooLarge { limit } | CanonicalError::TooDeep { limit }) => {
                json!({"reason": self.reason(), "limit": limit})
            }
            StateError::Form(_) => json!({"reason": self.reason()}),
        }
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StateError::Failed(error) => write!(f, "the reducer failed: {error}"),
            StateError::Form(CanonicalError::Number { problem, .. }) => {
                write!(f, "a number of the next state {problem}")
            }
            StateError::Form(error @ (CanonicalError::TooLarge { .. } | CanonicalError::TooDeep { .. })) => {
                write!(f, "the next state is {error}")
            }
            StateError::Form(error) => write!(f, "the next state has no canonical form: {error}"),
        }
    }
}

impl std::error::Error for StateError {}

#[cfg(test)]
mod tests;
