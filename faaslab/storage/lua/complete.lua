-- Apply what one finished task changes. ARGV: run, invocation, attempt, container, task, output, has output (2: streamed),
-- output bytes, started, must store, sink, take, remaining, ends, events, call number, hold, held bytes, number of
-- successors, then for each task, expected, worker, gate, pool; prewarms (`prewarm`). Answers {'ok', stored (2: refused), ended,
-- taken, held, due, n, input pairs... | next...}.
local run, inv, attempt, c, task = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local refused, claimed = fenced(run, inv, attempt, c)
if refused then return refused end
local started = tonumber(ARGV[9])
if ARGV[16] ~= '0' and tonumber(ARGV[16]) < tonumber(claimed.number) then
  return {'fenced', 'call ' .. ARGV[16] .. ' of ' .. inv .. ' was overtaken by call ' .. claimed.number}
end

if ARGV[7] == '2' then
  local flow = flow_of(run, task)
  local state = flow and flow_state(run, flow)
  if flow then keep_flow(run, task, flow) end
  if not flow or not flow.instead or state[4] < flow.chunks then
    publish(run, ARGV[16] ~= '0' and ARGV[16] == claimed.number and '' or ARGV[15])
    set(run, inv, 'n', ARGV[16])
    return {'ok', 2, 0, '', '', '', 0}
  end
end

local take, ends, successors = tonumber(ARGV[12]), ARGV[14] == '1', tonumber(ARGV[19])
local again, keeps = ARGV[16] ~= '0' and ARGV[16] == claimed.number, ARGV[17] ~= 'no'
local waiting = R(run, 'next')
local taken, given, wants, asked, touched = {}, {}, {}, {}, false

local function take_on(s, upstreams)
  taken[#taken + 1] = s
  for _, upstream in ipairs(split(upstreams)) do
    if upstream ~= task and not asked[upstream] then
      wants[#wants + 1] = upstream
      asked[upstream] = true
    end
  end
end

if again then
  -- This call was applied before and its answer got lost.
  for _, s in ipairs(split(claimed.tasks)) do
    if not contains(ARGV[13], s) then taken[#taken + 1] = s end
  end
elseif keeps then
  local needed, later = false, {}
  for i = 1, successors do
    local at = 15 + 5 * i
    local s, expected = ARGV[at], tonumber(ARGV[at + 1])
    if string.sub(call('HGET', waiting, s) or '', 1, 1) ~= '=' then
      local ready, arrived = lacks_only(run, s, expected, task, inv)
      local elsewhere = ARGV[at + 2] ~= '' or ARGV[at + 4] ~= claimed.pool
      if ready and not elsewhere and #taken < take then
        take_on(s, expected <= NARROW and arrived or '')
        give(run, s, inv)
      else
        if ready or elsewhere then needed = true end
        later[#later + 1] = at
      end
    end
  end
  if ARGV[17] == 'run' and not needed and (#taken > 0 or claimed.given ~= '' or not ends) then
    for _, at in ipairs(later) do hold(run, ARGV[at], tonumber(ARGV[at + 1]), task, inv, ARGV[18]) end
  end
else
  for i = 1, successors do
    local at = 15 + 5 * i
    local s, expected, worker = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2]
    local state = call('HGET', waiting, s) or ''
    local kind = string.sub(state, 1, 1)
    if kind == '=' then
      -- Owned by this very invocation and recorded: this call was applied before and its answer got lost.
      if state == '=' .. inv and contains(claimed.tasks, s) and not contains(ARGV[13], s) then
        taken[#taken + 1] = s
      end
    else
      local upstreams
      if kind == '!' then
        touched = true
        upstreams = arrive_at_held(run, s, expected, task, inv)
      elseif expected == 1 then
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
          call('HSET', waiting, s, '=' .. inv)
          take_on(s, upstreams)
        else
          given[#given + 1] = at
          given[#given + 1] = upstreams
        end
      end
    end
  end
end

local elected = again and '' or claimed.given
if not again and (keeps or touched) then elected = get(run, inv, 'e')[1] end
for _, s in ipairs(split(elected)) do taken[#taken + 1] = s end
local names = table.concat(taken, ',')
local others = successors > 0
if others and #taken > 0 then
  others = false
  for i = 1, successors do
    if not contains(names, ARGV[15 + 5 * i]) then others = true end
  end
end

if ARGV[7] == '2' and not again then call('SADD', R(run, 'streamed'), task) end
-- Who arrives with nothing to store has a copy of its own.
if ARGV[7] == '0' and task ~= '-1' and not keeps and not again and claimed.watched then has_copy(run, inv .. '|' .. attempt .. '|' .. c, task) end
local stored = 0
local sink = ARGV[11] == '1'
if ARGV[7] == '1' and (ARGV[10] == '1' or sink or others) then
  stored = 1
  if not again and call('HSETNX', R(run, 'out'), task, ARGV[6]) == 1 then
    event({type = 'OutputStored', at_s = NOW, task = tonumber(task), invocation = inv,
      bytes = tonumber(ARGV[8]), duration_s = started > 0 and math.max(0, NOW - started) or 0})
    if sink then call('HINCRBY', R(run, 'meta'), 'sinks_left', -1) end
    stored_now(run, task, claimed)
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

-- For which successors the output is held, and what has to be stored.
local held, due = {}, claimed.due
if not again and (keeps or touched) then due = get(run, inv, 'o')[1] end
if keeps then
  local open = 0
  for i = 1, successors do
    local s = ARGV[15 + 5 * i]
    local state = call('HGET', waiting, s) or ''
    local kind = string.sub(state, 1, 1)
    if again and contains(claimed.given, s) then
      -- It is this worker's, which has not been told yet.
      open = open + 1
      held[#held + 1] = s
    elseif kind ~= '=' then
      open = open + 1
      if kind == '!' and call('HEXISTS', R(run, 'held:' .. s), task) == 1 then held[#held + 1] = s end
    end
  end
  if open > #held and not contains(due, task) then due = joined(due, task) end
end

if not again then prewarm(run, 20 + 5 * successors) end
local left, ended = 1, ends and #taken == 0 and due == ''
if ended then
  left = end_attempt(run, inv, attempt, c, 'ended', claimed)
elseif not again then
  set(run, inv, 't', joined(ARGV[13], names), 'u', '', 'n', ARGV[16])
  if elected ~= '' then set(run, inv, 'e', '') end
end
if left == 0 or (sink and stored == 1) then settle(run) end
-- What was applied before tells nothing new.
publish(run, again and '' or ARGV[15])
local reply = {'ok', stored, ended and 1 or 0, names, table.concat(held, ','), due, 0}
if ended then return take_pending(c, claimed.pool, reply, true) end
if #wants > 0 then
  small(run, wants, claimed.inline, reply, '')
  reply[7] = (#reply - 7) / 2
end
return reply
