-- KEYS: words that wait, terms of the cluster. ARGV: bit of the prompt's group, groups that a word must come from,
-- terms and waiting words at most, ttl_s; then hash and word in turn.
-- A word that waits is known by its hash alone. Bits tell groups of prompts, so that one prompt counts once.
local function ones(mask)
  local count = 0
  while mask ~= 0 do
    count = count + 1
    mask = bit.band(mask, mask - 1)
  end
  return count
end

local own, least = bit.lshift(1, tonumber(ARGV[1])), tonumber(ARGV[2])
local most_terms, most_waiting = tonumber(ARGV[3]), tonumber(ARGV[4])
for i = 6, #ARGV, 2 do
  local hash, word = ARGV[i], ARGV[i + 1]
  if redis.call('ZSCORE', KEYS[2], word) then
    redis.call('ZINCRBY', KEYS[2], 1, word)
  else
    local before = redis.call('HGET', KEYS[1], hash)
    local mask = bit.bor(tonumber(before or '0'), own)
    local groups = ones(mask)
    if groups >= least then
      redis.call('HDEL', KEYS[1], hash)
      if redis.call('ZCARD', KEYS[2]) >= most_terms then redis.call('ZPOPMIN', KEYS[2]) end
      redis.call('ZADD', KEYS[2], groups, word)
    else
      if not before and redis.call('HLEN', KEYS[1]) >= most_waiting then
        redis.call('HDEL', KEYS[1], redis.call('HRANDFIELD', KEYS[1]))
      end
      redis.call('HSET', KEYS[1], hash, mask)
    end
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('EXPIRE', KEYS[2], ARGV[5])
return 1
