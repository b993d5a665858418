//! Registering domains, schemas, keys and grants: each is an event, signed by
//! the root key and appended through the gate.

use ets_core::canonical::{Limits, Payload, parse_json};
use ets_core::event::Event;
use ets_core::hash::event_hash;
use ets_core::key::{KeyId, PublicKey, Signature};
use ets_core::name::{DomainName, SchemaVersion};
use ets_core::registry::payload::{self, NewSchema};
use ets_core::registry::{Custody, Pattern, engine_for};
use ets_core::time::Timestamp;
use serde_json::{Value as Json, json};

use crate::api::append::{append_at_head, sign_and_append};
use crate::api::canonical::new_secret_key;
use crate::api::setup::require_superuser;
use crate::db::{self, View};
use crate::error::{self, Error, Result, sqlstate};
use crate::function::{Call, Record, Rows, event_columns};
use crate::{heads, keys, ledger, receiver, rule_function};

crate::sql_functions! {
    ets_create_domain pg_finfo_ets_create_domain => create_domain;
    ets_register_schema pg_finfo_ets_register_schema => register_schema;
    ets_retire_schema pg_finfo_ets_retire_schema => retire_schema;
    ets_register_rule_function pg_finfo_ets_register_rule_function => register_rule_function;
    ets_register_key pg_finfo_ets_register_key => register_key;
    ets_rotate_key pg_finfo_ets_rotate_key => rotate_key;
    ets_rotate_server_key pg_finfo_ets_rotate_server_key => rotate_server_key;
    ets_authority_at pg_finfo_ets_authority_at => authority_at;
    ets_revoke_key pg_finfo_ets_revoke_key => revoke_key;
    ets_grant_authority pg_finfo_ets_grant_authority => grant_authority;
    ets_revoke_authority pg_finfo_ets_revoke_authority => revoke_authority;
    ets_create_local_key pg_finfo_ets_create_local_key => create_local_key;
}

fn create_domain(call: &Call) -> Result<Record> {
    let domain: DomainName = call.required_text(0, "domain")?.parse()?;
    let keep_state = call.bool(2).ok_or_else(|| Error::null("keep_state"))?;
    register(payload::domain(&domain, call.text(1).as_deref(), keep_state))
}

fn register_schema(call: &Call) -> Result<Record> {
    let name: SchemaVersion = call.required_text(0, "schema_version")?.parse()?;
    let domain: DomainName = call.required_text(1, "domain")?.parse()?;
    let schema = json_argument(call, 2, "schema")?;
    let (stream_pointer, schema_pointer) = (call.text(3), call.text(4));
    let rules = json_argument(call, 5, "rules")?;
    let reducer = call.required_text(6, "reducer")?;
    let engine = engine_for(&schema, &rules, &reducer).map_err(|error| schema_error(&name, &error))?;
    let record = register(payload::schema(NewSchema {
        name: &name,
        domain: &domain,
        schema,
        stream_pointer: stream_pointer.as_deref(),
        schema_pointer: schema_pointer.as_deref(),
        rules,
        reducer: &reducer,
        engine,
    }))?;
    if schema_pointer.is_none() {
        error::notice(
            &format!(
                "schema {name} has no schema_pointer: its version is asserted by the server, not signed"
            ),
            "name the payload member that holds the schema version in schema_pointer to put it under the signature",
        );
    }
    Ok(record)
}

fn retire_schema(call: &Call) -> Result<Record> {
    let name: SchemaVersion = call.required_text(0, "schema_version")?.parse()?;
    register(payload::schema_retirement(&name, &call.required_text(1, "reason")?))
}

fn register_rule_function(call: &Call) -> Result<Record> {
    require_superuser("ets.register_rule_function")?;
    let name: SchemaVersion = call.required_text(0, "schema_version")?.parse()?;
    let function = call.int4(1).ok_or_else(|| Error::null("rule"))?;
    let pinned = rule_function::describe(function.cast_unsigned())?;
    register(payload::rule_function(&name, &pinned.function, &pinned.prosrc_sha256))
}

fn register_key(call: &Call) -> Result<Record> {
    let public_key = PublicKey::from_bytes(&call.required_bytes(0, "public_key", sqlstate::SIGNATURE)?)?;
    let owner = call.required_text(1, "owner")?;
    let not_before = moment(call, 2, "not_before")?;
    let not_after = moment(call, 3, "not_after")?;
    register(payload::key(&public_key, &owner, Custody::Actor, not_before, not_after))
}

