//! The registry as table rows: what the SQL tables must hold, no more and no less.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Registry;
use super::record::{DomainRecord, KeyRecord, SchemaRecord};
use crate::key::{ALGORITHM, KeyId};
use crate::name::{DomainName, SchemaVersion};
use crate::time::Timestamp;

/// Rows of the four tables, each in the order of its primary key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// `ets.domain`, by name; the reserved domains too.
    pub domains: Vec<DomainRow>,
    /// `ets.schema_version`, by name; users' schemas only.
    pub schema_versions: Vec<SchemaRow>,
    /// `ets.signing_key`, by key id.
    pub signing_keys: Vec<KeyRow>,
    /// `ets.authority_grant`, in the order in which they were made.
    pub authority_grants: Vec<GrantRow>,
}

/// A row of `ets.domain`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // The columns of the table.
pub struct DomainRow {
    pub domain: DomainName,
    pub description: Option<String>,
    pub keep_state: bool,
    pub registered_at: u64,
}

/// A row of `ets.schema_version`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // The columns of the table.
pub struct SchemaRow {
    pub name: SchemaVersion,
    pub domain: DomainName,
    pub schema: Arc<Value>,
    pub stream_pointer: Option<String>,
    pub schema_pointer: Option<String>,
    pub rules: Value,
    pub reducer: String,
    pub engine: String,
    /// The SQL functions that are rules too, an array.
    pub rule_functions: Value,
    pub registered_at: u64,
    pub retired_at: Option<u64>,
}

/// A row of `ets.signing_key`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // The columns of the table.
pub struct KeyRow {
    pub key_id: KeyId,
    pub public_key: [u8; 32],
    pub algorithm: &'static str,
    pub owner: String,
    pub custody: &'static str,
    pub not_before: Option<Timestamp>,
    pub not_after: Option<Timestamp>,
    pub registered_at: u64,
    /// The version at which the key's life ended, by revocation or because
    /// another key took over, whichever came first.
    pub revoked_at: Option<u64>,
    pub rotated_from: Option<KeyId>,
    pub superseded_by: Option<KeyId>,
    pub compromised_since: Option<Timestamp>,
}

/// A row of `ets.authority_grant`. A key may have the same grant twice, and
/// get several by one event (a takeover), but never two alike by one event.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // The columns of the table.
pub struct GrantRow {
    pub key_id: KeyId,
    pub domain: DomainName,
    pub schemas: String,
    pub streams: String,
    pub granted_at: u64,
    pub revoked_at: Option<u64>,
}

impl Registry {
    /// Every row of every table.
    pub fn rows(&self) -> Rows {
        self.rows_where(|_, _| true)
    }

    /// The rows, as they are now, that the registry event of this sequence made
    /// or changed.
    pub fn rows_touched_at(&self, version: u64) -> Rows {
        self.rows_where(|made, changed| made == version || changed.contains(&Some(version)))
    }

    fn rows_where(&self, wanted: impl Fn(u64, &[Option<u64>]) -> bool) -> Rows {
        Rows {
            domains: self
                .domains
                .values()
                .filter(|domain| wanted(domain.registered_at, &[]))
                .map(domain_row)
                .collect(),
            schema_versions: self
                .schemas
                .values()
                .filter(|schema| {
                    let functions = schema.rule_functions.iter().map(|function| Some(function.registered_at));
                    let changed: Vec<_> = functions.chain([schema.retired_at]).collect();
                    wanted(schema.registered_at, &changed)
                })
                .map(schema_row)
                .collect(),
            signing_keys: self
                .keys
                .values()
                .filter(|key| wanted(key.registered_at, &[key.superseded_at, key.revoked_at]))
                .map(key_row)
                .collect(),
            authority_grants: self
                .grants
                .iter()
                .filter(|grant| wanted(grant.granted_at, &[grant.ended_at]))
                .map(|grant| GrantRow {
                    key_id: grant.key_id,
                    domain: grant.domain.clone(),
                    schemas: grant.schemas.to_string(),
                    streams: grant.streams.to_string(),
                    granted_at: grant.granted_at,
                    revoked_at: grant.ended_at,
                })
                .collect(),
        }
    }
}

fn domain_row(domain: &DomainRecord) -> DomainRow {
    DomainRow {
        domain: domain.domain.clone(),
        description: domain.description.clone(),
        keep_state: domain.keep_state,
        registered_at: domain.registered_at,
    }
}

fn schema_row(schema: &SchemaRecord) -> SchemaRow {
    SchemaRow {
        name: schema.name.clone(),
        domain: schema.domain.clone(),
        schema: Arc::clone(&schema.schema),
        stream_pointer: schema.stream_pointer.clone(),
        schema_pointer: schema.schema_pointer.clone(),
        rules: schema.rules.clone(),
        reducer: schema.reducer.clone(),
        engine: schema.engine.clone(),
        rule_functions: schema
            .rule_functions
            .iter()
            .map(|function| {
                json!({
                    "function": function.function,
                    "prosrc_sha256": function.prosrc_sha256.to_string(),
                    "registered_at": function.registered_at,
                })
            })
            .collect(),
        registered_at: schema.registered_at,
        retired_at: schema.retired_at,
    }
}

fn key_row(key: &KeyRecord) -> KeyRow {
    KeyRow {
        key_id: key.key_id,
        public_key: key.public_key,
        algorithm: ALGORITHM,
        owner: key.owner.clone(),
        custody: key.custody.as_str(),
        not_before: key.not_before,
        not_after: key.not_after,
        registered_at: key.registered_at,
        revoked_at: key.ended_at(),
        rotated_from: key.rotated_from,
        superseded_by: key.superseded_by,
        compromised_since: key.compromised_since,
    }
}
