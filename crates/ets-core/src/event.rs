//! Events: the thirteen members, their documents and their leaves.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::canonical::{self, CanonicalError, Limits, Payload};
use crate::hash::{Digest, bytes_of, event_hash, from_hex, leaf_hash, write_hex};
use crate::key::{self, KeyId, PublicKey, Signature};
use crate::name::{DomainName, NameError, SchemaVersion, StreamName};
use crate::time::Timestamp;

/// One event of a ledger: the thirteen members of an event document.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Everything but the payload.
    pub header: Header,
    /// The payload, canonical.
    pub payload: Payload,
}

impl Event {
    /// Reads an event document: exactly the thirteen members, each in its one
    /// spelling. Whether they are true of each other is for
    /// [`Event::check_hash`] and its like.
    ///
    /// # Errors
    /// [`DocumentError`] names the member.
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        Event::from_value(canonical::parse_json(text, &Limits::DOCUMENT)?)
    }

    /// As [`Event::parse`], from a value that was parsed strictly.
    ///
    /// # Errors
    /// [`DocumentError`] names the member.
    pub fn from_value(value: Value) -> Result<Self, DocumentError> {
        let Value::Object(mut members) = value else { return Err(DocumentError::NotAnObject) };
        let payload = members.remove("payload").ok_or(DocumentError::Missing("payload"))?;
        Ok(Event {
            header: Header::from_members(members)?,
            payload: Payload::from_value(payload, &Limits::CEILING)?,
        })
    }

    /// The event document: the JCS text of the thirteen members.
    pub fn document(&self) -> String {
        let header = self.header.to_jcs();
        // `payload` sorts between `key_id` and `previous_hash`, so it is spliced in.
        let at = header.find(",\"previous_hash\":").unwrap_or(header.len());
        let (before, after) = header.split_at(at);
        format!("{before},\"payload\":{}{after}", self.payload.canonical())
    }

    /// `SHA256( JCS(payload) || previous_hash )`, from this event's members.
    pub fn computed_hash(&self) -> Digest {
        event_hash(self.payload.canonical().as_bytes(), &self.header.previous_hash)
    }

    /// Whether `current_hash` is the hash of payload and `previous_hash`.
    pub fn check_hash(&self) -> bool {
        self.computed_hash() == self.header.current_hash
    }
}

/// An event without its payload: what a Merkle leaf commits to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// UUID version 7, strictly increasing in its stream.
    pub event_id: EventId,
    /// The domain, which the schema names.
    pub domain: DomainName,
    /// The hash chain inside the domain.
    pub stream: StreamName,
    /// Position in the stream, from 1.
    pub sequence: u64,
    /// The schema that the payload was validated against.
    pub schema_version: SchemaVersion,
    /// SHA-256 of `public_key`.
    pub key_id: KeyId,
    /// The signer's key, 32 bytes.
    pub public_key: [u8; 32],
    /// The `current_hash` of the event before, or the stream's genesis hash.
    pub previous_hash: Digest,
    /// `SHA256( JCS(payload) || previous_hash )`.
    pub current_hash: Digest,
    /// Ed25519 over the 32 bytes of `current_hash`.
    pub signature: Signature,
    /// When the gate admitted the event, by the server's clock.
    pub timestamp: Timestamp,
    /// The registry's sequence that the event was judged against.
    pub registry_version: u64,
}

impl Header {
    /// Reads a header: exactly the twelve members, each in its one spelling.
    ///
    /// # Errors
    /// [`DocumentError`] names the member.
    pub fn from_value(value: Value) -> Result<Self, DocumentError> {
        let Value::Object(members) = value else { return Err(DocumentError::NotAnObject) };
        Header::from_members(members)
    }

