-- Remove an idle container. ARGV: container. Answers 0 if it has work and must read its inbox.
local entry = call('HGET', L .. 'assigned', ARGV[1])
if entry and wanted(ARGV[1], entry) then return 0 end
forget(ARGV[1])
return 1
