-- KEYS: events, epoch, how far they are learned, newest changes of policies, fence.
-- ARGV: new epoch, number that is learned from here, fence.
if redis.call('GET', KEYS[5]) ~= ARGV[3] then return 0 end
redis.call('SET', KEYS[2], ARGV[1])
redis.call('SET', KEYS[3], ARGV[2])
-- Changes caused by events that are lost would hide those of new events under their numbers.
redis.call('ZREMRANGEBYSCORE', KEYS[4], '(' .. string.format('%.0f', last_number(KEYS[1])), '+inf')
return 1