/// The one registry event that an actor's own key signs. What it signs is the
/// hash that `ets.prepare` gives for the payload; if another registry event came
/// between, the signature is of another head (ET003), and the actor signs again.
fn rotate_key(call: &Call) -> Result<Record> {
    let old = key_id_argument(call, 0)?;
    let new = PublicKey::from_bytes(&call.required_bytes(1, "new_public_key", sqlstate::SIGNATURE)?)?;
    let proof = Signature(call.required_bytes(2, "proof", sqlstate::SIGNATURE)?);
    let signature = Signature(call.required_bytes(3, "signature", sqlstate::SIGNATURE)?);
    let registry = ledger::registry(View::Latest)?;
    receiver::refuse_own("registry change")?;
    let key = registry.key(&old).ok_or_else(|| unknown_key(&old))?;
    let public_key = PublicKey::from_bytes(&key.public_key)?;
    let payload = Payload::from_value(payload::key_rotation(&old, &new, &proof, None), &Limits::CEILING)?;
    let event = append_at_head(payload, "ets.key_rotation/1.0.0".parse()?, &public_key, |_| signature)?;
    Ok(Record(event_columns(&event)))
}

/// Makes the server another key, and registers it. Its file is there before the
/// event: where the root key is elsewhere, what root then signs names this key.
fn rotate_server_key(call: &Call) -> Result<Record> {
    require_superuser("ets.rotate_server_key")?;
    let reason = call.required_text(0, "reason")?;
    let compromised_since = moment(call, 1, "compromised_since")?;
    ledger::registry(View::Latest)?;
    receiver::refuse_own("registry change")?;
    let new = new_secret_key()?;
    keys::create(&ledger::id()?, &new, false)?;
    register(payload::server_key(&new.public_key(), &reason, compromised_since))
}

/// # Errors
/// ET011 for a key that is not registered; 22023 for a version that is not reached.
fn authority_at(call: &Call) -> Result<Rows> {
    let key_id = key_id_argument(call, 0)?;
    let version = call.required_count(1, "registry_version")?;
    let registry = ledger::registry(View::Query)?;
    registry.key(&key_id).ok_or_else(|| unknown_key(&key_id))?;
    if version > registry.version() {
        let problem =
            format_args!("must not be greater than {}, the registry's sequence", registry.version());
        return Err(Error::parameter("registry_version", problem));
    }
    let mut rows = Rows::open(call)?;
    for grant in registry.grants_of(&key_id, version) {
        rows.put(&[
            grant.domain.as_str().into(),
            grant.schemas.as_str().into(),
            grant.streams.as_str().into(),
            grant.granted_at.into(),
        ])?;
    }
    Ok(rows)
}

fn unknown_key(key_id: &KeyId) -> Error {
    Error::new(sqlstate::NOT_FOUND, format!("key {key_id} is not registered"))
        .detail(json!({"key_id": key_id.to_string()}))
        .hint("ets.signing_key lists the keys; ets.key_id gives a public key's id")
}

fn revoke_key(call: &Call) -> Result<Record> {
    let key_id = key_id_argument(call, 0)?;
    let reason = call.required_text(1, "reason")?;
    register(payload::key_revocation(&key_id, &reason, moment(call, 2, "compromised_since")?))
}

fn grant_authority(call: &Call) -> Result<Record> {
    let (key_id, domain, schemas, streams) = grant_arguments(call)?;
    register(payload::grant(&key_id, &domain, &schemas, &streams))
}

fn revoke_authority(call: &Call) -> Result<Record> {
    let (key_id, domain, schemas, streams) = grant_arguments(call)?;
    register(payload::grant_revocation(&key_id, &domain, &schemas, &streams, call.text(4).as_deref()))
}

