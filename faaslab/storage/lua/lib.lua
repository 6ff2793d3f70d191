-- What all scripts share. KEYS[1] is the lab's prefix, `faaslab:{<lab>}:`; every other key is made from it, so
-- all coordination keys of a lab have one hash tag and live in one slot.
--
-- Of the lab:
--   containers      hash    container -> pool
--   leases          zset    container by the second its lease ends
--   assigned        hash    container -> "run|invocation|attempt"
--   known:<c>       set     digests of DAG parts that container <c> has received
--   inbox:<c>       stream  messages to container <c>; the truth is in `assigned`, a lost message only delays
--   idle:<pool>     list    idle containers, longest idle first
--   pending:<pool>  list    "run|invocation|attempt" that wait for a container
--   pools           set     pools that ever had containers or pending invocations
--   due             zset    "run|invocation|attempt" by the second it may start again
--   waiting         zset    container by the second since when its invocation waits for an input
--   gateway         stream  one entry whenever an invocation found no idle container
--   clients         zset    client by the second its lease ends
--   runs            hash    run -> client
-- Of a run, below `run:<id>:`:
--   meta            hash    status, reason, client, structure, ride (digests), inline, lapses, sinks_left, live, ended
--   error           string  encoded report of the failure that ended the run
--   parts           hash    digest -> structure, code or large constant
--   out             hash    task -> framed payload or blob reference; first writer wins
--   own             hash    task -> invocation that runs it; exists as soon as all its inputs have arrived
--   in:<task>       set     upstream tasks that have arrived, until it is owned
--   ins             hash    tasks that have such a set
--   inv             hash    "<invocation>:<f>" with f = s(tate) a(ttempt) c(ontainer) p(ool) t(asks) u(pstreams of the
--                           first task) g(ate) w(aits for) q (requested) l(apses)
--   tries           hash    task -> failed attempts
--   begun           hash    impure task -> attempt that began it
--   blobs           set     keys of blob chunks
--   events          stream  batches of events: `w` from the worker, `s` from these scripts
--
-- States of an invocation: pending, assigned, due, dormant (waits for its gate), ended.

local L = KEYS[1]
local T = redis.call('TIME')
local NOW = tonumber(T[1]) + tonumber(T[2]) / 1000000

local function R(run, name) return L .. 'run:' .. run .. ':' .. name end

local function seconds(x) return string.format('%.6f', x) end

