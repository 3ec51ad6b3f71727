-- KEYS[4] decisions without feedback.
-- ARGV: bound, tenant, now_ms, window_ms, value, event, is a correction, id.
local kept = redis.call('HMGET', KEYS[1], 'tenant', 'created_ms', 'choice', 'feedback',
  'defaulted')
if kept[1] ~= ARGV[2] then return 'unknown' end
if kept[4] == ARGV[5] then return 'same' end
if kept[4] and ARGV[7] ~= '1' then return 'conflict' end
if kept[5] or ARGV[3] - kept[2] > tonumber(ARGV[4]) then return 'late' end
if kept[3] == '1' then
  if full() then return 'full' end
  append('feedback', ARGV[6], kept[4])
end
redis.call('HSET', KEYS[1], 'feedback', ARGV[5])
redis.call('ZREM', KEYS[4], ARGV[8])
return 'new'
