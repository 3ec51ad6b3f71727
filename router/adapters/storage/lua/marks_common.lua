-- What tells one log from another that has the same numbers: the store's epoch, and the event.
local function epoch(key, new)
  redis.call('SET', key, new, 'NX')
  return redis.call('GET', key)
end

-- Number of the newest event there was, also where it has been trimmed.
local function last_number(events)
  if redis.call('EXISTS', events) == 0 then return 0 end
  local told = redis.call('XINFO', 'STREAM', events)
  for i = 1, #told, 2 do
    if told[i] == 'last-generated-id' then return tonumber(told[i + 1]:match('%d+$')) end
  end
  return 0
end

-- '' beyond the end of the log; no digest for an event that is not kept.
local function mark(events, era, number)
  if number > last_number(events) then return '' end
  local id = string.format('0-%.0f', number)
  local entry = redis.call('XRANGE', events, id, id)[1]
  return era .. ':' .. (entry and redis.sha1hex(table.concat(entry[2], '\0')):sub(1, 16) or '')
end
