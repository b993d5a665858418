-- Appending. All of these, a plain INSERT and COPY pass the same gate.

-- Acts as the owner of ets.ledger_event by itself, as the gate's triggers do: SECURITY
-- DEFINER and SET would cost each append more than its JSON Schema.
CREATE FUNCTION ets.append(
  payload jsonb, schema_version text, public_key bytea, previous_hash bytea, signature bytea,
  event_id uuid DEFAULT NULL
) RETURNS ets.event
  LANGUAGE c VOLATILE PARALLEL UNSAFE
  AS 'MODULE_PATHNAME', 'ets_append';
COMMENT ON FUNCTION ets.append(jsonb, text, bytea, bytea, bytea, uuid) IS 'Appends one signed event; a retry gets the stored event again';

CREATE FUNCTION ets.append_signed(payload jsonb, schema_version text, key text DEFAULT NULL) RETURNS ets.event
  LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_append_signed';
COMMENT ON FUNCTION ets.append_signed(jsonb, text, text) IS 'Signs with a local key of the calling role and appends';

CREATE FUNCTION ets.append_batch(events json) RETURNS SETOF ets.event
  LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_append_batch';
COMMENT ON FUNCTION ets.append_batch(json) IS 'Appends an array of {payload, schema_version, public_key, previous_hash, signature, event_id?}, all or nothing';

CREATE FUNCTION ets.head(
  domain text, stream text DEFAULT 'main', for_append boolean DEFAULT false,
  OUT head_hash bytea, OUT sequence bigint
) RETURNS record
  LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_head';
COMMENT ON FUNCTION ets.head(text, text, boolean) IS 'The hash to sign onto and its sequence; for_append locks the stream until the transaction ends';

CREATE FUNCTION ets.prepare(
  payload jsonb, schema_version text,
  OUT domain text, OUT stream text, OUT canonical_payload text, OUT previous_hash bytea, OUT current_hash bytea
) RETURNS record
  LANGUAGE c STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_prepare';
COMMENT ON FUNCTION ets.prepare(jsonb, text) IS 'What is to be signed for a payload: where it belongs, its canonical text and its hash onto the present head';
