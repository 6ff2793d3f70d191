-- ARGV: run. Answers {} or {status, reason, live, error}.
local meta = call('HMGET', R(ARGV[1], 'meta'), 'status', 'reason', 'live')
if not meta[1] then return {} end
return {meta[1], meta[2], meta[3], call('GET', R(ARGV[1], 'error')) or ''}
