//! The gate's checks again, on one event: each either finds nothing or says
//! what is wrong.

use std::sync::Arc;

use super::finding::{Finding, FindingClass, Flaw};
use crate::event::{Event, Header};
use crate::key::{Claim, KeyError, KnownKeys};
use crate::registry::{CompileError, CompiledSchema, CompiledSchemas, Registry, Request, SchemaRecord};

/// How many violations a finding lists.
const VIOLATIONS_SHOWN: usize = 3;

/// What judging many events need not do twice.
#[derive(Default)]
pub(super) struct Memory {
    keys: KnownKeys,
    schemas: CompiledSchemas,
}

impl Memory {
    pub(super) fn compiled(&mut self, record: &SchemaRecord) -> Result<Arc<CompiledSchema>, CompileError> {
        self.schemas.get(record)
    }
}

/// Whether signatures are verified: nearly all that checking an event costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signatures {
    Verified,
    /// Somebody else verified them, or will.
    Trusted,
}

/// What is said of a header's signature: `None` where nobody asked.
pub(super) type Signed = Option<Result<bool, KeyError>>;

/// Whether each header's signature is its key's over `current_hash`.
pub(super) fn signatures<'h>(
    headers: impl Iterator<Item = &'h Header>,
    signatures: Signatures,
    memory: &mut Memory,
) -> Vec<Signed> {
    if signatures == Signatures::Trusted {
        return headers.map(|_| None).collect();
    }
    let claims: Vec<Claim<'_>> = headers
        .map(|header| Claim {
            public_key: &header.public_key,
            message: header.current_hash.as_bytes(),
            signature: &header.signature,
        })
        .collect();
    memory.keys.verify_each(&claims).into_iter().map(Some).collect()
}

/// `key_id` is the public key's, `current_hash` that of the payload and
/// `previous_hash`, and the signature the key's over it.
pub(super) fn integrity(event: &Event, signed: Signed, memory: &mut Memory) -> Vec<Flaw> {
    let header = &event.header;
    let mut flaws = header_integrity(header, signed, memory);
    let hash = event.computed_hash();
    if hash != header.current_hash {
        flaws.push(
            Flaw::tampering("current_hash", "payload and previous_hash do not hash to current_hash")
                .compared(hash, header.current_hash),
        );
    }
    flaws
}

/// The signer had the right to append this, at the event's own registry version.
pub(super) fn authority(registry: &Registry, header: &Header) -> Option<Flaw> {
    if header.registry_version > registry.version() {
        return Some(
            Flaw::tampering("registry_version", "the registry never had so many events")
                .compared(format!("at most {}", registry.version()), header.registry_version),
        );
    }
    registry.authorize(header.registry_version, &Request::of(header)).err().map(|denial| {
        Flaw::new(
            FindingClass::Authority,
            "authority",
            format!("at registry version {}: {denial}", header.registry_version),
        )
    })
}

/// The finding that an event's signer, who had the right to append it at the
/// event's own registry version, had lost it by `sealed_at`: the registry's size
/// in the checkpoint before the one that first includes the event. A transaction
/// may stay open after its append.
pub fn late_authority(registry: &Registry, header: &Header, sealed_at: u64) -> Option<Finding> {
    if sealed_at <= header.registry_version || header.domain.as_str() == crate::name::REGISTRY {
        return None;
    }
    let denial = registry.authorize(sealed_at, &Request::of(header)).err()?;
    let detail = format!("sealed after registry version {sealed_at}, by when {denial}");
    Some(Flaw::new(FindingClass::LateAuthority, "authority", detail).of(header))
}

/// Domain, stream and schema version are those that the schema derives from the
/// payload, and the payload fits the schema.
pub(super) fn schema(record: &SchemaRecord, event: &Event, memory: &mut Memory) -> Vec<Flaw> {
    let header = &event.header;
    let mut flaws = Vec::new();
    let flaw = |check, detail: String| Flaw::new(FindingClass::Schema, check, detail);
    if record.domain != header.domain {
        flaws.push(
            flaw("domain", "the schema belongs to another domain".into())
                .compared(&record.domain, &header.domain),
        );
    }
    let payload = event.payload.value();
    match record.stream_of(payload) {
        Ok(stream) if stream == header.stream => {}
        Ok(_) => flaws.push(flaw("stream", "the payload names another stream".into())),
        Err(error) => flaws.push(flaw("stream", error.to_string())),
    }
    if let Err(error) = record.check_pointer(payload) {
        flaws.push(flaw("schema_version", error.to_string()));
    }
    match memory.compiled(record) {
        Err(error) => flaws.push(Flaw::new(
            FindingClass::Unverifiable,
            "schema",
            format!("the schema {} cannot be evaluated: {error}", header.schema_version),
        )),
        Ok(compiled) => {
            let violations = compiled.validator.validate(payload);
            if !violations.is_empty() {
                let shown: Vec<String> = violations
                    .iter()
                    .take(VIOLATIONS_SHOWN)
                    .map(|violation| match violation.instance_pointer.as_str() {
                        "" => format!("the payload ({})", violation.keyword),
                        pointer => format!("{pointer} ({})", violation.keyword),
                    })
                    .collect();
                let more = violations.len().saturating_sub(VIOLATIONS_SHOWN);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                flaws.push(flaw(
                    "schema",
                    format!("the payload violates {}: {}{more}", header.schema_version, shown.join(", ")),
                ));
            }
        }
    }
    flaws
}

/// As much of [`integrity`] as a header without its payload allows.
pub(super) fn header_integrity(header: &Header, signed: Signed, memory: &mut Memory) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    let key_id = memory.keys.id(&header.public_key);
    if key_id != header.key_id {
        flaws.push(
            Flaw::tampering("key_id", "key_id is not the SHA-256 of the public key")
                .compared(key_id, header.key_id),
        );
    }
    match signed {
        Some(Err(_)) => {
            flaws.push(Flaw::tampering("signature", "the public key is no key that could be registered"));
        }
        Some(Ok(false)) => {
            flaws.push(Flaw::tampering("signature", "the signature is not this key's over current_hash"));
        }
        Some(Ok(true)) | None => {}
    }
    flaws
}
