# Part forest: seal, rebuild, verification and proofs, each against what a Postgres
# user would do with the same rows, and the backend's memory while they run.

titles[forest]='What the Merkle forest costs'

bench_forest() {
  prepare_million
  cores=$(nproc)
  say "- $prepared events in $streams streams; medians of $rounds runs in turn; memory is the greatest \`RssAnon\` of the backend, seen every 50 ms"
  say ""
  say "| what | against | seconds | baseline | ratio | promised | backend MiB |"
  say "|---|---|--:|--:|--:|--:|--:|"
  forest_seal
  forest_rebuild
  forest_verify
  say ""
  forest_proofs
}

# In transactions that are rolled back, so that each round seals the same events.
forest_seal() {
  local round
  local -a seal=() floor=()
  local rows='SELECT domain, row_number() OVER (PARTITION BY domain ORDER BY event_id) - 1 AS leaf_index, event_id FROM ets.ledger_event'
  peak_of_all=0
  sql -c 'CREATE TABLE bench.leaf (LIKE ets.merkle_leaf INCLUDING ALL)'
  for ((round = 1; round <= rounds; round++)); do
    watched "INSERT INTO bench.leaf (domain, leaf_index, event_id) $rows;
             SELECT count(sha256(payload::text::bytea)) FROM ets.ledger_event WHERE domain NOT LIKE 'ets.%'"
    floor+=("$taken")
    peak_of_all=0
    watched 'SELECT * FROM ets.seal()'
    seal+=("$taken")
    sql -c 'VACUUM ets.merkle_leaf' -c 'VACUUM ets.merkle_tile' -c 'VACUUM bench.leaf'
  done
  forest_row "\`ets.seal()\` of all events" '`INSERT … SELECT` of the leaf rows and `sha256(payload::text::bytea)`' \
    "$(median "${seal[@]}")" "$(median "${floor[@]}")" 1 '≤ 2'
  # The same for what is new behind a tree of that size.
  sql -c 'SELECT ets.seal()' -c 'VACUUM ANALYZE ets.merkle_leaf' >/dev/null
  append_two 300000 $((prepared / 200))
  seal=() floor=() peak_of_all=0
  for ((round = 1; round <= rounds; round++)); do
    watched "INSERT INTO bench.leaf (domain, leaf_index, event_id) $rows WHERE stream IN ('account-300000', 'account-300001');
             SELECT count(sha256(payload::text::bytea)) FROM ets.ledger_event WHERE domain = 'replayed' AND stream IN ('account-300000', 'account-300001')"
    floor+=("$taken")
    watched 'SELECT * FROM ets.seal()'
    seal+=("$taken")
  done
  forest_row "\`ets.seal()\` of $((prepared / 100)) more" 'the same of these' "$(median "${seal[@]}")" "$(median "${floor[@]}")" 1 '≤ 2'
  sql -c 'SELECT ets.seal()' -c 'VACUUM ANALYZE ets.ledger_event' -c 'VACUUM ANALYZE ets.merkle_leaf' >/dev/null
}

forest_rebuild() {
  local round
  local -a rebuild=() floor=()
  peak_of_all=0
  for ((round = 1; round <= rounds; round++)); do
    watched "SET LOCAL max_parallel_workers_per_gather = 0;
             SELECT count(sha256(convert_to(event::text, 'UTF8'))) FROM ets.ledger_event AS event"
    floor+=("$taken")
    watched 'SELECT 1 / bool_and(matches)::integer FROM ets.rebuild_merkle()'
    rebuild+=("$taken")
  done
  # Per core: as if all of them had been used all the time.
  forest_row "\`ets.rebuild_merkle()\`, seconds × $cores cores" "\`count(sha256(convert_to(row::text, 'UTF8')))\` on one" \
    "$(median "${rebuild[@]}")" "$(median "${floor[@]}")" "$cores" '≤ 2'
}

forest_verify() {
  local round rate
  local -a verify=() bare=() audit=()
  local root begun
  root=$(sql -c "SELECT ets.trust_root()->>'root_public_key'")
  build_programs "$profile"
  peak_of_all=0
  for ((round = 1; round <= rounds; round++)); do
    bare+=("$("$built/examples/verify_rate" $((prepared / 10 + 1000)))")
    watched 'SELECT 1 / (count(*) = 0)::integer FROM ets.verify_ledger()'
    verify+=("$taken")
    begun=$EPOCHREALTIME
    "$built/ets" audit --quiet --root-key "$root" >"$cluster/audit.txt" || fail "ets audit: $(<"$cluster/audit.txt")"
    audit+=("$(awk -v begun="$begun" -v ended="$EPOCHREALTIME" 'BEGIN { print ended - begun }')")
  done
  rate=$(median "${bare[@]}")
  awk -v time="$(median "${verify[@]}")" -v events="$(sql -c 'SELECT count(*) FROM ets.ledger_event')" -v rate="$rate" \
    -v cores="$cores" -v peak="$peak_of_all" 'BEGIN {
      printf "| `ets.verify_ledger()`: %.0f events/s | bare `verify_strict` on all cores at once: %.0f/s × %d | %.2f | %.2f | **%.2f** | ≥ 0.8 | %.0f |\n",
        events / time, rate, cores, time, events / rate / cores, events / time / rate / cores, peak / 1024 }'
  awk -v time="$(median "${audit[@]}")" -v events="$(sql -c 'SELECT count(*) FROM ets.ledger_event')" -v rate="$rate" -v cores="$cores" 'BEGIN {
      printf "| `ets audit`, its server on the same cores: %.0f events/s | the same | %.2f | %.2f | **%.2f** | ≥ 0.9 | |\n",
        events / time, time, events / rate / cores, events / time / rate / cores }'
}

