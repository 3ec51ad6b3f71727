-- KEYS[1] decision, KEYS[2] events. ARGV[1] bound of the stream.
local function full()
  return redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[1])
end

-- Ids count up by one, so the distance of two is the number of events between them.
local function append(kind, body)
  redis.call('XADD', KEYS[2], '0-*', 'kind', kind, 'body', body)
end
