-- KEYS: latest, snapshots. Answers {version, mark}.
local version = redis.call('GET', KEYS[1])
if not version then return {'0', ''} end
return {version, redis.call('HGET', KEYS[2], version .. ':mark') or ''}
