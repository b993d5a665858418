//! Bitcoin block headers: the work in them, their Merkle root and time.

use std::collections::BTreeMap;
use std::fmt;

use crate::hash::{Digest, from_hex, sha256, to_hex};

/// The least difficulty that a header must have where the caller names no other: below
/// what Bitcoin has had in any block since late 2019. One false header then costs
/// 10^13 * 2^32 hashes in the mean.
pub const DEFAULT_MINIMUM_DIFFICULTY: u64 = 10_000_000_000_000;

/// A block header, 80 bytes, whose hash is below its own target.
///
/// It proves that work was spent on it, and on the Merkle root in it. It does not
/// prove that the block is on the best chain: somebody must know that. So headers
/// come from a node of the verifier's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockHeader([u8; 80]);

impl BlockHeader {
    /// A header of at least `minimum_difficulty`; a difficulty of 1 is the least that
    /// Bitcoin's main chain ever had, and 0 takes whatever the header itself asks for.
    ///
    /// # Errors
    /// [`HeaderError`]: its target is none or too easy, or its hash is above it.
    pub fn new(bytes: [u8; 80], minimum_difficulty: u64) -> Result<Self, HeaderError> {
        let header = BlockHeader(bytes);
        let bits = u32::from_le_bytes(header.field(72));
        let target = Target::from_bits(bits).ok_or(HeaderError::Target)?;
        if !target.is_as_difficult_as(minimum_difficulty) {
            return Err(HeaderError::Difficulty { bits, minimum: minimum_difficulty });
        }
        // A hash is a number whose last byte is the most significant.
        let mut hash = header.hash().0;
        hash.reverse();
        if hash <= target.to_be_bytes() { Ok(header) } else { Err(HeaderError::Work) }
    }

    /// SHA-256 of SHA-256, in the order in which it is computed: block explorers show
    /// the bytes reversed.
    pub fn hash(&self) -> Digest {
        sha256(&[&sha256(&[&self.0]).0])
    }

    /// The Merkle root of the block's transactions, in the order in which it is hashed.
    pub fn merkle_root(&self) -> Digest {
        Digest(self.field(36))
    }

    /// The time that the miner wrote, in seconds since 1970: by Bitcoin's rules after
    /// the median of the eleven blocks before, and at most two hours ahead.
    pub fn time(&self) -> u32 {
        u32::from_le_bytes(self.field(68))
    }

    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        // Only with constants that lie within the 80 bytes.
        std::array::from_fn(|i| self.0[at + i])
    }
}

/// The greatest hash that a header may have: `mantissa * 256^(exponent - 3)`.
struct Target {
    mantissa: u32,
    exponent: u8,
}

impl Target {
    /// The compact form in the header, nBits. A negative number, zero, or one of more
    /// than 256 bits is none.
    fn from_bits(bits: u32) -> Option<Self> {
        let [exponent, ..] = bits.to_be_bytes();
        let mantissa = bits & 0x00ff_ffff;
        let fits = (3..=32).contains(&exponent) && (1..=0x007f_ffff).contains(&mantissa);
        fits.then_some(Target { mantissa, exponent })
    }

    fn to_be_bytes(&self) -> [u8; 32] {
        let [_, digits @ ..] = self.mantissa.to_be_bytes();
        let mut bytes = [0; 32];
        let first = 32 - usize::from(self.exponent);
        bytes[first..first + 3].copy_from_slice(&digits);
        bytes
    }

    /// Whether `0xffff * 256^26 / target`, the difficulty, is at least `minimum`.
    fn is_as_difficult_as(&self, minimum: u64) -> bool {
        let product = u128::from(self.mantissa) * u128::from(minimum);
        match self.exponent.checked_sub(29) {
            // At most 0xffff << 24, and a product below 2^87 << 24.
            Some(above) => product << (8 * u32::from(above)) <= 0xffff,
            None => {
                // A product below 2^87 needs no more than eleven bytes.
                let below = 8 * u32::from(29 - self.exponent).min(11);
                product <= 0xffff << below
            }
        }
    }
}

/// Headers by their height.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlockHeaders(BTreeMap<u32, BlockHeader>);

impl BlockHeaders {
    /// Reads lines `HEIGHT HEX`, with the 80 bytes of a header in 160 hexadecimal
    /// digits; empty lines and lines that begin with `#` are passed over. The height
    /// is what the file says: a header does not hold it.
    ///
    /// # Errors
    /// One line for a person, with the number of the wrong line: it is none, its header
    /// is refused by [`BlockHeader::new`], or its height has another header already.
    pub fn parse(text: &str, minimum_difficulty: u64) -> Result<Self, String> {
        let mut headers = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (height, header) = line
                .split_once(char::is_whitespace)
                .and_then(|(height, hex)| Some((height.parse().ok()?, from_hex(hex.trim_start()).ok()?)))
                .ok_or_else(|| format!("line {number} is not HEIGHT and 160 lowercase hexadecimal digits"))?;
            let header = BlockHeader::new(header, minimum_difficulty)
                .map_err(|error| format!("line {number}: {error}"))?;
            if headers.insert(height, header.clone()).is_some_and(|other| other != header) {
                return Err(format!("line {number}: block {height} has another header before"));
            }
        }
        Ok(BlockHeaders(headers))
    }

    /// The header of a height.
    pub fn get(&self, height: u32) -> Option<&BlockHeader> {
        self.0.get(&height)
    }
}

/// Why 80 bytes are no header to rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderError {
    /// nBits is no target.
    Target,
    /// The target is easier than it may be.
    Difficulty {
        /// The header's nBits.
        bits: u32,
        /// What was asked for.
        minimum: u64,
    },
    /// The hash is above the target: nobody did the work.
    Work,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeaderError::Target => f.write_str("the header's nBits are no target"),
            HeaderError::Difficulty { bits, minimum } => {
                let bits = to_hex(&bits.to_be_bytes());
                write!(f, "the header's difficulty (nBits {bits}) is below the minimum of {minimum}")
            }
            HeaderError::Work => f.write_str("the header's hash is above its target: the work was not done"),
        }
    }
}

impl std::error::Error for HeaderError {}
