-- What waits for containers. Answers {n, pool, pending, idle, ..., m, container, pool, ..., k, assigned...,
-- waiting...}.
local pools = call('SMEMBERS', L .. 'pools')
local reply = {#pools}
for _, pool in ipairs(pools) do
  reply[#reply + 1] = pool
  reply[#reply + 1] = call('LLEN', L .. 'pending:' .. pool)
  reply[#reply + 1] = call('LLEN', L .. 'idle:' .. pool)
end
local containers = call('HGETALL', L .. 'containers')
reply[#reply + 1] = #containers / 2
for _, x in ipairs(containers) do reply[#reply + 1] = x end
local assigned = call('HKEYS', L .. 'assigned')
reply[#reply + 1] = #assigned
for _, c in ipairs(assigned) do reply[#reply + 1] = c end
for _, c in ipairs(call('ZRANGE', L .. 'waiting', 0, -1)) do reply[#reply + 1] = c end
return reply
