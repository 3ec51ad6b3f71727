-- KEYS[1] decision, KEYS[2] events, KEYS[3] how far they are learned. ARGV[1] bound of the rest.
local function full()
  local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
  local written = newest and tonumber(newest[1]:match('%d+$')) or 0
  return written - tonumber(redis.call('GET', KEYS[3]) or '0') >= tonumber(ARGV[1])
end

-- A hash whose values have 64 bytes at most takes a third of the memory of another one.
local PIECE, MOST_PIECES = 64, 64
local function keep_record(record)
  local pieces = math.ceil(#record / PIECE)
  redis.call('HDEL', KEYS[1], 'record')
  if pieces > MOST_PIECES then
    pieces = 0
    redis.call('HSET', KEYS[1], 'record', record)
  end
  for i = 0, pieces - 1 do
    redis.call('HSET', KEYS[1], 'r' .. i, record:sub(i * PIECE + 1, (i + 1) * PIECE))
  end
  while redis.call('HDEL', KEYS[1], 'r' .. pieces) == 1 do pieces = pieces + 1 end
end

-- Ids count up by one, so the distance of two is the number of events between them.
-- more: fields that only this side knows for sure, as what a correction replaces. key: of the
-- decision it tells of.
local function append(kind, body, more, key)
  local id = redis.call('XADD', KEYS[2], '0-*', 'kind', kind, 'body', body, unpack(more or {}))
  redis.call('HSET', key or KEYS[1], 'position', id)
end
