-- ARGV: bound, event. A weak sign: feedback says more, and at the bound it is dropped instead of
-- refusing the request.
local kept = redis.call('HMGET', KEYS[1], 'choice', 'feedback', 'credit')
if kept[1] ~= '1' or kept[2] or kept[3] or full() then return 'skipped' end
if redis.call('HSETNX', KEYS[1], 'reasked', 1) == 0 then return 'same' end
append('reasked', ARGV[2])
return 'new'
