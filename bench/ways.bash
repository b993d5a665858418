# Part ways: the other ways in, each against what it is promised to keep up with: a
# plain INSERT, a stream that many want at once, a batch, COPY; and what the events
# take on disk.

titles[ways]='What the other ways in cost'
table+=([insert]=ets.ledger_event [locked]=ets.ledger_event [retried]=ets.ledger_event)

bench_ways() {
  cores=$(nproc)
  ways=$cluster/ways.results
  declare -gA events
  : >"$ways"
  sql -f bench/ways.sql
  say "- medians of $rounds rounds of $seconds s a case in rotated order; batches and COPY run once a round"
  say "- bare \`verify_strict\` on all cores at once: ([verify_rate.rs](../crates/ets-core/examples/verify_rate.rs))"
  say ""
  say "| what | against | events/s | baseline | ratio | promised | slowest client to the mean |"
  say "|---|---|--:|--:|--:|--:|--:|"
  local round
  for ((round = 1; round <= rounds; round++)); do
    ways_insert "$round"
    ways_hot "$round" locked
    ways_hot "$round" retried
    ways_many "$round"
  done
  ways_row insert '`INSERT INTO ets.ledger_event`, 16 clients' '`ets.append`, 16 clients' '≥ 1.0'
  ways_row locked 'one stream, 8 clients, `ets.head(…, for_append => true)`, then `ets.append`' 'one client' '≥ 0.9'
  ways_row retried 'one stream, 8 clients, `ets.append` again after ET005' 'one client' '≥ 0.4'
  ways_row batch "\`ets.append_batch\` of $batch_of" "bare \`verify_strict\` × $cores cores" '≥ 0.6'
  ways_row copy "\`COPY\` of $copied signed events" "bare \`verify_strict\` × $cores cores" '≥ 0.5'
  ways_size
}

# note CASE RATE BASELINE [FAIRNESS]: one round of a row.
note() {
  say "$*" >>"$ways"
  printf '%s%-8s %8.0f/s against %8.0f/s  %s%s\n' "$dim" "$1" "$2" "$3" "${4:-}" "$plain" >&2
}

# Both on streams of their own, the first of them another one each round.
ways_insert() {
  local first=$((400000 + $1 * 100)) turn kind
  local -A rate
  events[32]=$((200 + seconds * 1000))
  sign_streams "$first" 32
  for ((turn = 0; turn < 2; turn++)); do
    kind=insert
    [[ $((($1 + turn) % 2)) = 0 ]] || kind=append
    measure "$kind" 16 $((first + turn * 16)) "${events[32]}" "$seconds"
    rate[$kind]=$tps
  done
  note insert "${rate[insert]}" "${rate[append]}"
}

# One stream of 8 clients, one of one client. The payload says which client it was.
ways_hot() {
  local first=$((500000 + $1 * 1000)) turn number
  [[ $2 = locked ]] || first=$((first + 500))
  local -A rate
  for ((turn = 0; turn < 2; turn++)); do
    number=1
    [[ $((($1 + turn) % 2)) = 0 ]] || number=8
    measure "$2" "$number" $((first + number)) 0 "$seconds"
    rate[$number]=$tps
  done
  note "$2" "${rate[8]}" "${rate[1]}" "$(sql -c "
    SELECT round(min(appended) * 8 / sum(appended), 2)
      FROM (SELECT count(event_id) AS appended
              FROM generate_series($((first + 8)), $((first + 15))) AS client
              LEFT JOIN ets.ledger_event ON domain = 'payments' AND stream = 'account-$((first + 8))'
                    AND payload->>'agent' = 'client-' || client
             GROUP BY client) AS clients")"
}

