-- KEYS: latest, snapshots, fence, events, epoch. ARGV: version, position, payload, fence, how many
-- are kept, mark of the log that was learned or '', epoch of a store that has none yet.
-- A newer holder of the lease has a higher fence: what an earlier one still sends is refused.
local version = tonumber(ARGV[1])
if redis.call('GET', KEYS[3]) ~= ARGV[4] then return 0 end
if version <= tonumber(redis.call('GET', KEYS[1]) or '0') then return 0 end
local here = mark(KEYS[4], epoch(KEYS[5], ARGV[7]), tonumber(ARGV[2]:match('%d+$')))
if ARGV[6] ~= '' and ARGV[6] ~= here then return 0 end
redis.call('HSET', KEYS[2], ARGV[1] .. ':position', ARGV[2], ARGV[1] .. ':payload', ARGV[3],
  ARGV[1] .. ':mark', here)
redis.call('SET', KEYS[1], ARGV[1])
for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
  local number = tonumber(field:match('^%d+'))
  -- A version above the newest is of a log that was lost.
  if number <= version - ARGV[5] or number > version then redis.call('HDEL', KEYS[2], field) end
end
return 1
