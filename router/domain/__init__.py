"""The values the router works on: chats, the catalog, decisions, events, tenants, errors."""

from typing import Final

MS_PER_S: Final = 1_000
