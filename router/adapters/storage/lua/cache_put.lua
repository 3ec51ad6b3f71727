-- KEYS: answer, wordings. ARGV: answer, ttl_s, wording or '', most wordings, bytes of its id.
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
local wording, id = ARGV[3], tonumber(ARGV[5])
if wording == '' then return 1 end
local size, kept = #wording, redis.call('GET', KEYS[2]) or ''
-- Of another size are those of another embedding model: none of them can match any more.
if #kept % size ~= 0 then kept = '' end
local most, others = tonumber(ARGV[4]) - 1, {}
for at = 1, #kept, size do
  if kept:sub(at, at + id - 1) ~= wording:sub(1, id) then
    others[#others + 1] = kept:sub(at, at + size - 1)
  end
end
kept = table.concat(others, '', math.max(1, #others - most + 1))
-- They live as long as the youngest answer.
local ttl_s = math.max(tonumber(ARGV[2]), redis.call('TTL', KEYS[2]))
redis.call('SET', KEYS[2], kept .. wording, 'EX', ttl_s)
return 1
