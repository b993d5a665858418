# Part rules: what a schema of fifteen properties and a rule add to an append at one
# client, against the same append under the schema `true`.

titles[rules]='What a schema and a rule cost'
kinds=(bare schema ruled)
declare -A version=([bare]=bare/1.0.0 [schema]=payment/1.0.0 [ruled]=ruled/1.0.0)
declare -A meaning=(
  [bare]='schema `true`, no rule'
  [schema]='schema of 15 properties'
  [ruled]='schema of 15 properties and one rule')

bench_rules() {
  local round turn kind first results=$cluster/rules.results
  : >"$results"
  # As many as twice the fastest so far could use up.
  events[1]=$((seconds * 4000 + 1000))
  for ((round = 1; round <= rounds; round++)); do
    for ((turn = 0; turn < 3; turn++)); do
      kind=${kinds[(round + turn) % 3]}
      first=$((100000 + round * 10 + turn))
      sign_streams "$first" 1 "${version[$kind]}"
      measure append 1 "$first" "${events[1]}" "$seconds"
      say "$round $kind 1 $tps $latency" >>"$results"
      printf '%s%d/%d  %-8s  1 client   %8.0f/s  %6.2f ms%s\n' "$dim" "$round" "$rounds" "$kind" "$tps" \
        "$latency" "$plain" >&2
    done
  done
  say "- one client, \`pgbench --protocol=prepared\`, $rounds rounds of $seconds s a case in rotated order; medians"
  say ""
  say "| \`ets.append\` under | events/s | latency ms | added to the latency of the first |"
  say "|---|--:|--:|--:|"
  for kind in "${kinds[@]}"; do
    awk -v kind="$kind" -v what="${meaning[$kind]}" '
      { latency[$1, $2] = $5 }
      $2 == kind { rounds[$1]; rates[++n] = $4; latencies[n] = $5 }
      END {
        for (round in rounds) added[++m] = 100 * (latency[round, kind] / latency[round, "bare"] - 1)
        printf "| %s | %.0f | %.3f | %+.1f %% |\n", what, median(rates, n), median(latencies, n), median(added, m)
      }
      '"$(cat bench/median.awk)" "$results"
  done
}
