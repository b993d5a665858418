-- The registry: each call is an event in ets.registry, signed by the root key.

CREATE FUNCTION ets.create_domain(domain text, description text DEFAULT NULL, keep_state boolean DEFAULT false)
  RETURNS ets.event
  LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_create_domain';
COMMENT ON FUNCTION ets.create_domain(text, text, boolean) IS 'Creates a domain: a part of the ledger with its own Merkle tree';

CREATE FUNCTION ets.register_schema(
  schema_version text, domain text, schema jsonb, stream_pointer text DEFAULT NULL,
  schema_pointer text DEFAULT NULL, rules jsonb DEFAULT '[]', reducer text DEFAULT 'merge'
) RETURNS ets.event
  LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_register_schema';
COMMENT ON FUNCTION ets.register_schema(text, text, jsonb, text, text, jsonb, text) IS 'Registers a schema version for a domain; it never changes afterwards';

CREATE FUNCTION ets.retire_schema(schema_version text, reason text) RETURNS ets.event
  LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_retire_schema';
COMMENT ON FUNCTION ets.retire_schema(text, text) IS 'Ends a schema version for new events; its events stay valid';

CREATE FUNCTION ets.register_rule_function(schema_version text, rule regprocedure) RETURNS ets.event
  LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_register_rule_function';
COMMENT ON FUNCTION ets.register_rule_function(text, regprocedure) IS 'Makes an SQL function (payload jsonb, event jsonb) → boolean a rule of a schema version; its source is pinned';

CREATE FUNCTION ets.register_key(
  public_key bytea, owner text, not_before timestamptz DEFAULT NULL, not_after timestamptz DEFAULT NULL
) RETURNS ets.event
  LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_register_key';
COMMENT ON FUNCTION ets.register_key(bytea, text, timestamptz, timestamptz) IS 'Registers an actor''s public key, once and for ever';

CREATE FUNCTION ets.rotate_key(key_id text, new_public_key bytea, proof bytea, signature bytea) RETURNS ets.event
  LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_rotate_key';
COMMENT ON FUNCTION ets.rotate_key(text, bytea, bytea, bytea) IS 'Lets a new key take over owner and grants of a key: proof by the new key, signature of the event by the old one';

CREATE FUNCTION ets.rotate_server_key(reason text, compromised_since timestamptz DEFAULT NULL) RETURNS ets.event
  LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_rotate_server_key';
COMMENT ON FUNCTION ets.rotate_server_key(text, timestamptz) IS 'Makes the server another key, which signs from then on; under local authority it is root, too; superuser';

CREATE FUNCTION ets.authority_at(key_id text, registry_version bigint)
  RETURNS TABLE (domain text, schemas text, streams text, granted_at bigint)
  LANGUAGE c STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_authority_at';
COMMENT ON FUNCTION ets.authority_at(text, bigint) IS 'The grants that a key held at a registry version; no row: none, or the key was not live';

CREATE FUNCTION ets.revoke_key(key_id text, reason text, compromised_since timestamptz DEFAULT NULL) RETURNS ets.event
  LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_revoke_key';
COMMENT ON FUNCTION ets.revoke_key(text, text, timestamptz) IS 'Revokes a key, finally, and every key rotated out of it';

CREATE FUNCTION ets.grant_authority(key_id text, domain text, schemas text DEFAULT '*', streams text DEFAULT '*')
  RETURNS ets.event
  LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_grant_authority';
COMMENT ON FUNCTION ets.grant_authority(text, text, text, text) IS 'Lets a key append the given schemas to the given streams of a domain';

CREATE FUNCTION ets.revoke_authority(
  key_id text, domain text, schemas text DEFAULT '*', streams text DEFAULT '*', reason text DEFAULT NULL
) RETURNS ets.event
  LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_revoke_authority';
COMMENT ON FUNCTION ets.revoke_authority(text, text, text, text, text) IS 'Ends every live grant of a key in a domain that the patterns cover';

CREATE FUNCTION ets.create_local_key(name text, owner text, used_by regrole) RETURNS ets.event
  LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_create_local_key';
COMMENT ON FUNCTION ets.create_local_key(text, text, regrole) IS 'Makes a key whose secret stays on this server, for ets.append_signed by one role; it still needs a grant';
