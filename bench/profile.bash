# Part profile: where the server's processor time of an append goes, beside that of a
# plain INSERT, at 16 clients. Needs `perf` and the right to use it, so it is not one
# of the parts that run by themselves. Draws bench/append.svg.

titles[profile]='Where the time of an append goes'

bench_profile() {
  command -v perf >/dev/null || fail "the part profile needs perf (Debian: linux-perf)"
  local kind first=700000
  : >"$cluster/profile.tsv"
  declare -gA events=([16]=$((1000 + 1200 * (seconds + 2))))
  for kind in plain append; do
    profile_case "$kind" "$first"
    first=$((first + 100))
  done
  say "- processor time of all server processes, over $seconds s; its parts from \`perf record\` in a second run"
  say ""
  say '![µs an event, by kind of work](append.svg)'
  say ""
  say "| µs of server CPU an event | plain INSERT | \`ets.append\` |"
  say "|---|--:|--:|"
  awk -F '\t' '
    { value[$1, $3] = $2; total[$1] += $2; if (!($3 in seen)) { seen[$3]; name[++n] = $3 } }
    END {
      for (i = 1; i <= n; i++) printf "| %s | %.0f | %.0f |\n", name[i], value["plain INSERT", name[i]], value["ets.append", name[i]]
      printf "| **all** | **%.0f** | **%.0f** |\n", total["plain INSERT"], total["ets.append"]
    }' "$cluster/profile.tsv"
  [[ -n $smoke ]] || awk -f bench/picture.awk "$cluster/profile.tsv" >bench/append.svg
}

# profile_case KIND FIRST: appends its lines, µs and names, to profile.tsv.
profile_case() {
  local before after processed label='ets.append' postmaster
  [[ $1 != plain ]] || label='plain INSERT'
  postmaster=$(head -n 1 "$cluster/data/postmaster.pid")
  sign_streams "$2" 16
  sign_streams $(($2 + 20)) 16
  before=$(processor_time "$postmaster")
  measure "$1" 16 "$2" "${events[16]}" "$seconds"
  processed=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$cluster/pgbench.log")
  after=$(processor_time "$postmaster")
  measure "$1" 16 $(($2 + 20)) "${events[16]}" "$((seconds + 2))" &
  sleep 1.5
  perf record --quiet --freq 199 --call-graph dwarf,24576 --output "$cluster/perf.data" \
    --pid "$(pgrep --parent "$postmaster" --full pgbench --delimiter , || pgrep --parent "$postmaster" --delimiter ,)" \
    -- sleep "$seconds" 2>/dev/null || fail "perf record failed"
  wait $! || fail "what was watched did not end well"
  perf script --input "$cluster/perf.data" --fields comm,ip,sym 2>/dev/null | awk -f bench/profile.awk |
    sort -t $'\t' -k 2,2nr >"$cluster/profile.samples"
  rm "$cluster/perf.data"
  awk -F '\t' -v label="$label" -v time="$(awk -v ticks=$((after - before)) -v hz="$(getconf CLK_TCK)" -v n="$processed" 'BEGIN { print ticks / hz * 1e6 / n }')" '
    { name[NR] = $1; count[NR] = $2; all += $2 }
    END { for (i = 1; i <= NR; i++) printf "%s\t%.2f\t%s\n", label, time * count[i] / all, name[i] }' \
    "$cluster/profile.samples" >>"$cluster/profile.tsv"
}

# Clock ticks of the server's processes that have ended, and of those that are there.
processor_time() {
  local process
  { awk '{ print $16 + $17 }' "/proc/$1/stat"
    # One that has ended meanwhile is in the first line.
    for process in $(pgrep --parent "$1"); do awk '{ print $14 + $15 }' "/proc/$process/stat" 2>/dev/null || :; done; } |
    awk '{ ticks += $1 } END { print ticks }'
}
