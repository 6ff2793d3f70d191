-- Which of some outputs are stored, or just offered to who asks; the others it watches. ARGV: run, invocation, attempt,
-- container, tasks, number of acknowledgements, then for each task, key, chunks received.
-- Answers {'ok', task, its reference or size, or key, size, chunks, written and digest of its stream, ...}.
local run, inv, attempt, c = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local refused, claimed = fenced(run, inv, attempt, c)
if refused then return refused end

if claimed.watches ~= attempt then
  -- What rang for another attempt means nothing to this one.
  set(run, inv, 'b', attempt)
  call('XTRIM', L .. 'bell:' .. c, 'MAXLEN', 0)
  call('HSET', R(run, 'meta'), 'watched', '1')
end
local reply, line = {'ok'}, inv .. '|' .. attempt .. '|' .. c
for i = 1, tonumber(ARGV[6]) do
  acknowledge(run, line, ARGV[4 + 3 * i], ARGV[5 + 3 * i], tonumber(ARGV[6 + 3 * i]))
end
for _, task in ipairs(split(ARGV[5])) do
  local size = call('HSTRLEN', R(run, 'out'), task)
  if size > 0 then
    local told = size
    -- A reference is short; a short output may be one.
    if size < 1024 then
      local output = call('HGET', R(run, 'out'), task)
      if string.sub(output, 1, 3) == 'R1|' then told = output end
    end
    reply[#reply + 1] = task
    reply[#reply + 1] = tostring(told)
  else
    local watchers = call('HGET', R(run, 'watch'), task)
    if not watchers then
      call('HSET', R(run, 'watch'), task, line)
    elseif not string.find('\n' .. watchers .. '\n', '\n' .. line .. '\n', 1, true) then
      call('HSET', R(run, 'watch'), task, watchers .. '\n' .. line)
    end
    local flow = flow_of(run, task)
    if flow and (flow.acked[line] or -1) >= 0 then
      reply[#reply + 1] = task
      reply[#reply + 1] = {flow.key, flow.nbytes, flow.chunks, flow.written, flow.digest}
    end
  end
end
return reply
