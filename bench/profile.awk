# From `perf script -F comm,ip,sym`: how many samples fall into each kind of work,
# as lines `NAME<tab>SAMPLES`. A sample belongs to the first kind that any of its
# frames names.
BEGIN { FS = "\n"; RS = "" }
{
  samples++
  count[kind($0)]++
}
END { for (name in count) printf "%s\t%d\n", name, count[name] }

function kind(stack) {
  if (stack ~ /recompute_r|KnownKeys|edwards|Multiples/) return "signature"
  if (stack ~ /Validator|jsonschema|check_offline|check_without_head|semantics/) return "schema and rules"
  if (stack ~ /canonical|Payload|jsonb_text|append_jsonb|JsonbToCString|event_hash/) return "canonical form and hash"
  if (stack ~ /XLogFlush/) return "waiting for the log on disk"
  if (stack ~ /CommitTransaction|AbortTransaction/) return "end of the transaction"
  if (stack ~ /ExecInsertIndexTuples/) return "the row's indexes"
  if (stack ~ /heap_insert|table_tuple_insert|heapam_tuple_insert/) return "the row"
  if (stack ~ /head_row::advance|head_row::replace|advance_at_once|write_dirty/) return "the stream's head"
  if (stack ~ /ledger::fold|ledger::registry|heads::peek|authorize|gate::route|judge_again/) return "registry and authority"
  if (stack ~ /event_row|events::|ExecSimpleRelationInsert|ets_gate/) return "storing the row, else"
  if (stack ~ /ets_append|api::append/) return "ets.append, else"
  if (stack ~ /secure_read|secure_write|pq_|sendto|recvfrom|epoll/) return "talking to the client"
  if (stack ~ /PortalRun|PortalStart|PortalDrop|ExecutorStart|ExecutorRun|ExecutorEnd|GetCachedPlan|exec_/) return "the client's statement"
  return "else"
}
