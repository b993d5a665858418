-- States, from events.

CREATE FUNCTION ets.replay(
  domain text, stream text DEFAULT NULL, until_event uuid DEFAULT NULL, from_kept boolean DEFAULT false,
  verify_signatures boolean DEFAULT true
) RETURNS TABLE (stream text, sequence bigint, state jsonb, state_hash bytea)
  LANGUAGE c STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_replay';
COMMENT ON FUNCTION ets.replay(text, text, uuid, boolean, boolean) IS 'The state of each stream, from its first event on, every event verified as it passes; up to an event, or from the kept states';

CREATE FUNCTION ets.state(
  domain text, stream text DEFAULT 'main', OUT sequence bigint, OUT state jsonb, OUT state_hash bytea
) RETURNS record
  LANGUAGE c STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_state';
COMMENT ON FUNCTION ets.state(text, text) IS 'The state of a stream now: the kept one where the domain keeps it, else replayed';

CREATE FUNCTION ets.state_root(domain text) RETURNS bytea
  LANGUAGE c STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_state_root';
COMMENT ON FUNCTION ets.state_root(text) IS 'The Merkle root over the replayed states of a domain''s streams, in the order of their names'' bytes';

CREATE FUNCTION ets.verify_replay(domain text DEFAULT NULL) RETURNS SETOF ets.finding_info
  LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_verify_replay';
COMMENT ON FUNCTION ets.verify_replay(text) IS 'What differs when every state is computed again from its events, with every rule judged again; no row: nothing';
