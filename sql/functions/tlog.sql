-- The trees in the forms of the C2SP transparency-log specifications.

CREATE FUNCTION ets.checkpoint_note(domain text) RETURNS text
  LANGUAGE c STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_checkpoint_note';
COMMENT ON FUNCTION ets.checkpoint_note(text) IS 'A domain''s root at the last checkpoint as a signed note (C2SP tlog-checkpoint), verified as it is read';

CREATE FUNCTION ets.verifier_key(domain text) RETURNS text
  LANGUAGE c STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_verifier_key';
COMMENT ON FUNCTION ets.verifier_key(text) IS 'The key that verifies a domain''s checkpoint note (C2SP signed-note verifier key)';

CREATE FUNCTION ets.tlog_proof(event_id uuid) RETURNS text
  LANGUAGE c STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_tlog_proof';
COMMENT ON FUNCTION ets.tlog_proof(uuid) IS 'The inclusion proof of an event with the checkpoint note, as one text (C2SP tlog-proof)';

CREATE FUNCTION ets.tile(domain text, level integer, tile_index bigint, width integer DEFAULT 256) RETURNS bytea
  LANGUAGE c STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_tile';
COMMENT ON FUNCTION ets.tile(text, integer, bigint, integer) IS 'A tile of a domain''s tree, or its first hashes, 32 bytes each, as the last checkpoint covers them (C2SP tlog-tiles)';

CREATE FUNCTION ets.entry_bundle(domain text, bundle_index bigint, width integer DEFAULT 256) RETURNS bytea
  LANGUAGE c STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_entry_bundle';
COMMENT ON FUNCTION ets.entry_bundle(text, bigint, integer) IS 'The headers under a tile of leaf hashes, each after its length in two bytes; no payloads (C2SP tlog-tiles)';
