-- The Merkle forest.

CREATE FUNCTION ets.seal() RETURNS ets.checkpoint_info
  LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_seal';
COMMENT ON FUNCTION ets.seal() IS 'Adds what has committed to the Merkle trees and makes a checkpoint; the last one if nothing is new';

CREATE FUNCTION ets.merkle_proof(event_id uuid, checkpoint_id bigint DEFAULT NULL)
  RETURNS TABLE (step integer, side text, hash bytea)
  LANGUAGE c STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_merkle_proof';
COMMENT ON FUNCTION ets.merkle_proof(uuid, bigint) IS 'The inclusion proof of an event, leaf to root; side says where the hash stands (RFC 9162, 2.1.3)';

CREATE FUNCTION ets.consistency_proof(domain text, from_size bigint, to_size bigint)
  RETURNS TABLE (step integer, hash bytea)
  LANGUAGE c STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_consistency_proof';
COMMENT ON FUNCTION ets.consistency_proof(text, bigint, bigint) IS 'The proof that a domain''s tree of one size begins with that of a smaller one (RFC 9162, 2.1.4)';

CREATE FUNCTION ets.verify_inclusion(leaf_hash bytea, leaf_index bigint, tree_size bigint, proof bytea[], root bytea)
  RETURNS boolean
  LANGUAGE c IMMUTABLE PARALLEL SAFE
  AS 'MODULE_PATHNAME', 'ets_verify_inclusion';
COMMENT ON FUNCTION ets.verify_inclusion(bytea, bigint, bigint, bytea[], bytea) IS 'Whether an inclusion proof leads from a leaf hash to a root';

CREATE FUNCTION ets.verify_consistency(from_size bigint, to_size bigint, proof bytea[], from_root bytea, to_root bytea)
  RETURNS boolean
  LANGUAGE c IMMUTABLE PARALLEL SAFE
  AS 'MODULE_PATHNAME', 'ets_verify_consistency';
COMMENT ON FUNCTION ets.verify_consistency(bigint, bigint, bytea[], bytea, bytea) IS 'Whether a consistency proof leads from one root to the other';

CREATE FUNCTION ets.meta_root(version text, checkpoint_event_id uuid, domain_roots jsonb) RETURNS bytea
  LANGUAGE c IMMUTABLE PARALLEL SAFE
  AS 'MODULE_PATHNAME', 'ets_meta_root';
COMMENT ON FUNCTION ets.meta_root(text, uuid, jsonb) IS 'The MetaRoot over an array of {"domain","tree_size","root"}';
