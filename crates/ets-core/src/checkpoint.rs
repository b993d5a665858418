//! Checkpoints: the roots of all domains under one MetaRoot.

use std::fmt;

use serde_json::{Map, Value};

use crate::event::EventId;
use crate::hash::{Digest, encode_bytes, encode_u32, encode_u64, sha256};
use crate::name::DomainName;

/// A domain's tree in a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainRoot {
    /// The domain.
    pub domain: DomainName,
    /// The number of leaves of its tree.
    pub tree_size: u64,
    /// The root over them; the empty root if there are none.
    pub root: Digest,
}

/// `MetaRoot = SHA256( encode(version) || encode(checkpoint_event_id) || encode(ordered_domain_roots) )`
/// (specification, section 4), where `encode(ordered_domain_roots)` is the
/// `uint32` number of domains, then for each domain in ascending order of its
/// name's bytes `encode(name) || uint64(tree_size) || encode(root_hash)`.
///
/// `checkpoint_event_id` goes in as lowercase hyphenated text; the order of
/// `roots` does not matter.
///
/// # Errors
/// [`DomainRootsError::Duplicate`] if a domain is there twice.
pub fn meta_root(
    version: &str,
    checkpoint_event_id: &EventId,
    roots: &[DomainRoot],
) -> Result<Digest, DomainRootsError> {
    let mut ordered: Vec<&DomainRoot> = roots.iter().collect();
    ordered.sort_unstable_by(|a, b| a.domain.as_str().as_bytes().cmp(b.domain.as_str().as_bytes()));
    for (before, after) in ordered.iter().zip(ordered.iter().skip(1)) {
        if before.domain == after.domain {
            return Err(DomainRootsError::Duplicate(after.domain.clone()));
        }
    }
    let count = u32::try_from(ordered.len()).map_err(|_| DomainRootsError::TooMany)?;
    let mut bytes = Vec::with_capacity(64 + ordered.len() * 96);
    encode_bytes(&mut bytes, version.as_bytes());
    encode_bytes(&mut bytes, checkpoint_event_id.to_string().as_bytes());
    encode_u32(&mut bytes, count);
    for root in ordered {
        encode_bytes(&mut bytes, root.domain.as_str().as_bytes());
        encode_u64(&mut bytes, root.tree_size);
        encode_bytes(&mut bytes, root.root.as_bytes());
    }
    Ok(sha256(&[&bytes]))
}

/// Reads `domain_roots`: a JSON array of `{"domain","tree_size","root"}`, each
/// with exactly these members, `root` in lowercase hex. The order is kept.
///
/// # Errors
/// [`DomainRootsError`] says what is wrong with which element.
pub fn domain_roots_from_value(value: &Value) -> Result<Vec<DomainRoot>, DomainRootsError> {
    let Value::Array(elements) = value else { return Err(DomainRootsError::NotAnArray) };
    elements.iter().enumerate().map(|(index, element)| domain_root_from_value(index, element)).collect()
}

/// Writes `domain_roots`, in the order given.
pub fn domain_roots_to_value(roots: &[DomainRoot]) -> Value {
    Value::Array(
        roots
            .iter()
            .map(|root| {
                Value::Object(Map::from_iter([
                    ("domain".to_owned(), root.domain.as_str().into()),
                    ("root".to_owned(), root.root.to_string().into()),
                    ("tree_size".to_owned(), root.tree_size.into()),
                ]))
            })
            .collect(),
    )
}

/// Why something is no list of domain roots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainRootsError {
    /// It is no JSON array.
    NotAnArray,
    /// An element is no JSON object of exactly the three members.
    Members {
        /// The element's place, from 0.
        index: usize,
    },
    /// A member has another type, or another spelling than its only one.
    Invalid {
        /// The element's place, from 0.
        index: usize,
        /// The member.
        member: &'static str,
    },
    /// A domain is there twice.
    Duplicate(DomainName),
    /// There are more than a count of 32 bits can say.
    TooMany,
}

