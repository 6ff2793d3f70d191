-- Parts of a run's DAG. ARGV: run, container, digests... Answers digest, bytes pairs; remembers who has them.
local reply = {}
local here = call('HEXISTS', L .. 'containers', ARGV[2]) == 1
for i = 3, #ARGV do
  local part = call('HGET', R(ARGV[1], 'parts'), ARGV[i])
  if part then
    if here then call('SADD', L .. 'known:' .. ARGV[2], ARGV[i]) end
    reply[#reply + 1] = ARGV[i]
    reply[#reply + 1] = part
  end
end
return reply
