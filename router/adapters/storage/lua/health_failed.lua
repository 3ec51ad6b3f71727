-- KEYS[1] deployment. ARGV: failures, cooldown_ms, max_cooldown_ms, max_retry_after_ms, retry_after_ms or -1.
local limit, cooldown = tonumber(ARGV[1]), tonumber(ARGV[2])
local longest, asked = tonumber(ARGV[3]), math.min(tonumber(ARGV[5]), tonumber(ARGV[4]))
local now = now_ms()
local kept = redis.call('HMGET', KEYS[1], 'open_until', 'opened')
local until_ms, opened = tonumber(kept[1] or '0'), tonumber(kept[2] or '0')
local failures = redis.call('HINCRBY', KEYS[1], 'failures', 1)
local wait = 0
if now >= until_ms and (opened > 0 or failures >= limit or asked >= 0) then
  -- A failed probe, too many in a row, or told so: open, each time for twice as long.
  wait = math.min(cooldown * 2 ^ math.min(opened, 30), longest)
  opened = opened + 1
end
wait = math.max(wait, asked)
if wait > 0 then
  until_ms = math.max(until_ms, now + wait)
  redis.call('HSET', KEYS[1], 'open_until', string.format('%.0f', until_ms),
    'probe_until', '0', 'opened', string.format('%.0f', opened))
end
-- A deployment that nobody calls any more is forgotten.
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.max(until_ms - now, 0) + 10 * longest))
return 1
