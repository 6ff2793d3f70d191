-- What a container must do now: the invocation assigned to it, else the oldest pending one. ARGV: container. Answers it,
-- {} when there is none, {'unknown'} when the container was removed.
local c = ARGV[1]
local pool = call('HGET', L .. 'containers', c)
if not pool then return {'unknown'} end
local entry = call('HGET', L .. 'assigned', c)
if entry then
  local is, run, inv, attempt = wanted(c, entry)
  if is then
    -- Parts may have got lost with the answer that carried them.
    call('DEL', L .. 'known:' .. c)
    local got = get(run, inv, 'ptuq')
    local meta = call('HMGET', R(run, 'meta'), 'structure', 'inline')
    return message({}, c, run, inv, attempt, got[1], got[2], got[3], got[4], meta[1], meta[2])
  end
end
call('ZREM', L .. 'waiting', c)
return take_pending(c, pool, {}, entry)
