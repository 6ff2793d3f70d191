-- Tasks that became ready and were given to an invocation. ARGV: run, invocation, attempt, container. Answers
-- {'ok', tasks...}.
local refused = fenced(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
if refused then return refused end
local reply, owner = {'ok'}, '=' .. ARGV[2]
local states = call('HGETALL', R(ARGV[1], 'next'))
for i = 1, #states, 2 do
  if states[i + 1] == owner then reply[#reply + 1] = states[i] end
end
return reply
