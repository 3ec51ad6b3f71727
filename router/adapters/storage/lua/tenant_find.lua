-- KEYS: key owners, tenants. ARGV: key hash. Answers {name, limits} or nothing.
-- A key whose tenant is gone, evicted or not brought back with a backup, is nobody's.
local name = redis.call('HGET', KEYS[1], ARGV[1])
local limits = name and redis.call('HGET', KEYS[2], name)
return limits and {name, limits}
