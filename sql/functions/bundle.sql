-- Bundles: what verifies without a network and without a database.

CREATE FUNCTION ets.proof_bundle(event_id uuid) RETURNS json
  LANGUAGE c STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_proof_bundle';
COMMENT ON FUNCTION ets.proof_bundle(uuid) IS 'An event with its inclusion proof, the last checkpoint and the registry it was judged by; the program ets verifies it offline';

CREATE FUNCTION ets.stream_bundle(domain text, stream text) RETURNS json
  LANGUAGE c STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_stream_bundle';
COMMENT ON FUNCTION ets.stream_bundle(text, text) IS 'A stream as the last checkpoint has it, with one inclusion proof for its last sealed event; the program ets verifies it offline';
