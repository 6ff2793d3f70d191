-- Make a container known. ARGV: container, pool, lease.
call('HSET', L .. 'containers', ARGV[1], ARGV[2])
call('SADD', L .. 'pools', ARGV[2])
call('ZADD', L .. 'leases', seconds(NOW + tonumber(ARGV[3])), ARGV[1])
return {'ok'}
