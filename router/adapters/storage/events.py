"""The learner's side of the event stream, and commands to policies as events of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias

from router.adapters.storage.client import Client, load
from router.adapters.storage.codec import encode, read_change, read_decision, read_event
from router.adapters.storage.keys import Keys
from router.domain import MS_PER_S
from router.domain.errors import Overloaded, StorageCorrupt
from router.domain.events import Event, PolicyChanged, PolicyCommand, number_of
from router.domain.records import DecisionRecord
from router.ports import Clock

KEPT: Final = 100
_log = logging.getLogger(__name__)
NewEpoch: TypeAlias = Callable[[], str]
"""Makes a random name for a log."""
_LEARNED = load("marks_common", "events_learned")
_MARKS = load("marks_common", "events_marks")
_RENEW = load("marks_common", "events_renew")
_COMMAND = load("events_common", "policy_command")
_CHANGED = load("policy_changed")


class RedisEventLog:
    """Implements `router.ports.learning_log.EventLog`.

    Positions are stream ids `0-N`, N counting up by 1.
    An event that can't be decoded is passed over with a warning, so that it stalls nobody.
    """

    def __init__(self, client: Client, keys: Keys, keep: int, epochs: NewEpoch) -> None:
        """Events stay when learned, at least `keep`, to be exported, evaluated and explained."""
        self._client = client
        self._keys = keys
        self._keep = keep
        self._epochs = epochs
        self._warned = 0

    async def read(self, after: str, max_events: int, wait_ms: int) -> Sequence[tuple[str, Event]]:
        while True:
            entries = await self._entries(after, max_events, wait_ms)
            events = [(i.decode(), event) for i, f in entries if (event := self._decode(i, f))]
            if events or not entries:
                return events
            after = entries[-1][0].decode()

    async def records(self, decision_ids: Sequence[str]) -> Sequence[DecisionRecord | None]:
        found = await self._client.call_many(
            ("HGETALL", self._keys.decision(i)) for i in decision_ids
        )
        return [_record_or_none(fields) for fields in found]

    async def position_of(self, decision_id: str) -> str | None:
        """None as well for one beyond the end: the event is lost."""
        found, newest = await self._client.call_many(
            [
                ("HGET", self._keys.decision(decision_id), "position"),
                ("XREVRANGE", self._keys.events, "+", "-", "COUNT", 1),
            ]
        )
        if not found or not newest or number_of(found.decode()) > number_of(newest[0][0].decode()):
            return None
        position: str = found.decode()
        return position

    async def marks(self, positions: Sequence[str]) -> Sequence[str]:
        keys, numbers = [self._keys.events, self._keys.epoch], map(number_of, positions)
        found = await self._client.script(_MARKS, keys, self._epochs(), *numbers)
        return [mark.decode() for mark in found]

    async def renew(self, position: str, fence: int) -> bool:
        keys = self._keys
        places = [keys.events, keys.epoch, keys.learned, keys.policy_changes, keys.fence]
        facts = (self._epochs(), number_of(position), fence)
        return bool(await self._client.script(_RENEW, places, *facts))

    async def end(self) -> str | None:
        newest = await self._client.call("XREVRANGE", self._keys.events, "+", "-", "COUNT", 1)
        return newest[0][0].decode() if newest else None

    async def trim(self, position: str) -> None:
        keys = [self._keys.events, self._keys.learned, self._keys.snapshots]
        await self._client.script(_LEARNED, keys, number_of(position), self._keep)

    async def backlog(self, after: str) -> int:
        events = self._keys.events
        length, newest = await self._client.call_many(
            [("XLEN", events), ("XREVRANGE", events, "+", "-", "COUNT", 1)]
        )
        if not newest:
            return 0
        behind = number_of(newest[0][0].decode()) - number_of(after)
        # Nothing of this log was learned by who stands beyond its end.
        return int(length) if behind < 0 else min(int(length), behind)

    async def _entries(self, after: str, max_events: int, wait_ms: int) -> list[Any]:
        block = ("BLOCK", wait_ms) if wait_ms > 0 else ()
        source = ("STREAMS", self._keys.events, f"0-{number_of(after)}")
        reply = await self._client.wait(("XREAD", "COUNT", max_events, *block, *source), wait_ms)
        return reply[0][1] if reply else []

    def _decode(self, position: bytes, fields: list[bytes]) -> Event | None:
        named = dict(zip(fields[::2], fields[1::2], strict=False))
        try:
            return read_event(named)
        except StorageCorrupt as error:
            number = number_of(position.decode())
            if number > self._warned:
                self._warned = number
                _log.warning("event 0-%d is passed over: %s", number, error.message)
            return None


def _record_or_none(fields: Sequence[bytes]) -> DecisionRecord | None:
    try:
        return read_decision(fields)[1]
    except StorageCorrupt as error:
        _log.warning("a decision is passed over: %s", error.message)
        return None


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
