-- KEYS: none. ARGV: sections. Answers '' where this user may not ask.
local told = redis.pcall('INFO', unpack(ARGV))
return type(told) == 'table' and told.err and '' or told
