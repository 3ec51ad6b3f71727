-- KEYS[4] decisions without feedback. ARGV: bound, id, event. At the bound it goes on waiting.
if full() then return 'full' end
-- One that somebody else took in hand is not there any more.
if redis.call('ZREM', KEYS[4], ARGV[2]) == 0 then return 'same' end
-- Of a call whose outcome nobody reported it is not known whether there was an answer at all.
local kept = redis.call('HMGET', KEYS[1], 'choice', 'feedback', 'settled', 'credit')
if kept[1] ~= '1' or kept[2] or kept[4] or kept[3] ~= '1' then return 'skipped' end
redis.call('HSET', KEYS[1], 'defaulted', 1)
append('feedback', ARGV[3])
return 'new'
