-- How far a task is that a worker waits for. ARGV: run, invocation, attempt, container, task, upstreams. Answers {'ok',
-- stored, ready, for how many seconds its inputs have all been stored, as text}.
local run, task = ARGV[1], ARGV[5]
local refused, claimed = fenced(run, ARGV[2], ARGV[3], ARGV[4])
if refused then return refused end

local stored = call('HEXISTS', R(run, 'out'), task)
local last = tonumber(claimed.dated or '0')
for _, upstream in ipairs(split(ARGV[6])) do
  local date = call('HGET', R(run, 'dates'), upstream)
  if not date then return {'ok', stored, 0, '0'} end
  last = math.max(last, tonumber(date))
end
return {'ok', stored, 1, seconds(NOW - last)}
