-- KEYS claims. ARGV: ttl_s, their owners. What is done, or another's, is left as it is.
for i, key in ipairs(KEYS) do
  local kept = redis.call('HMGET', key, 'owner', 'done')
  if kept[1] == ARGV[i + 1] and not kept[2] then redis.call('EXPIRE', key, ARGV[1]) end
end
return 1
