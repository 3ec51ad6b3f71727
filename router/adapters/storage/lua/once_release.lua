-- KEYS[1] claim. ARGV: owner. What is done stays done.
local kept = redis.call('HMGET', KEYS[1], 'owner', 'done')
if kept[1] ~= ARGV[1] or kept[2] then return 0 end
return redis.call('DEL', KEYS[1])
