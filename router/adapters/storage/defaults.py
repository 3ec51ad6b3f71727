"""What silence stands for, told when the join window of a decision has closed."""

from __future__ import annotations

import asyncio

from router.adapters.storage.client import Client
from router.adapters.storage.codec import encode
from router.adapters.storage.keys import Keys
from router.adapters.storage.scripts import load
from router.adapters.storage.settings import StorageSettings
from router.domain import MS_PER_S
from router.domain.events import FeedbackGiven
from router.ports import Clock

_DEFAULTED = load("events_common", "decision_defaulted")


class RedisDefaults:
    """Implements `router.ports.learning_log.Defaults`."""

    def __init__(self, client: Client, keys: Keys, clock: Clock, settings: StorageSettings) -> None:
        self._client = client
        self._keys = keys
        self._clock = clock
        self._quality = settings.default_quality
        self._bound = settings.max_events
        self._window_ms = int(settings.join_window_s * MS_PER_S)

    async def tell(self, most: int) -> int:
        if self._quality is None:
            return 0
        now_ms = int(self._clock() * MS_PER_S)
        closed = f"({now_ms - self._window_ms}"
        command = ("ZRANGEBYSCORE", self._keys.waiting, "-inf", closed, "LIMIT", 0, most)
        ids = [found.decode() for found in await self._client.call(*command)]
        told = await asyncio.gather(*(self._tell(i, self._quality, now_ms) for i in ids))
        return sum(told)

    async def _tell(self, decision_id: str, quality: float, now_ms: int) -> bool:
        event = encode(FeedbackGiven(decision_id, quality, now_ms, by_default=True))
        keys = self._keys.of_change(decision_id)
        status = await self._client.script(_DEFAULTED, keys, self._bound, decision_id, event)
        return bool(status == b"new")
