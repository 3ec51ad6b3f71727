-- KEYS[1] usage of the tenant. Money is in whole nano-USD: integers up to 2^53 stay exact here.
local FIELDS = {'requests', 'requests_at', 'tokens', 'tokens_at', 'day', 'daily', 'month', 'monthly',
  'max_requests', 'max_tokens', 'max_daily', 'max_monthly'}
local MINUTE_MS = 60000

local function read_usage()
  local kept = redis.call('HMGET', KEYS[1], unpack(FIELDS))
  local usage = {}
  for i, field in ipairs(FIELDS) do usage[field] = tonumber(kept[i] or '0') end
  return usage
end

local function write_usage(usage)
  local flat = {}
  for _, field in ipairs(FIELDS) do
    flat[#flat + 1] = field
    flat[#flat + 1] = string.format('%.17g', usage[field])
  end
  redis.call('HSET', KEYS[1], unpack(flat))
end

-- A bucket holds a minute's allowance and fills evenly; a new one is full.
local function fill(usage, bucket, now)
  local size, at = usage['max_' .. bucket], usage[bucket .. '_at']
  if size <= 0 then return end
  local added = math.max(0, now - at) * size / MINUTE_MS
  usage[bucket] = math.min(size, usage[bucket] + added)
  usage[bucket .. '_at'] = math.max(at, now)
end

-- Routers' clocks differ: one that still has yesterday turns nothing back. A day further ahead was
-- a wrong clock's, and does not stay: no budget would be back before it comes.
local function turn_calendar(usage, day, month)
  if usage.day == day + 1 then return end
  if usage.day ~= day then usage.day, usage.daily = day, 0 end
  if usage.month ~= month then usage.month, usage.monthly = month, 0 end
end

-- What is left of each quota, -1 where there is none.
local function left(usage)
  local function rest(limit, value)
    return limit > 0 and math.max(0, math.floor(value)) or -1
  end
  return {1, rest(usage.max_requests, usage.requests), rest(usage.max_tokens, usage.tokens),
    rest(usage.max_daily, usage.max_daily - usage.daily),
    rest(usage.max_monthly, usage.max_monthly - usage.monthly)}
end
