# Part size: what an append costs in a ledger that has many events, or many streams,
# against one of ten thousand. Each in a database of its own, in turn.

titles[size]='What an append costs in a large ledger'

bench_size() {
  local large=$filled many=$((filled / 10)) round place kind
  local -A rate=()
  size_ledger small 10000 10000
  size_ledger large "$large" 10000
  size_ledger many "$many" "$many"
  events[16]=$((500 + 1000 * seconds))
  for ((round = 1; round <= rounds; round++)); do
    for ((place = 0; place < 3; place++)); do
      kind=$(set -- small large many; shift $(((round + place) % 3)); say "$1")
      size_measure "$kind" "$round"
      rate[$kind]+=" $tps"
      printf '%s%d/%d  %-8s %8.0f/s%s\n' "$dim" "$round" "$rounds" "$kind" "$tps" "$plain" >&2
    done
  done
  say "- 16 clients, each append to another of the streams that are there; $rounds rounds of $seconds s in rotated order; medians"
  say "- the rows that are there were put in place past the guards ([size.sql](size.sql))"
  say ""
  say "| \`ets.append\` in a ledger of | events/s | cost to the first | promised |"
  say "|---|--:|--:|--:|"
  say "| 10000 events, 10000 streams | $(size_median small) | 1.00 |  |"
  say "| $large events, 10000 streams | $(size_median large) | **$(size_cost large)** | ≤ 1.2 |"
  say "| $many events, $many streams | $(size_median many) | **$(size_cost many)** | ≤ 1.2 |"
  for kind in small large many; do sql -c "DROP DATABASE bench_$kind"; done
}

# size_ledger NAME EVENTS STREAMS
size_ledger() {
  local started=$SECONDS
  sql -c "CREATE DATABASE bench_$1"
  local PGDATABASE=bench_$1
  PGOPTIONS='--client_min_messages=error' sql -f bench/setup.sql -f bench/size.sql >/dev/null
  sql -c "CALL bench.fill($2, $3)" -c 'VACUUM ANALYZE ets.ledger_event' -c 'VACUUM ANALYZE ets.stream_head' -c CHECKPOINT >/dev/null
  streams_of[$1]=$3
  printf '%s%s: %d events in %d streams after %d s%s\n' "$dim" "$1" "$2" "$3" $((SECONDS - started)) "$plain" >&2
}
declare -A streams_of

size_measure() {
  local first=$((($2 + 1) * 100)) client
  local PGDATABASE=bench_$1
  # Signed just before, since what is signed is the head of the moment.
  for ((client = 0; client < 16; client += 2)); do
    sql -c "SELECT bench.sign_spread($((first + client)), $client, ${streams_of[$1]}, ${events[16]})" >/dev/null &
    sql -c "SELECT bench.sign_spread($((first + client + 1)), $((client + 1)), ${streams_of[$1]}, ${events[16]})" >/dev/null &
    wait_all
  done
  sql -c 'VACUUM ANALYZE bench.source'
  measure append 16 "$first" "${events[16]}" "$seconds"
}

size_median() { printf '%.0f' "$(median ${rate[$1]})"; }

# The median of the rounds' ratios.
size_cost() {
  local -a small=(${rate[small]}) other=(${rate[$1]}) costs=()
  local round
  for round in "${!small[@]}"; do
    costs+=("$(awk -v small="${small[round]}" -v other="${other[round]}" 'BEGIN { print small / other }')")
  done
  printf '%.2f' "$(median "${costs[@]}")"
}
