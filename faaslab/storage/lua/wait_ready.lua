-- Whether a planned task has all its remote inputs; if not, its worker is registered as waiting. ARGV: run,
-- invocation, attempt, container, task, upstreams. Answers {'ok', ready, input pairs...}.
local run, inv, attempt, c, task = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local refused, claimed = fenced(run, inv, attempt, c)
if refused then return refused end

if is_owned(run, task) then
  if claimed.waits_for ~= '-1' then
    set(run, inv, 'w', '-1')
    call('ZREM', L .. 'waiting', c)
  end
  local reply = {'ok', 1}
  small(run, split(ARGV[6]), claimed.inline, reply, '')
  return reply
end
set(run, inv, 'w', task)
if call('ZADD', L .. 'waiting', 'NX', seconds(NOW), c) == 1 then
  -- The gateway may have found nobody before who could make room for what is pending.
  for _, pool in ipairs(call('SMEMBERS', L .. 'pools')) do
    if call('EXISTS', L .. 'pending:' .. pool) == 1 then
      call('XADD', L .. 'gateway', 'MAXLEN', INBOX, '*', 'pool', pool)
      break
    end
  end
end
return {'ok', 0}
