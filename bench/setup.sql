-- What all cases share: a ledger with one schema and one key, a table of signed
-- events that every case reads its rows from, and the two tables to compare with.

CREATE EXTENSION pgcrypto;
CREATE EXTENSION pg_ets;
CREATE SCHEMA bench;

SELECT ets.init('bench.example/ledger');
SELECT ets.create_domain('payments');
SELECT ets.register_schema('payment/1.0.0', 'payments', '{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "properties": {
    "account":   {"type": "string", "minLength": 1, "maxLength": 64},
    "order":     {"type": "integer", "minimum": 1},
    "kind":      {"enum": ["charge", "refund", "payout"]},
    "amount":    {"type": "integer", "minimum": 0},
    "currency":  {"type": "string", "minLength": 3, "maxLength": 3},
    "country":   {"type": "string", "minLength": 2, "maxLength": 2},
    "method":    {"enum": ["card", "transfer", "wallet"]},
    "reference": {"type": "string", "maxLength": 40},
    "approved":  {"type": "boolean"},
    "score":     {"type": "number", "minimum": 0, "maximum": 1},
    "attempt":   {"type": "integer", "minimum": 1, "maximum": 10},
    "agent":     {"type": "string", "maxLength": 40},
    "note":      {"type": ["string", "null"], "maxLength": 200},
    "tags":      {"type": "array", "items": {"type": "string"}, "maxItems": 8},
    "fee":       {"type": "integer", "minimum": 0}
  },
  "required": ["account", "order", "kind", "amount", "currency"],
  "additionalProperties": false
}', stream_pointer => '/account');

-- The same without a schema, and with a rule: to see what each costs.
SELECT ets.register_schema('bare/1.0.0', 'payments', 'true', stream_pointer => '/account');
SELECT ets.register_schema('ruled/1.0.0', 'payments', schema, stream_pointer => '/account', rules => '[
  {"name": "sound", "message": "a charge is approved, or small, and in a currency that the country has",
   "expr": "payload.kind != \"charge\" || payload.approved || payload.amount < 10000000 && payload.country in [\"DE\", \"FR\"] && payload.fee <= payload.amount"}]')
  FROM ets.schema_version WHERE name = 'payment/1.0.0';

-- What is replayed: a domain of its own, so that the cases do not see each other.
SELECT ets.create_domain('replayed');
SELECT ets.register_schema('replay/1.0.0', 'replayed', schema, stream_pointer => '/account')
  FROM ets.schema_version WHERE name = 'payment/1.0.0';

CREATE TABLE bench.key AS SELECT * FROM ets.generate_key();
SELECT ets.register_key(public_key, 'bench') FROM bench.key;
SELECT ets.grant_authority(ets.key_id(public_key), domain) FROM bench.key, unnest(ARRAY['payments', 'replayed']) AS domain;

-- Event n of one client, complete and signed.
CREATE TABLE bench.source (
  client          integer NOT NULL,
  n               integer NOT NULL,
  payload         jsonb NOT NULL,
  schema_version  text NOT NULL,
  key_id          text NOT NULL,
  public_key      bytea NOT NULL,
  previous_hash   bytea NOT NULL,
  current_hash    bytea NOT NULL,
  signature       bytea NOT NULL,
  stream          text NOT NULL,
  PRIMARY KEY (client, n)
);

-- Signs `events` events of one client, each onto the one before it: one stream.
CREATE FUNCTION bench.sign_stream(client integer, events integer, version text DEFAULT 'payment/1.0.0') RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  stream   constant text := 'account-' || client;
  signer   constant bench.key := (SELECT key FROM bench.key AS key);
  key_id   constant text := ets.key_id(signer.public_key);
  previous bytea := ets.genesis_hash((SELECT domain FROM ets.schema_version WHERE name = version), stream);
  payload  jsonb;
  hash     bytea;
BEGIN
  FOR n IN 1..events LOOP
    payload := jsonb_build_object(
      'account', stream, 'order', client::bigint * 1000000 + n, 'kind', 'charge', 'amount', 100 + n * 7 % 100000,
      'currency', 'EUR', 'country', 'DE', 'method', 'card', 'reference', 'ref-' || client || '-' || n,
      'approved', n % 2 = 0, 'score', ((n % 100) / 128.0)::float8, 'attempt', 1 + n % 3, 'agent', 'agent-7',
      'note', NULL, 'tags', '["web", "eu"]'::jsonb, 'fee', n % 50);
    hash := ets.event_hash(payload, previous);
    INSERT INTO bench.source
    VALUES (client, n, payload, version, key_id, signer.public_key, previous, hash,
            ets.sign(payload, previous, signer.secret_key), stream);
    previous := hash;
  END LOOP;
END
$$;

-- Case plain: the ledger's columns and indexes, nobody watching.
CREATE TABLE bench.plain (
  event_id          uuid NOT NULL DEFAULT ets.uuid_v7(),
  payload           jsonb NOT NULL,
  schema_version    text COLLATE "C" NOT NULL,
  key_id            text COLLATE "C" NOT NULL,
  public_key        bytea NOT NULL,
  previous_hash     bytea NOT NULL,
  current_hash      bytea NOT NULL,
  signature         bytea NOT NULL,
  "timestamp"       timestamptz NOT NULL,
  domain            text COLLATE "C" NOT NULL,
  stream            text COLLATE "C" NOT NULL,
  sequence          bigint NOT NULL,
  registry_version  bigint NOT NULL,
  transaction_id    bigint NOT NULL,
  PRIMARY KEY (event_id, domain)
);
CREATE INDEX ON bench.plain (domain, stream, sequence);
CREATE INDEX ON bench.plain USING brin (transaction_id) WITH (pages_per_range = 16);

-- Case trigger: a hash chain as one writes it by hand. No canonical form, no
-- signature, no key, no authority, no schema.
CREATE TABLE bench.chain (LIKE bench.plain INCLUDING ALL);
CREATE TABLE bench.chain_head (
  domain     text COLLATE "C" NOT NULL,
  stream     text COLLATE "C" NOT NULL,
  sequence   bigint NOT NULL,
  head_hash  bytea NOT NULL,
  PRIMARY KEY (domain, stream)
) WITH (fillfactor = 50);

CREATE FUNCTION bench.link() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  head bench.chain_head;
BEGIN
  SELECT * INTO head FROM bench.chain_head
   WHERE domain = NEW.domain AND stream = NEW.stream FOR UPDATE;
  IF NOT FOUND THEN
    INSERT INTO bench.chain_head VALUES (NEW.domain, NEW.stream, 0, digest('genesis', 'sha256'))
      RETURNING * INTO head;
  END IF;
  NEW.sequence := head.sequence + 1;
  NEW.previous_hash := head.head_hash;
  NEW.current_hash := digest(convert_to(NEW.payload::text, 'UTF8') || head.head_hash, 'sha256');
  UPDATE bench.chain_head SET sequence = NEW.sequence, head_hash = NEW.current_hash
   WHERE domain = NEW.domain AND stream = NEW.stream;
  RETURN NEW;
END
$$;
CREATE TRIGGER link BEFORE INSERT ON bench.chain FOR EACH ROW EXECUTE FUNCTION bench.link();
