-- KEYS[1] deployment. ARGV: probe_ms. Answers 1 when the caller may call.
local now = now_ms()
local current = state(KEYS[1], now)
if current == 1 then
  redis.call('HSET', KEYS[1], 'probe_until', string.format('%.0f', now + ARGV[1]))
end
return current == 2 and 0 or 1
