# Part http: signed events by POST through ets-http, against `ets.append` called
# directly by as many clients.

titles[http]='What an append over HTTP costs'
connections=(1 16 64)
declare -A through=([direct]='`ets.append`, pgbench' [http]='`POST /api/ledger/event`, wrk')

bench_http() {
  local results=$cluster/http.results round turn number kind first
  : >"$results"
  command -v wrk >/dev/null || fail "wrk is not installed: make setup"
  serve
  # More than a plain INSERT uses at that number of clients.
  for number in "${connections[@]}"; do
    events[$number]=64
    sign_streams $((201000 + number * 100)) "$number"
    measure plain "$number" $((201000 + number * 100)) 64 1
    events[$number]=$(awk -v tps="$tps" -v s="$seconds" -v c="$number" 'BEGIN {printf "%d", 300 + tps * (s + 0.5) * 1.1 / c}')
  done
  first=210000
  for ((round = 1; round <= rounds; round++)); do
    for number in "${connections[@]}"; do
      for ((turn = 0; turn < 2; turn++)); do
        if (((round + turn) % 2)); then kind=direct; else kind=http; fi
        first=$((first + 100))
        # One more than there are connections: wrk asks once for a request that it does not send.
        events[$((number + 1))]=${events[$number]}
        sign_streams "$first" $((number + 1))
        if [[ $kind = direct ]]; then
          measure append "$number" "$first" "${events[$number]}" "$seconds"
        else
          measure_http "$number" "$first"
        fi
        say "$round $kind $number $tps $latency" >>"$results"
        printf '%s%d/%d  %-8s %2d clients  %8.0f/s  %6.2f ms%s\n' "$dim" "$round" "$rounds" \
          "$kind" "$number" "$tps" "$latency" "$plain" >&2
      done
    done
  done
  kill "$server"
  say "- $rounds rounds of $seconds s a case, in turn; medians; ets-http with its 16 connections to the database, \`wrk\` with keep-alive"
  say ""
  say "| connections | case | events/s | latency ms | to direct | promised |"
  say "|--:|---|--:|--:|--:|--:|"
  for number in "${connections[@]}"; do
    for kind in direct http; do
      awk -v number="$number" -v kind="$kind" -v what="${through[$kind]}" '
        $3 == number { rate[$1, $2] = $4 }
        $3 == number && $2 == kind { rounds[$1]; rates[++n] = $4; latencies[n] = $5 }
        END {
          for (round in rounds) ratios[++m] = rate[round, kind] / rate[round, "direct"]
          promised = kind == "http" && number == 16 ? "≥ 0.6" : ""
          printf "| %d | %s | %.0f | %.2f | **%.2f** | %s |\n", number, what, median(rates, n), median(latencies, n), median(ratios, m), promised
        }
        '"$(cat bench/median.awk)" "$results"
    done
  done
}

# Starts the server on a port of its own; sets `server`, its process, and `url`.
serve() {
  build_programs "$profile"
  # There before it is read: the server starts beside this.
  : >"$cluster/http.out"
  "$built/ets-http" --listen 127.0.0.1:0 --dsn "dbname=$PGDATABASE" >"$cluster/http.out" 2>"$cluster/http.log" &
  server=$!
  # Not one of the jobs that wait_all waits for.
  disown "$server"
  trap 'kill "$server" 2>/dev/null || true; scripts/cluster stop "$cluster"' EXIT
  local waited
  for ((waited = 0; waited < 100; waited++)); do
    url=$(head -n 1 "$cluster/http.out")
    [[ -z $url ]] || return 0
    sleep 0.1
  done
  cat "$cluster/http.log" >&2
  fail "ets-http did not start"
}

# measure_http CONNECTIONS FIRST: as `measure`. Fails unless every answer is 201 and
# what was answered is stored.
measure_http() {
  local folder=$cluster/bodies log=$cluster/wrk.log before stored answers refused errors length client threads
  threads=$(($1 < 2 ? 1 : 2))
  rm -rf "$folder" && mkdir -p "$folder"
  for ((client = $2; client <= $2 + $1; client++)); do
    sql -c "SELECT jsonb_build_object('payload', payload, 'schema_version', schema_version, 'public_key', encode(public_key, 'hex'),
              'previous_hash', encode(previous_hash, 'hex'), 'signature', encode(signature, 'hex'))
              FROM bench.source WHERE client = $client ORDER BY n" >"$folder/$client.ndjson"
  done
  before=$(sql -c "SELECT count(*) FROM ets.ledger_event WHERE domain = 'payments'")
  sql -c CHECKPOINT
  wrk --threads "$threads" --connections "$1" --duration "${seconds}s" --timeout 20s --script bench/http.lua "$url" -- \
    "$folder" "$2" "$(($1 + 1))" "$threads" >"$log" 2>&1 || { cat "$log" >&2; fail "wrk failed"; }
  read -r answers refused errors length latency < <(
    sed -n 's/^counted \([0-9]*\) answers, \([0-9]*\) refused, \([0-9]*\) errors; \([0-9.]*\) s; latency \([0-9.]*\) ms$/\1 \2 \3 \4 \5/p' "$log")
  # What is on its way at the end is stored or not, and not counted.
  sleep 0.5
  stored=$(($(sql -c "SELECT count(*) FROM ets.ledger_event WHERE domain = 'payments'") - before))
  [[ ${answers:-0} -gt 0 && $refused = 0 && $errors = 0 && $stored -ge $answers && $stored -le $((answers + $1)) ]] ||
    { cat "$log" >&2; fail "bench/http.lua: $answers answers, $refused refused, $errors errors, but $stored rows stored"; }
  tps=$(awk -v answers="$answers" -v lasted="$length" 'BEGIN { printf "%.1f", answers / lasted }')
}
