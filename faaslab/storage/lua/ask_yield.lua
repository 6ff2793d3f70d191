-- Ask a waiting container to give up its slot. ARGV: container. Answers 0 if it does not wait any more.
local entry = call('HGET', L .. 'assigned', ARGV[1])
if call('ZREM', L .. 'waiting', ARGV[1]) == 0 or not entry then return 0 end
local run, inv = entry_of(entry)
push(ARGV[1], 'kind', 'yield', 'run', run, 'invocation', inv)
return 1
