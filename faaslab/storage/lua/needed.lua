-- Whether the output of a task has not arrived yet at one of some successors. ARGV: run, invocation, attempt, container,
-- task, successors. Answers {'ok', 0 or 1}.
local run, task = ARGV[1], ARGV[5]
local refused = fenced(run, ARGV[2], ARGV[3], ARGV[4])
if refused then return refused end

for _, s in ipairs(split(ARGV[6])) do
  if not is_owned(run, s) then
    local _, state = inputs(run, s)
    local there
    if state == '*' then
      there = call('SISMEMBER', R(run, 'in:' .. s), task) == 1
    else
      there = contains(state, task)
    end
    if not there then return {'ok', 1} end
  end
end
return {'ok', 0}
