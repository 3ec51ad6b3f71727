-- KEYS[1] claim. ARGV: owner, payload, ttl_s. A claim that ran out is not brought back: another
-- request may have paid for its own answer since.
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'done', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
