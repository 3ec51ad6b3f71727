-- KEYS[1] claim. What is done stays done.
if redis.call('HEXISTS', KEYS[1], 'done') == 1 then return 0 end
return redis.call('DEL', KEYS[1])
