-- Which of some outputs are stored; whoever asks watches the others. ARGV: run, invocation, attempt, container, tasks.
-- Answers {'ok', task, its reference or size, ...}.
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
  end
end
return reply