    fn from_members(mut members: Map<String, Value>) -> Result<Self, DocumentError> {
        let mut text = |name: &'static str| match members.remove(name) {
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(DocumentError::Invalid(name)),
            None => Err(DocumentError::Missing(name)),
        };
        fn parsed<T: FromStr>(name: &'static str, text: String) -> Result<T, DocumentError> {
            text.parse().map_err(|_| DocumentError::Invalid(name))
        }
        let event_id = parsed("event_id", text("event_id")?)?;
        let domain = parsed("domain", text("domain")?)?;
        let stream = parsed("stream", text("stream")?)?;
        let schema_version = parsed("schema_version", text("schema_version")?)?;
        let key_id = parsed("key_id", text("key_id")?)?;
        let public_key = from_hex(&text("public_key")?).map_err(|_| DocumentError::Invalid("public_key"))?;
        let previous_hash = parsed("previous_hash", text("previous_hash")?)?;
        let current_hash = parsed("current_hash", text("current_hash")?)?;
        let signature = parsed("signature", text("signature")?)?;
        let timestamp = parsed("timestamp", text("timestamp")?)?;
        let mut number = |name: &'static str| match members.remove(name) {
            Some(Value::Number(number)) => number.as_u64().ok_or(DocumentError::Invalid(name)),
            Some(_) => Err(DocumentError::Invalid(name)),
            None => Err(DocumentError::Missing(name)),
        };
        let sequence = number("sequence")?;
        let registry_version = number("registry_version")?;
        if sequence == 0 {
            return Err(DocumentError::Invalid("sequence"));
        }
        if let Some((name, _)) = members.into_iter().next() {
            return Err(DocumentError::Unknown(name.chars().take(64).collect()));
        }
        Ok(Header {
            event_id,
            domain,
            stream,
            sequence,
            schema_version,
            key_id,
            public_key,
            previous_hash,
            current_hash,
            signature,
            timestamp,
            registry_version,
        })
    }

    /// The JCS text of the twelve members.
    pub fn to_jcs(&self) -> String {
        use std::fmt::Write as _;
        let mut out = String::with_capacity(700 + self.stream.as_str().len());
        // Written in the order of RFC 8785 section 3.2.3. Only `stream` can need
        // escaping; the other texts are of plain characters by their types.
        out.push_str("{\"current_hash\":\"");
        write_hex(&mut out, self.current_hash.as_bytes());
        out.push_str("\",\"domain\":\"");
        out.push_str(self.domain.as_str());
        out.push_str("\",\"event_id\":\"");
        out.push_str(self.event_id.as_uuid().as_hyphenated().encode_lower(&mut [0; 36]));
        out.push_str("\",\"key_id\":\"");
        write_hex(&mut out, self.key_id.0.as_bytes());
        out.push_str("\",\"previous_hash\":\"");
        write_hex(&mut out, self.previous_hash.as_bytes());
        out.push_str("\",\"public_key\":\"");
        write_hex(&mut out, &self.public_key);
        let _ = write!(out, "\",\"registry_version\":{},\"schema_version\":\"", self.registry_version);
        out.push_str(self.schema_version.as_str());
        let _ = write!(out, "\",\"sequence\":{},\"signature\":\"", self.sequence);
        write_hex(&mut out, &self.signature.0);
        out.push_str("\",\"stream\":");
        canonical::write_string(&mut out, self.stream.as_str());
        let _ = write!(out, ",\"timestamp\":\"{}\"}}", self.timestamp);
        out
    }

    /// `SHA256( 0x00 || JCS(header) )`.
    pub fn leaf_hash(&self) -> Digest {
        leaf_hash(self.to_jcs().as_bytes())
    }

    /// Whether `key_id` is the SHA-256 of `public_key`.
    pub fn check_key_id(&self) -> bool {
        key::key_id(&self.public_key) == self.key_id
    }

    /// Whether `signature` is strictly valid over `current_hash`.
    pub fn check_signature(&self) -> bool {
        PublicKey::from_bytes(&self.public_key)
            .is_ok_and(|key| key.verify(&self.current_hash, &self.signature))
    }
}

/// The name of an event: a UUID version 7 of the RFC 9562 variant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(Uuid);

impl EventId {
    /// The id, if it is of version 7 and of the RFC 9562 variant.
    pub fn from_uuid(uuid: Uuid) -> Option<Self> {
        (uuid.get_version_num() == 7 && uuid.get_variant() == uuid::Variant::RFC4122).then_some(EventId(uuid))
    }

    /// The id of these 16 bytes, if there are as many and they are a UUID
    /// version 7.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes_of(bytes).ok().map(Uuid::from_bytes).and_then(EventId::from_uuid)
    }

    /// The id as a plain UUID.
    pub fn as_uuid(&self) -> &Uuid {
        &self.0
    }

    /// Milliseconds since 1970-01-01T00:00:00Z that the id states (RFC 9562, section 5.7).
    pub fn unix_millis(&self) -> u64 {
        u64::try_from(self.0.as_u128() >> 80).unwrap_or(u64::MAX)
    }

    /// The least id greater than this one. It counts in the 74 bits that are
    /// random at first, and in the milliseconds when those are used up, so a
    /// stream's ids keep increasing while a clock stands still or steps back.
    pub fn successor(&self) -> Option<Self> {
        const RAND_B: u128 = (1 << 62) - 1;
        let bits = self.0.as_u128();
        let (millis, rand_a, rand_b) = (bits >> 80, bits >> 64 & 0xfff, bits & RAND_B);
        let count = (millis << 74 | rand_a << 62 | rand_b) + 1;
        let (millis, rand_a, rand_b) = (count >> 74, count >> 62 & 0xfff, count & RAND_B);
        (millis < 1 << 48)
            .then(|| EventId(Uuid::from_u128(millis << 80 | 7 << 76 | rand_a << 64 | 2 << 62 | rand_b)))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.as_hyphenated(), f)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for EventId {
    type Err = EventIdError;

    /// Accepts lowercase hyphenated text only.
    fn from_str(text: &str) -> Result<Self, EventIdError> {
        let id = Uuid::try_parse(text).ok().and_then(EventId::from_uuid).ok_or(EventIdError)?;
        if id.to_string() == text { Ok(id) } else { Err(EventIdError) }
    }
}

/// Not a UUID version 7 in lowercase hyphenated text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventIdError;

impl fmt::Display for EventIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a UUID version 7 in lowercase hyphenated text")
    }
}

impl std::error::Error for EventIdError {}

/// Why a text is no event document.
#[derive(Debug, Clone, PartialEq)]
pub enum DocumentError {
    /// It has no canonical form, or is too large or too deep.
    Json(CanonicalError),
    /// It is no JSON object.
    NotAnObject,
    /// A member is absent.
    Missing(&'static str),
    /// A member has another type, or another spelling than its only one.
    Invalid(&'static str),
    /// A member that an event document does not have; its name, cut to 64 characters.
    Unknown(String),
}

impl From<CanonicalError> for DocumentError {
    fn from(error: CanonicalError) -> Self {
        DocumentError::Json(error)
    }
}

impl From<NameError> for DocumentError {
    fn from(error: NameError) -> Self {
        DocumentError::Invalid(error.what)
    }
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DocumentError::Json(error) => fmt::Display::fmt(error, f),
            DocumentError::NotAnObject => f.write_str("an event document is a JSON object"),
            DocumentError::Missing(name) => write!(f, "the event document has no {name}"),
            DocumentError::Invalid(name) => write!(f, "the event document's {name} is not valid"),
            DocumentError::Unknown(name) => write!(f, "an event document has no member {name:?}"),
        }
    }
}

impl std::error::Error for DocumentError {}
