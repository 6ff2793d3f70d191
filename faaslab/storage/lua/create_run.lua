-- Make a run known and dispatch its first invocations. ARGV: run, client, digest of all that follows, structure, ride,
-- sinks (count), inline, lapses, events, number of parts, digest, bytes ..., number of cuts, invocation, digest ...,
-- number of starts, then invocation, pool, tasks ..., prewarms (`prewarm`), dated. Answers {'exists'} for another run of that id,
-- {'ok'} also for the same call once more.
local run = ARGV[1]
local digest = call('HGET', R(run, 'meta'), 'digest')
if digest then return {digest == ARGV[3] and 'ok' or 'exists'} end
call('HSET', R(run, 'meta'), 'status', 'running', 'reason', '', 'client', ARGV[2], 'digest', ARGV[3],
  'structure', ARGV[4], 'ride', ARGV[5], 'sinks_left', ARGV[6], 'inline', ARGV[7], 'lapses', ARGV[8], 'live', 0,
  'ended', 0)
call('HSET', L .. 'runs', run, ARGV[2])
local at = 10
local parts = tonumber(ARGV[at])
for i = 1, parts do call('HSET', R(run, 'parts'), ARGV[at + 2 * i - 1], ARGV[at + 2 * i]) end
at = at + 2 * parts + 1
local cuts = tonumber(ARGV[at])
for i = 1, cuts do call('HSET', R(run, 'cuts'), ARGV[at + 2 * i - 1], ARGV[at + 2 * i]) end
if cuts > 0 then call('HSET', R(run, 'meta'), 'structure', '*' .. ARGV[4]) end
at = at + 2 * cuts + 1
for i = 1, tonumber(ARGV[at]) do
  local inv, pool, tasks = ARGV[at + 3 * i - 2], ARGV[at + 3 * i - 1], ARGV[at + 3 * i]
  for _, task in ipairs(split(tasks)) do call('HSET', R(run, 'next'), task, '=' .. inv) end
  activate(run, inv, '', '1', pool, tasks, '')
end
prewarm(run, at + 3 * tonumber(ARGV[at]) + 1)
if ARGV[#ARGV] == '1' then call('HSET', R(run, 'meta'), 'dated', seconds(NOW)) end
publish(run, ARGV[9])
return {'ok'}
