# One line of the table, from lines of `round case clients tps latency`. A ratio
# is the median of the rounds' ratios: what disturbs a round disturbs all its cases.
$3 == number {
  rate[$1, $2] = $4
  rounds[$1]
  if ($2 == kind) { rates[++n] = $4; latencies[n] = $5 }
}
END {
  for (round in rounds) {
    to_plain[++m] = rate[round, kind] / rate[round, "plain"]
    to_trigger[m] = rate[round, kind] / rate[round, "trigger"]
  }
  middle = median(rates, n)
  printf "| %d | %s | %.0f | %.0f … %.0f | %.2f | %s | %s |\n", number, what, middle, rates[1], rates[n],
    median(latencies, n), ratio(to_plain, m), ratio(to_trigger, m)
}
function ratio(values, count,    middle) {
  middle = median(values, count)
  if (values[1] == values[count]) return sprintf("%.2f", middle)
  return sprintf("**%.2f** (%.2f … %.2f)", middle, values[1], values[count])
}
