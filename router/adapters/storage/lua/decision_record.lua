-- Never refused at the bound: what it tells of is paid for. KEYS[4] decisions without feedback,
-- KEYS[5] the session's decisions, where it has one.
-- ARGV: bound, ttl_s, tenant, created_ms, record, 1 for a choice or 2 without one where its attempts
-- are to be learned of, which may be still to come, is settled, id if it is to wait;
-- with a session its id if feedback on the session is to credit it, most of them, their ttl_s.
if redis.call('EXISTS', KEYS[1]) == 1 then return 'same' end
redis.call('HSET', KEYS[1], 'tenant', ARGV[3], 'created_ms', ARGV[4], 'choice', ARGV[6],
  'settled', ARGV[7])
keep_record(ARGV[5])
redis.call('EXPIRE', KEYS[1], ARGV[2])
if ARGV[6] == '1' and ARGV[8] ~= '' then redis.call('ZADD', KEYS[4], ARGV[4], ARGV[8]) end
if ARGV[6] == '1' or (ARGV[6] == '2' and ARGV[7] == '1') then append('decided', ARGV[5]) end
-- A session's list begins with the feedback on it, which fixes what follows; '' for none.
if KEYS[5] and (redis.call('LINDEX', KEYS[5], 0) or '') == '' then
  if redis.call('EXISTS', KEYS[5]) == 0 then redis.call('RPUSH', KEYS[5], '') end
  if ARGV[9] ~= '' and redis.call('RPUSH', KEYS[5], ARGV[9]) > ARGV[10] + 1 then
    redis.call('LTRIM', KEYS[5], -ARGV[10], -1)
    redis.call('LPUSH', KEYS[5], '')
  end
  redis.call('EXPIRE', KEYS[5], ARGV[11])
end
return 'new'
