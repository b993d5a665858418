//! The encoding of OpenTimestamps: bytes, and unsigned LEB128 numbers.

use super::ProofError;

/// Reads from the front.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8], ProofError> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(ProofError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ProofError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(ProofError::Truncated)?;
        self.rest = rest;
        Ok(*bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8, ProofError> {
        self.array().map(|[byte]| byte)
    }

    /// A number in its shortest spelling.
    pub(super) fn number(&mut self) -> Result<u64, ProofError> {
        let mut value = 0_u64;
        for shift in (0..).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift > 63 || (bits << shift) >> shift != bits || (byte == 0 && shift > 0) {
                return Err(ProofError::Number);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        Ok(value)
    }

    /// Bytes behind their number, which is in `lengths`.
    pub(super) fn counted(
        &mut self,
        lengths: std::ops::RangeInclusive<usize>,
    ) -> Result<&'a [u8], ProofError> {
        let length = usize::try_from(self.number()?).map_err(|_| ProofError::Length)?;
        if lengths.contains(&length) { self.bytes(length) } else { Err(ProofError::Length) }
    }

    pub(super) fn end(&self) -> Result<(), ProofError> {
        if self.rest.is_empty() { Ok(()) } else { Err(ProofError::Trailing) }
    }
}

pub(super) fn write_number(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        // The lowest seven bits, and that more follow.
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

pub(super) fn write_counted(out: &mut Vec<u8>, bytes: &[u8]) {
    write_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
