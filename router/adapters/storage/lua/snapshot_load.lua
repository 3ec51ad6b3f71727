-- KEYS: latest, snapshots. ARGV: version, "" for the newest.
-- Answers {version, position, payload, mark}.
local version = ARGV[1] ~= '' and ARGV[1] or redis.call('GET', KEYS[1])
if not version then return false end
local kept = redis.call('HMGET', KEYS[2], version .. ':position', version .. ':payload',
  version .. ':mark')
if not kept[1] or not kept[2] then return false end
return {version, kept[1], kept[2], kept[3] or ''}
