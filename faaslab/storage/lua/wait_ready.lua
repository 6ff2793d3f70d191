-- Whether a planned task has all its remote inputs; if not, its worker is registered as waiting. ARGV: run,
-- invocation, attempt, container, task, upstreams. Answers {'ok', ready, input pairs...}.
local run, inv, attempt, c, task = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local refused = fenced(run, inv, attempt, c)
if refused then return refused end

if redis.call('HEXISTS', R(run, 'own'), task) == 1 then
  set(run, inv, 'w', '-1')
  redis.call('ZREM', L .. 'waiting', c)
  local reply = {'ok', 1}
  small(run, numbers(ARGV[6]), reply)
  return reply
end
set(run, inv, 'w', task)
redis.call('ZADD', L .. 'waiting', 'NX', seconds(NOW), c)
return {'ok', 0}
