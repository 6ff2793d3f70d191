-- Whether a planned task has all its remote inputs; if not, its worker is registered as waiting. ARGV: run,
-- invocation, attempt, container, task, upstreams. Answers {'ok', ready, input pairs...}.
local run, inv, attempt, c, task = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local refused = fenced(run, inv, attempt, c)
if refused then return refused end

if is_owned(run, task) then
  set(run, inv, 'w', '-1')
  call('ZREM', L .. 'waiting', c)
  local reply = {'ok', 1}
  local upstreams = split(ARGV[6])
  if #upstreams > 0 then small(run, upstreams, tonumber(call('HGET', R(run, 'meta'), 'inline')), reply, '') end
  return reply
end
set(run, inv, 'w', task)
call('ZADD', L .. 'waiting', 'NX', seconds(NOW), c)
return {'ok', 0}
