-- Reserve an emulated link that the whole store shares. ARGV: seconds of its time. Answers the second, as text, until
-- which the caller must wait for it, counted from now.
local free = math.max(NOW, tonumber(call('GET', L .. 'throttle') or '0')) + tonumber(ARGV[1])
call('SET', L .. 'throttle', seconds(free))
return seconds(free - NOW)
