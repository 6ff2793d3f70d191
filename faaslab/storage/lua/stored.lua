-- All tasks of the run whose outputs are stored. ARGV: run, invocation, attempt, container. Answers {'ok', tasks...}.
local refused = fenced(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
if refused then return refused end
local reply = call('HKEYS', R(ARGV[1], 'out'))
table.insert(reply, 1, 'ok')
return reply
