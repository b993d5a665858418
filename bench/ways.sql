-- What the part `ways` needs: payments made one by one, onto a head that is not known
-- before.

-- A payment to the stream of `account`, by one of several clients.
CREATE FUNCTION bench.payment(account integer, client integer, number integer) RETURNS jsonb
  LANGUAGE sql IMMUTABLE AS $$
  SELECT jsonb_build_object(
    'account', 'account-' || account, 'order', client::bigint * 1000000 + number, 'kind', 'charge',
    'amount', 100 + number * 7 % 100000, 'currency', 'EUR', 'country', 'DE', 'method', 'card',
    'reference', 'ref-' || client || '-' || number, 'approved', number % 2 = 0,
    'score', ((number % 100) / 128.0)::float8, 'attempt', 1 + number % 3, 'agent', 'client-' || client,
    'note', NULL, 'tags', '["web", "eu"]'::jsonb, 'fee', number % 50)
$$;

-- Reads the head without a lock, signs, appends, and begins again when another was faster.
CREATE FUNCTION bench.append_retried(account integer, client integer, number integer) RETURNS bigint
  LANGUAGE plpgsql AS $$
DECLARE
  signer  constant bench.key := (SELECT key FROM bench.key AS key);
  payload constant jsonb := bench.payment(account, client, number);
  head    bytea;
BEGIN
  LOOP
    BEGIN
      head := (SELECT head_hash FROM ets.head('payments', 'account-' || account));
      RETURN (SELECT sequence FROM ets.append(payload, 'payment/1.0.0', signer.public_key, head,
                                              ets.sign(payload, head, signer.secret_key)));
    EXCEPTION WHEN SQLSTATE 'ET005' THEN
      NULL;
    END;
  END LOOP;
END
$$;

-- Signed events as ets.append_batch takes them: `number` of one client, after the first `skipped`.
CREATE FUNCTION bench.batch(client integer, skipped integer, number integer) RETURNS json
  LANGUAGE sql STABLE AS $$
  SELECT json_agg(json_build_object(
           'payload', payload, 'schema_version', schema_version, 'public_key', encode(public_key, 'hex'),
           'previous_hash', encode(previous_hash, 'hex'), 'signature', encode(signature, 'hex')) ORDER BY n)
    FROM bench.source
   WHERE source.client = batch.client AND n > skipped AND n <= skipped + number
$$;
CREATE TABLE bench.batches (number integer PRIMARY KEY, events json NOT NULL);

-- Case size: what the same events take where nothing but the primary key is promised.
CREATE TABLE bench.small (LIKE bench.plain INCLUDING DEFAULTS, PRIMARY KEY (event_id, domain));
