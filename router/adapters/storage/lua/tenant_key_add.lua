-- ARGV: name, key hash, facts, most keys of a tenant. Answers 0: no such tenant, -1: too many.
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 then return 0 end
local known = redis.call('HEXISTS', KEYS[1], ARGV[2]) == 1
if not known and #keys_of(ARGV[1]) >= tonumber(ARGV[4]) then return -1 end
add_key(ARGV[1], ARGV[2], ARGV[3])
return 1
