//! The keys that somebody who verifies many signatures has met.

use std::collections::HashMap;

use curve25519_dalek::edwards::EdwardsPoint;

use super::multiples::{self, Multiples};
use super::{KeyError, KeyId, PublicKey, Signature, key_id};

/// How many keys are remembered.
const KEYS_KEPT: usize = 1024;
/// How many of them have a table of multiples at a time: 7 MiB of tables.
const TABLES_KEPT: usize = 32;
/// After how many signatures a key gets its table: three times as many as pay for it,
/// so that keys which drive each other's tables out lose little.
const WORTH_A_TABLE: u32 = 32;

/// What somebody says: that `signature` is the key's over `message`.
pub struct Claim<'a> {
    /// 32 bytes, whatever they are.
    pub public_key: &'a [u8; 32],
    /// What was signed.
    pub message: &'a [u8],
    /// 64 bytes.
    pub signature: &'a Signature,
}

/// Public keys with what need not be computed twice: their names, their points, and for
/// those that sign often, where it helps, a table that halves what a signature costs. What
/// is accepted is what [`PublicKey::verify`] accepts.
pub struct KnownKeys {
    keys: HashMap<[u8; 32], KnownKey>,
    with_tables: bool,
    tables: usize,
    /// Counts signatures, to tell which key was used last.
    clock: u64,
}

struct KnownKey {
    id: KeyId,
    key: Result<PublicKey, KeyError>,
    /// Signatures since it was met, or lost its table.
    uses: u32,
    last_used: u64,
    multiples: Option<Multiples>,
}

impl Default for KnownKeys {
    fn default() -> Self {
        KnownKeys::new(!multiples::has_faster())
    }
}

impl KnownKeys {
    /// With tables or without, whichever is faster on this processor.
    pub fn new(with_tables: bool) -> Self {
        KnownKeys { keys: HashMap::new(), with_tables, tables: 0, clock: 0 }
    }

    /// The `key_id` of any 32 bytes.
    pub fn id(&mut self, public_key: &[u8; 32]) -> KeyId {
        self.known(public_key).id
    }

    /// Whether `signature` is the key's over `message`, strictly.
    ///
    /// # Errors
    /// [`KeyError`] if the 32 bytes are no key that could be registered.
    pub fn verify(
        &mut self,
        public_key: &[u8; 32],
        message: &[u8],
        signature: &Signature,
    ) -> Result<bool, KeyError> {
        let point = self.recompute_r(&Claim { public_key, message, signature })?;
        Ok(point.is_some_and(|point| signature.has_r(&point, &point.compress())))
    }

    /// As [`KnownKeys::verify`] of each claim, in their order. Each is judged by itself: this
    /// is no batch verification, whose accept set is another. They share one inversion,
    /// for the encodings of their points.
    pub fn verify_each(&mut self, claims: &[Claim<'_>]) -> Vec<Result<bool, KeyError>> {
        let points: Vec<_> = claims.iter().map(|claim| self.recompute_r(claim)).collect();
        let known: Vec<EdwardsPoint> = points.iter().filter_map(|point| point.ok().flatten()).collect();
        let mut encodings = EdwardsPoint::compress_batch_alloc(&known).into_iter();
        points
            .into_iter()
            .zip(claims)
            .map(|(point, claim)| {
                let Some(point) = point? else { return Ok(false) };
                Ok(encodings.next().is_some_and(|encoding| claim.signature.has_r(&point, &encoding)))
            })
            .collect()
    }

    fn recompute_r(&mut self, claim: &Claim<'_>) -> Result<Option<EdwardsPoint>, KeyError> {
        self.clock += 1;
        let (clock, with_tables) = (self.clock, self.with_tables);
        let known = self.known(claim.public_key);
        let key = known.key.as_ref().map_err(|error| *error)?;
        known.last_used = clock;
        known.uses = known.uses.saturating_add(1);
        let is_new = with_tables && known.multiples.is_none() && known.uses >= WORTH_A_TABLE;
        if is_new {
            known.multiples = Some(key.multiples());
        }
        let point = key.recompute_r(claim.message, claim.signature, known.multiples.as_ref());
        if is_new {
            self.table_was_made();
        }
        Ok(point)
    }

    fn known(&mut self, public_key: &[u8; 32]) -> &mut KnownKey {
        if self.keys.len() >= KEYS_KEPT && !self.keys.contains_key(public_key) {
            self.keys.clear();
            self.tables = 0;
        }
        self.keys.entry(*public_key).or_insert_with(|| KnownKey {
            id: key_id(public_key),
            key: PublicKey::from_bytes(public_key),
            uses: 0,
            last_used: 0,
            multiples: None,
        })
    }

    /// Drops the table that was not used for longest, if there is one too many.
    fn table_was_made(&mut self) {
        self.tables += 1;
        if self.tables <= TABLES_KEPT {
            return;
        }
        let with_table = self.keys.values_mut().filter(|known| known.multiples.is_some());
        if let Some(oldest) = with_table.min_by_key(|known| known.last_used) {
            oldest.multiples = None;
            oldest.uses = 0;
            self.tables -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SecretKey;

    const NO_KEY: [u8; 32] = [0xff; 32];

    #[test]
    fn tables_are_made_and_dropped() {
        let keys: Vec<SecretKey> = (0..TABLES_KEPT + 3)
            .map(|n| SecretKey::from_seed(&crate::hash::sha256(&[&n.to_be_bytes()]).0))
            .collect();
        let no_key = PublicKey::from_bytes(&NO_KEY).unwrap_err();
        let mut known = KnownKeys::new(true);
        let mut without_tables = KnownKeys::new(false);
        for round in 0..3 {
            for key in &keys {
                let public = key.public_key();
                for use_ in 0..WORTH_A_TABLE + 3 {
                    let (message, other) = ([round, use_ as u8], [round]);
                    let good = key.sign_message(&message);
                    let (mut wrong, mut unreduced) = (good, good);
                    wrong.0[40] ^= 1;
                    unreduced.0[63] |= 0x80;
                    let claim =
                        |message, signature| Claim { public_key: public.as_bytes(), message, signature };
                    let claims = [
                        claim(&message, &good),
                        claim(&message, &wrong),
                        Claim { public_key: &NO_KEY, ..claim(&message, &good) },
                        claim(&message, &unreduced),
                        claim(&other, &good),
                        claim(&message, &good),
                    ];
                    let expected = [Ok(true), Ok(false), Err(no_key), Ok(false), Ok(false), Ok(true)];
                    assert_eq!(known.verify_each(&claims), expected);
                    assert_eq!(without_tables.verify_each(&claims), expected);
                    for (claim, expected) in claims.iter().zip(expected) {
                        assert_eq!(known.verify(claim.public_key, claim.message, claim.signature), expected);
                    }
                }
                let tables = known.keys.values().filter(|known| known.multiples.is_some()).count();
                assert_eq!(tables, known.tables);
                assert!(tables <= TABLES_KEPT);
            }
            assert_eq!(known.tables, TABLES_KEPT);
            assert_eq!(without_tables.tables, 0);
        }
    }

    #[test]
    fn keys_beyond_those_kept_are_forgotten() {
        let mut known = KnownKeys::default();
        for n in 0..3 * KEYS_KEPT {
            let bytes = crate::hash::sha256(&[&n.to_be_bytes()]).0;
            assert_eq!(known.id(&bytes), key_id(&bytes));
            assert!(known.keys.len() <= KEYS_KEPT);
        }
    }
}
