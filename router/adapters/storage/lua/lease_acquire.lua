-- KEYS: lease, fence. ARGV: owner, ttl_ms. Answers the fence, or nothing when another holds it.
-- A fence is a time in us, so that a server which took over with an older fence, or with none,
-- gives nobody one that another server has given before.
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return false end
local fence = tonumber(redis.call('GET', KEYS[2]) or '0')
if not owner or fence == 0 then
  local time = redis.call('TIME')
  fence = math.max(fence + 1, time[1] * 1000000 + time[2])
  redis.call('SET', KEYS[2], string.format('%.0f', fence))
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return fence
