//! The schemas that every ledger has: the kinds of registry event and of
//! statement by the server. The files are never edited after a release.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde_json::Value;

use super::compiled::engine_for;
use super::record::SchemaRecord;
use crate::name::{DomainName, SchemaVersion};
use crate::schema::Validator;

/// The kinds of registry event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `ets.ledger/1.0.0`, the first event.
    Ledger,
    /// `ets.domain/1.0.0`.
    Domain,
    /// `ets.schema/1.0.0`.
    Schema,
    /// `ets.schema_retirement/1.0.0`.
    SchemaRetirement,
    /// `ets.key/1.0.0`.
    Key,
    /// `ets.key_rotation/1.0.0`.
    KeyRotation,
    /// `ets.key_revocation/1.0.0`.
    KeyRevocation,
    /// `ets.server_key/1.0.0`.
    ServerKey,
    /// `ets.grant/1.0.0`.
    Grant,
    /// `ets.grant_revocation/1.0.0`.
    GrantRevocation,
    /// `ets.rule_function/1.0.0`.
    RuleFunction,
}

impl Kind {
    /// Every kind, in the order of the design.
    pub const ALL: [Kind; 11] = [
        Kind::Ledger,
        Kind::Domain,
        Kind::Schema,
        Kind::SchemaRetirement,
        Kind::Key,
        Kind::KeyRotation,
        Kind::KeyRevocation,
        Kind::ServerKey,
        Kind::Grant,
        Kind::GrantRevocation,
        Kind::RuleFunction,
    ];

    /// The name of its schema.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Ledger => "ets.ledger/1.0.0",
            Kind::Domain => "ets.domain/1.0.0",
            Kind::Schema => "ets.schema/1.0.0",
            Kind::SchemaRetirement => "ets.schema_retirement/1.0.0",
            Kind::Key => "ets.key/1.0.0",
            Kind::KeyRotation => "ets.key_rotation/1.0.0",
            Kind::KeyRevocation => "ets.key_revocation/1.0.0",
            Kind::ServerKey => "ets.server_key/1.0.0",
            Kind::Grant => "ets.grant/1.0.0",
            Kind::GrantRevocation => "ets.grant_revocation/1.0.0",
            Kind::RuleFunction => "ets.rule_function/1.0.0",
        }
    }

    /// The kind of a schema version, if it is one.
    pub fn of(name: &SchemaVersion) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == name.as_str())
    }

    /// Who may sign it.
    pub fn signer(self) -> Signer {
        match self {
            Kind::Ledger
            | Kind::Domain
            | Kind::Key
            | Kind::KeyRevocation
            | Kind::ServerKey
            | Kind::RuleFunction => Signer::Root,
            Kind::Schema | Kind::SchemaRetirement | Kind::Grant | Kind::GrantRevocation => Signer::Delegate,
            Kind::KeyRotation => Signer::Itself,
        }
    }
}

/// Who may sign a kind of registry event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    /// A live key with a grant over `ets.registry` with `*` and `*`.
    Root,
    /// Root, or a live key with a grant over `ets.registry` that covers kind and domain.
    Delegate,
    /// The live key that the event is about.
    Itself,
}

/// The built-in schema of this name.
pub fn schema(name: &SchemaVersion) -> Option<&'static SchemaRecord> {
    BUILT_IN.get(name).map(|(record, _)| record)
}

/// The compiled form of the built-in schema of this name.
pub fn validator(name: &SchemaVersion) -> Option<&'static Validator> {
    BUILT_IN.get(name).map(|(_, validator)| validator)
}

/// Every built-in schema, by name.
pub fn schemas() -> impl Iterator<Item = &'static SchemaRecord> {
    BUILT_IN.values().map(|(record, _)| record)
}

/// The pointer at which every built-in payload names its own schema.
pub const SCHEMA_POINTER: &str = "/schema_version";

static BUILT_IN: LazyLock<BTreeMap<SchemaVersion, (SchemaRecord, Validator)>> = LazyLock::new(|| {
    let registry = REGISTRY_SCHEMAS.iter().map(|file| (DomainName::registry(), *file));
    let audit = AUDIT_SCHEMAS.iter().map(|file| (DomainName::audit(), *file));
    registry
        .chain(audit)
        .map(|(domain, (name, text))| {
            const INVARIANT: &str = "invariant: a built-in schema, compiled by the tests";
            let schema: Value = serde_json::from_str(text).expect(INVARIANT);
            let name: SchemaVersion = name.parse().expect(INVARIANT);
            let validator = Validator::compile(&schema).expect(INVARIANT);
            let (rules, reducer) = (Value::Array(Vec::new()), "none");
            let engine = engine_for(&schema, &rules, reducer).expect(INVARIANT);
            let record = SchemaRecord {
                name: name.clone(),
                domain,
                body_hash: SchemaRecord::body_hash_of(&schema, &rules, reducer, engine),
                schema: Arc::new(schema),
                stream_pointer: None,
                schema_pointer: Some(SCHEMA_POINTER.to_owned()),
                rules,
                reducer: reducer.to_owned(),
                engine: engine.to_owned(),
                rule_functions: Vec::new(),
                registered_at: 1,
                retired_at: None,
            };
            (name, (record, validator))
        })
        .collect()
});

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$((concat!($name, "/1.0.0"), include_str!(concat!("../schemas/", $name, "-1.0.0.json")))),*]
    };
}

const REGISTRY_SCHEMAS: &[(&str, &str)] = files![
    "ets.ledger",
    "ets.domain",
    "ets.schema",
    "ets.schema_retirement",
    "ets.key",
    "ets.key_rotation",
    "ets.key_revocation",
    "ets.server_key",
    "ets.grant",
    "ets.grant_revocation",
    "ets.rule_function",
];

const AUDIT_SCHEMAS: &[(&str, &str)] =
    files!["ets.verification", "ets.restore", "ets.anchoring", "ets.promotion"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_schema_compiles_is_closed_and_names_itself() {
        assert_eq!(schemas().count(), 15);
        for record in schemas() {
            assert_eq!(record.schema["additionalProperties"], false, "{}", record.name);
            assert_eq!(record.schema["properties"]["schema_version"]["const"], record.name.as_str());
            let required = record.schema["required"].as_array().expect("required members");
            assert!(required.contains(&"schema_version".into()), "{}", record.name);
            assert!(validator(&record.name).is_some());
            assert_eq!(record.engine, "draft2020-12/1");
        }
        for kind in Kind::ALL {
            let name: SchemaVersion = kind.as_str().parse().expect("a schema version");
            assert_eq!(Kind::of(&name), Some(kind));
            assert_eq!(schema(&name).map(|record| record.domain.clone()), Some(DomainName::registry()));
        }
    }
}
