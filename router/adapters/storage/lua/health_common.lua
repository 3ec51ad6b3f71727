local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- 0 closed, 1 half-open with its probe free, 2 open.
local function state(key, now)
  local kept = redis.call('HMGET', key, 'open_until', 'probe_until')
  if not kept[1] then return 0 end
  if now < tonumber(kept[1]) or now < tonumber(kept[2]) then return 2 end
  return 1
end
