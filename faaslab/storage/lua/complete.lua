-- Apply what one finished task changes. ARGV: run, invocation, attempt, container, task, output, has output,
-- output bytes, started, must store, sink, take, remaining, ends, events, call number, number of successors, then
-- for each task, expected, worker, gate, pool. Answers {'ok', stored, ended, taken, n, input pairs... | next...}.
local run, inv, attempt, c, task = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local refused, claimed = fenced(run, inv, attempt, c)
if refused then return refused end
local started = tonumber(ARGV[9])
if ARGV[16] ~= '0' and tonumber(ARGV[16]) < tonumber(claimed.number) then
  return {'fenced', 'call ' .. ARGV[16] .. ' of ' .. inv .. ' was overtaken by call ' .. claimed.number}
end

local take, ends, successors = tonumber(ARGV[12]), ARGV[14] == '1', tonumber(ARGV[17])
local waiting = R(run, 'next')
local taken, given, wants, asked = {}, {}, {}, {}
for i = 1, successors do
  local at = 13 + 5 * i
  local s, expected, worker = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2]
  local state = call('HGET', waiting, s) or ''
  if string.sub(state, 1, 1) == '=' then
    -- Owned by this very invocation and recorded: this call was applied before and its answer got lost.
    if state == '=' .. inv and contains(claimed.tasks, s) then taken[#taken + 1] = s end
  else
    local upstreams
    if expected == 1 then
      upstreams = task
    elseif expected <= NARROW then
      if state == '' then
        call('HSET', waiting, s, task)
      elseif not contains(state, task) then
        local _, commas = string.gsub(state, ',', '')
        state = state .. ',' .. task
        if commas + 2 >= expected then upstreams = state else call('HSET', waiting, s, state) end
      end
    else
      local key = R(run, 'in:' .. s)
      if state == '' then
        call('HSET', waiting, s, '*')
        call('SADD', R(run, 'wide'), s)
      end
      if call('SADD', key, task) == 1 and call('SCARD', key) >= expected then
        call('UNLINK', key)
        call('SREM', R(run, 'wide'), s)
        upstreams = ''
      end
    end
    if upstreams then
      if worker == '' and #taken < take and ARGV[at + 4] == claimed.pool then
        taken[#taken + 1] = s
        call('HSET', waiting, s, '=' .. inv)
        for _, upstream in ipairs(split(upstreams)) do
          if upstream ~= task and not asked[upstream] then
            wants[#wants + 1] = upstream
            asked[upstream] = true
          end
        end
      else
        given[#given + 1] = at
        given[#given + 1] = upstreams
      end
    end
  end
end

local stored, ended = 0, ends and #taken == 0
local sink = ARGV[11] == '1'
if ARGV[7] == '1' and (ARGV[10] == '1' or sink or successors > #taken) then
  stored = 1
  if call('HSETNX', R(run, 'out'), task, ARGV[6]) == 1 then
    event({type = 'OutputStored', at_s = NOW, task = tonumber(task), invocation = inv,
      bytes = tonumber(ARGV[8]), duration_s = started > 0 and math.max(0, NOW - started) or 0})
    if sink then call('HINCRBY', R(run, 'meta'), 'sinks_left', -1) end
    if claimed.watched then stored_now(run, task) end
  end
end

for i = 1, #given, 2 do
  local at, upstreams = given[i], given[i + 1]
  local s, worker, to = ARGV[at], ARGV[at + 2], ARGV[at + 4]
  if worker == '' then
    call('HSET', waiting, s, '=~' .. s)
    activate(run, '~' .. s, inv, '1', to, s, upstreams)
  else
    call('HSET', waiting, s, '=' .. worker)
    local got = get(run, worker, 'sgwcapt')
    if not got[1] then
      if ARGV[at + 3] == '1' then activate(run, worker, inv, '1', to, '', '') end
    elseif got[1] == 'dormant' then
      if got[2] == s then activate(run, worker, inv, got[5], got[6], got[7], '') end
    elseif got[1] == 'assigned' and got[3] == s then
      set(run, worker, 'w', '-1')
      call('ZREM', L .. 'waiting', got[4])
      push(got[4], 'kind', 'ready', 'run', run, 'invocation', worker, 'task', s)
    end
  end
end

local names = table.concat(taken, ',')
local left = 1
if ended then
  left = end_attempt(run, inv, attempt, c, 'ended', claimed)
else
  local remaining = ARGV[13]
  if remaining == '' or names == '' then remaining = remaining .. names else remaining = remaining .. ',' .. names end
  set(run, inv, 't', remaining, 'u', '', 'n', ARGV[16])
end
if left == 0 or (sink and stored == 1) then settle(run) end
-- What was applied before tells nothing new.
publish(run, (ARGV[16] == '0' or ARGV[16] ~= claimed.number) and ARGV[15] or '')
local reply = {'ok', stored, ended and 1 or 0, names, 0}
if ended then return take_pending(c, claimed.pool, reply, true) end
if #wants > 0 then
  small(run, wants, claimed.inline, reply, '')
  reply[5] = (#reply - 5) / 2
end
return reply
