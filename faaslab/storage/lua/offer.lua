-- Offer an output to those workers that watch it. ARGV: run, invocation, attempt, container, task, key, bytes, chunks,
-- nobody else needs it, workers ... Answers the state of the stream, see `flow_state`.
local run, inv, attempt, c, task, key = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local refused = fenced(run, inv, attempt, c)
if refused then return refused end

local flow = flow_of(run, task)
if flow and flow.key == key then return flow_state(run, flow) end
if flow then
  -- That of an earlier attempt.
  free_chunks(run, flow, 0, flow.written - 1)
  call('HDEL', R(run, 'flows'), task)
end
local needed, workers, acked, consumers = 0, {}, {}, 0
for i = 10, #ARGV do
  needed = needed + 1
  workers[ARGV[i]] = true
end
for line in string.gmatch(call('HGET', R(run, 'watch'), task) or '', '[^\n]+') do
  local how, worker = condition(run, line)
  if how == 'active' and workers[worker] then
    acked[line] = 0
    consumers = consumers + 1
  end
end
if consumers == 0 then return {'ok', 0, 0, 0, 0} end
flow = {key = key, nbytes = ARGV[7], chunks = tonumber(ARGV[8]), written = 0, digest = '', freed = 0,
  instead = ARGV[9] == '1' and consumers == needed, producer = inv .. '|' .. attempt .. '|' .. c, acked = acked}
for line in pairs(acked) do ring_if_active(run, line) end
local state = flow_state(run, flow)
keep_flow(run, task, flow)
return state
