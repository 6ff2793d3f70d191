-- Extend a container's lease. ARGV: container, lease. Answers {known, stop}.
if call('HEXISTS', L .. 'containers', ARGV[1]) == 0 then return {0, 1} end
call('ZADD', L .. 'leases', seconds(NOW + tonumber(ARGV[2])), ARGV[1])
local entry = call('HGET', L .. 'assigned', ARGV[1])
return {1, entry and not wanted(ARGV[1], entry) and 1 or 0}