fn create_local_key(call: &Call) -> Result<Record> {
    require_superuser("ets.create_local_key")?;
    let name = call.required_text(0, "name")?;
    let owner = call.required_text(1, "owner")?;
    let role = call.int4(2).ok_or_else(|| Error::null("used_by"))?;
    let used_by = db::first(
        View::Query,
        "SELECT role.rolname::pg_catalog.text FROM pg_catalog.pg_roles AS role
          WHERE role.oid::pg_catalog.int8 OPERATOR(pg_catalog.=) $1",
        &[i64::from(role.cast_unsigned()).into()],
        |row| Ok(row.text(1)),
    )?
    .flatten()
    .ok_or_else(|| Error::parameter("used_by", "is not a role"))?;
    let taken = db::first(
        View::Latest,
        "SELECT true FROM ets.local_key AS local WHERE local.name OPERATOR(pg_catalog.=) $1",
        &[name.as_str().into()],
        |_| Ok(()),
    )?;
    if taken.is_some() {
        return Err(Error::new(sqlstate::FIELD, format!("local key {name:?} exists already"))
            .detail(json!({"name": name}))
            .hint("choose another name"));
    }
    let secret_key = new_secret_key()?;
    let public_key = secret_key.public_key();
    let record = register(payload::key(&public_key, &owner, Custody::Server, None, None))?;
    db::write(
        "INSERT INTO ets.local_key (name, key_id, used_by) VALUES ($1, $2, $3)",
        &[name.into(), public_key.key_id().into(), used_by.into()],
    )?;
    keys::create(&ledger::id()?, &secret_key, false)?;
    Ok(record)
}

/// Signs a registry payload with the root key and appends it.
///
/// # Errors
/// ET015 where the root key is not on this server: its detail holds what is to be
/// signed elsewhere.
fn register(payload: Json) -> Result<Record> {
    Ok(Record(event_columns(&append_as_root(payload)?)))
}

fn append_as_root(payload: Json) -> Result<Event> {
    let announced = ledger::announced()?;
    ledger::registry(View::Latest)?;
    receiver::refuse_own("registry change")?;
    let kind: SchemaVersion =
        payload.get("schema_version").and_then(Json::as_str).unwrap_or_default().parse()?;
    let payload = Payload::from_value(payload, &Limits::CEILING)?;
    if announced.has_local_authority() {
        return sign_and_append(payload, kind, &keys::server_key()?);
    }
    let (domain, stream) = (DomainName::registry(), ets_core::name::StreamName::main());
    let (head, _) = heads::peek(View::Latest, &domain, &stream)?.ok_or_else(ledger::not_initialised)?;
    Err(Error::new(sqlstate::NO_KEY, "the root key is not on this server: sign this event where it is")
        .detail(json!({
            "schema_version": kind.as_str(),
            "payload": payload.value(),
            "previous_hash": head.to_string(),
            "current_hash": event_hash(payload.canonical().as_bytes(), &head).to_string(),
        }))
        .hint("sign the 32 bytes of current_hash with the root key and call ets.append"))
}

fn grant_arguments(call: &Call) -> Result<(KeyId, DomainName, Pattern, Pattern)> {
    let key_id = key_id_argument(call, 0)?;
    let domain: DomainName = call.required_text(1, "domain")?.parse()?;
    let schemas = Pattern::of_schemas(&call.required_text(2, "schemas")?)
        .map_err(|error| Error::parameter("schemas", error))?;
    let streams = Pattern::of_streams(&call.required_text(3, "streams")?, &domain)
        .map_err(|error| Error::parameter("streams", error))?;
    Ok((key_id, domain, schemas, streams))
}

fn key_id_argument(call: &Call, position: usize) -> Result<KeyId> {
    let text = call.required_text(position, "key_id")?;
    text.parse().map_err(|error| Error::parameter("key_id", format_args!("is {error}")))
}

fn json_argument(call: &Call, position: usize, name: &str) -> Result<Json> {
    Ok(parse_json(&call.required_jsonb(position, name)?, &Limits::CEILING)?)
}

fn moment(call: &Call, position: usize, name: &str) -> Result<Option<Timestamp>> {
    call.unix_micros(position)
        .map(|micros| {
            Timestamp::from_unix_micros(micros)
                .ok_or_else(|| Error::parameter(name, "is not in the years 1970 to 9999"))
        })
        .transpose()
}

fn schema_error(name: &SchemaVersion, error: &ets_core::schema::SchemaError) -> Error {
    Error::new(sqlstate::SCHEMA, format!("schema {name} is refused: {error}"))
        .detail(json!({"schema_version": name.as_str()}))
        .hint("JSON Schema 2020-12 or draft-07, without references to other documents")
}
