-- KEYS[2] reservation, [3] leases, [4] ids settled lately. ARGV: id, member of the leases, tokens
-- and cost (-1: as reserved), is it known to be held, ms an id is known for, most ids.
-- Answers {1, left...}.
local id, member = ARGV[1], ARGV[2]
local tokens, cost = tonumber(ARGV[3]), tonumber(ARGV[4])
local now = server_ms()
local gone = redis.call('EXISTS', KEYS[1]) == 0
local usage = read_usage(now, calendar(now))
if redis.call('ZSCORE', KEYS[4], id) then return left(usage) end
local kept, settled = read_reservation()
-- A server that is full refuses a script at its first write that may take memory: not at this one.
local leased = redis.call('ZREM', KEYS[3], member) == 1

-- A reservation that is still on its way takes nothing where it finds this.
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now - ARGV[6])
redis.call('ZADD', KEYS[4], now, id)
redis.call('ZREMRANGEBYRANK', KEYS[4], 0, -1 - ARGV[7])
redis.call('PEXPIRE', KEYS[4], ARGV[6])
redis.call('DEL', KEYS[2])

if leased and kept then
  reserve_cost(usage, kept, -kept.cost)
  usage.hold_ms = (usage.hold_ms > 0 and 0.8 * usage.hold_ms or 0)
    + (usage.hold_ms > 0 and 0.2 or 1) * math.max(0, now - kept.at)
end
if not kept and ARGV[5] ~= '1' then
  kept = {tokens = 0, cost = 0, expected = 0, day = usage.day, month = usage.month}
end
-- Settled by an older router: the amounts are right already.
if kept and not settled then
  if tokens < 0 then tokens = kept.tokens end
  if cost < 0 then cost = kept.cost end
  if usage.max_tokens > 0 then
    usage.tokens = math.min(usage.max_tokens, usage.tokens + kept.tokens - tokens)
  end
  charge(usage, kept, cost)
end
-- Of a tenant that was deleted meanwhile nothing is written again.
if not (leased and gone) then write_usage(usage) end
return left(usage)
