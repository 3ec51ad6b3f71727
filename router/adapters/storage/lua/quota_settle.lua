-- KEYS[2] reservation. ARGV: now_ms, day, month, tokens, cost, was anything held, ttl_ms.
-- Answers {1, left...}.
local usage = read_usage()
fill(usage, 'requests', tonumber(ARGV[1]))
fill(usage, 'tokens', tonumber(ARGV[1]))
turn_calendar(usage, tonumber(ARGV[2]), tonumber(ARGV[3]))
local kept = redis.call('HMGET', KEYS[2], 'tokens', 'cost', 'day', 'month', 'settled')
if kept[5] then return left(usage) end
redis.call('HSET', KEYS[2], 'settled', 1)
-- A reservation that is still on its way takes nothing where it finds this.
if not kept[1] then redis.call('PEXPIRE', KEYS[2], ARGV[7]) end
if ARGV[6] ~= '1' then kept = {ARGV[4], 0, usage.day, usage.month} end
if not kept[1] then return left(usage) end

if usage.max_tokens > 0 then
  usage.tokens = math.min(usage.max_tokens, usage.tokens + kept[1] - ARGV[4])
end
local more = ARGV[5] - kept[2]
-- A day that is over is closed: nothing is given back to it, and what it lacked counts today.
local function charge(spent, same) return math.max(0, spent + (same and more or math.max(0, more))) end
usage.daily = charge(usage.daily, tonumber(kept[3]) == usage.day)
usage.monthly = charge(usage.monthly, tonumber(kept[4]) == usage.month)
write_usage(usage)
return left(usage)
