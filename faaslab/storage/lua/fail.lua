-- Record a failed attempt: another one after a pause, or the end of the run. ARGV: run, invocation, attempt,
-- container, task, error, retries, has remaining, remaining, backoff, cap, events, message, leaves, pool of the next
-- attempt (empty: as before, if retries allow it), number of outputs, task, bytes ...
-- Answers {'ok', will retry, tries, next...}.
local run, inv, attempt, c, task = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local refused, claimed = fenced(run, inv, attempt, c)
if refused then return refused end

store_kept(run, inv, 16, claimed)
if ARGV[8] == '1' then set(run, inv, 't', ARGV[9]) end
local tries = call('HINCRBY', R(run, 'tries'), task, 1)
local pool = ARGV[15]
local again = pool ~= '' or tries <= tonumber(ARGV[7])
event({type = 'TaskFailed', at_s = NOW, task = tonumber(task), invocation = inv, container = c, attempt = tries,
  error = ARGV[13], will_retry = again})
if again then
  end_attempt(run, inv, attempt, c, 'retry', claimed)
  local following = call('HINCRBY', R(run, 'inv'), inv .. ':a', 1)
  set(run, inv, 's', 'due')
  if pool ~= '' then set(run, inv, 'p', pool) end
  live(run, inv, 1)
  schedule(math.min(tonumber(ARGV[11]), tonumber(ARGV[10]) * 2 ^ (tries - 1)), run, inv, following)
else
  end_attempt(run, inv, attempt, c, 'failed', claimed)
  end_run(run, 'failed', 'task failed|' .. tries, ARGV[6])
end
publish(run, ARGV[12])
local reply = {'ok', again and 1 or 0, tries}
if ARGV[14] == '0' then return take_pending(c, claimed.pool, reply, true) end
call('HDEL', L .. 'assigned', c)
return reply
