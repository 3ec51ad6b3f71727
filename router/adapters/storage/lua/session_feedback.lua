-- Credits all decisions of a session or none. KEYS[1] the session's decisions, KEYS[4] decisions
-- without feedback, then the decisions that the caller found in the list.
-- ARGV: bound, tenant, until_ms or 0 for no end, now_ms, window_ms, value, event, is a correction,
-- ttl_s, ids of the decisions. Answers a status and how many are credited.
local OTHERS, WORDS = 4, 9
local kept = redis.call('LRANGE', KEYS[1], 0, -1)
local told, most = kept[1], #KEYS - OTHERS
if not told then return {'unknown', 0} end
if told == ARGV[6] then return {'same', #kept - 1} end
if told ~= '' and ARGV[8] ~= '1' then return {'conflict', #kept - 1} end
if told ~= '' and most ~= #kept - 1 then return {'moved', 0} end

local listed = {}
for i = 2, #kept do listed[kept[i]] = true end
local is_late, newest, credited = false, 0, {}
for i = 1, most do
  local id, key = ARGV[WORDS + i], KEYS[OTHERS + i]
  local facts = redis.call('HMGET', key, 'created_ms', 'feedback', 'defaulted', 'unanswered',
    'credit', 'share', 'tenant')
  local made = tonumber(facts[1] or '0')
  if told ~= '' then
    -- The decisions are those that were credited, less what has feedback of its own since.
    if not listed[id] then return {'moved', 0} end
    newest = math.max(newest, made)
    if facts[5] then
      credited[#credited + 1] = {id, key, {'id', id, 'weight', facts[6], 'was', facts[5]}, facts[6]}
    end
  elseif listed[id] and facts[7] == ARGV[2] and not (facts[2] or facts[4])
    and (ARGV[3] == '0' or made <= tonumber(ARGV[3])) then
    if facts[3] or ARGV[4] - made > tonumber(ARGV[5]) then
      is_late = true
    else
      credited[#credited + 1] = {id, key}
    end
  end
end
if told ~= '' then
  if ARGV[4] - newest > tonumber(ARGV[5]) then return {'late', 0} end
elseif #credited == 0 then
  return {is_late and 'late' or 'new', 0}
end
if full() then return {'full', 0} end

local share = string.format('%.17g', 1 / #credited)
for _, one in ipairs(credited) do
  local id, key, more = one[1], one[2], one[3] or {'id', one[1], 'weight', share}
  append('feedback', ARGV[7], more, key)
  redis.call('HSET', key, 'credit', ARGV[6], 'share', one[4] or share)
  redis.call('ZREM', KEYS[4], id)
end
if told ~= '' then
  redis.call('LSET', KEYS[1], 0, ARGV[6])
  return {'new', #kept - 1}
end
redis.call('DEL', KEYS[1])
redis.call('RPUSH', KEYS[1], ARGV[6])
for _, one in ipairs(credited) do redis.call('RPUSH', KEYS[1], one[1]) end
redis.call('EXPIRE', KEYS[1], ARGV[9])
return {'new', #credited}