impl fmt::Display for DomainRootsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DomainRootsError::NotAnArray => f.write_str("domain roots are a JSON array"),
            DomainRootsError::Members { index } => {
                write!(f, "domain root {index} is not an object of domain, tree_size and root")
            }
            DomainRootsError::Invalid { index, member } => {
                write!(f, "the {member} of domain root {index} is not valid")
            }
            DomainRootsError::Duplicate(domain) => write!(f, "the domain {domain} is there twice"),
            DomainRootsError::TooMany => f.write_str("too many domain roots"),
        }
    }
}

impl std::error::Error for DomainRootsError {}

fn domain_root_from_value(index: usize, value: &Value) -> Result<DomainRoot, DomainRootsError> {
    let members = value.as_object().filter(|members| members.len() == 3);
    let member =
        |name| members.and_then(|members| members.get(name)).ok_or(DomainRootsError::Members { index });
    let invalid = |member| DomainRootsError::Invalid { index, member };
    let (domain, tree_size, root) = (member("domain")?, member("tree_size")?, member("root")?);
    fn text<T: std::str::FromStr>(value: &Value) -> Option<T> {
        value.as_str().and_then(|text| text.parse().ok())
    }
    Ok(DomainRoot {
        domain: text(domain).ok_or(invalid("domain"))?,
        tree_size: tree_size.as_u64().ok_or(invalid("tree_size"))?,
        root: text(root).ok_or(invalid("root"))?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::hash::{EMPTY_ROOT, SPECIFICATION_VERSION};

    #[test]
    fn a_meta_root_does_not_depend_on_the_order_and_refuses_duplicates() {
        let id: EventId = "019c1c39-8cbe-74f4-a014-ffe5d747b220".parse().unwrap();
        let root = |name: &str| DomainRoot { domain: name.parse().unwrap(), tree_size: 0, root: EMPTY_ROOT };
        let of = |names: &[&str]| {
            meta_root(SPECIFICATION_VERSION, &id, &names.iter().map(|name| root(name)).collect::<Vec<_>>())
        };
        assert_eq!(of(&["a", "Z", "a-b"]), of(&["Z", "a-b", "a"]));
        assert_ne!(of(&["a", "b"]), of(&["a"]));
        assert_eq!(of(&["a", "b", "a"]), Err(DomainRootsError::Duplicate("a".parse().unwrap())));
    }

    #[test]
    fn domain_roots_have_exactly_three_members() {
        let hex = EMPTY_ROOT.to_string();
        let good = json!([{ "domain": "a", "tree_size": 3, "root": hex }]);
        assert_eq!(domain_roots_from_value(&good).map(|roots| domain_roots_to_value(&roots)), Ok(good));
        let members = DomainRootsError::Members { index: 0 };
        let invalid = |member| DomainRootsError::Invalid { index: 0, member };
        for (bad, error) in [
            (json!({}), DomainRootsError::NotAnArray),
            (json!([7]), members.clone()),
            (json!([{ "domain": "a", "tree_size": 3 }]), members.clone()),
            (json!([{ "domain": "a", "tree_size": 3, "root": hex, "note": "" }]), members.clone()),
            (json!([{ "domain": "a", "size": 3, "root": hex }]), members),
            (json!([{ "domain": "a b", "tree_size": 3, "root": hex }]), invalid("domain")),
            (json!([{ "domain": "a", "tree_size": -3, "root": hex }]), invalid("tree_size")),
            (json!([{ "domain": "a", "tree_size": 3.5, "root": hex }]), invalid("tree_size")),
            (json!([{ "domain": "a", "tree_size": "3", "root": hex }]), invalid("tree_size")),
            (json!([{ "domain": "a", "tree_size": 3, "root": hex.to_uppercase() }]), invalid("root")),
        ] {
            assert_eq!(domain_roots_from_value(&bad), Err(error), "{bad}");
        }
    }
}
