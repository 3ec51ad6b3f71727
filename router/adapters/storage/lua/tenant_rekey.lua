-- KEYS: key owners, tenants, current keys. ARGV: name, new key hash or '' for none.
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 then return 0 end
drop_keys(ARGV[1])
if ARGV[2] ~= '' then
  redis.call('HSET', KEYS[1], ARGV[2], ARGV[1])
  redis.call('HSET', KEYS[3], ARGV[1], ARGV[2])
end
return 1
