-- usage: psql -v domain=NAME -v leaves=N -v first=NUMBER -f bench/tree.sql
--
-- A tree of N leaves with all its tiles and its root, put in place past the guards:
-- its leaves are hashes of their numbers, not of events. A proof knows no difference,
-- and ten million events would take hours. Leaf n belongs to bench.leaf_id(first + n).
BEGIN;
SET LOCAL client_min_messages = error;
ALTER EVENT TRIGGER ets_ddl_start DISABLE;
ALTER EVENT TRIGGER ets_ddl_end DISABLE;
ALTER TABLE ets.merkle_leaf DISABLE TRIGGER ets_guard;
ALTER TABLE ets.merkle_tile DISABLE TRIGGER ets_guard;
ALTER TABLE ets.domain_root DISABLE TRIGGER ets_guard;

CREATE OR REPLACE FUNCTION bench.leaf_id(number bigint) RETURNS uuid IMMUTABLE PARALLEL SAFE LANGUAGE sql AS
$$ SELECT (lpad(to_hex(number), 12, '0') || '70008000000000000000')::uuid $$;

-- The root over up to 256 hashes, as RFC 9162 has it: an odd last one goes up as it is.
CREATE OR REPLACE FUNCTION bench.root_of(hashes bytea) RETURNS bytea IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
  WHILE length(hashes) > 32 LOOP
    hashes := (SELECT string_agg(CASE length(pair) WHEN 64 THEN sha256('\x01' || pair) ELSE pair END, '' ORDER BY n)
                 FROM generate_series(0, (length(hashes) - 1) / 64) AS n,
              LATERAL (SELECT substr(hashes, n * 64 + 1, 64) AS pair) AS each);
  END LOOP;
  RETURN hashes;
END
$$;

INSERT INTO ets.merkle_leaf (domain, leaf_index, event_id)
SELECT :'domain', n, bench.leaf_id(:first + n) FROM generate_series(0, :leaves::bigint - 1) AS n;

-- Runs of 256 hashes of each level, the last ones shorter; a tile holds the roots of full runs only.
CREATE TEMP TABLE run (level integer, run bigint, hashes bytea, is_full boolean) ON COMMIT DROP;
INSERT INTO run
SELECT 0, run, hashes, length(hashes) = 8192
  FROM generate_series(0, (:leaves::bigint - 1) / 256) AS run,
       LATERAL (SELECT string_agg(sha256(int8send(n)), '' ORDER BY n) AS hashes
                  FROM generate_series(run * 256, least(run * 256 + 256, :leaves::bigint) - 1) AS n) AS leaf;
INSERT INTO ets.merkle_tile SELECT :'domain', 0, run, hashes FROM run;
CREATE TEMP TABLE root ON COMMIT DROP AS SELECT run, bench.root_of(hashes) AS hash, is_full FROM run;
INSERT INTO ets.merkle_tile
SELECT :'domain', 1, run / 256, string_agg(hash, '' ORDER BY run) FROM root WHERE is_full GROUP BY run / 256;
CREATE TEMP TABLE upper_root ON COMMIT DROP AS
SELECT run / 256 AS run, bench.root_of(string_agg(hash, '' ORDER BY run)) AS hash,
       count(*) FILTER (WHERE is_full) = 256 AS is_full
  FROM root GROUP BY run / 256;
INSERT INTO ets.merkle_tile
SELECT :'domain', 2, 0, string_agg(hash, '' ORDER BY run) FROM upper_root WHERE is_full HAVING count(*) > 0;
INSERT INTO ets.domain_root (checkpoint_id, domain, tree_size, root_hash)
SELECT (SELECT max(checkpoint_id) FROM ets.checkpoint), :'domain', :leaves,
       bench.root_of(string_agg(hash, '' ORDER BY run)) FROM upper_root;

ALTER TABLE ets.merkle_leaf ENABLE ALWAYS TRIGGER ets_guard;
ALTER TABLE ets.merkle_tile ENABLE ALWAYS TRIGGER ets_guard;
ALTER TABLE ets.domain_root ENABLE ALWAYS TRIGGER ets_guard;
ALTER EVENT TRIGGER ets_ddl_start ENABLE ALWAYS;
ALTER EVENT TRIGGER ets_ddl_end ENABLE ALWAYS;
COMMIT;
VACUUM ANALYZE ets.merkle_leaf;
VACUUM ANALYZE ets.merkle_tile;
