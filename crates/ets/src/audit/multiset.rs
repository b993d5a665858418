//! Whether two answers hold the same things, in whatever order, in little memory.

use ets_core::hash::sha256;

/// A keyed sum over things: two are equal if and only if the same things were added
/// as often, but for a chance of 2^-128. Whoever answers does not know the key.
#[derive(Clone, PartialEq, Eq)]
pub struct Multiset {
    key: [u8; 32],
    sum: [u128; 2],
}

impl Multiset {
    /// An empty one.
    pub fn new(key: [u8; 32]) -> Self {
        Multiset { key, sum: [0; 2] }
    }

    /// Adds the thing that these parts make.
    pub fn add(&mut self, parts: &[&[u8]]) {
        // Each part with its length, so that no two lists of parts are one.
        let lengths: Vec<[u8; 8]> = parts.iter().map(|part| (part.len() as u64).to_be_bytes()).collect();
        let mut all: Vec<&[u8]> = vec![&self.key];
        for (length, part) in lengths.iter().zip(parts) {
            all.extend([&length[..], part]);
        }
        let hash = sha256(&all);
        let (first, second) = hash.as_bytes().split_at(16);
        for (sum, half) in self.sum.iter_mut().zip([first, second]) {
            *sum = sum.wrapping_add(half.try_into().map_or(0, u128::from_be_bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Multiset;

    #[test]
    fn order_does_not_count_and_everything_else_does() {
        let of = |things: &[&[&[u8]]]| {
            let mut set = Multiset::new([7; 32]);
            things.iter().for_each(|thing| set.add(thing));
            set
        };
        assert!(of(&[&[b"a", b"b"], &[b"c"]]) == of(&[&[b"c"], &[b"a", b"b"]]));
        for other in [
            of(&[&[b"ab"], &[b"c"]]),
            of(&[&[b"a", b"b"]]),
            of(&[&[b"a", b"b"], &[b"c"], &[b"c"]]),
            of(&[&[b"b", b"a"], &[b"c"]]),
            of(&[]),
        ] {
            assert!(of(&[&[b"a", b"b"], &[b"c"]]) != other);
        }
    }
}
