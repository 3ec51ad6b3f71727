-- ARGV: name. Answers {now in ms, then hash and facts of each key in turn}, or nothing.
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 then return nil end
local time = redis.call('TIME')
local told = {time[1] * 1000 + math.floor(time[2] / 1000)}
for _, hash in ipairs(keys_of(ARGV[1])) do
  told[#told + 1] = hash
  told[#told + 1] = redis.call('HGET', KEYS[4], hash) or ''
end
return told
