-- KEYS[1] key owners, KEYS[3] current keys. Every key of the tenant stops, known as current or not.
local function drop_keys(name)
  local flat = redis.call('HGETALL', KEYS[1])
  for i = 1, #flat, 2 do
    if flat[i + 1] == name then redis.call('HDEL', KEYS[1], flat[i]) end
  end
  redis.call('HDEL', KEYS[3], name)
end
