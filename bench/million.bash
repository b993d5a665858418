# The events that the parts replay and forest share: --events N of them, a million
# by default, in a hundred streams of the domain `replayed`.

streams=100

# Signs them on two connections and appends them through the gate; once a run.
prepare_million() {
  local each=$((million / streams)) started=$SECONDS first
  [[ -z ${prepared:-} ]] || return 0
  for ((first = 200000; first < 200000 + streams; first += 2)); do append_two "$first" "$each"; done
  sql -c 'VACUUM ANALYZE ets.ledger_event' -c CHECKPOINT
  prepared=$((streams * each))
  printf '%s%d events in %d streams appended in %d s%s\n' "$dim" "$prepared" "$streams" $((SECONDS - started)) "$plain" >&2
}

# append_two FIRST EVENTS: two streams, signed on a connection each and appended by one statement.
append_two() {
  sign "$1" "$2" replay/1.0.0 &
  sign $(($1 + 1)) "$2" replay/1.0.0 &
  wait_all
  sql -c "INSERT INTO ets.ledger_event (payload, schema_version, public_key, previous_hash, signature)
          SELECT payload, schema_version, public_key, previous_hash, signature FROM bench.source
           WHERE client IN ($1, $1 + 1) ORDER BY client, n"
  sql -c "DELETE FROM bench.source WHERE client IN ($1, $1 + 1)"
}
