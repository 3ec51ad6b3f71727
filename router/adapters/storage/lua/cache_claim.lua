-- KEYS: answer, claim. ARGV: owner, ttl_s. Answers the answer, else 1 to the one that is to find it.
local answer = redis.call('GET', KEYS[1])
if answer then return answer end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'EX', ARGV[2]) then return 1 end
-- An owner whose first try got no reply asks again.
return redis.call('GET', KEYS[2]) == ARGV[1] and 1 or 0
