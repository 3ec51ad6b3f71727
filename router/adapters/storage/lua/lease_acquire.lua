-- KEYS: lease, fence. ARGV: owner, ttl_ms. Answers the fence, or nothing when another holds it.
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return false end
local fence = owner and tonumber(redis.call('GET', KEYS[2])) or redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return fence
