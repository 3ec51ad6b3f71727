-- KEYS: key owners, tenants, current keys, key facts, generations.
-- Every key of the tenant, known as current or not.
local function keys_of(name)
  local flat, found = redis.call('HGETALL', KEYS[1]), {}
  for i = 1, #flat, 2 do
    if flat[i + 1] == name then found[#found + 1] = flat[i] end
  end
  return found
end

local function drop_key(hash)
  redis.call('HDEL', KEYS[1], hash)
  redis.call('HDEL', KEYS[4], hash)
end

-- Answers how many stopped.
local function drop_keys(name)
  local found = keys_of(name)
  for _, hash in ipairs(found) do drop_key(hash) end
  redis.call('HDEL', KEYS[3], name)
  return #found
end

local function add_key(name, hash, facts)
  redis.call('HSET', KEYS[1], hash, name)
  redis.call('HSET', KEYS[4], hash, facts)
end
