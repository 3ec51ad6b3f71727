-- KEYS: answer, vectors, ages. ARGV: exact.
redis.call('DEL', KEYS[1])
redis.call('VREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
return 1
