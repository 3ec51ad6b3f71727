-- KEYS: latest, snapshots, fence. ARGV: version, position, payload, fence, how many are kept.
-- A newer holder of the lease has a higher fence: what an earlier one still sends is refused.
local version = tonumber(ARGV[1])
if redis.call('GET', KEYS[3]) ~= ARGV[4] then return 0 end
if version <= tonumber(redis.call('GET', KEYS[1]) or '0') then return 0 end
redis.call('HSET', KEYS[2], ARGV[1] .. ':position', ARGV[2], ARGV[1] .. ':payload', ARGV[3])
redis.call('SET', KEYS[1], ARGV[1])
for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
  if tonumber(field:match('^%d+')) <= version - ARGV[5] then redis.call('HDEL', KEYS[2], field) end
end
return 1
