-- KEYS: key owners, tenants, key facts, generations. ARGV: key hash. Answers {name, limits, facts,
-- now in ms, generation} or nothing. A key whose tenant is gone, evicted or not brought back with a backup, is nobody's.
local name = redis.call('HGET', KEYS[1], ARGV[1])
local limits = name and redis.call('HGET', KEYS[2], name)
if not limits then return nil end
local time = redis.call('TIME')
return {name, limits, redis.call('HGET', KEYS[3], ARGV[1]) or '',
  time[1] * 1000 + math.floor(time[2] / 1000), redis.call('HGET', KEYS[4], name) or ''}
