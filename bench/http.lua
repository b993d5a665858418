-- wrk: each connection appends to streams that nobody else uses at the time, each body
-- signed beforehand onto the one before it. A stream is free again once the answer to
-- its last event has come, so that events are never sent out of order.
--
-- usage: wrk -s http.lua URL -- FOLDER FIRST STREAMS THREADS
--   FOLDER/CLIENT.ndjson has the bodies of a stream, in order

local count, threads = 0, {}

function setup(thread)
  thread:set("number", count)
  threads[#threads + 1] = thread
  count = count + 1
end

function init(arguments)
  local folder, first = arguments[1], tonumber(arguments[2])
  local streams, step = tonumber(arguments[3]), tonumber(arguments[4])
  bodies, sent, free, why = {}, {}, {}, ""
  for client = first + number, first + streams - 1, step do
    local name = "account-" .. client
    local list = {}
    for line in io.lines(folder .. "/" .. client .. ".ndjson") do
      list[#list + 1] = line
    end
    bodies[name], sent[name] = list, 0
    free[#free + 1] = name
  end
  wrk.headers["Content-Type"] = "application/json"
end

function request()
  local name = table.remove(free)
  local body = name and bodies[name][sent[name] + 1]
  if not body then
    -- All is sent: what follows is refused, and the bench fails.
    return wrk.format("POST", "/api/ledger/event", nil, "{}")
  end
  sent[name] = sent[name] + 1
  return wrk.format("POST", "/api/ledger/event", nil, body)
end

function response(status, _, body)
  if status == 201 then
    free[#free + 1] = string.match(body, '"stream":"(account%-%d+)"')
  else
    why = status .. " " .. body
  end
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format("counted %d answers, %d refused, %d errors; %.3f s; latency %.3f ms", summary.requests,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout, summary.duration / 1e6,
    latency.mean / 1e3))
  for _, thread in ipairs(threads) do
    print(thread:get("why"))
  end
end
