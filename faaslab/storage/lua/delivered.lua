-- All tasks whose outputs were streamed to all who needed them. ARGV: run, invocation, attempt, container. Answers
-- {'ok', tasks...}.
local refused = fenced(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
if refused then return refused end
local reply = call('SMEMBERS', R(ARGV[1], 'streamed'))
table.insert(reply, 1, 'ok')
return reply
