-- Anchors: evidence from outside that a checkpoint existed.

CREATE FUNCTION ets.record_anchor(checkpoint_id bigint, service text, state text, statement text, evidence bytea DEFAULT NULL,
    reason text DEFAULT NULL, reference text DEFAULT NULL, retry boolean DEFAULT true) RETURNS bigint
  LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_record_anchor';
COMMENT ON FUNCTION ets.record_anchor(bigint, text, text, text, bytea, text, text, boolean) IS
  'Records what came of publishing a checkpoint (pending, confirmed or failed), and declares in ets.audit what is confirmed; its anchor_id';

CREATE FUNCTION ets.verify_anchor(anchor_id bigint)
  RETURNS TABLE (check_name text, passed boolean, detail text)
  LANGUAGE c STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_verify_anchor';
COMMENT ON FUNCTION ets.verify_anchor(bigint) IS
  'Whether an anchor is of this ledger''s checkpoint, declared as it is, and what its evidence proves; NULL: it cannot be told here';
