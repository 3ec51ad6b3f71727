-- KEYS[1] deployment. A call that began before the circuit opened does not close it.
local until_ms = redis.call('HGET', KEYS[1], 'open_until')
if not until_ms or now_ms() >= tonumber(until_ms) then redis.call('DEL', KEYS[1]) end
return 1
