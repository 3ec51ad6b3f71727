-- KEYS: latest, snapshots. Answers {version, position, payload} or nothing.
local version = redis.call('GET', KEYS[1])
if not version then return false end
local kept = redis.call('HMGET', KEYS[2], version .. ':position', version .. ':payload')
return {version, kept[1], kept[2]}
