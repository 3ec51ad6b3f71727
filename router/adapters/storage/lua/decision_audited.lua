-- ARGV: bound, event. At the bound it is dropped: nobody waits for it.
if redis.call('HGET', KEYS[1], 'choice') ~= '1' or full() then return 'skipped' end
if redis.call('HSETNX', KEYS[1], 'audited', 1) == 0 then return 'same' end
append('audited', ARGV[2])
return 'new'
