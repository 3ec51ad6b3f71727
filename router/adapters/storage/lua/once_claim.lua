-- KEYS[1] claim. ARGV: owner, fingerprint, ttl_s. Answers {state, payload}.
local kept = redis.call('HMGET', KEYS[1], 'owner', 'fingerprint', 'done')
if not kept[1] then
  redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'fingerprint', ARGV[2])
  redis.call('EXPIRE', KEYS[1], ARGV[3])
  return {'new', ''}
end
if kept[2] ~= ARGV[2] then return {'conflict', ''} end
if kept[3] then return {'done', kept[3]} end
-- An owner whose first try got no reply asks again.
return {kept[1] == ARGV[1] and 'new' or 'running', ''}
