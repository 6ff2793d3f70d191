-- Clients with the seconds their leases still have, as text.
local reply = call('ZRANGE', L .. 'clients', 0, -1, 'WITHSCORES')
for i = 2, #reply, 2 do reply[i] = seconds(tonumber(reply[i]) - NOW) end
return reply
