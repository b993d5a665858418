\set client :first + :client_id
\set n :n + 1
SELECT event.event_id, event.sequence
  FROM bench.source AS source,
       ets.append(source.payload, source.schema_version, source.public_key, source.previous_hash,
                  source.signature) AS event
 WHERE source.client = :client AND source.n = :n;
