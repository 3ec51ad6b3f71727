-- KEYS[1] decision, KEYS[2] events, KEYS[3] how far they are learned. ARGV[1] bound of the rest.
local function full()
  local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
  local written = newest and tonumber(newest[1]:match('%d+$')) or 0
  return written - tonumber(redis.call('GET', KEYS[3]) or '0') >= tonumber(ARGV[1])
end

-- Ids count up by one, so the distance of two is the number of events between them.
-- was: what a correction replaces, which only this side knows for sure.
local function append(kind, body, was)
  local fields = {'kind', kind, 'body', body}
  if was then fields[5], fields[6] = 'was', was end
  local id = redis.call('XADD', KEYS[2], '0-*', unpack(fields))
  redis.call('HSET', KEYS[1], 'position', id)
end
