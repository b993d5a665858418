-- Export, import, and databases that receive a ledger.

CREATE FUNCTION ets.export(domain text DEFAULT NULL, from_checkpoint bigint DEFAULT 0, to_checkpoint bigint DEFAULT NULL)
  RETURNS TABLE (line_number bigint, line text)
  LANGUAGE c STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_export';
COMMENT ON FUNCTION ets.export(text, bigint, bigint) IS
  'The ledger, or one domain and the registry, as lines of JSON with a signed manifest; without to_checkpoint, to the newest event';

CREATE FUNCTION ets.import(export text, OUT lines bigint, OUT new_events bigint, OUT stored_events bigint,
    OUT checkpoints bigint, OUT checkpoint_id bigint, OUT meta_root bytea)
  LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_import';
COMMENT ON FUNCTION ets.import(text) IS
  'Takes an export in through the gate, all of it or nothing; COPY into ets.import_lines does the same for one of any size';

CREATE FUNCTION ets.import_lines() RETURNS trigger
  LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_import_lines';
COMMENT ON FUNCTION ets.import_lines() IS 'Trigger of ets.import_lines: a statement is an import, a row a line';

CREATE FUNCTION ets.join(first_event json, domain text DEFAULT NULL) RETURNS uuid
  LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_join';
COMMENT ON FUNCTION ets.join(json, text) IS
  'Makes this database receive the ledger that begins with this event, or one domain of it and the registry; superuser';

CREATE FUNCTION ets.promote() RETURNS text
  LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_promote';
COMMENT ON FUNCTION ets.promote() IS 'Ends receiving: this database takes appends and seals of its own from here on; superuser';

CREATE FUNCTION ets.compare_roots(server text)
  RETURNS TABLE (domain text, agrees boolean, checkpoint_id bigint, tree_size bigint, local_root bytea, remote_root bytea,
                 parted_at bigint, first_leaf bigint, local_event uuid, remote_event uuid)
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
  AS $$
DECLARE
  -- dblink is where its owner put it.
  dblink text := (SELECT format('%I.dblink', namespace.nspname)
                    FROM pg_extension AS extension JOIN pg_namespace AS namespace ON namespace.oid = extension.extnamespace
                   WHERE extension.extname = 'dblink');
  ledger_id uuid;
  newest bigint;
  agreed bigint;
  middle bigint;
  same boolean;
BEGIN
  IF server IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = '22004', MESSAGE = 'server must not be null', DETAIL = '{"argument": "server"}';
  END IF;
  IF dblink IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = '0A000', MESSAGE = 'ets.compare_roots reads the other database through dblink, which is not installed',
      DETAIL = '{"extension": "dblink"}', HINT = 'CREATE EXTENSION dblink, or compare the rows of ets.domain_root by hand';
  END IF;
  EXECUTE format('SELECT * FROM %s($1, $2) AS (ledger_id uuid)', dblink)
     INTO ledger_id USING server, 'SELECT ledger_id FROM ets.ledger';
  IF ledger_id IS DISTINCT FROM (SELECT ledger.ledger_id FROM ets.ledger) THEN
    RAISE EXCEPTION USING ERRCODE = 'ET010', MESSAGE = 'the other database has another ledger',
      DETAIL = jsonb_build_object('actual', ledger_id), HINT = 'compare databases that hold the same ledger';
  END IF;
  EXECUTE format('SELECT * FROM %s($1, $2) AS (newest bigint)', dblink)
     INTO newest USING server, 'SELECT max(checkpoint_id) FROM ets.checkpoint';
  newest := least(newest, (SELECT max(checkpoint.checkpoint_id) FROM ets.checkpoint));
  IF newest IS NULL THEN
    RETURN;
  END IF;
  -- Trees only grow: where two differ once, they differ ever after. So the last
  -- checkpoint on which both agree is found by halving.
  FOR domain, checkpoint_id, tree_size, local_root, remote_root, agrees IN EXECUTE format(
      'SELECT domain, $3, local.tree_size, local.root_hash, remote.root_hash,
              coalesce(local.tree_size = remote.tree_size AND local.root_hash = remote.root_hash, false)
         FROM (SELECT * FROM ets.domain_root WHERE checkpoint_id = $3) AS local
         FULL JOIN %s($1, $2) AS remote (domain text COLLATE "C", tree_size bigint, root_hash bytea) USING (domain)
        ORDER BY domain COLLATE "C"', dblink)
      USING server, format('SELECT domain, tree_size, root_hash FROM ets.domain_root WHERE checkpoint_id = %s', newest), newest
  LOOP
    parted_at := NULL; first_leaf := NULL; local_event := NULL; remote_event := NULL;
    IF NOT agrees THEN
      agreed := 0;
      parted_at := newest;
      WHILE parted_at - agreed > 1 LOOP
        middle := (agreed + parted_at) / 2;
        EXECUTE format(
          'SELECT NOT EXISTS (SELECT FROM (SELECT tree_size, root_hash FROM ets.domain_root WHERE checkpoint_id = $3 AND domain = $4) AS local
                     FULL JOIN %s($1, $2) AS remote (tree_size bigint, root_hash bytea) USING (tree_size, root_hash)
                    WHERE local IS NULL OR remote IS NULL)', dblink)
          INTO same
         USING server, format('SELECT tree_size, root_hash FROM ets.domain_root WHERE checkpoint_id = %s AND domain = %L', middle, domain),
               middle, domain;
        IF same THEN agreed := middle; ELSE parted_at := middle; END IF;
      END LOOP;
    END IF;
    -- The leaves themselves, a tile at a time: roots may agree where a tile, or the
    -- event behind a leaf, was changed since.
    EXECUTE format(
      'SELECT min(leaf)
         FROM (SELECT tile_index, hashes FROM ets.merkle_tile WHERE domain = $3 AND level = 0) AS local
         JOIN %s($1, $2) AS remote (tile_index bigint, hashes bytea) USING (tile_index)
        CROSS JOIN LATERAL (
          SELECT tile_index * 256 + place AS leaf
            FROM generate_series(0, least(length(local.hashes), length(remote.hashes)) / 32 - 1) AS place
           WHERE substr(local.hashes, place * 32 + 1, 32) <> substr(remote.hashes, place * 32 + 1, 32)
           ORDER BY place LIMIT 1) AS differing
        WHERE local.hashes <> remote.hashes', dblink)
      INTO first_leaf
     USING server, format('SELECT tile_index, hashes FROM ets.merkle_tile WHERE domain = %L AND level = 0', domain), domain;
    IF first_leaf IS NOT NULL THEN
      agrees := false;
      local_event := (SELECT leaf.event_id FROM ets.merkle_leaf AS leaf
                       WHERE leaf.domain = compare_roots.domain AND leaf.leaf_index = first_leaf);
      EXECUTE format('SELECT * FROM %s($1, $2) AS (event_id uuid)', dblink)
         INTO remote_event
        USING server, format('SELECT event_id FROM ets.merkle_leaf WHERE domain = %L AND leaf_index = %s', domain, first_leaf);
    END IF;
    RETURN NEXT;
  END LOOP;
END
$$;
COMMENT ON FUNCTION ets.compare_roots(text) IS
  'Whether another database, by connection string or foreign server, has the same trees at the newest checkpoint of both, and where they part; needs dblink';
