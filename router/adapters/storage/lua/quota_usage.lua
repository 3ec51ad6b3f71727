-- ARGV: max_requests, max_tokens, max_daily, max_monthly. Changes nothing.
-- Answers {daily, monthly, reserved, requests of the day and the month, left...}.
local now = server_ms()
local usage = read_usage(now, calendar(now), ARGV)
local _, requests, tokens, daily, monthly = unpack(left(usage))
return {usage.daily - usage.reserved_daily, usage.monthly - usage.reserved_monthly, usage.reserved,
  usage.let_in_daily, usage.let_in_monthly, requests, tokens, daily, monthly}
