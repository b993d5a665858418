-- The main road with fixed seeds: sign, append, seal, prove, replay. Ids, times
-- and what depends on them differ from run to run and are only compared here.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pg_ets;
SELECT ets.init('regress.example/ets') IS NOT NULL AS made;
SELECT domain, stream, sequence, schema_version, payload FROM ets.create_domain('decisions', 'What was decided');
SELECT sequence, payload ->> 'name' AS name FROM ets.register_schema('decision/1.0.0', 'decisions',
  '{"type": "object", "properties": {"schema": {"const": "decision/1.0.0"}, "case": {"type": "string"},
    "approve": {"type": "boolean"}}, "required": ["schema", "case", "approve"], "additionalProperties": false}',
  stream_pointer => '/case', schema_pointer => '/schema');
CREATE FUNCTION pg_temp.seed() RETURNS bytea LANGUAGE sql AS $$ SELECT decode(repeat('07', 32), 'hex') $$;
CREATE FUNCTION pg_temp.key() RETURNS bytea LANGUAGE sql AS
  $$ SELECT '\xea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c'::bytea $$;
SELECT sequence, payload FROM ets.register_key(pg_temp.key(), 'agent-7');
SELECT sequence, payload FROM ets.grant_authority(ets.key_id(pg_temp.key()), 'decisions');

CREATE FUNCTION pg_temp.decide(payload jsonb) RETURNS SETOF ets.event LANGUAGE sql AS $$
  SELECT event.*
    FROM ets.head('decisions', payload ->> 'case') AS head,
         ets.append(payload, 'decision/1.0.0', pg_temp.key(), head.head_hash,
           ets.sign(payload, head.head_hash, pg_temp.seed())) AS event
$$;
SELECT domain, stream, sequence, payload, registry_version,
    previous_hash = ets.genesis_hash('decisions', 'case-1') AS follows_genesis,
    current_hash = ets.event_hash(payload, previous_hash) AS hashes,
    ets.verify_signature(current_hash, signature, public_key) AS verifies
  FROM pg_temp.decide('{"schema": "decision/1.0.0", "case": "case-1", "approve": true}');
SELECT stream, sequence FROM pg_temp.decide('{"schema": "decision/1.0.0", "case": "case-1", "approve": false}');
SELECT stream, sequence FROM pg_temp.decide('{"schema": "decision/1.0.0", "case": "case-2", "approve": true}');
SELECT domain, stream, events FROM ets.streams ORDER BY domain, stream;

SELECT checkpoint_id, version FROM ets.seal();
SELECT checkpoint_id, domain, tree_size FROM ets.domain_root ORDER BY checkpoint_id, domain;
-- Nothing new: the same checkpoint.
SELECT checkpoint_id FROM ets.seal();
SELECT leaf_index, stream, sequence FROM ets.read_domain('decisions');
SELECT proof.step, proof.side, octet_length(proof.hash)
  FROM ets.merkle_leaf AS leaf, ets.merkle_proof(leaf.event_id) AS proof
 WHERE leaf.domain = 'decisions' AND leaf.leaf_index = 2 ORDER BY step;
SELECT ets.verify_inclusion(ets.leaf_hash(ets.event_document(leaf.event_id)), leaf.leaf_index, root.tree_size,
    (SELECT coalesce(array_agg(hash ORDER BY step), '{}') FROM ets.merkle_proof(leaf.event_id)), root.root_hash) AS included
  FROM ets.merkle_leaf AS leaf JOIN ets.domain_root AS root USING (domain) ORDER BY leaf.domain, leaf.leaf_index;
SELECT stream, sequence, state FROM ets.replay('decisions') ORDER BY stream;
SELECT count(*) AS findings FROM ets.verify_ledger();

\set VERBOSITY verbose
\set SHOW_CONTEXT never
-- Append-only, for this superuser too.
UPDATE ets.ledger_event SET payload = '{}';
DELETE FROM ets.ledger_event;
TRUNCATE ets.ledger_event;
-- The payload violates its schema in two places.
SELECT stream FROM pg_temp.decide('{"schema": "decision/1.0.0", "case": "case-1", "approve": "yes", "more": 1}');
-- No such things.
SELECT ets.head('nowhere');
SELECT ets.event_document('00000000-0000-7000-8000-000000000000');
SELECT ets.create_domain('decisions');
SELECT ets.init('regress.example/again');
