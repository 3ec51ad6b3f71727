-- KEYS: usage, ids settled lately, leases, then reservations that nobody renews. ARGV: the member of
-- the leases of each.
for i, member in ipairs(ARGV) do
  redis.call('DEL', KEYS[3 + i])
  redis.call('ZREM', KEYS[3], member)
end
redis.call('DEL', KEYS[1], KEYS[2])
return 1
