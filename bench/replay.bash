# Part replay: states of many events, against a plain read of the same rows.

titles[replay]='What a replay costs'

bench_replay() {
  local streams=100 each=$((million / 100)) started
  started=$SECONDS
  # A hundred streams, signed on two connections and appended by one statement each.
  events[2]=$each
  local first
  for ((first = 200000; first < 200000 + streams; first += 2)); do
    sign "$first" "$each" replay/1.0.0 &
    sign $((first + 1)) "$each" replay/1.0.0 &
    wait_all
    sql -c "INSERT INTO ets.ledger_event (payload, schema_version, public_key, previous_hash, signature)
            SELECT payload, schema_version, public_key, previous_hash, signature FROM bench.source
             WHERE client IN ($first, $((first + 1))) ORDER BY client, n"
    sql -c "DELETE FROM bench.source WHERE client IN ($first, $((first + 1)))"
  done
  sql -c 'VACUUM ANALYZE ets.ledger_event' -c CHECKPOINT
  printf '%s%d events in %d streams appended in %d s%s\n' "$dim" $((streams * each)) "$streams" $((SECONDS - started)) "$plain" >&2
  local round
  local -a read=() replay=() verified=()
  for ((round = 1; round <= rounds; round++)); do
    read+=("$(timed "SELECT count(*) FROM ets.ledger_event WHERE domain = 'replayed' AND (payload->>'amount')::bigint >= 0 AND (payload->'tags') IS NOT NULL")")
    replay+=("$(timed "SELECT count(state_hash) FROM ets.replay('replayed', verify_signatures => false)")")
    verified+=("$(timed "SELECT count(state_hash) FROM ets.replay('replayed')")")
  done
  local base
  base=$(median "${read[@]}")
  say "- $((streams * each)) events in $streams streams, medians of $rounds runs in turn; the plain read is \`SELECT count(*) … WHERE (payload->>'amount')::bigint >= 0 AND payload->'tags' IS NOT NULL\`"
  say ""
  say "| over the same rows | seconds | events/s | to the plain read |"
  say "|---|--:|--:|--:|"
  row 'plain `SELECT count(*)` with jsonb access' "$(median "${read[@]}")"
  row '`ets.replay(…, verify_signatures => false)`: hashes, links, rules, states' "$(median "${replay[@]}")"
  row '`ets.replay(…)`: and every signature' "$(median "${verified[@]}")"
}

row() {
  awk -v what="$1" -v time="$2" -v base="$base" -v events=$((streams * each)) \
    'BEGIN { printf "| %s | %.2f | %.0f | %.2f |\n", what, time, events / time, time / base }'
}

# timed SQL: seconds that the statement takes.
timed() {
  local begun
  begun=$(date +%s.%N)
  sql -c "$1" >/dev/null
  awk -v begun="$begun" -v ended="$(date +%s.%N)" 'BEGIN { printf "%.3f", ended - begun }'
}

median() { printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