forest_row() {
  awk -v what="$1" -v against="$2" -v time="$3" -v base="$4" -v cores="$5" -v promised="$6" -v peak="$peak_of_all" \
    'BEGIN { printf "| %s | %s | %.2f | %.2f | **%.2f** | %s | %.0f |\n", what, against, time, base, time * cores / base, promised, peak / 1024 }'
}

# watched SQL: runs it in a transaction that is rolled back. Sets `taken`, in seconds,
# and raises `peak_of_all`, in kB.
watched() {
  local backend=$cluster/backend most=$cluster/most
  : >"$backend" && : >"$most"
  watch_memory "$backend" "$most" &
  local watcher=$!
  taken=$(sql <<END | tail -n 1
BEGIN;
\o $backend
SELECT pg_backend_pid();
\o /dev/null
SELECT extract(epoch FROM clock_timestamp()) AS begun \gset
$1;
SELECT extract(epoch FROM clock_timestamp()) - :begun AS taken \gset
\o
ROLLBACK;
\echo :taken
END
  ) || fail "failed: $1"
  wait "$watcher"
  [[ $(<"$most") -le $peak_of_all ]] || peak_of_all=$(<"$most")
  printf '%s%8.2f s  %s%s\n' "$dim" "$taken" "${1:0:70}" "$plain" >&2
}

# watch_memory FILE-WITH-PID RESULT: until that process ends.
watch_memory() {
  local pid now most=0 waited=0
  until pid=$(grep -o '[0-9]*' "$1") || ((waited++ > 200)); do sleep 0.05; done
  while now=$(awk '/^RssAnon/ { print $2 }' "/proc/$pid/status" 2>/dev/null) && [[ -n $now ]]; do
    [[ $now -le $most ]] || most=$now
    sleep 0.05
  done
  echo "$most" >"$2"
}

# Proofs in trees of two sizes and lookups of events by primary key, in turn on one connection.
forest_proofs() {
  local number=2000 log=$cluster/proofs.log
  [[ -z $smoke ]] || number=200
  sql -v domain=bench.small -v leaves=10000 -v first=100000000000 -f bench/tree.sql
  sql -v domain=bench.large -v leaves="$leaves" -v first=200000000000 -f bench/tree.sql
  {
    say "PREPARE lookup(uuid) AS SELECT event_id, domain, stream, sequence, payload, schema_version, key_id, public_key,
      previous_hash, current_hash, signature, timestamp, registry_version
      FROM ets.ledger_event WHERE event_id = \$1 AND domain = 'replayed';"
    say 'PREPARE proof(uuid) AS SELECT * FROM ets.merkle_proof($1);'
    say '\timing on'
    sql -v number=$((number + 200)) -v leaves="$leaves" <<'END'
SELECT format(E'\\echo lookup\nEXECUTE lookup(%L);\n\\echo small\nEXECUTE proof(%L);\n\\echo large\nEXECUTE proof(%L);',
              event_id, bench.leaf_id(100000000000 + floor(random() * 10000)::bigint),
              bench.leaf_id(200000000000 + floor(random() * :leaves)::bigint))
  FROM (SELECT event_id FROM ets.ledger_event WHERE domain = 'replayed' ORDER BY random() LIMIT :number) AS event;
END
  } >"$cluster/proofs.sql"
  # The first two hundred of each warm the caches.
  sql -f "$cluster/proofs.sql" | awk '/^(lookup|small|large)$/ { kind = $1 } /^Time:/ { if (++seen[kind] > 200) print kind, $2 }' >"$log"
  [[ $(wc -l <"$log") = $((3 * number)) ]] || fail "not every proof was made: see $log"
  proofs_hold bench.large
  sql -f bench/untree.sql
  say "- $number lookups of each in turn on one connection, in psql's milliseconds, after 200 that are not counted"
  say "- the trees of proofs are put in place past the guards, with leaves that are no events ([tree.sql](tree.sql))"
  say ""
  say "| one at a time | median ms | p99 ms | median to the first | p99 to the first's p99 | median to the proof at 10000 |"
  say "|---|--:|--:|--:|--:|--:|"
  local kind
  for kind in lookup small large; do
    sort -k 1,1 -k 2,2n "$log" | awk -v kind="$kind" -v leaves="$leaves" '
      { time[$1, ++count[$1]] = $2 }
      END {
        name["lookup"] = "event by primary key, thirteen columns"
        name["small"] = "`ets.merkle_proof` at 10000 leaves"
        name["large"] = "`ets.merkle_proof` at " leaves " leaves"
        printf "| %s | %.3f | %.3f | %.2f | %.2f | %.2f |\n", name[kind], at(kind, 0.5), at(kind, 0.99),
          at(kind, 0.5) / at("lookup", 0.5), at(kind, 0.99) / at("lookup", 0.99), at(kind, 0.5) / at("small", 0.5)
      }
      function at(kind, part) { return time[kind, int(1 + part * (count[kind] - 1))] }'
  done
  say ""
  say "Promised: a proof at 10000000 leaves at most 2 times one at 10000, its p99 under 3 times a lookup."
}

# The proofs lead to the tree's root.
proofs_hold() {
  local held
  held=$(sql -v domain="$1" -v first=200000000000 <<'END'
SELECT bool_and(ets.verify_inclusion(sha256(int8send(leaf)), leaf, tree_size,
         (SELECT array_agg(hash ORDER BY step) FROM ets.merkle_proof(bench.leaf_id(:first + leaf))), root_hash))
  FROM ets.domain_root, LATERAL (SELECT tree_size * n / 20 AS leaf FROM generate_series(0, 19) AS n) AS sample
 WHERE domain = :'domain';
END
  )
  [[ $held = t ]] || fail "the proofs in $1 do not hold"
}
