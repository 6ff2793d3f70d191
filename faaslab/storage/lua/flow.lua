-- How far a stream has come. ARGV: run, invocation, attempt, container, task, key, whether it will be stored in any case.
-- Answers its state, see `flow_state`.
local run, task = ARGV[1], ARGV[5]
local refused = fenced(run, ARGV[2], ARGV[3], ARGV[4])
if refused then return refused end
local flow = flow_of(run, task, ARGV[6])
if not flow then return {'unknown'} end
if ARGV[7] == '1' then flow.instead = false end
local state = flow_state(run, flow)
keep_flow(run, task, flow)
return state
