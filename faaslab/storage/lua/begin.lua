-- Record that an impure task starts. ARGV: run, invocation, attempt, container, task. Answers {'ok', first time}.
local refused = fenced(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
if refused then return refused end
call('HSETNX', R(ARGV[1], 'begun'), ARGV[5], ARGV[3])
return {'ok', call('HGET', R(ARGV[1], 'begun'), ARGV[5]) == ARGV[3] and 1 or 0}
