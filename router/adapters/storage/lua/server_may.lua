-- KEYS: five of ours that are not in use. ARGV: ttl_s. Runs every command that the scripts and the
-- client use once; answers the name of each that failed, and the first word of why.
local s, h, z, x, l = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local commands = {
  {'SET', s, '1', 'EX', ARGV[1]}, {'GET', s}, {'MGET', s}, {'EXISTS', s}, {'EXPIRE', s, ARGV[1]},
  {'PEXPIRE', s, ARGV[1] .. '000'}, {'TTL', s}, {'TIME'}, {'SCAN', '0', 'COUNT', '1'},
  {'HSET', h, 'a', '1'}, {'EXPIRE', h, ARGV[1]}, {'HGET', h, 'a'}, {'HMGET', h, 'a', 'b'},
  {'HGETALL', h}, {'HKEYS', h}, {'HVALS', h}, {'HLEN', h}, {'HEXISTS', h, 'a'},
  {'HSETNX', h, 'b', '1'}, {'HINCRBY', h, 'a', '1'}, {'HRANDFIELD', h}, {'HDEL', h, 'b'},
  {'HSETEX', h, 'EX', ARGV[1], 'FIELDS', '1', 'b', '1'},
  {'ZADD', z, '1', 'a'}, {'EXPIRE', z, ARGV[1]}, {'ZCARD', z}, {'ZCOUNT', z, '1', '1'},
  {'ZINCRBY', z, '1', 'a'}, {'ZSCORE', z, 'a'}, {'ZSCAN', z, '0'}, {'ZRANGE', z, '0', '-1'},
  {'ZREVRANGE', z, '0', '-1'}, {'ZRANGEBYSCORE', z, '1', '2'}, {'ZREM', z, 'b'},
  {'ZREMRANGEBYRANK', z, '5', '6'}, {'ZREMRANGEBYSCORE', z, '5', '6'}, {'ZPOPMIN', z},
  {'XADD', x, '0-*', 'a', '1'}, {'EXPIRE', x, ARGV[1]}, {'XLEN', x}, {'XRANGE', x, '-', '+'},
  {'XREVRANGE', x, '+', '-'}, {'XREAD', 'COUNT', '1', 'STREAMS', x, '0'}, {'XINFO', 'STREAM', x},
  {'XTRIM', x, 'MINID', '0-1'},
  {'RPUSH', l, 'a', 'b'}, {'EXPIRE', l, ARGV[1]}, {'LPUSH', l, 'c'}, {'LSET', l, '0', 'd'},
  {'LINDEX', l, '0'}, {'LRANGE', l, '0', '-1'}, {'LTRIM', l, '-2', '-1'},
  {'DEL', s}, {'DEL', h}, {'DEL', z}, {'DEL', x}, {'DEL', l},
}
local failed = {}
for _, command in ipairs(commands) do
  local told = redis.pcall(unpack(command))
  if type(told) == 'table' and told.err then
    failed[#failed + 1] = command[1]
    failed[#failed + 1] = told.err:match('^%S+') or ''
  end
end
return failed
