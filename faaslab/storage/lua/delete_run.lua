-- Remove every key of a run. ARGV: run. Stale entries of it in lab keys are dropped when their turn comes.
delete_run(ARGV[1])
for _, pool in ipairs(redis.call('SMEMBERS', L .. 'pools')) do
  for _, entry in ipairs(redis.call('LRANGE', L .. 'pending:' .. pool, 0, -1)) do
    if string.sub(entry, 1, #ARGV[1] + 1) == ARGV[1] .. '|' then redis.call('LREM', L .. 'pending:' .. pool, 1, entry) end
  end
end
for _, entry in ipairs(redis.call('ZRANGE', L .. 'due', 0, -1)) do
  if string.sub(entry, 1, #ARGV[1] + 1) == ARGV[1] .. '|' then redis.call('ZREM', L .. 'due', entry) end
end
return 1
