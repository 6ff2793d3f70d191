-- What all scripts share. KEYS[1] is the lab's prefix, `faaslab:{<lab>}:`; every other key is made from it, so
-- all coordination keys of a lab have one hash tag and live in one slot.
--
-- Of the lab:
--   containers      hash    container -> pool
--   leases          zset    container by the second its lease ends
--   assigned        hash    container -> "run|invocation|attempt"
--   known:<c>       set     digests of DAG parts that container <c> has received, and "run:<id>" of runs whose parts it has
--   inbox:<c>       stream  messages to container <c>; the truth is in `assigned`, a lost message only delays
--   bell:<c>        stream  one entry at most: something that container <c> watches has changed, ask `watch` what
--   idle:<pool>     list    idle containers, longest idle first
--   pending:<pool>  list    "run|invocation|attempt" that wait for a container
--   empty:<pool>    list    the same of empty invocations (`!<after>.<position>.<number>`): they get new containers only
--   pools           set     pools that ever had containers or pending invocations
--   due             zset    "run|invocation|attempt" by the second it may start again
--   waiting         zset    container by the second since when its invocation waits for an input
--   gateway         stream  one entry whenever an invocation found no idle container
--   clients         zset    client by the second its lease ends
--   runs            hash    run -> client
--   throttle        string  second until which the emulated link of the whole store is busy
-- Of a run, below `run:<id>:`:
--   meta            hash    status, reason, client, digest, structure, ride (digests), inline, lapses, sinks_left, live, ended,
--                           watched (whether anybody ever watched an output)
--   error           string  encoded report of the failure that ended the run
--   parts           hash    digest -> structure, code or large constant
--   cuts            hash    invocation -> part of a large DAG that it can still reach; `structure` then begins with `*`
--   out             hash    task -> framed payload or blob reference; first writer wins
--   next            hash    task -> "=<invocation>" that runs it, as soon as all its inputs have arrived; before that
--                           the upstream tasks that have, as "3,7", or "*": they are in a set of their own; with "!"
--                           before that, workers hold some of the others
--   in:<task>       set     upstream tasks that have arrived at a wide fan-in, until it is owned
--   wide            set     tasks that have such a set
--   held:<task>     hash    upstream task -> "<bytes>|<invocation>" whose worker holds its output, until <task> is owned
--   heldin          set     tasks that have such a hash
--   holds           hash    upstream task -> in how many of them it is
--   inv             hash    "<invocation>:<f>" with f = s(tate) a(ttempt) c(ontainer) p(ool) t(asks) u(pstreams of the
--                           first task) g(ate) w(aits for) q (requested) l(apses) n(umber of its last completion)
--                           e (tasks it was given since) o (tasks whose outputs it has to store) h (held inputs)
--                           b(ell: last attempt that watched anything)
--   watch           hash    task that is not stored -> "<invocation>|<attempt>|<container>" of who watches it, a line each
--   flows           hash    task -> packed stream of its output: key, nbytes, chunks, written, digest, freed, instead,
--                           producer ("<invocation>|<attempt>|<container>"), acked (consumer, the same, -> chunks)
--   looks           hash    the same of who looks for it, to be told by its inbox
--   stored          hash    task -> second when it was stored; only of a run that is timed
--   streamed        set     tasks whose outputs were streamed to all who needed them
--   tries           hash    task -> failed attempts
--   begun           hash    impure task -> attempt that began it
--   blobs           set     keys of blob chunks
--   events          stream  batches of events: `w` from the worker, `s` from these scripts
--
-- States of an invocation: pending, assigned, due, dormant (waits for its gate), ended.

local call = redis.call
local L = KEYS[1]
local T = call('TIME')
local NOW = tonumber(T[1]) + tonumber(T[2]) / 1000000

-- A fan-in of more inputs keeps its arrivals in a set, and its worker fetches them rather than have them ride along.
local NARROW = 64
-- More parts than a stream entry can take from Lua's stack are left to be fetched.
local MAX_RIDERS = 1000
-- Entries of an inbox; a container that has not read the last few has no use for older ones.
local INBOX = 8

local function R(run, name) return L .. 'run:' .. run .. ':' .. name end

