-- Whether any of some successors still lacks the output of a task. ARGV: run, invocation, attempt, container, task,
-- successors. Answers {'ok', 1 or 0}.
local run, task = ARGV[1], ARGV[5]
local refused = fenced(run, ARGV[2], ARGV[3], ARGV[4])
if refused then return refused end

for _, s in ipairs(split(ARGV[6])) do
  local state = call('HGET', R(run, 'next'), s) or ''
  if string.sub(state, 1, 1) ~= '=' then
    if string.sub(state, 1, 1) == '!' then state = string.sub(state, 2) end
    local has
    if state == '*' then has = call('SISMEMBER', R(run, 'in:' .. s), task) == 1 else has = contains(state, task) end
    if not has then return {'ok', 1} end
  end
end
return {'ok', 0}
