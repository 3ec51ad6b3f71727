"""Every decision on record, for commands that look at all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from router.adapters.storage.client import Client
from router.adapters.storage.events import RedisEventLog
from router.adapters.storage.keys import Keys
from router.domain.records import DecisionRecord

BATCH: Final = 500
_SPECIAL: Final = str.maketrans({c: f"\\{c}" for c in "\\*?[]^-"})


class RedisKeptDecisions:
    """Implements `router.ports.learning_log.KeptDecisions` without holding the server."""

    def __init__(self, client: Client, keys: Keys, events: RedisEventLog) -> None:
        self._client = client
        self._prefix = keys.decision("")
        self._events = events

    async def each(self, most: int) -> AsyncIterator[DecisionRecord]:
        """A decision that can't be read is passed over. SCAN may name a key twice."""
        pattern, cursor, seen = f"{self._prefix.translate(_SPECIAL)}*", b"0", set[str]()
        while True:
            cursor, keys = await self._client.call(
                "SCAN", cursor, "MATCH", pattern, "COUNT", BATCH, "TYPE", "hash"
            )
            ids = [key.decode(errors="replace")[len(self._prefix) :] for key in keys]
            fresh = [i for i in dict.fromkeys(ids) if i not in seen][: most - len(seen)]
            seen.update(fresh)
            for record in await self._events.records(fresh):
                if record is not None:
                    yield record
            if cursor == b"0" or len(seen) >= most:
                return
