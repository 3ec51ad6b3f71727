-- KEYS: vectors, ages, prefix of answers. ARGV: vector, least score, most expired to pass over.
-- Answers {answer, score} of the nearest that has not expired, or nothing.
for _ = 1, tonumber(ARGV[3]) do
  local near = redis.pcall('VSIM', KEYS[1], 'FP32', ARGV[1], 'WITHSCORES', 'COUNT', 1)
  if near.err or not near[1] then return false end
  if tonumber(near[2]) < tonumber(ARGV[2]) then return false end
  local answer = redis.call('GET', KEYS[3] .. near[1])
  if answer then return {answer, near[2]} end
  redis.call('VREM', KEYS[1], near[1])
  redis.call('ZREM', KEYS[2], near[1])
end
return false