local function seconds(x) return string.format('%.6f', x) end

local function split(text)
  local found = {}
  if text and text ~= '' then
    for piece in string.gmatch(text, '[^,]+') do found[#found + 1] = piece end
  end
  return found
end

local function numbers(text)
  local found = split(text)
  for i = 1, #found do found[i] = tonumber(found[i]) end
  return found
end

local function contains(text, item) return string.find(',' .. text .. ',', ',' .. item .. ',', 1, true) ~= nil end

-- The parts of "run|invocation|attempt"; a planned worker may have any name.
local function entry_of(text) return string.match(text, '^([^|]*)|(.*)|(%d+)$') end

local fresh = {}
local function event(record) fresh[#fresh + 1] = record end

local function publish(run, events)
  local fields = {}
  if events and events ~= '' then fields[1] = 'w'; fields[2] = events end
  if #fresh > 0 then
    fields[#fields + 1] = 's'
    fields[#fields + 1] = cmsgpack.pack(fresh)
    fresh = {}
  end
  if #fields > 0 then call('XADD', R(run, 'events'), '*', unpack(fields)) end
end

local function set(run, inv, ...)
  local args = {...}
  for i = 1, #args, 2 do args[i] = inv .. ':' .. args[i] end
  call('HSET', R(run, 'inv'), unpack(args))
end

-- Fields of an invocation, one letter each, in order.
local function get(run, inv, letters)
  local names = {}
  for i = 1, #letters do names[i] = inv .. ':' .. string.sub(letters, i, i) end
  return call('HMGET', R(run, 'inv'), unpack(names))
end

-- An empty invocation makes a container warm; no run lives by one.
local function is_empty(inv) return string.sub(inv, 1, 1) == '!' end

local function live(run, inv, by)
  if is_empty(inv) then return 1 end
  return call('HINCRBY', R(run, 'meta'), 'live', by)
end

-- Small stored outputs among `tasks`, in order while they fit into `room`, appended to `reply` as task, bytes.
local function small(run, tasks, room, reply, mark)
  local out = R(run, 'out')
  for i = 1, #tasks do
    -- Asking for the size first pays only where many that do not fit would be copied.
    if #tasks <= 4 or call('HSTRLEN', out, tasks[i]) <= room then
      local value = call('HGET', out, tasks[i])
      if value and #value <= room then
        room = room - #value
        reply[#reply + 1] = mark .. tasks[i]
        reply[#reply + 1] = value
      end
    end
  end
end

-- An invocation as a flat list of field, value: what goes into an inbox and into answers, appended to `fields`.
local function message(fields, c, run, inv, a, p, t, u, q, structure, inline)
  local cut
  if string.sub(structure, 1, 1) == '*' then
    cut = call('HGET', R(run, 'cuts'), inv)
    structure = cut or string.sub(structure, 2)
  end
  for _, x in ipairs({'kind', 'invoke', 'run', run, 'invocation', inv, 'attempt', a, 'tasks', t, 'pool', p,
    'requested', q, 'structure', structure}) do fields[#fields + 1] = x end
  local known = L .. 'known:' .. c
  if cut then
    fields[#fields + 1] = 'p:' .. cut
    fields[#fields + 1] = call('HGET', R(run, 'parts'), cut)
  elseif call('SADD', known, 'run:' .. run) == 1 then
    local riders = split(call('HGET', R(run, 'meta'), 'ride'))
    for i = 1, math.min(#riders, MAX_RIDERS) do
      if call('SADD', known, riders[i]) == 1 then
        fields[#fields + 1] = 'p:' .. riders[i]
        fields[#fields + 1] = call('HGET', R(run, 'parts'), riders[i])
      end
    end
  end
  if u ~= '' then small(run, split(u), tonumber(inline), fields, 'i:') end
  return fields
end

local function push(c, ...) call('XADD', L .. 'inbox:' .. c, 'MAXLEN', INBOX, '*', ...) end

-- The bell is a hint, and one unheard ring says as much as many.
local function ring(c) call('XADD', L .. 'bell:' .. c, 'MAXLEN', 1, '*', 'b', '') end

-- Whether "<invocation>|<attempt>|<container>" is active, has ended, or is gone: in another attempt. And its parts.
local function condition(run, line)
  local inv, attempt, c = string.match(line, '^(.*)|(%d+)|([^|]*)$')
  local got = get(run, inv, 'sac')
  if got[2] ~= attempt then return 'gone', inv, c end
  if got[1] == 'assigned' and got[3] == c then return 'active', inv, c end
  return got[1] == 'ended' and 'ended' or 'gone', inv, c
end

local function ring_if_active(run, line)
  local how, _, c = condition(run, line)
  if how == 'active' then ring(c) end
end

-- Whoever has a task's output does not watch it any more.
local function unwatch(run, line, task)
  local others = {}
  for other in string.gmatch(call('HGET', R(run, 'watch'), task) or '', '[^\n]+') do
    if other ~= line then others[#others + 1] = other end
  end
  if #others > 0 then
    call('HSET', R(run, 'watch'), task, table.concat(others, '\n'))
  else
    call('HDEL', R(run, 'watch'), task)
  end
end

-- Take note that a task is stored, and tell whoever watches it or looks for it.
local function stored_now(run, task, claimed)
  if claimed.timed == '1' then call('HSET', R(run, 'stored'), task, seconds(NOW)) end
  if not claimed.watched then return end
  local looking = call('HGET', R(run, 'looks'), task)
  if looking then
    for line in string.gmatch(looking, '[^\n]+') do
      local how, inv, c = condition(run, line)
      if how == 'active' then push(c, 'kind', 'news', 'run', run, 'invocation', inv) end
    end
    call('HDEL', R(run, 'looks'), task)
  end
  local watchers = call('HGET', R(run, 'watch'), task)
  if not watchers then return end
  for line in string.gmatch(watchers, '[^\n]+') do ring_if_active(run, line) end
  call('HDEL', R(run, 'watch'), task)
end

-- The stream of a task's output, nil if there is none (of that key).
local function flow_of(run, task, key)
  local packed = call('HGET', R(run, 'flows'), task)
  if not packed then return nil end
  local flow = cmsgpack.unpack(packed)
  if key and flow.key ~= key then return nil end
  return flow
end

local function keep_flow(run, task, flow) call('HSET', R(run, 'flows'), task, cmsgpack.pack(flow)) end

local function chunk_key(run, key, index) return R(run, 'blob:' .. key .. ':' .. index) end

-- Drop chunks of a stream, numbers `first` to `last`.
local function free_chunks(run, flow, first, last)
  for index = first, last do
    local name = chunk_key(run, flow.key, index)
    call('UNLINK', name)
    call('SREM', R(run, 'blobs'), name)
  end
end

-- What the producer of a stream is told; whether it need not be stored may turn out here.
local function flow_state(run, flow)
  local consumers, least = 0, nil
  for line, position in pairs(flow.acked) do
    local how = condition(run, line)
    if position < 0 or how == 'gone' or (how == 'ended' and position < flow.chunks) then
      flow.instead = false
    else
      consumers = consumers + 1
      if not least or position < least then least = position end
    end
  end
  return {'ok', consumers, flow.instead and 1 or 0, least or 0, flow.freed}
end

-- A consumer has the first chunks of a stream; what all have goes if nothing is to be stored.
local function acknowledge(run, line, task, key, position)
  local flow = flow_of(run, task, key)
  if not flow then return end
  local before = flow.acked[line] or -1
  if before >= 0 then flow.acked[line] = position < 0 and position or math.max(position, before) end
  local least
  for _, other in pairs(flow.acked) do
    if not least or other < least then least = other end
  end
  if not flow.instead or least < 0 then
    flow.instead = false
  elseif least > flow.freed then
    free_chunks(run, flow, flow.freed, least - 1)
    flow.freed = least
  end
  -- Another attempt need not offer it to this one again.
  if position == flow.chunks then unwatch(run, line, task) end
  keep_flow(run, task, flow)
  ring_if_active(run, flow.producer)
end

-- Have an invocation dispatched later; whoever sweeps hears of it if nothing else is due before.
local function schedule(delay, run, inv, a)
  local entry = run .. '|' .. inv .. '|' .. a
  call('ZADD', L .. 'due', seconds(NOW + delay), entry)
  if call('ZRANGE', L .. 'due', 0, 0)[1] == entry then call('XADD', L .. 'gateway', 'MAXLEN', INBOX, '*', 'due', a) end
end

-- Schedule empty invocations, unless they have been. ARGV from `at`: count, then for each batch name, pool, delay, count.
local function prewarm(run, at)
  for batch = 1, tonumber(ARGV[at]) do
    local first = at + 4 * batch - 3
    for number = 0, tonumber(ARGV[first + 3]) - 1 do
      local inv = ARGV[first] .. '.' .. number
      if call('HEXISTS', R(run, 'inv'), inv .. ':s') == 0 then
        set(run, inv, 's', 'due', 'a', '1', 'c', '', 'p', ARGV[first + 1], 't', '', 'u', '', 'g', '-1', 'w', '-1',
          'n', '0', 'e', '', 'o', '', 'h', '0')
        schedule(tonumber(ARGV[first + 2]), run, inv, '1')
      end
    end
  end
end

-- Let an invocation take the place of an empty one, and thereby the container that is started for it.
local function reserve(run, pool)
  local mark = run .. '|'
  for _, entry in ipairs(call('LRANGE', L .. 'empty:' .. pool, 0, -1)) do
    if string.sub(entry, 1, #mark) == mark then
      call('LREM', L .. 'empty:' .. pool, 1, entry)
      local _, inv = entry_of(entry)
      local requested = tonumber(get(run, inv, 'q')[1])
      set(run, inv, 's', 'ended')
      event({type = 'Prewarmed', at_s = NOW, invocation = inv, container = '',
        size_mib = tonumber(string.match(pool, '(%d+)$')), how = 'reserved', duration_s = NOW - requested})
      return
    end
  end
end

-- Whoever has a copy of its own does not wait for the output.
local function has_copy(run, line, task)
  unwatch(run, line, task)
  local flow = flow_of(run, task)
  local has = flow and flow.acked[line] or -1
  if has >= 0 and has < flow.chunks then acknowledge(run, line, task, flow.key, -1) end
end

-- Hand an invocation to an idle container of its pool, or queue it.
local function activate(run, inv, by, a, p, t, u)
  live(run, inv, 1)
  event({type = 'InvocationRequested', at_s = NOW, invocation = inv, attempt = tonumber(a), tasks = numbers(t),
    size_mib = tonumber(string.match(p, '(%d+)$')), by = by})
  local c = call('RPOP', L .. 'idle:' .. p)
  local q = seconds(NOW)
  set(run, inv, 's', c and 'assigned' or 'pending', 'a', a, 'c', c or '', 'p', p, 't', t, 'u', u, 'q', q, 'g', '-1',
    'w', '-1', 'n', '0', 'e', '', 'o', '', 'h', '0')
  local entry = run .. '|' .. inv .. '|' .. a
  if c then
    call('HSET', L .. 'assigned', c, entry)
    local meta = call('HMGET', R(run, 'meta'), 'structure', 'inline')
    push(c, unpack(message({}, c, run, inv, a, p, t, u, q, meta[1], meta[2])))
  else
    call('SADD', L .. 'pools', p)
    if not is_empty(inv) then reserve(run, p) end
    call('RPUSH', L .. (is_empty(inv) and 'empty:' or 'pending:') .. p, entry)
    call('XADD', L .. 'gateway', 'MAXLEN', INBOX, '*', 'pool', p)
  end
end

-- The same for an invocation that exists, which keeps its tasks but not the inputs that rode along.
local function reactivate(run, inv, by)
  local got = get(run, inv, 'apt')
  activate(run, inv, by, got[1], got[2], got[3], '')
end

local function status(run) return call('HGET', R(run, 'meta'), 'status') end

-- Whether "run|invocation|attempt" is still what that run wants container c to do.
local function wanted(c, entry)
  local run, inv, attempt = entry_of(entry)
  if status(run) ~= 'running' then return false end
  local got = get(run, inv, 'sac')
  return got[1] == 'assigned' and got[2] == attempt and got[3] == c, run, inv, attempt
end

-- Nothing of an ended or deleted run waits for a container or a moment any more.
local function unqueue(run)
  local mark = run .. '|'
  for _, pool in ipairs(call('SMEMBERS', L .. 'pools')) do
    for _, key in ipairs({L .. 'pending:' .. pool, L .. 'empty:' .. pool}) do
      local entries, others = call('LRANGE', key, 0, -1), {}
      for _, entry in ipairs(entries) do
        if string.sub(entry, 1, #mark) ~= mark then others[#others + 1] = entry end
      end
      if #others < #entries then
        call('DEL', key)
        for i = 1, #others, 1000 do call('RPUSH', key, unpack(others, i, math.min(i + 999, #others))) end
      end
    end
  end
  for _, entry in ipairs(call('ZRANGE', L .. 'due', 0, -1)) do
    if string.sub(entry, 1, #mark) == mark then call('ZREM', L .. 'due', entry) end
  end
end

-- End a run, and with it whatever still works for it: that was billed until now.
local function end_run(run, state, reason, report)
  local names = call('HKEYS', L .. 'assigned')
  table.sort(names)
  for _, c in ipairs(names) do
    local is, of, inv, attempt = wanted(c, call('HGET', L .. 'assigned', c))
    if is and of == run then
      event({type = 'WorkerExited', at_s = NOW, invocation = inv, attempt = tonumber(attempt), container = c,
        reason = state})
      if get(run, inv, 'b')[1] == attempt then ring(c) end
    end
  end
  call('HSET', R(run, 'meta'), 'status', state, 'reason', reason)
  if report and report ~= '' then call('SET', R(run, 'error'), report) end
  event({type = 'RunEnded', at_s = NOW, status = state, reason = reason})
  unqueue(run)
end

local function joined(one, other)
  if one == '' or other == '' then return one .. other end
  return one .. ',' .. other
end

-- How many inputs of a task have arrived, those as "3,7" or "*", and how many are held by workers.
local function inputs(run, s)
  local state = call('HGET', R(run, 'next'), s) or ''
  local held = 0
  if string.sub(state, 1, 1) == '!' then
    state = string.sub(state, 2)
    held = call('HLEN', R(run, 'held:' .. s))
  end
  if state == '*' then return call('SCARD', R(run, 'in:' .. s)), state, held end
  if state == '' then return 0, state, held end
  local _, commas = string.gsub(state, ',', '')
  return commas + 1, state, held
end

-- An output is not held for a task any more; if it is for none, nobody has to store it. The caller corrects `next`.
local function drop(run, s, upstream)
  local key = R(run, 'held:' .. s)
  local edge = call('HGET', key, upstream)
  if not edge then return end
  call('HDEL', key, upstream)
  if call('EXISTS', key) == 0 then call('SREM', R(run, 'heldin'), s) end
  local holder = string.match(edge, '^%d+|(.*)$')
  call('HINCRBY', R(run, 'inv'), holder .. ':h', -1)
  if call('HINCRBY', R(run, 'holds'), upstream, -1) == 0 then
    call('HDEL', R(run, 'holds'), upstream)
    local due = get(run, holder, 'o')[1]
    if due ~= '' then
      local others = {}
      for _, other in ipairs(split(due)) do
        if other ~= upstream then others[#others + 1] = other end
      end
      set(run, holder, 'o', table.concat(others, ','))
    end
  end
end

-- Make an invocation the owner of a task that is ready for it.
local function give(run, s, owner)
  local state = call('HGET', R(run, 'next'), s) or ''
  if string.sub(state, 1, 1) == '!' then
    for _, upstream in ipairs(call('HKEYS', R(run, 'held:' .. s))) do drop(run, s, upstream) end
    state = string.sub(state, 2)
  end
  if state == '*' then
    call('UNLINK', R(run, 'in:' .. s))
    call('SREM', R(run, 'wide'), s)
  end
  call('HSET', R(run, 'next'), s, '=' .. owner)
end

-- Tell a holder, if it is not the one that calls, that the next answer has something for it.
local function tell(run, inv, me)
  if inv ~= me then push(get(run, inv, 'c')[1], 'kind', 'news', 'run', run, 'invocation', inv) end
end

-- None of a task's inputs is missing: give it to the only holder, or have all others store what they hold.
local function elect(run, s, me, fresh)
  local key = R(run, 'held:' .. s)
  -- Of many, most are about to store.
  if not fresh and call('HLEN', key) > NARROW then return end
  local edges, holders, total, first = call('HGETALL', key), {}, {}, {}
  local upstreams, holder_of = {}, {}
  for i = 1, #edges, 2 do
    local upstream = tonumber(edges[i])
    local bytes, holder = string.match(edges[i + 1], '^(%d+)|(.*)$')
    if not total[holder] then
      holders[#holders + 1] = holder
      total[holder], first[holder] = 0, upstream
    end
    total[holder] = total[holder] + tonumber(bytes)
    first[holder] = math.min(first[holder], upstream)
    upstreams[#upstreams + 1] = upstream
    holder_of[upstream] = holder
  end
  local owner = holders[1]
  for _, holder in ipairs(holders) do
    if total[holder] > total[owner] or (total[holder] == total[owner] and first[holder] < first[owner]) then
      owner = holder
    end
  end
  if #holders == 1 then
    set(run, owner, 'e', joined(get(run, owner, 'e')[1], s))
    give(run, s, owner)
    tell(run, owner, me)
    return
  end
  table.sort(upstreams)
  local told, is_told = {}, {}
  for _, upstream in ipairs(upstreams) do
    local holder = holder_of[upstream]
    if holder ~= owner then
      local due = get(run, holder, 'o')[1]
      if not contains(due, upstream) then
        set(run, holder, 'o', joined(due, tostring(upstream)))
        if not is_told[holder] then
          is_told[holder] = true
          told[#told + 1] = holder
        end
      end
    end
  end
  for _, holder in ipairs(told) do tell(run, holder, me) end
end

-- Record an input of a task some of whose inputs are held. Answers the upstream tasks if it was the last one and no
-- worker holds one any more ('' for many), otherwise nil.
local function arrive_at_held(run, s, expected, task, me)
  local n, state, held = inputs(run, s)
  local before = n + held
  drop(run, s, task)
  if expected <= NARROW then
    if not contains(state, task) then
      state = joined(state, task)
      n = n + 1
    end
  else
    if state == '' then call('SADD', R(run, 'wide'), s) end
    state = '*'
    call('SADD', R(run, 'in:' .. s), task)
    n = call('SCARD', R(run, 'in:' .. s))
  end
  held = call('HLEN', R(run, 'held:' .. s))
  call('HSET', R(run, 'next'), s, (held > 0 and '!' or '') .. state)
  if held > 0 then
    if n + held >= expected then elect(run, s, me, before < expected) end
    return nil
  end
  if n < expected then return nil end
  if state ~= '*' then return state end
  call('UNLINK', R(run, 'in:' .. s))
  call('SREM', R(run, 'wide'), s)
  return ''
end

-- Whether a task is ready for an invocation that has the output of `task`: all else has arrived, or it holds it.
local function lacks_only(run, s, expected, task, me)
  local n, state, held = inputs(run, s)
  local there
  if state == '*' then
    there = call('SISMEMBER', R(run, 'in:' .. s), task) == 1
  else
    there = contains(state, task)
  end
  if held > 0 then
    local edges = call('HGETALL', R(run, 'held:' .. s))
    for i = 1, #edges, 2 do
      if string.match(edges[i + 1], '^%d+|(.*)$') == me then
        n = n + 1
        there = there or edges[i] == task
      end
    end
  end
  return n + (there and 0 or 1) >= expected, state
end

-- Hold the output of `task` for a task that waits for it.
local function hold(run, s, expected, task, me, bytes)
  local n, state, held = inputs(run, s)
  if state == '*' then
    if call('SISMEMBER', R(run, 'in:' .. s), task) == 1 then return end
  elseif contains(state, task) then
    return
  end
  if call('HSETNX', R(run, 'held:' .. s), task, bytes .. '|' .. me) == 0 then return end
  if held == 0 then
    call('SADD', R(run, 'heldin'), s)
    call('HSET', R(run, 'next'), s, '!' .. state)
  end
  call('HINCRBY', R(run, 'holds'), task, 1)
  call('HINCRBY', R(run, 'inv'), me .. ':h', 1)
  if n + held + 1 >= expected then elect(run, s, me, true) end
end

-- What an attempt held is missing again, and what it was given has to be run by the next one.
local function let_go(run, inv)
  local got = get(run, inv, 'teh')
  if got[3] ~= '0' then
    for _, s in ipairs(call('SMEMBERS', R(run, 'heldin'))) do
      local edges = call('HGETALL', R(run, 'held:' .. s))
      for i = 1, #edges, 2 do
        if string.match(edges[i + 1], '^%d+|(.*)$') == inv then drop(run, s, edges[i]) end
      end
      if call('EXISTS', R(run, 'held:' .. s)) == 0 then
        call('HSET', R(run, 'next'), s, string.sub(call('HGET', R(run, 'next'), s), 2))
      end
    end
  end
  set(run, inv, 't', joined(got[1], got[2]), 'e', '', 'o', '', 'h', '0')
end

-- End an attempt; what comes after it is the caller's business: at least `take_pending` for the container. Answers how
-- many invocations of the run are left.
local function end_attempt(run, inv, attempt, c, reason, claimed)
  if claimed.held ~= '0' or claimed.given ~= '' then let_go(run, inv) end
  set(run, inv, 's', 'ended', 'c', '', 'w', '-1')
  if claimed.waits_for ~= '-1' then call('ZREM', L .. 'waiting', c) end
  if claimed.watches == attempt then ring(c) end
  event({type = 'WorkerExited', at_s = NOW, invocation = inv, attempt = tonumber(attempt), container = c, reason = reason})
  return live(run, inv, -1)
end

-- End the run when it has all it was asked for, or when nothing can bring it there any more.
local function settle(run)
  local meta = call('HMGET', R(run, 'meta'), 'status', 'sinks_left', 'live')
  if meta[1] ~= 'running' then return end
  if meta[2] == '0' then
    end_run(run, 'finished', '')
  elseif meta[3] == '0' then
    end_run(run, 'failed', 'stalled')
  end
end

-- The oldest invocation that waits for a container like c, appended to `reply`; nothing: c is idle now.
local function take_pending(c, pool, reply, was_assigned)
  local idle = L .. 'idle:' .. pool
  local was_idle = not was_assigned and call('LPOS', idle, c)
  local queues = {'pending:' .. pool}
  -- One that has worked or idled is warm: an empty invocation is for one that is not.
  if not was_assigned and not was_idle then queues[2] = 'empty:' .. pool end
  for _, queue in ipairs(queues) do
    while true do
      local head = call('LPOP', L .. queue)
      if not head then break end
      local run, inv, attempt = entry_of(head)
      local meta = call('HMGET', R(run, 'meta'), 'status', 'structure', 'inline')
      if meta[1] == 'running' then
        local got = get(run, inv, 'saptuq')
        if got[1] == 'pending' and got[2] == attempt then
          set(run, inv, 's', 'assigned', 'c', c)
          call('HSET', L .. 'assigned', c, head)
          return message(reply, c, run, inv, attempt, got[3], got[4], got[5], got[6], meta[2], meta[3])
        end
      end
    end
  end
  if was_assigned then call('HDEL', L .. 'assigned', c) end
  if not was_idle then call('RPUSH', idle, c) end
  call('XTRIM', L .. 'inbox:' .. c, 'MAXLEN', 0)
  return reply
end

local function forget(c)
  local pool = call('HGET', L .. 'containers', c)
  if pool then call('LREM', L .. 'idle:' .. pool, 0, c) end
  call('HDEL', L .. 'containers', c)
  call('HDEL', L .. 'assigned', c)
  call('ZREM', L .. 'leases', c)
  call('ZREM', L .. 'waiting', c)
  call('DEL', L .. 'known:' .. c, L .. 'inbox:' .. c, L .. 'bell:' .. c)
end

-- Forget a dead container and dispatch its invocation again, until that has died too often.
local function lapse(c, reason)
  local entry = call('HGET', L .. 'assigned', c)
  local is, run, inv, attempt
  if entry then is, run, inv, attempt = wanted(c, entry) end
  forget(c)
  if not is then return end
  event({type = 'ContainerExited', at_s = NOW, container = c, reason = reason})
  event({type = 'WorkerExited', at_s = NOW, invocation = inv, attempt = tonumber(attempt), container = c, reason = reason})
  let_go(run, inv)
  if is_empty(inv) then
    set(run, inv, 's', 'ended', 'c', '')  -- nobody needs it
    publish(run)
    return
  end
  live(run, inv, -1)
  local lapses = call('HINCRBY', R(run, 'inv'), inv .. ':l', 1)
  call('HINCRBY', R(run, 'inv'), inv .. ':a', 1)
  if lapses > tonumber(call('HGET', R(run, 'meta'), 'lapses')) then
    set(run, inv, 's', 'ended', 'c', '')
    end_run(run, 'failed', 'lost|' .. inv .. '|' .. c .. '|' .. lapses)
  else
    reactivate(run, inv, 'lapse')
  end
  publish(run)
end

-- Nil and what is known of the invocation and its run if the claim holds, otherwise the answer that says why not.
local function fenced(run, inv, attempt, c)
  local meta = call('HMGET', R(run, 'meta'), 'status', 'inline', 'watched', 'timed')
  if meta[1] ~= 'running' then return {'fenced', 'run ' .. run .. ' is ' .. (meta[1] or 'not known to the store')} end
  local got = get(run, inv, 'sacptnwbeoh')
  if got[1] ~= 'assigned' or got[2] ~= attempt or got[3] ~= c then
    return {'fenced', c .. ' no longer owns attempt ' .. attempt .. ' of ' .. inv}
  end
  return nil, {pool = got[4], tasks = got[5], number = got[6], waits_for = got[7], watches = got[8],
    given = got[9], due = got[10], held = got[11], inline = tonumber(meta[2]), watched = meta[3],
    timed = meta[4]}
end

-- Whether all inputs of a task have arrived.
local function is_owned(run, task)
  local state = call('HGET', R(run, 'next'), task)
  return state and string.sub(state, 1, 1) == '='
end

-- Store outputs that a leaving worker kept: ARGV from `at`: count, then task, bytes.
local function store_kept(run, inv, at, claimed)
  local count = tonumber(ARGV[at])
  for i = 1, count do
    local task, output = ARGV[at + 2 * i - 1], ARGV[at + 2 * i]
    local flow = claimed.watched and flow_of(run, task)
    -- What is stored must have arrived: the producer of a stream may not have told yet, and then it will store it.
    local told = not flow or string.match(flow.producer, '^(.*)|%d+|[^|]*$') == inv
      or call('SISMEMBER', R(run, 'streamed'), task) == 1
    if told and call('HSETNX', R(run, 'out'), task, output) == 1 then
      local large = string.sub(output, 1, 3) == 'R1|' and string.match(output, '|(%d+)$')
      event({type = 'OutputStored', at_s = NOW, task = tonumber(task), invocation = inv,
        bytes = tonumber(large or #output)})
      stored_now(run, task, claimed)
    end
  end
end

local function delete_run(run)
  unqueue(run)
  for _, key in ipairs(call('SMEMBERS', R(run, 'blobs'))) do call('UNLINK', key) end
  for _, task in ipairs(call('SMEMBERS', R(run, 'wide'))) do call('UNLINK', R(run, 'in:' .. task)) end
  for _, task in ipairs(call('SMEMBERS', R(run, 'heldin'))) do call('UNLINK', R(run, 'held:' .. task)) end
  for _, name in ipairs({'meta', 'error', 'parts', 'out', 'next', 'wide', 'inv', 'tries', 'begun', 'blobs', 'cuts',
    'events', 'watch', 'flows', 'streamed', 'looks', 'stored', 'heldin', 'holds'}) do
    call('UNLINK', R(run, name))
  end
  for _, c in ipairs(call('HKEYS', L .. 'containers')) do call('SREM', L .. 'known:' .. c, 'run:' .. run) end
  call('HDEL', L .. 'runs', run)
end
