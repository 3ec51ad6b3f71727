"""Small helpers for asyncio and text that know nothing of routing."""
