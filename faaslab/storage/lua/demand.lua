-- What waits for containers. Answers {n, pool, pending, idle, empty, ..., m, container, pool, ..., k, assigned..., l,
-- warming..., next due or '', waiting...}.
local pools = call('SMEMBERS', L .. 'pools')
local reply = {#pools}
for _, pool in ipairs(pools) do
  reply[#reply + 1] = pool
  reply[#reply + 1] = call('LLEN', L .. 'pending:' .. pool)
  reply[#reply + 1] = call('LLEN', L .. 'idle:' .. pool)
  reply[#reply + 1] = call('LLEN', L .. 'empty:' .. pool)
end
local containers = call('HGETALL', L .. 'containers')
reply[#reply + 1] = #containers / 2
for _, x in ipairs(containers) do reply[#reply + 1] = x end
local entries, assigned, warming = call('HGETALL', L .. 'assigned'), {}, {}
for i = 1, #entries, 2 do
  local _, inv = entry_of(entries[i + 1])
  local found = is_empty(inv) and warming or assigned
  found[#found + 1] = entries[i]
end
for _, found in ipairs({assigned, warming}) do
  reply[#reply + 1] = #found
  for _, c in ipairs(found) do reply[#reply + 1] = c end
end
reply[#reply + 1] = call('ZRANGE', L .. 'due', 0, 0, 'WITHSCORES')[2] or ''
for _, c in ipairs(call('ZRANGE', L .. 'waiting', 0, -1)) do reply[#reply + 1] = c end
return reply
