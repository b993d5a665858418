//! States: what a stream's events add up to, and the root over a domain's states.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use crate::canonical::{self, MAX_PAYLOAD_BYTES, Payload};
use crate::hash::{Digest, leaf_hash, sha256};
use crate::merkle::RootBuilder;
use crate::name::StreamName;

/// How an event changes its stream's state, which is null at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reducer {
    /// The payload is a JSON Merge Patch (RFC 7396) to the state.
    Merge,
    /// The payload is the new state.
    Replace,
    /// The state stays as it was.
    None,
}

impl Reducer {
    /// The state after an event with `payload`.
    pub fn apply(&self, state: &Value, payload: &Value) -> Value {
        let mut state = state.clone();
        self.apply_to(&mut state, payload);
        state
    }

    /// As [`Reducer::apply`], in place: replaying a stream of many events into a
    /// large state copies only what each of them changes.
    pub fn apply_to(&self, state: &mut Value, payload: &Value) {
        match self {
            Reducer::Merge => merge_patch(state, payload),
            Reducer::Replace => state.clone_from(payload),
            Reducer::None => {}
        }
    }

    /// `merge`, `replace` or `none`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Reducer::Merge => "merge",
            Reducer::Replace => "replace",
            Reducer::None => "none",
        }
    }
}

impl fmt::Display for Reducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Reducer {
    type Err = ReducerError;

    fn from_str(text: &str) -> Result<Self, ReducerError> {
        match text {
            "merge" => Ok(Reducer::Merge),
            "replace" => Ok(Reducer::Replace),
            "none" => Ok(Reducer::None),
            _ => Err(ReducerError),
        }
    }
}

/// Text that names no reducer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReducerError;

impl fmt::Display for ReducerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a reducer is merge, replace or none")
    }
}

impl std::error::Error for ReducerError {}

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

    /// The next event. A reducer makes no number and no nesting that was not in a
    /// payload, so of the ceilings only the size can be passed. It is measured
    /// only when the sum of what went in reaches it: a long stream costs no more
    /// than its events.
    ///
    /// # Errors
    /// [`StateTooLarge`]; the fold must not be used further.
    pub fn apply(&mut self, reducer: Reducer, payload: &Payload) -> Result<(), StateTooLarge> {
        let bytes = payload.canonical().len();
        reducer.apply_to(&mut self.state, payload.value());
        self.bytes_at_most = match reducer {
            // The comma between, or the braces of a state that was no object.
            Reducer::Merge => self.bytes_at_most.saturating_add(bytes).saturating_add(2),
            Reducer::Replace => bytes,
            Reducer::None => self.bytes_at_most,
        };
        if self.bytes_at_most > MAX_PAYLOAD_BYTES {
            self.bytes_at_most = canonical::to_jcs(&self.state).len();
        }
        if self.bytes_at_most > MAX_PAYLOAD_BYTES { Err(StateTooLarge(self.bytes_at_most)) } else { Ok(()) }
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

/// A state whose canonical text has so many bytes, more than any ledger allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateTooLarge(pub usize);

impl fmt::Display for StateTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the state has {} bytes, more than {MAX_PAYLOAD_BYTES}", self.0)
    }
}

impl std::error::Error for StateTooLarge {}

/// `state_hash = SHA256( JCS(state) )`.
pub fn state_hash(state: &Value) -> Digest {
    sha256(&[canonical::to_jcs(state).as_bytes()])
}

/// A stream's state as a domain's state root commits to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamState {
    /// The stream, which has at least one event.
    pub stream: StreamName,
    /// The sequence of its last event.
    pub sequence: u64,
    /// [`state_hash`] of the state after it.
    pub state_hash: Digest,
}

impl StreamState {
    /// A leaf's data: `{"sequence":…,"state_hash":…,"stream":…}` in JCS.
    fn to_jcs(&self) -> String {
        let mut out =
            format!("{{\"sequence\":{},\"state_hash\":\"{}\",\"stream\":", self.sequence, self.state_hash);
        canonical::write_string(&mut out, self.stream.as_str());
        out.push('}');
        out
    }
}

/// The state root of a domain: the Merkle root (RFC 6962, section 2.1) over its
/// streams in ascending order of their names' bytes, a leaf's data being
/// `JCS({"sequence":…,"state_hash":…,"stream":…})`. The order of `states` does
/// not matter; the empty root if there are none.
///
/// # Errors
/// [`DuplicateStream`] if a stream is there twice.
pub fn state_root(states: &[StreamState]) -> Result<Digest, DuplicateStream> {
    let mut ordered: Vec<&StreamState> = states.iter().collect();
    ordered.sort_unstable_by(|a, b| a.stream.as_str().as_bytes().cmp(b.stream.as_str().as_bytes()));
    let mut root = StateRootBuilder::default();
    for state in ordered {
        root.push(state)?;
    }
    Ok(root.root())
}

