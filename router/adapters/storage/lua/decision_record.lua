-- Never refused at the bound: what it tells of is paid for. KEYS[4] decisions without feedback.
-- ARGV: bound, ttl_s, tenant, created_ms, record, 1 for a choice or 2 without one where its
-- attempts are to be learned of, is settled, id if it is to wait.
if redis.call('EXISTS', KEYS[1]) == 1 then return 'same' end
redis.call('HSET', KEYS[1], 'tenant', ARGV[3], 'created_ms', ARGV[4], 'choice', ARGV[6],
  'settled', ARGV[7])
keep_record(ARGV[5])
redis.call('EXPIRE', KEYS[1], ARGV[2])
if ARGV[6] ~= '0' then
  append('decided', ARGV[5])
  if ARGV[6] == '1' and ARGV[8] ~= '' then redis.call('ZADD', KEYS[4], ARGV[4], ARGV[8]) end
end
return 'new'
