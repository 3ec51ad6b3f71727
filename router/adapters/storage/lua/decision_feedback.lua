-- KEYS[4] decisions without feedback.
-- ARGV: bound, tenant, now_ms, window_ms, value, event, is a correction, id.
-- It takes the place of what the decision's session was credited with.
local kept = redis.call('HMGET', KEYS[1], 'tenant', 'created_ms', 'choice', 'feedback',
  'defaulted', 'credit', 'share')
if not kept[1] then return 'unknown' end
if kept[1] ~= ARGV[2] then return 'foreign' end
if kept[4] == ARGV[5] then return 'same' end
if kept[4] and ARGV[7] ~= '1' then return 'conflict' end
if kept[5] or ARGV[3] - kept[2] > tonumber(ARGV[4]) then return 'late' end
if kept[3] == '1' then
  if full() then return 'full' end
  local more = kept[4] and {'was', kept[4]}
  if kept[6] then more = {'was', kept[6], 'was_share', kept[7]} end
  append('feedback', ARGV[6], more)
end
redis.call('HSET', KEYS[1], 'feedback', ARGV[5])
redis.call('HDEL', KEYS[1], 'credit', 'share')
redis.call('ZREM', KEYS[4], ARGV[8])
return 'new'
