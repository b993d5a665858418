-- Verification of the whole ledger. A run is recorded in ets.verification_run, its
-- findings in ets.finding, and it is declared in ets.audit.

CREATE FUNCTION ets.verify_ledger(domain text DEFAULT NULL, incremental boolean DEFAULT false, max_findings integer DEFAULT 1000)
  RETURNS SETOF ets.finding_info
  LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_verify_ledger';
COMMENT ON FUNCTION ets.verify_ledger(text, boolean, integer) IS 'What is wrong with the ledger, or with one domain of it: events, heads, projections, trees, checkpoints and guards; no row: nothing';

CREATE FUNCTION ets.rebuild_merkle(domain text DEFAULT NULL)
  RETURNS TABLE (
    domain text, tree_size bigint, stored_root bytea, rebuilt_root bytea, matches boolean, first_bad_leaf bigint,
    first_bad_event uuid
  )
  LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_rebuild_merkle';
COMMENT ON FUNCTION ets.rebuild_merkle(text) IS 'Every payload, header, leaf, tile, root and checkpoint computed again from the rows; ets.finding names each event that is not what was sealed';

CREATE FUNCTION ets.run_batch(check_name text, incremental boolean, batch_events bigint) RETURNS text
  LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_run_batch';
COMMENT ON FUNCTION ets.run_batch(text, boolean, bigint) IS 'One batch of ets.run_verification or ets.run_rebuild, which go on where the last one stopped; the verdict once the run is done';

-- A procedure with rights of its own, or settings, could not commit. Whoever may
-- execute ets.run_batch may call these; nothing in them depends on search_path.
CREATE PROCEDURE ets.run_verification(incremental boolean DEFAULT true, batch_events bigint DEFAULT 100000)
  LANGUAGE plpgsql
  AS $$
BEGIN
  WHILE ets.run_batch('verify', incremental, batch_events) IS NULL LOOP
    COMMIT;
  END LOOP;
END
$$;
COMMENT ON PROCEDURE ets.run_verification(boolean, bigint) IS 'Verifies as ets.verify_ledger does, committing after each batch; goes on with a run that was interrupted';

CREATE PROCEDURE ets.run_rebuild(incremental boolean DEFAULT true, batch_events bigint DEFAULT 100000)
  LANGUAGE plpgsql
  AS $$
BEGIN
  WHILE ets.run_batch('rebuild', incremental, batch_events) IS NULL LOOP
    COMMIT;
  END LOOP;
END
$$;
COMMENT ON PROCEDURE ets.run_rebuild(boolean, bigint) IS 'Rebuilds as ets.rebuild_merkle does, committing after each batch; goes on with a run that was interrupted';