# Batches of a thousand, and COPY, of events of one stream each.
ways_many() {
  local first=$((600000 + $1 * 10)) batches=10 number bare begun
  batch_of=1000 copied=100000
  [[ -z $smoke ]] || batches=1 copied=2000
  build_programs "$profile"
  bare=$("$built/examples/verify_rate" 20000)
  sign "$first" $((batches * batch_of)) payment/1.0.0 &
  sign $((first + 1)) "$copied" payment/1.0.0 &
  wait_all
  sql -c "TRUNCATE bench.batches" -c "INSERT INTO bench.batches
          SELECT n, bench.batch($first, (n - 1) * $batch_of, $batch_of) FROM generate_series(1, $batches) AS n"
  begun=$EPOCHREALTIME
  for ((number = 1; number <= batches; number++)); do
    say "SELECT count(*) FROM bench.batches, ets.append_batch(events) WHERE number = $number;"
  done | sql >/dev/null
  note batch "$(per_second $((batches * batch_of)) "$begun")" "$(awk -v bare="$bare" -v cores="$cores" 'BEGIN { print bare * cores }')"
  sql -c "\\copy (SELECT payload, schema_version, public_key, previous_hash, signature FROM bench.source WHERE client = $((first + 1)) ORDER BY n) TO '$cluster/copy.txt'"
  begun=$EPOCHREALTIME
  sql -c "\\copy ets.ledger_event (payload, schema_version, public_key, previous_hash, signature) FROM '$cluster/copy.txt'"
  note copy "$(per_second "$copied" "$begun")" "$(awk -v bare="$bare" -v cores="$cores" 'BEGIN { print bare * cores }')"
  rm "$cluster/copy.txt"
}

per_second() { awk -v number="$1" -v begun="$2" -v ended="$EPOCHREALTIME" 'BEGIN { print number / (ended - begun) }'; }

ways_row() {
  awk -v kind="$1" -v what="$2" -v against="$3" -v promised="$4" '
    $1 == kind { rates[++n] = $2; bases[n] = $3; ratios[n] = $2 / $3; if (NF > 3) shares[n] = $4 }
    END {
      fair = 4 in shares || 1 in shares ? sprintf("%.2f", median(shares, n)) : ""
      printf "| %s | %s | %.0f | %.0f | **%.2f** | %s | %s |\n", what, against, median(rates, n), median(bases, n),
        median(ratios, n), promised, fair
    }
    '"$(cat bench/median.awk)" "$ways"
}

# Everything of the schema ets, sealed, against the same events in a table with a
# primary key. In a database of its own, for nothing else to be counted.
ways_size() {
  local number=20000 ours theirs
  [[ -z $smoke ]] || number=2000
  sql -c 'CREATE DATABASE bench_size'
  PGDATABASE=bench_size PGOPTIONS='--client_min_messages=error' sql -f bench/setup.sql -f bench/ways.sql >/dev/null
  ours=$(PGDATABASE=bench_size sql -v number=$((number / 10)) <<'END'
SELECT count(bench.sign_stream(client, :number)) FROM generate_series(1, 10) AS client \g /dev/null
CREATE FUNCTION bench.size() RETURNS numeric LANGUAGE sql AS $$
  SELECT sum(pg_total_relation_size(oid)) FROM pg_class
   WHERE relnamespace = 'ets'::regnamespace AND relkind IN ('r', 'm')
$$;
VACUUM ets.ledger_event;
SELECT bench.size() AS empty \gset
-- As the clients of an application do: one after the other, an event each.
INSERT INTO ets.ledger_event (payload, schema_version, public_key, previous_hash, signature)
SELECT payload, schema_version, public_key, previous_hash, signature FROM bench.source ORDER BY n, client;
SELECT ets.seal() \g /dev/null
INSERT INTO bench.small SELECT * FROM ets.ledger_event WHERE domain = 'payments' ORDER BY event_id;
VACUUM ets.stream_head;
SELECT round((bench.size() - :empty) / count(*)) FROM bench.small;
END
  )
  theirs=$(PGDATABASE=bench_size sql -c "SELECT round(pg_total_relation_size('bench.small')::numeric / count(*)) FROM bench.small")
  sql -c 'DROP DATABASE bench_size'
  say ""
  say "| on disk, bytes an event | all tables and indexes of \`ets\`, sealed | the columns of \`ets.ledger_event\` with their primary key | ratio | promised |"
  say "|---|--:|--:|--:|--:|"
  say "| $number events in 10 streams | $ours | $theirs | **$(awk -v ours="$ours" -v theirs="$theirs" 'BEGIN { printf "%.2f", ours / theirs }')** | ≤ 1.6 |"
}
