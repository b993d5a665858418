//! The operations on the way from a digest to what attests it.

use super::ProofError;
use super::wire::{Reader, write_counted};
use crate::hash::{sha256, to_hex};

/// The longest message and the longest operand, in bytes: as in the reference library.
pub(super) const MAX_MESSAGE: usize = 4096;

/// One operation, in the order of the tags.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Sha1,
    Ripemd160,
    Sha256,
    Keccak256,
    Append(Vec<u8>),
    Prepend(Vec<u8>),
    Reverse,
    Hexlify,
}

/// What an operation works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    Known(Vec<u8>),
    /// Behind a hash function that this program does not compute, only the length is
    /// known. What attests such a message is kept, and proves nothing.
    Opaque(usize),
}

impl Message {
    pub(super) fn known(&self) -> Option<&[u8]> {
        match self {
            Message::Known(bytes) => Some(bytes),
            Message::Opaque(_) => None,
        }
    }

    fn len(&self) -> usize {
        match self {
            Message::Known(bytes) => bytes.len(),
            Message::Opaque(length) => *length,
        }
    }

    fn map(&self, length: usize, change: impl FnOnce(&[u8]) -> Vec<u8>) -> Message {
        match self {
            Message::Known(bytes) => Message::Known(change(bytes)),
            Message::Opaque(_) => Message::Opaque(length),
        }
    }
}

impl Operation {
    pub(super) fn read(tag: u8, reader: &mut Reader<'_>) -> Result<Self, ProofError> {
        let mut operand = || reader.counted(1..=MAX_MESSAGE).map(<[u8]>::to_vec);
        Ok(match tag {
            0x02 => Operation::Sha1,
            0x03 => Operation::Ripemd160,
            0x08 => Operation::Sha256,
            0x67 => Operation::Keccak256,
            0xf0 => Operation::Append(operand()?),
            0xf1 => Operation::Prepend(operand()?),
            0xf2 => Operation::Reverse,
            0xf3 => Operation::Hexlify,
            other => return Err(ProofError::Operation(other)),
        })
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let (tag, operand) = match self {
            Operation::Sha1 => (0x02, None),
            Operation::Ripemd160 => (0x03, None),
            Operation::Sha256 => (0x08, None),
            Operation::Keccak256 => (0x67, None),
            Operation::Append(operand) => (0xf0, Some(operand)),
            Operation::Prepend(operand) => (0xf1, Some(operand)),
            Operation::Reverse => (0xf2, None),
            Operation::Hexlify => (0xf3, None),
        };
        out.push(tag);
        if let Some(operand) = operand {
            write_counted(out, operand);
        }
    }

    /// The operation's result, which is no longer than [`MAX_MESSAGE`].
    pub(super) fn apply(&self, message: &Message) -> Result<Message, ProofError> {
        let length = match self {
            Operation::Sha1 | Operation::Ripemd160 => 20,
            Operation::Sha256 | Operation::Keccak256 => 32,
            Operation::Append(operand) | Operation::Prepend(operand) => message.len() + operand.len(),
            Operation::Reverse => message.len(),
            Operation::Hexlify => message.len() * 2,
        };
        if length > MAX_MESSAGE {
            return Err(ProofError::Length);
        }
        Ok(match self {
            Operation::Sha1 | Operation::Ripemd160 | Operation::Keccak256 => Message::Opaque(length),
            // Whatever goes in, the digest of an unknown message is unknown.
            Operation::Sha256 => message.map(length, |bytes| sha256(&[bytes]).0.to_vec()),
            Operation::Append(suffix) => message.map(length, |bytes| [bytes, suffix].concat()),
            Operation::Prepend(prefix) => message.map(length, |bytes| [prefix, bytes].concat()),
            Operation::Reverse => message.map(length, |bytes| bytes.iter().rev().copied().collect()),
            Operation::Hexlify => message.map(length, |bytes| to_hex(bytes).into_bytes()),
        })
    }
}
