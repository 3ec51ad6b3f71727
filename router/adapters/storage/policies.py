"""Commands to policies and what came of them, as events of the one stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from router.adapters.storage.client import Client
from router.adapters.storage.codec import encode
from router.adapters.storage.keys import Keys
from router.adapters.storage.scripts import load
from router.adapters.storage.wire import number_of, read_change
from router.domain import MS_PER_S
from router.domain.errors import Overloaded
from router.domain.events import PolicyChanged, PolicyCommand
from router.ports import Clock

KEPT: Final = 100
_COMMAND = load("events_common", "policy_command")
_CHANGED = load("policy_changed")


class RedisPolicyLog:
    """Implements `router.ports.learning_log.PolicyLog`. The newest `KEPT` changes stay listed."""

    def __init__(self, client: Client, keys: Keys, clock: Clock, bound: int) -> None:
        self._client = client
        self._keys = keys
        self._clock = clock
        self._bound = bound

    async def command(self, command: PolicyCommand) -> str:
        keys = [self._keys.policy_changes, self._keys.events, self._keys.learned]
        event = encode(replace(command, at_ms=self._now_ms()))
        position: bytes = await self._client.script(_COMMAND, keys, self._bound, event)
        if position == b"full":
            raise Overloaded("too many events wait to be learned: try again later")
        return position.decode()

    async def changed(self, change: PolicyChanged, fence: int) -> bool:
        keys = [self._keys.policy_changes, self._keys.events, self._keys.fence]
        facts = (number_of(change.cause), encode(replace(change, at_ms=self._now_ms())))
        return bool(await self._client.script(_CHANGED, keys, *facts, fence, KEPT))

    async def changes(self) -> Sequence[PolicyChanged]:
        found = await self._client.call("ZREVRANGE", self._keys.policy_changes, 0, -1)
        return [read_change(body) for body in found]

    def _now_ms(self) -> int:
        return int(self._clock() * MS_PER_S)
