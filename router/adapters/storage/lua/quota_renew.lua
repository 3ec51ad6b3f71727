-- KEYS[1] leases. ARGV: lease_ms, members. Answers the places, from 1, of those that are not held.
local time = redis.call('TIME')
local ends = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1]
local lost = {}
for place = 2, #ARGV do
  if redis.call('ZSCORE', KEYS[1], ARGV[place]) then
    redis.call('ZADD', KEYS[1], ends, ARGV[place])
  else
    lost[#lost + 1] = place - 1
  end
end
return lost
