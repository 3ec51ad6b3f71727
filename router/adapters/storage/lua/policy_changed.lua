-- KEYS: newest changes, events, fence. ARGV: number of the cause, event, fence, how many are kept.
-- A learner that was killed before it published comes to the same change again: it is told once.
if redis.call('GET', KEYS[3]) ~= ARGV[3] then return 0 end
if redis.call('ZCOUNT', KEYS[1], ARGV[1], ARGV[1]) > 0 then return 0 end
redis.call('XADD', KEYS[2], '0-*', 'kind', 'policy_changed', 'body', ARGV[2])
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -ARGV[4] - 1)
return 1
