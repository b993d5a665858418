//! The root over the states of a domain's streams.

use std::fmt;

use crate::canonical;
use crate::hash::{Digest, leaf_hash};
use crate::merkle::RootBuilder;
use crate::name::StreamName;

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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::state::state_hash;

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
