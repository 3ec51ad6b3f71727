-- KEYS[1] decision, KEYS[2] events, KEYS[3] how far they are learned. ARGV[1] bound of the rest.
local function full()
  local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
  local written = newest and tonumber(newest[1]:match('%d+$')) or 0
  return written - tonumber(redis.call('GET', KEYS[3]) or '0') >= tonumber(ARGV[1])
end

-- Ids count up by one, so the distance of two is the number of events between them.
local function append(kind, body)
  local id = redis.call('XADD', KEYS[2], '0-*', 'kind', kind, 'body', body)
  redis.call('HSET', KEYS[1], 'position', id)
end
