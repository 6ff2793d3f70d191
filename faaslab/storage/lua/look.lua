-- When the run began, and when those of some outputs that are stored came to be; who asks is told of the others. ARGV:
-- run, invocation, attempt, container, tasks. Answers {'ok', began, task, second, ...}.
local run, inv, attempt, c = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local refused = fenced(run, inv, attempt, c)
if refused then return refused end

local reply, line = {'ok', call('HGET', R(run, 'meta'), 'began')}, inv .. '|' .. attempt .. '|' .. c
for _, task in ipairs(split(ARGV[5])) do
  local at = call('HGET', R(run, 'stored'), task)
  if at then
    reply[#reply + 1] = task
    reply[#reply + 1] = at
  elseif call('HEXISTS', R(run, 'out'), task) == 0 then
    local looking = call('HGET', R(run, 'looks'), task)
    if not looking then
      call('HSET', R(run, 'looks'), task, line)
    elseif not string.find('\n' .. looking .. '\n', '\n' .. line .. '\n', 1, true) then
      call('HSET', R(run, 'looks'), task, looking .. '\n' .. line)
    end
    call('HSET', R(run, 'meta'), 'watched', '1')
  end
end
return reply
