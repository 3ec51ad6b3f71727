-- KEYS[2] reservation, [3] leases, [4] ids settled lately. ARGV: id, member of the leases, tokens,
-- cost, max_requests, max_tokens, max_daily, max_monthly, lease_ms, expected cost, asked tokens, was
-- it admitted elsewhere: then no limit refuses it, and its minute is over.
-- Answers {1, left...} or {0, name of the quota, ms until it may work, needed, limit, left}, with
-- -1 ms where it can never work.
local id, member = ARGV[1], ARGV[2]
local tokens, cost, lease_ms = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[9])
local now = server_ms()
local today = calendar(now)
local admitted = ARGV[12] == '1'
local usage = read_usage(now, today, not admitted and {ARGV[5], ARGV[6], ARGV[7], ARGV[8]} or nil)
local kept, settled = read_reservation()
if settled or (kept and kept.orphaned) or redis.call('ZSCORE', KEYS[4], id) then
  return left(usage)
end

local requests = 1
if kept then
  -- A repetition takes what it lacks.
  requests, tokens, cost = 0, math.max(0, tokens - kept.tokens), math.max(0, cost - kept.cost)
end
local name, wait, needed, limit, rest = nil, -1, 0, 0, 0
-- The one that takes longest to recover is named, and first one that never does.
local never = false
local function refuse(quota, ms, need, most, remains)
  if ms < 0 then ms, never = -1, true elseif never then return end
  if ms > wait or ms < 0 then
    name, wait, needed, limit, rest = quota, ms, need, most, math.max(0, math.floor(remains))
  end
end
local function check_bucket(bucket, need, asked)
  local size = usage['max_' .. bucket]
  if size <= 0 then return end
  if asked > size then return refuse(bucket .. '_per_minute', -1, asked, size, usage[bucket]) end
  -- Who may need more than a bucket holds waits for a full one and goes into debt.
  local lacking = math.min(need, size) - usage[bucket]
  if lacking > 0 then
    refuse(bucket .. '_per_minute', math.ceil(lacking * MINUTE_MS / size), need, size,
      usage[bucket])
  end
end
local function check_budget(budget, taken, reserved, period_left)
  local most = usage['max_' .. budget]
  if most <= 0 or cost <= 0 or taken + cost <= most then return end
  local quota, remains = budget .. '_usd', most - taken
  if cost > most then return refuse(quota, -1, cost, most, remains) end
  if taken - reserved + cost > most then return refuse(quota, period_left, cost, most, remains) end
  -- Only what is reserved is in the way, which is settled within seconds.
  local typical = math.max(1000, math.min(usage.hold_ms, MINUTE_MS))
  refuse(quota, math.min(math.ceil(typical), period_left), cost, most, remains)
end
if admitted then
  requests, tokens = 0, 0
else
  check_bucket('requests', requests, requests)
  check_bucket('tokens', tokens, kept and 0 or tonumber(ARGV[11]))
  check_budget('daily', usage.daily, usage.reserved_daily, today.day_left)
  check_budget('monthly', usage.monthly, usage.reserved_monthly, today.month_left)
end
if name then return {0, name, wait, needed, limit, rest} end

if usage.max_requests > 0 then usage.requests = usage.requests - requests end
if usage.max_tokens > 0 then usage.tokens = usage.tokens - tokens else tokens = 0 end
usage.daily, usage.monthly = usage.daily + cost, usage.monthly + cost
-- An allowance is no request: those that it covers are counted when they are told of.
if not kept and string.sub(id, 1, 10) ~= 'allowance:' then
  usage.let_in_daily, usage.let_in_monthly = usage.let_in_daily + 1, usage.let_in_monthly + 1
end
if not kept then
  kept = {tokens = 0, cost = 0, day = usage.day, month = usage.month, at = now}
end
reserve_cost(usage, kept, cost)
write_usage(usage)
redis.call('HSET', KEYS[2], 'tokens', kept.tokens + tokens, 'cost',
  string.format('%.17g', kept.cost + cost), 'day', kept.day, 'month', kept.month,
  'at', string.format('%.17g', kept.at), 'expected', ARGV[10])
redis.call('ZADD', KEYS[3], now + lease_ms, member)
return left(usage)
