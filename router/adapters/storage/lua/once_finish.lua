-- KEYS[1] claim. ARGV: owner, payload, ttl_s, fingerprint. A claim that ran out and is another's
-- is not brought back: another request may have paid for its own answer since. One that is free
-- is taken again where the fingerprint is given.
local owner = redis.call('HGET', KEYS[1], 'owner')
if not owner and ARGV[4] ~= '' then
  redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'fingerprint', ARGV[4])
elseif owner ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'done', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
