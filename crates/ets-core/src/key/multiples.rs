//! Precomputed multiples of a point: a key that signs often is worth a table.
//!
//! Everything here is public (keys and signatures), so nothing needs constant time.
//! The arithmetic is `curve25519-dalek`'s; only which multiples to add is decided here.

use std::sync::OnceLock;

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::Identity;

/// The bits of a reduced scalar, and one for the carry of its digits.
const BITS: usize = 254;
/// The digits of a key's table: 43 × 32 points of 160 bytes are 215 KiB, made in the time
/// of about ten verifications.
const KEY_WIDTH: usize = 6;
/// Those of the base point's, of which a process has one: 32 × 128 points, 640 KiB.
const BASE_WIDTH: usize = 8;

/// The multiples `d · 2^(width · i)` of a point, for `d` from 1 to `2^(width − 1)`: a
/// product is the sum of one for each signed digit of the scalar, with no doubling.
pub(super) struct Multiples {
    /// Bits a digit.
    width: usize,
    /// Digit after digit, ascending.
    points: Vec<EdwardsPoint>,
}

impl Multiples {
    /// The table of a signer's point.
    pub fn of(point: &EdwardsPoint) -> Self {
        Multiples::with_width(point, KEY_WIDTH)
    }

    /// That of the base point.
    fn of_base() -> &'static Self {
        static BASE: OnceLock<Multiples> = OnceLock::new();
        BASE.get_or_init(|| Multiples::with_width(&ED25519_BASEPOINT_POINT, BASE_WIDTH))
    }

    fn with_width(point: &EdwardsPoint, width: usize) -> Self {
        let largest = 1 << (width - 1);
        let digits = BITS.div_ceil(width);
        let mut points = Vec::with_capacity(digits * largest);
        let mut unit = *point;
        for _ in 0..digits {
            let mut multiple = unit;
            for _ in 0..largest {
                points.push(multiple);
                multiple += unit;
            }
            // The last one pushed is 2^(width − 1) units.
            unit = points.last().map_or(unit, |half| half + half);
        }
        Multiples { width, points }
    }

    /// Pushes the multiples whose sum is `scalar · point`, for a reduced scalar.
    fn push_terms(&self, scalar: &Scalar, terms: &mut Vec<EdwardsPoint>) {
        let largest = 1_usize << (self.width - 1);
        let mut bytes = [0; 40];
        bytes[..32].copy_from_slice(scalar.as_bytes());
        let mut carry = 0;
        for (digit, multiples) in self.points.chunks_exact(largest).enumerate() {
            let first_bit = digit * self.width;
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[first_bit / 8..first_bit / 8 + 8]);
            let bits = (u64::from_le_bytes(word) >> (first_bit % 8)) as usize & (2 * largest - 1);
            // A digit above the largest multiple is one less than nothing of the next.
            let value = bits + carry;
            carry = usize::from(value > largest);
            if carry == 0 {
                if value > 0 {
                    terms.push(multiples[value - 1]);
                }
            } else if value < 2 * largest {
                terms.push(-multiples[2 * largest - value - 1]);
            }
        }
    }
}

/// Whether the library's own product is as fast as one from tables: its backend for AVX-512,
/// which needs no memory for it. Measured on one core: 18 µs a signature; with tables 20, and
/// 26 where they are in no near cache.
pub(super) fn has_faster() -> bool {
    #[cfg(all(target_arch = "x86_64", curve25519_dalek_backend = "avx512"))]
    return std::arch::is_x86_feature_detected!("avx512ifma")
        && std::arch::is_x86_feature_detected!("avx512vl");
    #[cfg(not(all(target_arch = "x86_64", curve25519_dalek_backend = "avx512")))]
    false
}

/// `s · base point + k · point`, from the table of `point`.
pub(super) fn double_product(k: &Scalar, point: &Multiples, s: &Scalar) -> EdwardsPoint {
    // All are fetched before the first is added. Where many backends take turns, the tables
    // are in no near cache; loads that nothing waits for overlap, additions do not.
    let mut terms = Vec::with_capacity(BITS.div_ceil(BASE_WIDTH) + BITS.div_ceil(point.width));
    Multiples::of_base().push_terms(s, &mut terms);
    point.push_terms(k, &mut terms);
    terms.iter().fold(EdwardsPoint::identity(), |sum, term| sum + term)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scalars at which digits carry, and as many others.
    fn scalars() -> Vec<Scalar> {
        let small = (0..200_u64).map(Scalar::from);
        let powers = (0..252).scan(Scalar::ONE, |power, _| {
            let this = *power;
            *power = this + this;
            Some(this)
        });
        let powers: Vec<Scalar> = powers.collect();
        let around =
            powers.iter().flat_map(|power| [power - Scalar::ONE, *power, power + Scalar::ONE, -power]);
        let others =
            (0..300_u64).map(|n| Scalar::from_bytes_mod_order(crate::hash::sha256(&[&n.to_be_bytes()]).0));
        small.chain(around).chain(others).collect()
    }

    #[test]
    fn products_are_those_of_the_library() {
        // A point with a torsion component too: such a key may be registered.
        let torsion = curve25519_dalek::constants::EIGHT_TORSION[1];
        for point in [ED25519_BASEPOINT_POINT, ED25519_BASEPOINT_POINT * Scalar::from(7919_u64) + torsion] {
            for width in 2..=8 {
                let multiples = Multiples::with_width(&point, width);
                for scalar in scalars() {
                    let mut terms = Vec::new();
                    multiples.push_terms(&scalar, &mut terms);
                    assert_eq!(
                        terms.iter().sum::<EdwardsPoint>(),
                        EdwardsPoint::vartime_double_scalar_mul_basepoint(&scalar, &point, &Scalar::ZERO),
                        "{scalar:?} at width {width}"
                    );
                }
            }
        }
    }
}
