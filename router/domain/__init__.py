"""The values the router works on: chats, the catalog, decisions, events, tenants, errors."""
