-- Make a run known and dispatch its first invocations. ARGV: run, client, structure, ride, sinks (count), inline,
-- lapses, events, number of parts, digest, bytes ..., number of starts, then invocation, pool, tasks ...
local run = ARGV[1]
if redis.call('EXISTS', R(run, 'meta')) == 1 then return {'exists'} end
redis.call('HSET', R(run, 'meta'), 'status', 'running', 'reason', '', 'client', ARGV[2], 'structure', ARGV[3],
  'ride', ARGV[4], 'sinks_left', ARGV[5], 'inline', ARGV[6], 'lapses', ARGV[7], 'live', 0, 'ended', 0)
redis.call('HSET', L .. 'runs', run, ARGV[2])
local at = 9
local parts = tonumber(ARGV[at])
for i = 1, parts do redis.call('HSET', R(run, 'parts'), ARGV[at + 2 * i - 1], ARGV[at + 2 * i]) end
at = at + 2 * parts + 1
for i = 1, tonumber(ARGV[at]) do
  local inv, pool, tasks = ARGV[at + 3 * i - 2], ARGV[at + 3 * i - 1], ARGV[at + 3 * i]
  set(run, inv, 'a', '1', 'p', pool, 't', tasks, 'u', '', 'l', '0')
  for _, task in ipairs(split(tasks, ',')) do redis.call('HSET', R(run, 'own'), task, inv) end
  activate(run, inv, '')
end
publish(run, ARGV[8])
return {'ok'}
