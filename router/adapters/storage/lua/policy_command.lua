-- KEYS[1] unused here. ARGV: bound, event. Answers the event's position, or 'full'.
if full() then return 'full' end
return redis.call('XADD', KEYS[2], '0-*', 'kind', 'policy_command', 'body', ARGV[2])
