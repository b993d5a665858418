# Part append: what the gate costs, against a plain INSERT and a hash-chain
# trigger written by hand.

clients=(16 1)
cases=(plain trigger append)
declare -A titles table what
titles[append]='What an append costs'
table=([plain]=bench.plain [trigger]=bench.chain [append]=ets.ledger_event)
what=(
  [plain]='plain INSERT, same columns and indexes'
  [trigger]='PL/pgSQL + pgcrypto hash-chain trigger'
  [append]='`ets.append`')

bench_append() {
  local results=$cluster/append.results
  : >"$results"
  calibrate
  local round number kind first turn
  for ((round = 1; round <= rounds; round++)); do
    for number in "${clients[@]}"; do
      # The streams of this round and number of clients: nobody has used them yet.
      first=$((round * 1000 + number * 20))
      sign_streams "$first" "$number"
      for ((turn = 0; turn < 3; turn++)); do
        # Another order each round, so that no case always comes first.
        kind=${cases[(round + turn) % 3]}
        measure "$kind" "$number" "$first" "${events[$number]}" "$seconds"
        say "$round $kind $number $tps $latency" >>"$results"
        printf '%s%d/%d  %-8s %2d clients  %8.0f/s  %6.2f ms%s\n' "$dim" "$round" "$rounds" \
          "$kind" "$number" "$tps" "$latency" "$plain" >&2
      done
    done
  done
  say "- payload of $(sql -c 'SELECT round(avg(length(ets.canonicalize(payload)))) FROM (SELECT payload FROM bench.source LIMIT 1000) AS sample') bytes"
  say "- \`pgbench --protocol=prepared --jobs=2\`, $rounds rounds of $seconds s a case in rotated order; medians"
  say ""
  say "| clients | case | events/s | lowest … highest | latency ms | to plain | to trigger |"
  say "|--:|---|--:|--:|--:|--:|--:|"
  for number in "${clients[@]}"; do
    for kind in "${cases[@]}"; do
      awk -v number="$number" -v kind="$kind" -v what="${what[$kind]}" "$(cat bench/append.awk bench/median.awk)" "$results"
    done
  done
}

# How many signed events each client needs: a quarter more than a plain INSERT uses.
calibrate() {
  local number
  declare -gA events=([16]=64)
  sign_streams 0 16
  for number in "${clients[@]}"; do
    measure plain "$number" 0 64 1
    events[$number]=$(awk -v tps="$tps" -v s="$seconds" -v c="$number" 'BEGIN {printf "%d", 500 + tps * (s + 0.5) * 1.25 / c}')
  done
}
