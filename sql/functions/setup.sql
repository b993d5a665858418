-- Setting the ledger up.

CREATE FUNCTION ets.init(origin text, authority_public_key bytea DEFAULT NULL) RETURNS uuid
  LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_init';
COMMENT ON FUNCTION ets.init(text, bytea) IS 'Creates the ledger of this database and answers its id; superuser';

CREATE FUNCTION ets.arm() RETURNS text
  LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_arm';
COMMENT ON FUNCTION ets.arm() IS 'Makes the triggers, event triggers and views of the ledger again, after an update or restore; superuser';

CREATE FUNCTION ets.trust_root() RETURNS jsonb
  LANGUAGE c STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_trust_root';
COMMENT ON FUNCTION ets.trust_root() IS 'What a verifier must know of this ledger beforehand: id, origin, root and server public keys';
