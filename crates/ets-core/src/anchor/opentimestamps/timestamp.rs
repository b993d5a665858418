//! The tree of operations whose leaves are attestations.

use std::cmp::Ordering;

use super::ProofError;
use super::operation::{Message, Operation};
use super::wire::{Reader, write_counted, write_number};

/// How many operations may follow one another: as in the reference library.
const MAX_DEPTH: usize = 255;
/// How many operations a tree may have. Few bytes can ask for much hashing; a real
/// proof has some dozens.
const MAX_OPERATIONS: usize = 10_000;
/// The longest payload of an attestation, in bytes: as in the reference library.
const MAX_PAYLOAD: usize = 8192;
/// The longest URI of a calendar, in bytes: as in the reference library.
const MAX_URI: usize = 1000;

const PENDING: [u8; 8] = [0x83, 0xdf, 0xe3, 0x0d, 0x2e, 0xf9, 0x0c, 0x8e];
const BITCOIN: [u8; 8] = [0x05, 0x88, 0x96, 0x0d, 0x73, 0xd7, 0x19, 0x01];
const LITECOIN: [u8; 8] = [0x06, 0x86, 0x9a, 0x0d, 0x73, 0xd7, 0x1b, 0x45];
const ETHEREUM: [u8; 8] = [0x30, 0xfe, 0x80, 0x87, 0xb5, 0xc7, 0xea, 0xd7];

/// Who says that a message existed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Attestation {
    /// The calendar at this URI promises a better one.
    Pending(String),
    /// The message is the Merkle root of the Bitcoin block of this height.
    Bitcoin(u32),
    /// Of a kind that this program does not judge: tag and payload.
    Unknown([u8; 8], Vec<u8>),
}

impl Attestation {
    fn read(reader: &mut Reader<'_>) -> Result<Self, ProofError> {
        let tag: [u8; 8] = reader.array()?;
        let payload = reader.counted(0..=MAX_PAYLOAD)?;
        let mut content = Reader::new(payload);
        let attestation = match tag {
            PENDING => Attestation::Pending(uri(content.counted(0..=MAX_URI)?)?),
            BITCOIN => {
                Attestation::Bitcoin(u32::try_from(content.number()?).map_err(|_| ProofError::Number)?)
            }
            // The reference library refuses these unless they hold a height.
            LITECOIN | ETHEREUM => {
                content.number()?;
                Attestation::Unknown(tag, payload.to_vec())
            }
            _ => return Ok(Attestation::Unknown(tag, payload.to_vec())),
        };
        content.end()?;
        Ok(attestation)
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut payload = Vec::new();
        match self {
            Attestation::Pending(uri) => write_counted(&mut payload, uri.as_bytes()),
            Attestation::Bitcoin(height) => write_number(&mut payload, u64::from(*height)),
            Attestation::Unknown(_, content) => payload.extend_from_slice(content),
        }
        out.extend_from_slice(self.tag());
        write_counted(out, &payload);
    }

    fn tag(&self) -> &[u8; 8] {
        match self {
            Attestation::Pending(_) => &PENDING,
            Attestation::Bitcoin(_) => &BITCOIN,
            Attestation::Unknown(tag, _) => tag,
        }
    }

    /// The order in which the reference library writes them.
    fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Attestation::Pending(a), Attestation::Pending(b)) => a.cmp(b),
            (Attestation::Bitcoin(a), Attestation::Bitcoin(b)) => a.cmp(b),
            (Attestation::Unknown(a, x), Attestation::Unknown(b, y)) => (a, x).cmp(&(b, y)),
            _ => self.tag().cmp(other.tag()),
        }
    }
}

/// A URI of the characters that the format allows: nothing that could be a query, a
/// user or an escape.
fn uri(bytes: &[u8]) -> Result<String, ProofError> {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._/:".contains(byte);
    if !bytes.iter().all(fits) {
        return Err(ProofError::Uri);
    }
    String::from_utf8(bytes.to_vec()).map_err(|_| ProofError::Uri)
}

/// What is known of a message: attestations of it, and operations that lead to other
/// messages. Both ascending, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Timestamp {
    attestations: Vec<Attestation>,
    operations: Vec<(Operation, Timestamp)>,
}

impl Timestamp {
    /// The tree with one operation, and nothing else.
    pub(super) fn below(operation: Operation, timestamp: Timestamp) -> Self {
        Timestamp { attestations: Vec::new(), operations: vec![(operation, timestamp)] }
    }

