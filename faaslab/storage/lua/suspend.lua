-- Give up the slot until the gate is ready. ARGV: run, invocation, attempt, container, gate, events, number of
-- outputs, task, bytes ... Answers {'ok', next...}.
local run, inv, attempt, c, gate = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local refused, claimed = fenced(run, inv, attempt, c)
if refused then return refused end

store_kept(run, inv, 7, claimed)
end_attempt(run, inv, attempt, c, 'yielded', claimed)
call('HINCRBY', R(run, 'inv'), inv .. ':a', 1)
if is_owned(run, gate) then
  reactivate(run, inv, 'yield')
else
  set(run, inv, 's', 'dormant', 'g', gate)
end
settle(run)
publish(run, ARGV[6])
return take_pending(c, claimed.pool, {'ok'}, true)
