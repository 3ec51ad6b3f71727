-- KEYS[1] usage of the tenant. Money is in whole nano-USD: integers up to 2^53 stay exact here.
-- `daily` and `monthly` hold what is spent and what is reserved of the day and the month;
-- `reserved_daily` and `reserved_monthly` the reserved part of that, valid for `reserved_day` and
-- `reserved_month`; `reserved` all that is reserved; `hold_ms` how long a reservation lasts;
-- `let_in_daily` and `let_in_monthly` count requests of `let_in_day` and `let_in_month`.
local FIELDS = {'requests', 'requests_at', 'tokens', 'tokens_at', 'day', 'daily', 'month', 'monthly',
  'max_requests', 'max_tokens', 'max_daily', 'max_monthly', 'reserved', 'reserved_daily',
  'reserved_monthly', 'reserved_day', 'reserved_month', 'hold_ms', 'let_in_daily', 'let_in_day',
  'let_in_monthly', 'let_in_month'}
local MINUTE_MS, DAY_MS = 60000, 86400000

-- Days are numbered as `datetime.date.toordinal` does, months as 12 * year + month, all in UTC.
local function calendar(now)
  local days = math.floor(now / DAY_MS)
  -- Years that begin in March, in eras of 400 of them.
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524)
    - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local shifted = math.floor((5 * doy + 2) / 153)
  local date = doy - math.floor((153 * shifted + 2) / 5) + 1
  local month = shifted < 10 and shifted + 3 or shifted - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  local leap = year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)
  local lengths = {31, leap and 29 or 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
  local day_left = DAY_MS - now % DAY_MS
  return {day = days + 719163, month = 12 * year + month, day_left = day_left,
    month_left = day_left + (lengths[month] - date) * DAY_MS}
end

-- Of the server, which all routers share: no router's clock has a say in what is left.
local function server_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A bucket holds a minute's allowance and fills evenly; a new one is full.
local function fill(usage, bucket, now)
  local size, at = usage['max_' .. bucket], usage[bucket .. '_at']
  if size <= 0 then return end
  -- Further ahead than clocks differ: a wrong clock's, which must not stop the filling.
  if at > now + MINUTE_MS then at = now - MINUTE_MS end
  usage[bucket] = math.min(size, usage[bucket] + math.max(0, now - at) * size / MINUTE_MS)
  usage[bucket .. '_at'] = math.max(at, now)
end

-- The clocks of servers that succeed each other differ: one that still has yesterday turns nothing
-- back. A day further ahead was a wrong clock's, and does not stay: no budget would be back before
-- it comes.
local function turn_calendar(usage, today)
  if usage.day ~= today.day + 1 then
    if usage.day ~= today.day then usage.day, usage.daily = today.day, 0 end
    if usage.month ~= today.month then usage.month, usage.monthly = today.month, 0 end
  end
  if usage.reserved_day ~= usage.day then
    usage.reserved_day, usage.reserved_daily = usage.day, 0
  end
  if usage.reserved_month ~= usage.month then
    usage.reserved_month, usage.reserved_monthly = usage.month, 0
  end
  if usage.let_in_day ~= usage.day then usage.let_in_day, usage.let_in_daily = usage.day, 0 end
  if usage.let_in_month ~= usage.month then
    usage.let_in_month, usage.let_in_monthly = usage.month, 0
  end
end

-- limits: of requests, tokens, the day and the month; those stored last where there are none.
local function read_usage(now, today, limits)
  local kept = redis.call('HMGET', KEYS[1], unpack(FIELDS))
  local usage = {}
  for i, field in ipairs(FIELDS) do usage[field] = tonumber(kept[i] or '0') end
  if limits then
    usage.max_requests, usage.max_tokens = tonumber(limits[1]), tonumber(limits[2])
    usage.max_daily, usage.max_monthly = tonumber(limits[3]), tonumber(limits[4])
  end
  fill(usage, 'requests', now)
  fill(usage, 'tokens', now)
  turn_calendar(usage, today)
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

-- A reservation lies as `tokens`, `cost`, `day`, `month`, and `at`, `expected` since there are
-- leases; `settled` is an older router's mark, `orphaned` says that it is charged and not reserved.
local function read_reservation()
  local kept = redis.call('HMGET', KEYS[2], 'tokens', 'cost', 'day', 'month', 'at', 'expected',
    'settled', 'orphaned')
  if not kept[1] then return nil, kept[7] end
  return {tokens = tonumber(kept[1]), cost = tonumber(kept[2]), day = tonumber(kept[3]),
    month = tonumber(kept[4]), at = tonumber(kept[5] or '0'),
    expected = tonumber(kept[6] or kept[2]), orphaned = kept[8]}, kept[7]
end

local function reserve_cost(usage, kept, cost)
  usage.reserved = math.max(0, usage.reserved + cost)
  if kept.day == usage.day then
    usage.reserved_daily = math.max(0, usage.reserved_daily + cost)
  end
  if kept.month == usage.month then
    usage.reserved_monthly = math.max(0, usage.reserved_monthly + cost)
  end
end

-- A day that is over is closed: nothing is given back to it, and what it lacked counts today.
local function charge(usage, kept, cost)
  local more = cost - kept.cost
  local function total(spent, same)
    return math.max(0, spent + (same and more or math.max(0, more)))
  end
  usage.daily = total(usage.daily, kept.day == usage.day)
  usage.monthly = total(usage.monthly, kept.month == usage.month)
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
