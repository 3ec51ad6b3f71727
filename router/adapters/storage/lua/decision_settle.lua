-- ARGV: bound, tenant, record, outcome, came to an answer.
local kept = redis.call('HMGET', KEYS[1], 'tenant', 'choice', 'settled', 'outcome')
if not kept[1] then return 'unknown' end
if kept[1] ~= ARGV[2] then return 'foreign' end
if kept[3] == '1' then return kept[4] == ARGV[4] and 'same' or 'conflict' end
if kept[2] ~= '0' then
  if full() then return 'full' end
  append('decided', ARGV[3])
end
keep_record(ARGV[3])
redis.call('HSET', KEYS[1], 'outcome', ARGV[4], 'settled', 1)
if ARGV[5] ~= '1' then redis.call('HSET', KEYS[1], 'unanswered', 1) end
return 'new'
