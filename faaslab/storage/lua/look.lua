-- When the run began, and when those outputs came to be that are stored; who asks is told of other inputs. ARGV: run,
-- invocation, attempt, container, tasks, inputs. Answers {'ok', began, task, second, ...}.
local run, inv, attempt, c = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local refused = fenced(run, inv, attempt, c)
if refused then return refused end

local reply, line = {'ok', call('HGET', R(run, 'meta'), 'began')}, inv .. '|' .. attempt .. '|' .. c
local function seen(task)
  local at = call('HGET', R(run, 'stored'), task)
  if not at then return call('HEXISTS', R(run, 'out'), task) == 1 end
  reply[#reply + 1] = task
  reply[#reply + 1] = at
  return true
end
for _, task in ipairs(split(ARGV[5])) do seen(task) end
for _, task in ipairs(split(ARGV[6])) do
  if not seen(task) then
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