/// Computes a [`state_root`] from states that come in the order of their streams'
/// names, holding one at a time.
#[derive(Default)]
pub struct StateRootBuilder {
    root: RootBuilder,
    before: Option<StreamName>,
}

impl StateRootBuilder {
    /// Adds the next stream.
    ///
    /// # Errors
    /// [`DuplicateStream`] if its name is not greater than the one before.
    pub fn push(&mut self, state: &StreamState) -> Result<(), DuplicateStream> {
        let name = state.stream.as_str().as_bytes();
        if self.before.as_ref().is_some_and(|before| before.as_str().as_bytes() >= name) {
            return Err(DuplicateStream(state.stream.clone()));
        }
        self.before = Some(state.stream.clone());
        self.root.push(leaf_hash(state.to_jcs().as_bytes()));
        Ok(())
    }

    /// The root over what was added.
    pub fn root(&self) -> Digest {
        self.root.root()
    }
}

/// A stream that is in a list of states twice, or out of order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuplicateStream(pub StreamName);

impl fmt::Display for DuplicateStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stream {:?} is there twice or out of order", self.0.as_str())
    }
}

impl std::error::Error for DuplicateStream {}

/// `MergePatch(Target, Patch)` of RFC 7396, section 2. Recursive, so bounded by the
/// depth that payloads can have.
fn merge_patch(target: &mut Value, patch: &Value) {
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
        for (state, payload, expected) in cases {
            assert_eq!(Reducer::Merge.apply(&state, &payload), expected, "{state} {payload}");
            assert_eq!(Reducer::Replace.apply(&state, &payload), payload);
            assert_eq!(Reducer::None.apply(&state, &payload), state);
        }
    }

    #[test]
    fn reducers_have_names() {
        for reducer in [Reducer::Merge, Reducer::Replace, Reducer::None] {
            assert_eq!(reducer.to_string().parse(), Ok(reducer));
        }
        for bad in ["", "Merge", "none ", "payload"] {
            assert_eq!(bad.parse::<Reducer>(), Err(ReducerError));
        }
    }

    #[test]
    fn a_fold_is_its_reducers_one_after_the_other_and_stops_at_the_ceiling() {
        let payload = |value: Value| Payload::from_value(value, &canonical::Limits::CEILING).unwrap();
        let mut fold = StateFold::new();
        assert_eq!(fold.state(), &Value::Null);
        fold.apply(Reducer::Merge, &payload(json!({"a":1,"b":2}))).unwrap();
        fold.apply(Reducer::Merge, &payload(json!({"b":null,"c":[3]}))).unwrap();
        fold.apply(Reducer::None, &payload(json!("ignored"))).unwrap();
        assert_eq!(fold.state(), &json!({"a":1,"c":[3]}));
        let mut kept = StateFold::from_kept(fold.state().clone());
        kept.apply(Reducer::Replace, &payload(json!("x"))).unwrap();
        assert_eq!(kept.state(), &json!("x"));

        // Changing one large member again and again never makes it too large;
        // adding others does.
        let large = "x".repeat(MAX_PAYLOAD_BYTES / 3);
        let mut fold = StateFold::new();
        for _ in 0..4 {
            fold.apply(Reducer::Merge, &payload(json!({"one": large}))).unwrap();
        }
        fold.apply(Reducer::Merge, &payload(json!({"two": large}))).unwrap();
        let error = fold.apply(Reducer::Merge, &payload(json!({"three": large}))).unwrap_err();
        assert!(error.0 > MAX_PAYLOAD_BYTES);
    }

    #[test]
    fn a_state_root_does_not_depend_on_the_order_and_refuses_duplicates() {
        let of = |names: &[&str]| {
            let state = |name: &&str| StreamState {
                stream: name.parse().unwrap(),
                sequence: 1,
                state_hash: state_hash(&Value::Null),
            };
            state_root(&names.iter().map(state).collect::<Vec<_>>())
        };
        assert_eq!(of(&["b", "é", "a", "\"quoted\""]), of(&["\"quoted\"", "a", "b", "é"]));
        assert_ne!(of(&["a", "b"]), of(&["a", "c"]));
        assert_eq!(of(&["a", "b", "a"]), Err(DuplicateStream("a".parse().unwrap())));
    }
}
