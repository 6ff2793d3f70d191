-- Dispatch what is due, lapse containers whose lease ended, end and delete runs whose client is gone.
-- ARGV: grace in seconds. Answers the removed containers.
local grace = tonumber(ARGV[1])
for _, entry in ipairs(call('ZRANGEBYSCORE', L .. 'due', '-inf', seconds(NOW))) do
  call('ZREM', L .. 'due', entry)
  local run, inv, attempt = entry_of(entry)
  local got = get(run, inv, 'sa')
  if status(run) == 'running' and got[1] == 'due' and got[2] == attempt then
    live(run, inv, -1)
    reactivate(run, inv, is_empty(inv) and 'prewarm' or 'retry')
    publish(run)
  end
end
local gone = call('ZRANGEBYSCORE', L .. 'leases', '-inf', seconds(NOW))
for _, c in ipairs(gone) do lapse(c, 'lost') end
call('ZREMRANGEBYSCORE', L .. 'clients', '-inf', seconds(NOW - grace))
local runs = call('HGETALL', L .. 'runs')
for i = 1, #runs, 2 do
  local run, client = runs[i], runs[i + 1]
  if call('ZSCORE', L .. 'clients', client) then
    call('HSET', R(run, 'meta'), 'ended', 0)
  elseif status(run) == 'running' then
    end_run(run, 'cancelled', 'its client is gone')
    publish(run)
  else
    local ended = tonumber(call('HGET', R(run, 'meta'), 'ended') or '0')
    if ended == 0 then
      -- The client may come back and read it within the grace time.
      call('HSET', R(run, 'meta'), 'ended', seconds(NOW))
    elseif ended + grace <= NOW then
      delete_run(run)
    end
  end
end
return gone
