-- KEYS: events, how far they are learned. ARGV: number learned, how many learned ones are kept.
local learned = math.max(tonumber(ARGV[1]), tonumber(redis.call('GET', KEYS[2]) or '0'))
redis.call('SET', KEYS[2], string.format('%d', learned))
redis.call('XTRIM', KEYS[1], 'MINID', string.format('0-%d', math.max(0, learned - ARGV[2]) + 1))
