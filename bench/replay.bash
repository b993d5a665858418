# Part replay: states of many events, against a plain read of the same rows.

titles[replay]='What a replay costs'

bench_replay() {
  prepare_million
  local round
  local -a read=() replay=() verified=()
  for ((round = 1; round <= rounds; round++)); do
    read+=("$(timed "SELECT count(*) FROM ets.ledger_event WHERE domain = 'replayed' AND (payload->>'amount')::bigint >= 0 AND (payload->'tags') IS NOT NULL")")
    replay+=("$(timed "SELECT count(state_hash) FROM ets.replay('replayed', verify_signatures => false)")")
    verified+=("$(timed "SELECT count(state_hash) FROM ets.replay('replayed')")")
  done
  local base
  base=$(median "${read[@]}")
  say "- $prepared events in $streams streams, medians of $rounds runs in turn; the plain read is \`SELECT count(*) … WHERE (payload->>'amount')::bigint >= 0 AND payload->'tags' IS NOT NULL\`"
  say ""
  say "| over the same rows | seconds | events/s | to the plain read |"
  say "|---|--:|--:|--:|"
  row 'plain `SELECT count(*)` with jsonb access' "$(median "${read[@]}")"
  row '`ets.replay(…, verify_signatures => false)`: hashes, links, rules, states' "$(median "${replay[@]}")"
  row '`ets.replay(…)`: and every signature' "$(median "${verified[@]}")"
}

row() {
  awk -v what="$1" -v time="$2" -v base="$base" -v events=$prepared \
    'BEGIN { printf "| %s | %.2f | %.0f | %.2f |\n", what, time, events / time, time / base }'
}
