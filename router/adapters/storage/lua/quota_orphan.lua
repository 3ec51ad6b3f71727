-- KEYS[2] reservation, [3] leases. ARGV: member of the leases, ms since its lease lapsed, the
-- longest lease in ms, ms it is known for. Answers {reserved, charged, age_ms}, or nothing where it was nobody's orphan.
local now = server_ms()
local lapsed = redis.call('ZSCORE', KEYS[3], ARGV[1])
if not lapsed then return {} end
-- A lease longer than any was made by a server whose clock was ahead.
if lapsed + ARGV[2] > now and tonumber(lapsed) <= now + ARGV[3] then return {} end
redis.call('ZREM', KEYS[3], ARGV[1])
local usage = read_usage(now, calendar(now))
local kept, settled = read_reservation()
if not kept then return {} end
reserve_cost(usage, kept, -kept.cost)
if settled then
  redis.call('DEL', KEYS[2])
  write_usage(usage)
  return {}
end
local charged = math.min(kept.expected, kept.cost)
charge(usage, kept, charged)
write_usage(usage)
-- Who comes to life again corrects it.
redis.call('HSET', KEYS[2], 'cost', string.format('%.17g', charged), 'orphaned', 1)
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return {kept.cost, charged, math.max(0, now - kept.at)}
