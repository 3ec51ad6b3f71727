-- KEYS: key owners, tenants. ARGV: key hash. Answers {name, limits} or nothing.
local name = redis.call('HGET', KEYS[1], ARGV[1])
return name and {name, redis.call('HGET', KEYS[2], name)}
