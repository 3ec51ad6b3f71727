-- KEYS[1] claim. ARGV: fingerprint, ttl_s. Answers {state, payload}.
local kept = redis.call('HMGET', KEYS[1], 'fingerprint', 'done')
if not kept[1] then
  redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1])
  redis.call('EXPIRE', KEYS[1], ARGV[2])
  return {'new', ''}
end
if kept[1] ~= ARGV[1] then return {'conflict', ''} end
if kept[2] then return {'done', kept[2]} end
return {'running', ''}
