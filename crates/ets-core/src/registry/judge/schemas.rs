//! Schema versions: registered, retired, and tied to SQL functions.

mod compatible;

use std::sync::Arc;

use super::{Case, Effect, Scrutiny};
use crate::hash::Digest;
use crate::name::SchemaVersion;
use crate::registry::compiled::{BodyError, CompileError, engine_for, is_known_engine};
use crate::registry::record::{RuleFunction, SchemaRecord};
use crate::registry::{Registry, RegistryError};

impl Case<'_> {
    pub(super) fn schema(&self, scrutiny: Scrutiny) -> Result<Effect, RegistryError> {
        let name: SchemaVersion = self.members.parsed("name")?;
        if name.is_reserved() {
            return Err(RegistryError::SchemaReserved { name });
        }
        let domain = self.user_domain()?;
        self.check_scope(&domain)?;
        let record = self.schema_record(name, domain)?;
        check_place(self.registry, &record)?;
        if scrutiny == Scrutiny::Full {
            check_body(&record)?;
            if let Some(predecessor) = self.registry.newest_of(record.name.name()) {
                compatible::check(predecessor, &record)?;
            }
        }
        Ok(Effect::Schema(Box::new(record)))
    }

    fn schema_record(
        &self,
        name: SchemaVersion,
        domain: crate::name::DomainName,
    ) -> Result<SchemaRecord, RegistryError> {
        let members = &self.members;
        let (schema, rules) = (members.value("schema"), members.value("rules"));
        let (reducer, engine) = (members.text("reducer")?, members.text("engine")?);
        Ok(SchemaRecord {
            body_hash: SchemaRecord::body_hash_of(&schema, &rules, reducer, engine),
            name,
            domain,
            schema: Arc::new(schema),
            stream_pointer: members.optional("stream_pointer").map(str::to_owned),
            schema_pointer: members.optional("schema_pointer").map(str::to_owned),
            rules,
            reducer: reducer.to_owned(),
            engine: engine.to_owned(),
            rule_functions: Vec::new(),
            registered_at: self.version(),
            retired_at: None,
        })
    }

    pub(super) fn schema_retirement(&self) -> Result<Effect, RegistryError> {
        let schema = self.live_schema()?;
        self.check_scope(&schema.domain)?;
        Ok(Effect::RetireSchema(schema.name.clone()))
    }

    /// The database that has the function evaluates it; here it is written down.
    pub(super) fn rule_function(&self) -> Result<Effect, RegistryError> {
        let schema = self.live_schema()?;
        let function = self.members.text("function")?.to_owned();
        let prosrc_sha256: Digest = self.members.parsed("prosrc_sha256")?;
        let name = schema.name.clone();
        if schema.rule_functions.iter().any(|known| known.function == function) {
            return Err(RegistryError::RuleFunctionTaken { name, function });
        }
        let function = RuleFunction { function, prosrc_sha256, registered_at: self.version() };
        Ok(Effect::AddRuleFunction(name, function))
    }

    /// The user's schema that the payload names, which is not retired.
    fn live_schema(&self) -> Result<&SchemaRecord, RegistryError> {
        let name: SchemaVersion = self.members.parsed("name")?;
        if name.is_reserved() {
            return Err(RegistryError::SchemaReserved { name });
        }
        match self.registry.schemas.get(&name) {
            None => Err(RegistryError::UnknownSchema { name }),
            Some(schema) => match schema.retired_at {
                Some(retired_at) => Err(RegistryError::SchemaRetired { name, retired_at }),
                None => Ok(schema),
            },
        }
    }
}

/// The version is new, the greatest of its name, and in the domain of the others.
fn check_place(registry: &Registry, record: &SchemaRecord) -> Result<(), RegistryError> {
    let name = record.name.clone();
    if let Some(old) = registry.schemas.get(&name) {
        return Err(if old.has_same_body(record) {
            RegistryError::SchemaTaken { name }
        } else {
            RegistryError::SchemaChanged { name }
        });
    }
    let Some(newest) = registry.newest_of(name.name()) else { return Ok(()) };
    if newest.domain != record.domain {
        return Err(RegistryError::SchemaElsewhere { name, domain: newest.domain.clone() });
    }
    // Else "its predecessor" would be another one for each that comes between,
    // and what was compatible would no longer be.
    if record.name.numbers() < newest.name.numbers() {
        return Err(RegistryError::SchemaNotNewest { name, newest: newest.name.clone() });
    }
    Ok(())
}

/// Schema, rules and reducer compile, and the engine is the one for them.
fn check_body(record: &SchemaRecord) -> Result<(), RegistryError> {
    let name = record.name.clone();
    if !is_known_engine(&record.engine) {
        return Err(RegistryError::UnknownEngine { name, engine: record.engine.clone() });
    }
    let engine = engine_for(&record.schema, &record.rules, &record.reducer).map_err(|error| {
        RegistryError::MalformedSchema { name: name.clone(), errors: vec![BodyError::Schema(error)] }
    })?;
    if record.engine != engine {
        return Err(RegistryError::WrongEngine { name, expected: engine });
    }
    match record.compile() {
        Ok(_) => Ok(()),
        Err(CompileError::UnknownEngine { engine }) => Err(RegistryError::UnknownEngine { name, engine }),
        Err(CompileError::Malformed(errors)) => Err(RegistryError::MalformedSchema { name, errors }),
    }
}
