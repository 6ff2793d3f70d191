-- Write one chunk of a blob of a run that still exists. ARGV: run, key, bytes.
if not status(ARGV[1]) then return 0 end
local key = R(ARGV[1], 'blob:' .. ARGV[2])
redis.call('SADD', R(ARGV[1], 'blobs'), key)
redis.call('SET', key, ARGV[3])
return 1
