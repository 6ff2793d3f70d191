-- Called in the transaction that has just written a chunk of a stream. ARGV: run, invocation, attempt, container, task,
-- key, index, digest (empty until the last chunk), name of the chunk's key. Answers the state of the stream.
local run, task, key, index = ARGV[1], ARGV[5], ARGV[6], tonumber(ARGV[7])
local refused = fenced(run, ARGV[2], ARGV[3], ARGV[4])
local flow = not refused and flow_of(run, task, key)
if not flow then
  if call('SISMEMBER', R(run, 'blobs'), ARGV[9]) == 0 then call('UNLINK', ARGV[9]) end
  return refused or {'unknown'}
end
local state = flow_state(run, flow)
if flow.instead and index < flow.freed then
  -- A copy of the call that came late.
  call('UNLINK', ARGV[9])
else
  call('SADD', R(run, 'blobs'), ARGV[9])
end
if index >= flow.written then
  flow.written = index + 1
  if ARGV[8] ~= '' then flow.digest = ARGV[8] end
  for line in pairs(flow.acked) do ring_if_active(run, line) end
end
keep_flow(run, task, flow)
return state
