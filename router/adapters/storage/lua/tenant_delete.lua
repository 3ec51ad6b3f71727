-- ARGV: name. Its keys go with it, those included that were added while it was being deleted.
drop_keys(ARGV[1])
redis.call('HDEL', KEYS[5], ARGV[1])
return redis.call('HDEL', KEYS[2], ARGV[1])
