-- KEYS: events, epoch. ARGV: epoch of a store that has none yet, numbers of events.
local era = epoch(KEYS[2], ARGV[1])
local marks = {}
for i = 2, #ARGV do marks[i - 1] = mark(KEYS[1], era, tonumber(ARGV[i])) end
return marks
