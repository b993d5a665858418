//! Pure functions of the signing side: canonical form, hashes, keys, signatures.

use ets_core::canonical::{Limits, Payload};
use ets_core::event::{Event, Header};
use ets_core::hash::{Digest, event_hash, genesis_hash};
use ets_core::key::{self, SecretKey};
use serde_json::Value as Json;
use uuid::Uuid;

use crate::error::{Error, Result, sqlstate};
use crate::function::{Call, Record};
use crate::value::Value;
use crate::{clock, ledger, transaction};

crate::sql_functions! {
    ets_canonicalize pg_finfo_ets_canonicalize => canonicalize;
    ets_canonicalize_text pg_finfo_ets_canonicalize_text => canonicalize_text;
    ets_event_hash pg_finfo_ets_event_hash => event_hash_of;
    ets_genesis_hash pg_finfo_ets_genesis_hash => genesis_hash_of;
    ets_key_id pg_finfo_ets_key_id => key_id;
    ets_generate_key pg_finfo_ets_generate_key => generate_key;
    ets_uuid_v7 pg_finfo_ets_uuid_v7 => uuid_v7;
    ets_sign pg_finfo_ets_sign => sign;
    ets_verify_signature pg_finfo_ets_verify_signature => verify_signature;
    ets_leaf_hash pg_finfo_ets_leaf_hash => leaf_hash;
}

fn canonicalize(call: &Call) -> Result<Value> {
    Ok(payload_argument(call, 0)?.canonical().into())
}

fn canonicalize_text(call: &Call) -> Result<Value> {
    let text = call.required_text(0, "payload")?;
    Ok(Payload::parse(&text, &Limits::CEILING)?.canonical().into())
}

fn event_hash_of(call: &Call) -> Result<Value> {
    let payload = payload_argument(call, 0)?;
    let previous_hash = call.required_digest(1, "previous_hash")?;
    Ok(event_hash(payload.canonical().as_bytes(), &previous_hash).into())
}

fn genesis_hash_of(call: &Call) -> Result<Value> {
    let domain = call.required_text(0, "domain")?.parse()?;
    let stream = call.required_text(1, "stream")?.parse()?;
    let ledger_id = match call.uuid(2) {
        Some(bytes) => Uuid::from_bytes(bytes),
        None => ledger::id()?,
    };
    Ok(genesis_hash(&ledger_id, &domain, &stream).into())
}

fn key_id(call: &Call) -> Result<Value> {
    Ok(key::key_id(&call.required_bytes(0, "public_key", sqlstate::SIGNATURE)?).into())
}

fn generate_key(_: &Call) -> Result<Record> {
    let secret_key = new_secret_key()?;
    let public_key = *secret_key.public_key().as_bytes();
    Ok(Record(vec![public_key.into(), (*secret_key.seed()).into()]))
}

/// A secret key from the operating system's random source.
pub fn new_secret_key() -> Result<SecretKey> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| {
        Error::new(sqlstate::NO_KEY, format!("the operating system gave no randomness: {error}"))
    })?;
    Ok(SecretKey::from_seed(&seed))
}

fn uuid_v7(_: &Call) -> Result<Value> {
    let id = clock::new_id()?;
    transaction::remember_id(id);
    Ok(id.into())
}

fn sign(call: &Call) -> Result<Value> {
    let payload = payload_argument(call, 0)?;
    let previous_hash = call.required_digest(1, "previous_hash")?;
    let seed = call.required_bytes(2, "secret_key", sqlstate::SIGNATURE)?;
    let hash = event_hash(payload.canonical().as_bytes(), &previous_hash);
    Ok(SecretKey::from_seed(&seed).sign(&hash).into())
}

fn verify_signature(call: &Call) -> Result<Value> {
    let hash = call.required_digest(0, "current_hash")?;
    let signature = call.required_bytes(1, "signature", sqlstate::SIGNATURE)?;
    let public_key = call.required_bytes(2, "public_key", sqlstate::SIGNATURE)?;
    Ok(key::verify_strict(&public_key, hash.as_bytes(), &signature).into())
}

fn leaf_hash(call: &Call) -> Result<Value> {
    let text = call.required_text(0, "document")?;
    let value = ets_core::canonical::parse_json(&text, &Limits::DOCUMENT)?;
    let header = match value {
        Json::Object(members) if members.contains_key("payload") => {
            Event::from_value(Json::Object(members))?.header
        }
        value => Header::from_value(value)?,
    };
    Ok(Digest(*header.leaf_hash().as_bytes()).into())
}

/// A `jsonb` argument as a payload, within the ceilings: the settings limit
/// appends only.
pub fn payload_argument(call: &Call, position: usize) -> Result<Payload> {
    call.required_payload(position, &Limits::CEILING)
}
