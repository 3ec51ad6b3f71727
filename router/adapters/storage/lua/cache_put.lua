-- KEYS: answer, vectors, ages. ARGV: answer, ttl_s, exact, vector or '', most entries.
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
if ARGV[4] == '' then return 1 end
-- Full vectors give the true cosine; EF 32 builds the graph at a third of the default's cost.
local function add()
  return redis.pcall('VADD', KEYS[2], 'FP32', ARGV[4], ARGV[3], 'NOQUANT', 'EF', 32)
end
local added = add()
if type(added) == 'table' and added.err then
  -- Vectors of another dimension are of another embedding model: none of them can match any more.
  redis.call('DEL', KEYS[2], KEYS[3])
  add()
end
local newest = redis.call('ZRANGE', KEYS[3], -1, -1, 'WITHSCORES')
redis.call('ZADD', KEYS[3], (newest[2] or 0) + 1, ARGV[3])
while redis.call('ZCARD', KEYS[3]) > tonumber(ARGV[5]) do
  redis.call('VREM', KEYS[2], redis.call('ZPOPMIN', KEYS[3])[1])
end
-- A partition lives as long as its youngest answer.
for i = 2, 3 do
  if redis.call('TTL', KEYS[i]) < tonumber(ARGV[2]) then redis.call('EXPIRE', KEYS[i], ARGV[2]) end
end
return 1
