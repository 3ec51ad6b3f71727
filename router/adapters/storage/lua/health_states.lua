-- KEYS: one per deployment. Answers one state each, in order.
local now = now_ms()
local states = {}
for i, key in ipairs(KEYS) do states[i] = state(key, now) end
return states
