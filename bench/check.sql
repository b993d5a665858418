-- Every row follows the one before it in its stream, and every head is its
-- stream's last row. One row per table: events, and what is wrong.
WITH linked AS (
  SELECT 'append' AS kind, domain, stream, sequence, current_hash, previous_hash,
         lag(current_hash) OVER (PARTITION BY domain, stream ORDER BY sequence) AS before,
         row_number() OVER (PARTITION BY domain, stream ORDER BY sequence) AS place
    FROM ets.ledger_event WHERE domain = 'payments'
  UNION ALL
  SELECT 'trigger', domain, stream, sequence, current_hash, previous_hash,
         lag(current_hash) OVER (PARTITION BY domain, stream ORDER BY sequence),
         row_number() OVER (PARTITION BY domain, stream ORDER BY sequence)
    FROM bench.chain
), heads AS (
  SELECT 'append' AS kind, domain, stream, sequence, head_hash FROM ets.stream_head
  UNION ALL
  SELECT 'trigger', domain, stream, sequence, head_hash FROM bench.chain_head
)
SELECT count(*) FILTER (WHERE linked.sequence <> linked.place OR linked.before <> linked.previous_hash)
     + count(*) FILTER (WHERE heads.sequence < linked.sequence)
     + count(*) FILTER (WHERE heads.sequence = linked.sequence AND heads.head_hash <> linked.current_hash)
     + count(*) FILTER (WHERE heads.head_hash IS NULL)
  FROM linked LEFT JOIN heads USING (kind, domain, stream);