    /// Reads a tree whose root is `message`.
    pub(super) fn read(reader: &mut Reader<'_>, message: &Message) -> Result<Self, ProofError> {
        let mut operations = MAX_OPERATIONS;
        Timestamp::read_below(reader, message, MAX_DEPTH, &mut operations)
    }

    fn read_below(
        reader: &mut Reader<'_>,
        message: &Message,
        depth: usize,
        operations: &mut usize,
    ) -> Result<Self, ProofError> {
        let mut timestamp = Timestamp::default();
        loop {
            // 0xff: another branch follows this one.
            let first = reader.byte()?;
            let tag = if first == 0xff { reader.byte()? } else { first };
            if tag == 0 {
                timestamp.attest(Attestation::read(reader)?);
            } else {
                let operation = Operation::read(tag, reader)?;
                let depth = depth.checked_sub(1).ok_or(ProofError::Depth)?;
                *operations = operations.checked_sub(1).ok_or(ProofError::Size)?;
                let result = operation.apply(message)?;
                let below = Timestamp::read_below(reader, &result, depth, operations)?;
                timestamp.operate(operation, below);
            }
            if first != 0xff {
                return Ok(timestamp);
            }
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut left = self.attestations.len() + self.operations.len();
        let mut mark = |out: &mut Vec<u8>| {
            left -= 1;
            if left > 0 {
                out.push(0xff);
            }
        };
        for attestation in &self.attestations {
            mark(out);
            out.push(0);
            attestation.write(out);
        }
        for (operation, below) in &self.operations {
            mark(out);
            operation.write(out);
            below.write(out);
        }
    }

    fn attest(&mut self, attestation: Attestation) {
        if let Err(place) = self.attestations.binary_search_by(|other| other.order(&attestation)) {
            self.attestations.insert(place, attestation);
        }
    }

    fn operate(&mut self, operation: Operation, below: Timestamp) {
        match self.operations.binary_search_by(|(other, _)| other.cmp(&operation)) {
            Ok(place) => self.operations[place].1.merge(below),
            Err(place) => self.operations.insert(place, (operation, below)),
        }
    }

    /// Adds what another tree knows of the same message.
    pub(super) fn merge(&mut self, other: Timestamp) {
        for attestation in other.attestations {
            self.attest(attestation);
        }
        for (operation, below) in other.operations {
            self.operate(operation, below);
        }
    }

    /// Whether it knows nothing; such a tree cannot be written.
    pub(super) fn is_empty(&self) -> bool {
        self.attestations.is_empty() && self.operations.is_empty()
    }

    /// Calls `visit` for each attested message that is known.
    pub(super) fn walk(&self, message: &Message, visit: &mut dyn FnMut(&[u8], &Attestation)) {
        let Some(bytes) = message.known() else { return };
        for attestation in &self.attestations {
            visit(bytes, attestation);
        }
        for (operation, below) in &self.operations {
            // It was applied when the tree was read, and cannot fail now.
            if let Ok(result) = operation.apply(message) {
                below.walk(&result, visit);
            }
        }
    }

    /// Removes the attestations of known messages that `keep` does not want, and the
    /// operations that then lead nowhere.
    pub(super) fn retain(&mut self, message: &Message, keep: &dyn Fn(&[u8], &Attestation) -> bool) {
        let Some(bytes) = message.known() else { return };
        self.attestations.retain(|attestation| keep(bytes, attestation));
        self.operations.retain_mut(|(operation, below)| {
            if let Ok(result) = operation.apply(message) {
                below.retain(&result, keep);
            }
            !below.is_empty()
        });
    }

    /// Merges `answer` wherever `uri` promises something about the message `commitment`.
    pub(super) fn fulfil(&mut self, message: &Message, uri: &str, commitment: &[u8], answer: &Timestamp) {
        let Some(bytes) = message.known() else { return };
        for (operation, below) in &mut self.operations {
            if let Ok(result) = operation.apply(message) {
                below.fulfil(&result, uri, commitment, answer);
            }
        }
        let is_promise =
            |attestation: &Attestation| matches!(attestation, Attestation::Pending(by) if by == uri);
        if bytes == commitment && self.attestations.iter().any(is_promise) {
            self.merge(answer.clone());
        }
    }
}
