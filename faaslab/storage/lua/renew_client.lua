-- Extend a client's lease. ARGV: client, lease.
return call('ZADD', L .. 'clients', seconds(NOW + tonumber(ARGV[2])), ARGV[1])