local function split(text, sep)
  local found = {}
  if text and text ~= '' then
    for piece in string.gmatch(text, '([^' .. sep .. ']+)') do found[#found + 1] = piece end
  end
  return found
end

local function numbers(text)
  local found = split(text, ',')
  for i = 1, #found do found[i] = tonumber(found[i]) end
  return found
end

local function contains(list, item)
  for i = 1, #list do if list[i] == item then return true end end
  return false
end

local fresh = {}
local function event(record) fresh[#fresh + 1] = record end

local function publish(run, events)
  local fields = {}
  if events and events ~= '' then fields[#fields + 1] = 'w'; fields[#fields + 1] = events end
  if #fresh > 0 then fields[#fields + 1] = 's'; fields[#fields + 1] = cmsgpack.pack(fresh); fresh = {} end
  if #fields > 0 then redis.call('XADD', R(run, 'events'), '*', unpack(fields)) end
end

local function get(run, inv, field) return redis.call('HGET', R(run, 'inv'), inv .. ':' .. field) end
local function set(run, inv, ...)
  local args = {...}
  for i = 1, #args, 2 do args[i] = inv .. ':' .. args[i] end
  redis.call('HSET', R(run, 'inv'), unpack(args))
end

local function live(run, by) return redis.call('HINCRBY', R(run, 'meta'), 'live', by) end

-- Small stored outputs among `tasks`, in order while they fit, appended to `reply` as task, bytes.
local function small(run, tasks, reply)
  local room = tonumber(redis.call('HGET', R(run, 'meta'), 'inline'))
  local out = R(run, 'out')
  for i = 1, #tasks do
    local size = redis.call('HSTRLEN', out, tasks[i])
    if size > 0 and size <= room then
      room = room - size
      reply[#reply + 1] = tostring(tasks[i])
      reply[#reply + 1] = redis.call('HGET', out, tasks[i])
    end
  end
end

-- An invocation as a flat list of field, value: what goes into an inbox and into answers.
local function message(c, run, inv, again)
  local meta = redis.call('HMGET', R(run, 'meta'), 'structure', 'ride')
  local got = redis.call('HMGET', R(run, 'inv'), inv .. ':a', inv .. ':t', inv .. ':p', inv .. ':q', inv .. ':u')
  local fields = {'kind', 'invoke', 'run', run, 'invocation', inv, 'attempt', got[1], 'tasks', got[2] or '',
    'pool', got[3], 'requested', got[4], 'structure', meta[1]}
  local known = L .. 'known:' .. c
  if again then redis.call('DEL', known) end
  if redis.call('SADD', known, 'run:' .. run) == 1 then
    for _, digest in ipairs(split(meta[2], ',')) do
      if redis.call('SADD', known, digest) == 1 then
        fields[#fields + 1] = 'p:' .. digest
        fields[#fields + 1] = redis.call('HGET', R(run, 'parts'), digest)
      end
    end
  end
  local inputs = {}
  small(run, numbers(got[5]), inputs)
  for i = 1, #inputs, 2 do
    fields[#fields + 1] = 'i:' .. inputs[i]
    fields[#fields + 1] = inputs[i + 1]
  end
  return fields
end

local function assign(c, run, inv)
  set(run, inv, 's', 'assigned', 'c', c)
  redis.call('HSET', L .. 'assigned', c, run .. '|' .. inv .. '|' .. get(run, inv, 'a'))
  return message(c, run, inv, false)
end

local function push(c, ...) redis.call('XADD', L .. 'inbox:' .. c, 'MAXLEN', '~', '100', '*', ...) end

-- Hand an invocation to an idle container of its pool, or queue it.
local function activate(run, inv, by)
  local got = redis.call('HMGET', R(run, 'inv'), inv .. ':p', inv .. ':a', inv .. ':t')
  set(run, inv, 'q', seconds(NOW), 'g', '-1', 'w', '-1')
  live(run, 1)
  event({type = 'InvocationRequested', at_s = NOW, invocation = inv, attempt = tonumber(got[2]),
    tasks = numbers(got[3]), size_mib = tonumber(string.match(got[1], '(%d+)$')), by = by})
  local c = redis.call('RPOP', L .. 'idle:' .. got[1])
  if c then
    push(c, unpack(assign(c, run, inv)))
  else
    set(run, inv, 's', 'pending')
    redis.call('SADD', L .. 'pools', got[1])
    redis.call('RPUSH', L .. 'pending:' .. got[1], run .. '|' .. inv .. '|' .. got[2])
    redis.call('XADD', L .. 'gateway', 'MAXLEN', '~', '10', '*', 'pool', got[1])
  end
end

local function status(run) return redis.call('HGET', R(run, 'meta'), 'status') end

-- Whether "run|invocation|attempt" is still what that run wants done.
local function wanted(entry)
  local run, inv, attempt = string.match(entry, '^([^|]*)|([^|]*)|(%d+)$')
  if status(run) ~= 'running' then return false, run, inv end
  local got = redis.call('HMGET', R(run, 'inv'), inv .. ':s', inv .. ':a')
  return got[1] == 'assigned' and got[2] == attempt, run, inv, attempt
end

local function end_run(run, state, reason, report)
  redis.call('HSET', R(run, 'meta'), 'status', state, 'reason', reason)
  if report and report ~= '' then redis.call('SET', R(run, 'error'), report) end
  event({type = 'RunEnded', at_s = NOW, status = state, reason = reason})
end

-- End an attempt; what comes after it is the caller's business.
local function end_attempt(run, inv, attempt, c, reason)
  set(run, inv, 's', 'ended', 'c', '', 'w', '-1')
  live(run, -1)
  redis.call('HDEL', L .. 'assigned', c)
  redis.call('ZREM', L .. 'waiting', c)
  event({type = 'WorkerExited', at_s = NOW, invocation = inv, attempt = tonumber(attempt), container = c, reason = reason})
end

-- End the run when it has all it was asked for, or when nothing can bring it there any more.
local function settle(run)
  local meta = redis.call('HMGET', R(run, 'meta'), 'status', 'sinks_left', 'live')
  if meta[1] ~= 'running' then return end
  if tonumber(meta[2]) == 0 then
    end_run(run, 'finished', '')
  elseif tonumber(meta[3]) == 0 then
    end_run(run, 'failed', 'stalled')
  end
end

-- What container c must do now; false: it is idle. Answers {'unknown'} for a container that was removed.
local function next_of(c)
  local pool = redis.call('HGET', L .. 'containers', c)
  if not pool then return {'unknown'} end
  local entry = redis.call('HGET', L .. 'assigned', c)
  if entry then
    local is, run, inv = wanted(entry)
    if is then return message(c, run, inv, true) end
    redis.call('HDEL', L .. 'assigned', c)
  end
  redis.call('ZREM', L .. 'waiting', c)
  while true do
    local head = redis.call('LPOP', L .. 'pending:' .. pool)
    if not head then break end
    local run, inv, attempt = string.match(head, '^([^|]*)|([^|]*)|(%d+)$')
    if status(run) == 'running' then
      local got = redis.call('HMGET', R(run, 'inv'), inv .. ':s', inv .. ':a')
      if got[1] == 'pending' and got[2] == attempt then return assign(c, run, inv) end
    end
  end
  if not redis.call('LPOS', L .. 'idle:' .. pool, c) then redis.call('RPUSH', L .. 'idle:' .. pool, c) end
  return {}
end

local function forget(c)
  local pool = redis.call('HGET', L .. 'containers', c)
  if pool then redis.call('LREM', L .. 'idle:' .. pool, 0, c) end
  redis.call('HDEL', L .. 'containers', c)
  redis.call('HDEL', L .. 'assigned', c)
  redis.call('ZREM', L .. 'leases', c)
  redis.call('ZREM', L .. 'waiting', c)
  redis.call('DEL', L .. 'known:' .. c, L .. 'inbox:' .. c)
end

-- Forget a dead container and dispatch its invocation again, until that has died too often.
local function lapse(c, reason)
  local entry = redis.call('HGET', L .. 'assigned', c)
  local is, run, inv, attempt = false, nil, nil, nil
  if entry then is, run, inv, attempt = wanted(entry) end
  forget(c)
  if not is then return end
  event({type = 'ContainerExited', at_s = NOW, container = c, reason = reason})
  event({type = 'WorkerExited', at_s = NOW, invocation = inv, attempt = tonumber(attempt), container = c, reason = reason})
  live(run, -1)
  local lapses = redis.call('HINCRBY', R(run, 'inv'), inv .. ':l', 1)
  redis.call('HINCRBY', R(run, 'inv'), inv .. ':a', 1)
  set(run, inv, 'c', '', 'u', '')
  if lapses > tonumber(redis.call('HGET', R(run, 'meta'), 'lapses')) then
    set(run, inv, 's', 'ended')
    end_run(run, 'failed', 'lost|' .. inv .. '|' .. c .. '|' .. lapses)
  else
    activate(run, inv, 'lapse')
  end
  publish(run)
end

-- Nil if the claim (run, invocation, attempt, container) holds, otherwise the answer that says why not.
local function fenced(run, inv, attempt, c)
  local state = status(run)
  if state ~= 'running' then return {'fenced', 'run ' .. run .. ' is ' .. (state or 'not known to the store')} end
  local got = redis.call('HMGET', R(run, 'inv'), inv .. ':s', inv .. ':a', inv .. ':c')
  if got[1] ~= 'assigned' or got[2] ~= attempt or got[3] ~= c then
    return {'fenced', c .. ' no longer owns attempt ' .. attempt .. ' of ' .. inv}
  end
  return nil
end

-- Store outputs that a leaving worker kept: ARGV from `at`: count, then task, bytes.
local function store_kept(run, at)
  local count = tonumber(ARGV[at])
  for i = 1, count do redis.call('HSETNX', R(run, 'out'), ARGV[at + 2 * i - 1], ARGV[at + 2 * i]) end
end

local function delete_run(run)
  local blobs = redis.call('SMEMBERS', R(run, 'blobs'))
  for i = 1, #blobs do redis.call('UNLINK', blobs[i]) end
  local ins = redis.call('HKEYS', R(run, 'ins'))
  for i = 1, #ins do redis.call('UNLINK', R(run, 'in:' .. ins[i])) end
  for _, name in ipairs({'meta', 'error', 'parts', 'out', 'own', 'inv', 'tries', 'begun', 'blobs', 'events', 'ins'}) do
    redis.call('UNLINK', R(run, name))
  end
  redis.call('HDEL', L .. 'runs', run)
end
