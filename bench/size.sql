-- What the part `size` needs: a ledger that has many events, or many streams, already.

-- So many events in so many streams, put in place past the guards: rows of the usual size
-- whose hashes are of their numbers. An append looks at a stream's head and at the indexes,
-- and knows no difference; ten million signed ones would take an hour.
CREATE PROCEDURE bench.fill(events bigint, streams bigint) LANGUAGE plpgsql AS $$
BEGIN
  ALTER EVENT TRIGGER ets_ddl_start DISABLE;
  ALTER EVENT TRIGGER ets_ddl_end DISABLE;
  ALTER TABLE ets.ledger_event DISABLE TRIGGER ALL;
  ALTER TABLE ets.stream_head DISABLE TRIGGER ALL;
  INSERT INTO ets.ledger_event
  SELECT (lpad(to_hex(n), 12, '0') || '70008000000000000000')::uuid,
         jsonb_build_object(
           'account', 'filled-' || n % streams, 'order', n, 'kind', 'charge', 'amount', 100 + n * 7 % 100000,
           'currency', 'EUR', 'country', 'DE', 'method', 'card', 'reference', 'ref-' || n, 'approved', n % 2 = 0,
           'score', ((n % 100) / 128.0)::float8, 'attempt', 1 + n % 3, 'agent', 'agent-7', 'note', NULL,
           'tags', '["web", "eu"]'::jsonb, 'fee', n % 50),
         'payment/1.0.0', signer.key_id, signer.public_key, hash, hash, hash || hash, timestamptz 'epoch', 'payments',
         'filled-' || n % streams, n / streams + 1, registry.sequence, 0
    FROM generate_series(0, events - 1) AS n, sha256(int8send(n)) AS hash,
         (SELECT ets.key_id(public_key) AS key_id, public_key FROM bench.key) AS signer,
         (SELECT sequence FROM ets.stream_head WHERE domain = 'ets.registry') AS registry;
  INSERT INTO ets.stream_head (domain, stream, sequence, head_hash, last_event_id, last_timestamp, registry_version)
  SELECT 'payments', 'filled-' || n, 1 + (events - 1 - n) / streams, sha256(int8send(n)),
         (lpad(to_hex(n), 12, '0') || '70008000000000000000')::uuid, timestamptz 'epoch',
         (SELECT sequence FROM ets.stream_head WHERE domain = 'ets.registry')
    FROM generate_series(0, streams - 1) AS n;
  ALTER TABLE ets.stream_head ENABLE ALWAYS TRIGGER ets_guard;
  ALTER TABLE ets.stream_head ENABLE ALWAYS TRIGGER ets_guard_row;
  PERFORM ets.arm();
END
$$;

-- Events of one client over its sixteenth of the filled streams, each the next of its stream.
-- Streams that are neighbours in the index are far apart in time.
CREATE FUNCTION bench.sign_spread(client integer, place integer, streams bigint, events integer) RETURNS void
  LANGUAGE plpgsql AS $$
DECLARE
  signer   constant bench.key := (SELECT key FROM bench.key AS key);
  key_id   constant text := ets.key_id(signer.public_key);
  own      constant bigint := streams / 16;
  heads    bytea[];
  number   bigint;
  payload  jsonb;
  hash     bytea;
BEGIN
  FOR n IN 1..events LOOP
    number := n::bigint * 7919 % own;
    payload := jsonb_build_object(
      'account', 'filled-' || place * own + number, 'order', client::bigint * 1000000 + n, 'kind', 'charge',
      'amount', 100 + n * 7 % 100000, 'currency', 'EUR', 'country', 'DE', 'method', 'card',
      'reference', 'ref-' || client || '-' || n, 'approved', n % 2 = 0, 'score', ((n % 100) / 128.0)::float8,
      'attempt', 1 + n % 3, 'agent', 'agent-7', 'note', NULL, 'tags', '["web", "eu"]'::jsonb, 'fee', n % 50);
    hash := coalesce(heads[number + 1],
      (SELECT head_hash FROM ets.head('payments', 'filled-' || place * own + number)));
    INSERT INTO bench.source
    VALUES (client, n, payload, 'payment/1.0.0', key_id, signer.public_key, hash, ets.event_hash(payload, hash),
            ets.sign(payload, hash, signer.secret_key), 'filled-' || place * own + number);
    heads[number + 1] := ets.event_hash(payload, hash);
  END LOOP;
END
$$;
