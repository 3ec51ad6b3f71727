-- ARGV: name, limits, key hash, facts.
-- An earlier tenant of this name may have been lost, but for its keys.
if redis.call('HSETNX', KEYS[2], ARGV[1], ARGV[2]) == 0 then return 0 end
drop_keys(ARGV[1])
add_key(ARGV[1], ARGV[3], ARGV[4])
redis.call('HSET', KEYS[3], ARGV[1], ARGV[3])
local time = redis.call('TIME')
redis.call('HSET', KEYS[5], ARGV[1], time[1] .. '.' .. time[2])
return 1
