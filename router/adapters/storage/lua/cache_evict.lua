-- KEYS: answer, wordings. Another wording of the prompt is answered anew.
return redis.call('DEL', KEYS[1], KEYS[2])
