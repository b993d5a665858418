\set client :first + :client_id
\set n :n + 1
INSERT INTO ets.ledger_event (payload, schema_version, public_key, previous_hash, signature)
SELECT payload, schema_version, public_key, previous_hash, signature
  FROM bench.source WHERE client = :client AND n = :n;
