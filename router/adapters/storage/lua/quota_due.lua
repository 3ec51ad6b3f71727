-- KEYS[1] leases. ARGV: ms since a lease lapsed, the longest lease in ms, most. Answers the members.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1], 'LIMIT', 0, ARGV[3])
-- Those made by a server whose clock was ahead would be held until it was right.
local ahead = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', now + ARGV[2]),
  '+inf', 'LIMIT', 0, ARGV[3])
for _, member in ipairs(ahead) do due[#due + 1] = member end
return due
