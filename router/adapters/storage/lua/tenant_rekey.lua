-- ARGV: name, new key hash or '' for none, facts. Answers 1 more than the keys that stopped.
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 then return 0 end
local stopped = drop_keys(ARGV[1])
if ARGV[2] ~= '' then
  add_key(ARGV[1], ARGV[2], ARGV[3])
  redis.call('HSET', KEYS[3], ARGV[1], ARGV[2])
end
return 1 + stopped
