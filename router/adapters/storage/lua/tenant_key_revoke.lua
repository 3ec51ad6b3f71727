-- ARGV: name, beginning of a key's hash. Answers nothing where there is no such tenant, {hash, facts}
-- of the key that stopped, or {how many begin so} where it is not one.
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 then return nil end
local found = {}
for _, hash in ipairs(keys_of(ARGV[1])) do
  if string.sub(hash, 1, #ARGV[2]) == ARGV[2] then found[#found + 1] = hash end
end
if #found ~= 1 then return {#found} end
local hash = found[1]
local facts = redis.call('HGET', KEYS[4], hash) or ''
drop_key(hash)
if redis.call('HGET', KEYS[3], ARGV[1]) == hash then redis.call('HDEL', KEYS[3], ARGV[1]) end
return {hash, facts}
