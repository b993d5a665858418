\set client :first + :client_id
\set n :n % :events + 1
INSERT INTO bench.chain
       (payload, schema_version, key_id, public_key, previous_hash, current_hash, signature,
        "timestamp", domain, stream, sequence, registry_version, transaction_id)
SELECT payload, schema_version, key_id, public_key, previous_hash, current_hash, signature,
       now(), 'payments', stream, n, 5, txid_current()
  FROM bench.source WHERE client = :client AND n = :n;
