\set n :n + 1
\set client :first + :client_id
BEGIN;
SELECT head_hash AS head FROM ets.head('payments', 'account-' || :first, for_append => true) \gset
SELECT event.sequence
  FROM bench.key AS key, bench.payment(:first, :client, :n) AS payload,
       ets.append(payload, 'payment/1.0.0', key.public_key, :head::bytea,
                  ets.sign(payload, :head::bytea, key.secret_key)) AS event;
COMMIT;
