-- What somebody needs who forges rows past the guards. The attacks of
-- tamper_matrix.txt call it; it lies in the scene from the beginning.
CREATE SCHEMA attack;

-- Appends a row by hand, signed with `secret`, and moves the head.
CREATE FUNCTION attack.forge(
  into_domain text, into_stream text, forged jsonb, schema_name text, public bytea, secret bytea, version bigint
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  previous bytea;
  place bigint;
  id uuid := ets.uuid_v7();
BEGIN
  SELECT current_hash, sequence INTO previous, place FROM ets.ledger_event
   WHERE domain = into_domain AND stream = into_stream ORDER BY sequence DESC LIMIT 1;
  previous := coalesce(previous, ets.genesis_hash(into_domain, into_stream));
  place := coalesce(place, 0) + 1;
  INSERT INTO ets.ledger_event (event_id, payload, schema_version, key_id, public_key, previous_hash, current_hash, signature,
      "timestamp", domain, stream, sequence, registry_version, transaction_id)
    VALUES (id, forged, schema_name, ets.key_id(public), public, previous, ets.event_hash(forged, previous),
      ets.sign(forged, previous, secret), clock_timestamp(), into_domain, into_stream, place, version,
      -- Of a transaction that committed after the last seal, so that the next takes it.
      (SELECT max(transaction_id) FROM ets.ledger_event));
  PERFORM attack.move_head(into_domain, into_stream);
END
$$;

-- Puts the head where the last event is, without a kept state, which the gate then
-- computes; takes it away where there is no event.
CREATE FUNCTION attack.move_head(of_domain text, of_stream text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO ets.stream_head (domain, stream, sequence, head_hash, last_event_id, last_timestamp, registry_version)
    SELECT domain, stream, sequence, current_hash, event_id, "timestamp", registry_version FROM ets.ledger_event
     WHERE domain = of_domain AND stream = of_stream ORDER BY sequence DESC LIMIT 1
    ON CONFLICT (domain, stream) DO UPDATE SET sequence = excluded.sequence, head_hash = excluded.head_hash,
      last_event_id = excluded.last_event_id, last_timestamp = excluded.last_timestamp,
      registry_version = excluded.registry_version, state = NULL;
  DELETE FROM ets.stream_head AS head WHERE head.domain = of_domain AND head.stream = of_stream AND NOT EXISTS (
    SELECT FROM ets.ledger_event AS event WHERE event.domain = head.domain AND event.stream = head.stream);
END
$$;

-- Hashes and signs a stream anew from an event on, and moves the head.
CREATE FUNCTION attack.rechain(of_domain text, of_stream text, first bigint, public bytea, secret bytea)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  event record;
  previous bytea;
BEGIN
  SELECT current_hash INTO previous FROM ets.ledger_event
   WHERE domain = of_domain AND stream = of_stream AND sequence = first - 1;
  previous := coalesce(previous, ets.genesis_hash(of_domain, of_stream));
  FOR event IN SELECT event_id, payload FROM ets.ledger_event
     WHERE domain = of_domain AND stream = of_stream AND sequence >= first ORDER BY sequence
  LOOP
    UPDATE ets.ledger_event SET previous_hash = previous, current_hash = ets.event_hash(event.payload, previous),
        signature = ets.sign(event.payload, previous, secret), public_key = public, key_id = ets.key_id(public)
     WHERE event_id = event.event_id AND domain = of_domain
    RETURNING current_hash INTO previous;
  END LOOP;
  PERFORM attack.move_head(of_domain, of_stream);
END
$$;

-- Throws all trees and checkpoints away, and seals again what was sealed: with
-- the server's key, so that the new notes are signed.
CREATE FUNCTION attack.reseal() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  CREATE TEMPORARY TABLE unsealed ON COMMIT DROP AS
    SELECT * FROM ets.ledger_event AS event WHERE NOT EXISTS (
      SELECT FROM ets.merkle_leaf AS leaf WHERE leaf.event_id = event.event_id AND leaf.domain = event.domain);
  DELETE FROM ets.ledger_event AS event USING unsealed
    WHERE unsealed.event_id = event.event_id AND unsealed.domain = event.domain;
  DELETE FROM ets.merkle_leaf;
  DELETE FROM ets.merkle_tile;
  DELETE FROM ets.domain_root;
  DELETE FROM ets.checkpoint;
  DELETE FROM ets.seal_position;
  PERFORM ets.seal();
  -- One that this seal did not see, so that the next takes them.
  UPDATE unsealed SET transaction_id = (SELECT pg_snapshot_xmax(snapshot)::text::bigint FROM ets.seal_position);
  INSERT INTO ets.ledger_event SELECT * FROM unsealed;
END
$$;
