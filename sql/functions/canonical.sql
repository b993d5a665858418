-- The signing side: pure functions of their arguments.

CREATE FUNCTION ets.canonicalize(payload jsonb) RETURNS text
  LANGUAGE c IMMUTABLE PARALLEL SAFE
  AS 'MODULE_PATHNAME', 'ets_canonicalize';
COMMENT ON FUNCTION ets.canonicalize(jsonb) IS 'The canonical text (RFC 8785) of a payload; ET001 if it has none';

CREATE FUNCTION ets.canonicalize_text(payload text) RETURNS text
  LANGUAGE c IMMUTABLE PARALLEL SAFE
  AS 'MODULE_PATHNAME', 'ets_canonicalize_text';
COMMENT ON FUNCTION ets.canonicalize_text(text) IS 'The canonical text of JSON text, in which duplicate keys are seen and refused';

CREATE FUNCTION ets.event_hash(payload jsonb, previous_hash bytea) RETURNS bytea
  LANGUAGE c IMMUTABLE PARALLEL SAFE
  AS 'MODULE_PATHNAME', 'ets_event_hash';
COMMENT ON FUNCTION ets.event_hash(jsonb, bytea) IS 'SHA-256 of the canonical payload followed by previous_hash: what the actor signs';

CREATE FUNCTION ets.genesis_hash(domain text, stream text DEFAULT 'main', ledger_id uuid DEFAULT NULL) RETURNS bytea
  LANGUAGE c STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS 'MODULE_PATHNAME', 'ets_genesis_hash';
COMMENT ON FUNCTION ets.genesis_hash(text, text, uuid) IS 'The previous_hash of a stream''s first event, in this or another ledger';

CREATE FUNCTION ets.key_id(public_key bytea) RETURNS text
  LANGUAGE c IMMUTABLE PARALLEL SAFE
  AS 'MODULE_PATHNAME', 'ets_key_id';
COMMENT ON FUNCTION ets.key_id(bytea) IS 'The name of a key: SHA-256 of its 32 bytes, in hex';

CREATE FUNCTION ets.generate_key(OUT public_key bytea, OUT secret_key bytea) RETURNS record
  LANGUAGE c VOLATILE PARALLEL SAFE
  AS 'MODULE_PATHNAME', 'ets_generate_key';
COMMENT ON FUNCTION ets.generate_key() IS 'A new Ed25519 key pair, for trying out: keep real secret keys where the actor is';

CREATE FUNCTION ets.uuid_v7() RETURNS uuid
  LANGUAGE c VOLATILE PARALLEL RESTRICTED
  AS 'MODULE_PATHNAME', 'ets_uuid_v7';
COMMENT ON FUNCTION ets.uuid_v7() IS 'A new UUID version 7 (RFC 9562)';

CREATE FUNCTION ets.sign(payload jsonb, previous_hash bytea, secret_key bytea) RETURNS bytea
  LANGUAGE c IMMUTABLE PARALLEL SAFE
  AS 'MODULE_PATHNAME', 'ets_sign';
COMMENT ON FUNCTION ets.sign(jsonb, bytea, bytea) IS 'The Ed25519 signature of a payload onto previous_hash, for trying out: sign real events where the actor is';

CREATE FUNCTION ets.verify_signature(current_hash bytea, signature bytea, public_key bytea) RETURNS boolean
  LANGUAGE c IMMUTABLE PARALLEL SAFE
  AS 'MODULE_PATHNAME', 'ets_verify_signature';
COMMENT ON FUNCTION ets.verify_signature(bytea, bytea, bytea) IS 'Whether a signature of current_hash is strictly valid under a public key';

CREATE FUNCTION ets.leaf_hash(document json) RETURNS bytea
  LANGUAGE c IMMUTABLE PARALLEL SAFE
  AS 'MODULE_PATHNAME', 'ets_leaf_hash';
COMMENT ON FUNCTION ets.leaf_hash(json) IS 'The Merkle leaf of an event document''s header; the payload is ignored';
