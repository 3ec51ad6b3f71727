-- ARGV: bound, event. A weak sign: at the bound it is dropped instead of refusing the request.
if redis.call('HGET', KEYS[1], 'choice') ~= '1' or full() then return 'skipped' end
if redis.call('HSETNX', KEYS[1], 'reasked', 1) == 0 then return 'same' end
append('reasked', ARGV[2])
return 'new'
