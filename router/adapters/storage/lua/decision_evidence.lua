-- ARGV: bound, event. Never refused at the bound: what it tells of is paid for.
if redis.call('HGET', KEYS[1], 'choice') ~= '1' then return 'skipped' end
if redis.call('HSETNX', KEYS[1], 'evidence', 1) == 0 then return 'same' end
append('evidence', ARGV[2])
return 'new'
