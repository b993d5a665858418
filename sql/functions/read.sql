-- Reading events.

CREATE FUNCTION ets.event_document(event_id uuid) RETURNS json
  LANGUAGE c STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_event_document';
COMMENT ON FUNCTION ets.event_document(uuid) IS 'An event as its document (JCS text), hashed and its signature verified as it is read';

CREATE FUNCTION ets.read_stream(domain text, stream text, after bigint DEFAULT 0, max_events integer DEFAULT 1000)
  RETURNS SETOF ets.event
  LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS $$
BEGIN
  PERFORM ets.head($1, $2);
  PERFORM ets.require_page($3, $4);
  RETURN QUERY
    SELECT event.event_id, event.domain, event.stream, event.sequence, event.payload, event.schema_version,
           event.key_id, event.public_key, event.previous_hash, event.current_hash, event.signature,
           event."timestamp", event.registry_version
      FROM ets.ledger_event AS event
     WHERE event.domain = $1 AND event.stream = $2 AND event.sequence > $3
     ORDER BY event.sequence
     LIMIT $4;
END
$$;
COMMENT ON FUNCTION ets.read_stream(text, text, bigint, integer) IS 'The events of a stream after a sequence, in order';

CREATE FUNCTION ets.read_domain(domain text, after bigint DEFAULT -1, max_events integer DEFAULT 1000)
  RETURNS TABLE (
    leaf_index bigint, event_id uuid, event_domain text, stream text, sequence bigint, payload jsonb,
    schema_version text, key_id text, public_key bytea, previous_hash bytea, current_hash bytea,
    signature bytea, "timestamp" timestamptz, registry_version bigint
  )
  LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS $$
#variable_conflict use_column
BEGIN
  PERFORM ets.head($1);
  PERFORM ets.require_page(coalesce($2, -2) + 1, $3);
  RETURN QUERY
    SELECT leaf.leaf_index, event.event_id, event.domain, event.stream, event.sequence, event.payload,
           event.schema_version, event.key_id, event.public_key, event.previous_hash, event.current_hash,
           event.signature, event."timestamp", event.registry_version
      FROM ets.merkle_leaf AS leaf
      JOIN ets.ledger_event AS event ON event.event_id = leaf.event_id AND event.domain = leaf.domain
     WHERE leaf.domain = $1 AND leaf.leaf_index > $2
     ORDER BY leaf.leaf_index
     LIMIT $3;
END
$$;
COMMENT ON FUNCTION ets.read_domain(text, bigint, integer) IS 'The sealed events of a domain after a leaf index, in the order of the tree';

CREATE FUNCTION ets.require_page(after bigint, max_events integer) RETURNS void
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
  AS $$
BEGIN
  IF after IS NULL OR max_events IS NULL THEN
    RAISE EXCEPTION 'after and max_events must not be null' USING ERRCODE = '22004';
  END IF;
  IF after < 0 OR max_events < 0 THEN
    RAISE EXCEPTION 'after and max_events must not be negative' USING ERRCODE = '22023',
      DETAIL = pg_catalog.json_build_object('after', after, 'max_events', max_events)::text,
      HINT = 'start with the defaults and go on from the last row';
  END IF;
END
$$;
COMMENT ON FUNCTION ets.require_page(bigint, integer) IS 'Refuses a position or a page size that is null or negative';
