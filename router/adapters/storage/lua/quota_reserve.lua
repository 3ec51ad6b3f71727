-- KEYS[2] reservation. ARGV: now_ms, day, month, ms left of the day, of the month, tokens, cost,
-- max_requests, max_tokens, max_daily, max_monthly, ttl_ms.
-- Answers {1, left...} or {0, name of the quota, ms until it may work}.
local now, tokens, cost = tonumber(ARGV[1]), tonumber(ARGV[6]), tonumber(ARGV[7])
local usage = read_usage()
usage.max_requests, usage.max_tokens = tonumber(ARGV[8]), tonumber(ARGV[9])
usage.max_daily, usage.max_monthly = tonumber(ARGV[10]), tonumber(ARGV[11])
fill(usage, 'requests', now)
fill(usage, 'tokens', now)
turn_calendar(usage, tonumber(ARGV[2]), tonumber(ARGV[3]))
if redis.call('EXISTS', KEYS[2]) == 1 then return left(usage) end

-- The one that takes longest to recover is named.
local name, wait = nil, -1
local function refuse(quota, ms)
  if ms > wait then name, wait = quota, ms end
end
local function check_bucket(bucket, need)
  local size = usage['max_' .. bucket]
  -- Who needs more than a bucket holds waits for a full one and goes into debt.
  local lacking = math.min(need, size) - usage[bucket]
  if size > 0 and lacking > 0 then
    refuse(bucket .. '_per_minute', math.ceil(lacking * MINUTE_MS / size))
  end
end
check_bucket('requests', 1)
check_bucket('tokens', tokens)
if usage.max_daily > 0 and usage.daily + cost > usage.max_daily then
  refuse('daily_usd', tonumber(ARGV[4]))
end
if usage.max_monthly > 0 and usage.monthly + cost > usage.max_monthly then
  refuse('monthly_usd', tonumber(ARGV[5]))
end
if name then return {0, name, wait} end

if usage.max_requests > 0 then usage.requests = usage.requests - 1 end
if usage.max_tokens > 0 then usage.tokens = usage.tokens - tokens end
usage.daily, usage.monthly = usage.daily + cost, usage.monthly + cost
write_usage(usage)
redis.call('HSET', KEYS[2], 'tokens', ARGV[6], 'cost', ARGV[7], 'day', usage.day,
  'month', usage.month)
redis.call('PEXPIRE', KEYS[2], ARGV[12])
return left(usage)
