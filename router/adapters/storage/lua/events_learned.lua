-- KEYS: events, how far they are learned, snapshots. ARGV: number learned, how many learned ones
-- are kept. A learner may have to go on from the oldest snapshot: what came after it stays, and the
-- event it ended with, which tells this log from another.
local last = last_number(KEYS[1])
local learned = math.min(last, math.max(tonumber(ARGV[1]), tonumber(redis.call('GET', KEYS[2]) or '0')))
redis.call('SET', KEYS[2], string.format('%.0f', learned))
local first = math.max(0, learned - ARGV[2]) + 1
for _, field in ipairs(redis.call('HKEYS', KEYS[3])) do
  if field:match(':position$') then
    first = math.min(first, tonumber(redis.call('HGET', KEYS[3], field):match('%d+$')))
  end
end
redis.call('XTRIM', KEYS[1], 'MINID', string.format('0-%.0f', first))
