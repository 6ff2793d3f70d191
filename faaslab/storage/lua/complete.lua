-- Apply what one finished task changes. ARGV: run, invocation, attempt, container, task, output, has output,
-- output bytes, started, must store, sink, take, remaining, ends, events, number of successors, then for each
-- task, expected, worker, gate, pool. Answers {'ok', stored, ended, taken, n, input pairs..., next...}.
local run, inv, attempt, c, task = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local refused = fenced(run, inv, attempt, c)
if refused then return refused end

local take, ends = tonumber(ARGV[12]), ARGV[14] == '1'
local pool = get(run, inv, 'p')
local mine = nil -- tasks recorded for this invocation, read only when needed
local taken, given, wants = {}, {}, {}
local successors = tonumber(ARGV[16])
for i = 1, successors do
  local at = 12 + 5 * i
  local s, expected, worker = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2]
  local owner = redis.call('HGET', R(run, 'own'), s)
  if owner then
    -- Owned by this very invocation and recorded: this call was applied before and its answer got lost.
    if owner == inv then
      mine = mine or split(get(run, inv, 't'), ',')
      if contains(mine, s) then taken[#taken + 1] = s end
    end
  else
    local upstreams
    local key = R(run, 'in:' .. s)
    if expected == 1 then
      upstreams = {task}
    else
      redis.call('SADD', key, task)
      local arrived = redis.call('SCARD', key)
      if arrived == 1 then redis.call('HSET', R(run, 'ins'), s, 1) end
      if arrived >= expected then
        upstreams = redis.call('SMEMBERS', key)
        redis.call('DEL', key)
        redis.call('HDEL', R(run, 'ins'), s)
      end
    end
    if upstreams then
      if worker == '' and #taken < take and ARGV[at + 4] == pool then
        taken[#taken + 1] = s
        redis.call('HSET', R(run, 'own'), s, inv)
        for j = 1, #upstreams do
          if upstreams[j] ~= task then wants[#wants + 1] = upstreams[j] end
        end
      else
        given[#given + 1] = {s, worker, ARGV[at + 3] == '1', ARGV[at + 4], upstreams}
      end
    end
  end
end

local stored = 0
if ARGV[7] == '1' then
  local sink = ARGV[11] == '1'
  if ARGV[10] == '1' or sink or successors > #taken then
    stored = 1
    if redis.call('HSETNX', R(run, 'out'), task, ARGV[6]) == 1 then
      event({type = 'OutputStored', at_s = NOW, task = tonumber(task), invocation = inv,
        bytes = tonumber(ARGV[8]), duration_s = math.max(0, NOW - tonumber(ARGV[9]))})
      if sink then redis.call('HINCRBY', R(run, 'meta'), 'sinks_left', -1) end
    end
  end
end

for i = 1, #given do
  local s, worker, gate, to, upstreams = unpack(given[i])
  local name = worker ~= '' and worker or ('~' .. s)
  redis.call('HSET', R(run, 'own'), s, name)
  local state = get(run, name, 's')
  if not state then
    if worker == '' then
      -- A long list of inputs is fetched by its worker rather than carried through the store twice.
      local few = #upstreams <= 64 and table.concat(upstreams, ',') or ''
      set(run, name, 'a', '1', 'p', to, 't', s, 'u', few, 'l', '0')
      activate(run, name, inv)
    elseif gate then
      set(run, name, 'a', '1', 'p', to, 't', '', 'u', '', 'l', '0')
      activate(run, name, inv)
    end
  elseif state == 'dormant' then
    if get(run, name, 'g') == s then activate(run, name, inv) end
  elseif state == 'assigned' and get(run, name, 'w') == s then
    push(get(run, name, 'c'), 'kind', 'ready', 'run', run, 'invocation', name, 'task', s)
  end
end

local reply = {'ok', stored, 0, table.concat(taken, ','), 0}
if ends and #taken == 0 then
  end_attempt(run, inv, attempt, c, 'ended')
  settle(run)
  publish(run, ARGV[15])
  reply[3] = 1
  for _, field in ipairs(next_of(c)) do reply[#reply + 1] = field end
else
  local remaining = ARGV[13]
  if #taken > 0 then
    remaining = remaining ~= '' and (remaining .. ',' .. reply[4]) or reply[4]
  end
  set(run, inv, 't', remaining, 'u', '')
  settle(run)
  publish(run, ARGV[15])
  small(run, wants, reply)
  reply[5] = (#reply - 5) / 2
end
return reply
