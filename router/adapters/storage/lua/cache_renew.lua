-- KEYS claims. ARGV: ttl_s, their owners. What is another's is left as it is.
for i, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[i + 1] then redis.call('EXPIRE', key, ARGV[1]) end
end
return 1
