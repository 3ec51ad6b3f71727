-- KEYS[1] written by probes alone. ARGV: value, ttl_ms.
-- Answers the first command that this user may not call and requests need, or ''.
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[1])
local needed = {
  {'HSET', KEYS[1], 'f', 'v'}, {'HMGET', KEYS[1], 'f'}, {'HINCRBY', KEYS[1], 'f', '1'},
  {'EXPIRE', KEYS[1], '1'}, {'XADD', KEYS[1], '*', 'f', 'v'},
  {'XREVRANGE', KEYS[1], '+', '-'}, {'XREAD', 'STREAMS', KEYS[1], '0'},
  {'ZADD', KEYS[1], '1', 'm'}, {'HSETEX', KEYS[1], 'EX', '1', 'FIELDS', '1', 'f', 'v'}, {'TIME'},
}
for _, words in ipairs(needed) do
  if not redis.acl_check_cmd(unpack(words)) then return words[1] end
end
return ''
