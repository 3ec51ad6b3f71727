-- KEYS[1] claim. ARGV: payload, ttl_s. A claim that ran out is not brought back: nobody knows for
-- which request it was.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'done', ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
