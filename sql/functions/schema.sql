-- JSON Schemas outside the ledger: pure functions of their arguments.

CREATE FUNCTION ets.validate(schema jsonb, payload jsonb)
  RETURNS TABLE (instance_pointer text, schema_pointer text, keyword text, message text)
  LANGUAGE c IMMUTABLE PARALLEL SAFE
  AS 'MODULE_PATHNAME', 'ets_validate';
COMMENT ON FUNCTION ets.validate(jsonb, jsonb) IS 'Where a payload violates a JSON Schema, as an append would judge it, at most 32 places; no row: nowhere';

CREATE FUNCTION ets.schema_diff(old jsonb, new jsonb)
  RETURNS TABLE (verdict text, old_pointer text, new_pointer text, keyword text, message text)
  LANGUAGE c IMMUTABLE PARALLEL SAFE
  AS 'MODULE_PATHNAME', 'ets_schema_diff';
COMMENT ON FUNCTION ets.schema_diff(jsonb, jsonb) IS 'Why a new version of a schema would be refused: what it does not accept that the old one accepts, and what cannot be decided; no row: it is compatible';
