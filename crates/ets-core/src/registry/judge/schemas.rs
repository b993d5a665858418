//! Schema versions: registered, retired, and tied to SQL functions.

use std::sync::Arc;

use super::{Case, Effect};
use crate::name::SchemaVersion;
use crate::registry::RegistryError;
use crate::registry::record::SchemaRecord;
use crate::schema::{Validator, engine_of};

impl Case<'_> {
    pub(super) fn schema(&self) -> Result<Effect, RegistryError> {
        let members = &self.members;
        let name: SchemaVersion = members.parsed("name")?;
        if name.is_reserved() {
            return Err(RegistryError::SchemaReserved { name });
        }
        let domain = self.user_domain()?;
        self.check_scope(&domain)?;
        let Ok(reducer) = members.parsed("reducer") else {
            return Err(RegistryError::UnknownReducer { name });
        };
        let schema = members.value("schema");
        let record = SchemaRecord {
            schema_hash: SchemaRecord::hash_of(&schema),
            schema: Arc::new(schema),
            name: name.clone(),
            domain,
            stream_pointer: members.optional("stream_pointer").map(str::to_owned),
            schema_pointer: members.optional("schema_pointer").map(str::to_owned),
            rules: members.value("rules"),
            reducer,
            engine: members.text("engine")?.to_owned(),
            registered_at: self.version(),
            retired_at: None,
        };
        if let Some(old) = self.registry.schemas.get(&name) {
            let same = SchemaRecord { registered_at: 0, retired_at: None, ..old.clone() }
                == SchemaRecord { registered_at: 0, ..record };
            return Err(if same {
                RegistryError::SchemaTaken { name }
            } else {
                RegistryError::SchemaChanged { name }
            });
        }
        if record.rules.as_array().is_none_or(|rules| !rules.is_empty()) {
            return Err(RegistryError::RulesNotSupported { name });
        }
        let malformed = |error| RegistryError::MalformedSchema { name: name.clone(), error };
        let engine = engine_of(&record.schema).map_err(malformed)?;
        if record.engine != engine {
            return Err(RegistryError::WrongEngine { name, expected: engine });
        }
        Validator::compile(&record.schema).map_err(malformed)?;
        // Here belongs the judgement whether the new version accepts whatever
        // its predecessor of the same name accepted.
        Ok(Effect::Schema(Box::new(record)))
    }

    pub(super) fn schema_retirement(&self) -> Result<Effect, RegistryError> {
        let name: SchemaVersion = self.members.parsed("name")?;
        if name.is_reserved() {
            return Err(RegistryError::SchemaReserved { name });
        }
        let Some(schema) = self.registry.schemas.get(&name) else {
            return Err(RegistryError::UnknownSchema { name });
        };
        self.check_scope(&schema.domain)?;
        match schema.retired_at {
            Some(retired_at) => Err(RegistryError::SchemaRetired { name, retired_at }),
            None => Ok(Effect::RetireSchema(name)),
        }
    }
}
