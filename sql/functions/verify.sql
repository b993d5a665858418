-- Verification. A check that passed NULL could not be made, and is no pass.

CREATE FUNCTION ets.verify_event(event_id uuid)
  RETURNS TABLE (check_name text, passed boolean, detail text)
  LANGUAGE c STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_verify_event';
COMMENT ON FUNCTION ets.verify_event(uuid) IS 'Every check of one event: its hash and signature, its place in the chain and in the tree, and its signer''s authority at the time';

CREATE FUNCTION ets.verify_document(document json)
  RETURNS TABLE (check_name text, passed boolean, detail text)
  LANGUAGE c IMMUTABLE PARALLEL SAFE
  AS 'MODULE_PATHNAME', 'ets_verify_document';
COMMENT ON FUNCTION ets.verify_document(json) IS 'What an event document shows by itself: canonical form, key id, hash and signature';

CREATE FUNCTION ets.verify_bundle(bundle json)
  RETURNS TABLE (check_name text, passed boolean, detail text)
  LANGUAGE c IMMUTABLE PARALLEL SAFE
  AS 'MODULE_PATHNAME', 'ets_verify_bundle';
COMMENT ON FUNCTION ets.verify_bundle(json) IS 'Every check of a proof bundle or stream bundle of any ledger; trust_root is NULL, since it is the bundle''s own';

CREATE FUNCTION ets.verify_checkpoint(note text)
  RETURNS TABLE (check_name text, passed boolean, detail text)
  LANGUAGE c STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_verify_checkpoint';
COMMENT ON FUNCTION ets.verify_checkpoint(text) IS 'Whether the ledger still continues a checkpoint note that was kept elsewhere: what finds a rewritten history, a missing tail and an older copy';

CREATE FUNCTION ets.verify_chain(domain text, stream text) RETURNS SETOF ets.finding_info
  LANGUAGE c STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_verify_chain';
COMMENT ON FUNCTION ets.verify_chain(text, text) IS 'What is wrong with a stream, from its genesis to its head; no row: nothing';
