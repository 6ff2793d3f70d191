-- Tell the longest-idle container of a pool to leave. ARGV: pool. Answers its id or nil.
local c = call('LPOP', L .. 'idle:' .. ARGV[1])
if c then push(c, 'kind', 'retire') end
return c
