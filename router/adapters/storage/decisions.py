"""Decisions by id, and the events they cause, each change one atomic step."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from router.adapters.storage.client import Client, Script, Word, load
from router.adapters.storage.codec import encode, pack_record, read_decision
from router.adapters.storage.keys import Keys
from router.adapters.storage.settings import StorageSettings
from router.domain import MS_PER_S
from router.domain.errors import (
    DecisionNotFound,
    FeedbackConflict,
    FeedbackTooLate,
    OutcomeConflict,
    Overloaded,
)
from router.domain.events import Audited, FeedbackGiven, Reasked
from router.domain.records import DecisionRecord, FeedbackReport, OutcomeReport
from router.ports import Clock

_RECORD = load("events_common", "decision_record")
_SETTLE = load("events_common", "decision_settle")
_FEEDBACK = load("events_common", "decision_feedback")
_REASKED = load("events_common", "decision_reasked")
_AUDITED = load("events_common", "decision_audited")
_DEFAULTED = load("events_common", "decision_defaulted")


class RedisDecisionLog:
    """Implements `router.ports.learning_log.DecisionLog`."""

    def __init__(self, client: Client, keys: Keys, clock: Clock, settings: StorageSettings) -> None:
        self._client = client
        self._keys = keys
        self._clock = clock
        self._bound = settings.max_events
        self._keep_s = settings.keep_decisions_s
        self._default = settings.default_quality is not None
        self._window_ms = int(settings.join_window_s * MS_PER_S)

    async def record(self, record: DecisionRecord) -> None:
        # Of one that is locked nothing was chosen, but its attempts tell what is charged.
        learnable = 1 if record.choice is not None else 2 * record.locked
        facts = (
            record.tenant,
            record.created_ms,
            pack_record(record),
            learnable,
            record.settled + 0,
            record.id if self._default else "",
        )
        await self._change(_RECORD, record.id, self._keep_s, *facts)

    async def has_room(self) -> bool:
        newest, learned = await self._client.call_many(
            [("XREVRANGE", self._keys.events, "+", "-", "COUNT", 1), ("GET", self._keys.learned)]
        )
        written = int(newest[0][0].rpartition(b"-")[2]) if newest else 0
        return written - int(learned or 0) < self._bound

    async def get(self, tenant: str, decision_id: str) -> DecisionRecord:
        key = self._keys.decision(decision_id)
        owner, record = read_decision(await self._client.call("HGETALL", key))
        if record is None or owner != tenant:
            raise _not_found()
        return record

    async def settle(self, record: DecisionRecord, report: OutcomeReport) -> bool:
        """Raises DecisionNotFound besides, for a decision that has expired."""
        facts = (record.tenant, pack_record(record), encode(report))
        status = await self._change(_SETTLE, record.id, *facts)
        if status == b"conflict":
            raise OutcomeConflict("another outcome is recorded for this decision")
        return status == b"new"

    async def feedback(
        self, tenant: str, decision_id: str, report: FeedbackReport, at_ms: int | None = None
    ) -> bool:
        value = abs(report.value)
        now_ms = int(self._clock() * MS_PER_S) if at_ms is None else at_ms
        event = encode(FeedbackGiven(decision_id, value, now_ms))
        status = await self._change(
            _FEEDBACK,
            decision_id,
            tenant,
            now_ms,
            self._window_ms,
            repr(value),
            event,
            report.correction + 0,
            decision_id,
        )
        if status == b"conflict":
            raise FeedbackConflict(
                "feedback with another value is recorded for this decision: set `correction` to "
                "replace it"
            )
        if status == b"late":
            raise FeedbackTooLate("this decision no longer takes feedback: report sooner")
        return status == b"new"

    async def reasked(self, decision_id: str, similarity: float, likeness: float) -> None:
        event = Reasked(decision_id, similarity, int(self._clock() * MS_PER_S), likeness)
        await self._change(_REASKED, decision_id, encode(event))

    async def audited(self, audit: Audited) -> None:
        noted = replace(audit, at_ms=audit.at_ms or int(self._clock() * MS_PER_S))
        await self._change(_AUDITED, audit.decision_id, encode(noted))

    async def _change(self, script: Script, decision_id: str, *args: Word) -> bytes:
        keys = self._keys.of_change(decision_id)
        status: bytes = await self._client.script(script, keys, self._bound, *args)
        if status == b"full":
            raise Overloaded("too many events wait to be learned: try again later")
        if status == b"unknown":
            raise _not_found()
        return status


def _not_found() -> DecisionNotFound:
    return DecisionNotFound("no decision of yours has this id: it is wrong or has expired")


class RedisDefaults:
    """Implements `router.ports.learning_log.Defaults`, once a join window has closed."""

    def __init__(self, client: Client, keys: Keys, clock: Clock, settings: StorageSettings) -> None:
        self._client = client
        self._keys = keys
        self._clock = clock
        self._quality = settings.default_quality
        self._bound = settings.max_events
        self._window_ms = int(settings.join_window_s * MS_PER_S)

    async def tell(self, most: int) -> int:
        now_ms = int(self._clock() * MS_PER_S)
        closed = f"({now_ms - self._window_ms}"
        if self._quality is None:
            # A default that was declared before leaves nothing behind.
            await self._client.call("ZREMRANGEBYSCORE", self._keys.waiting, "-inf", closed)
            return 0
        command = ("ZRANGEBYSCORE", self._keys.waiting, "-inf", closed, "LIMIT", 0, most)
        ids = [found.decode() for found in await self._client.call(*command)]
        told = await asyncio.gather(*(self._tell(i, self._quality, now_ms) for i in ids))
        return sum(told)

    async def _tell(self, decision_id: str, quality: float, now_ms: int) -> bool:
        event = encode(FeedbackGiven(decision_id, quality, now_ms, by_default=True))
        keys = self._keys.of_change(decision_id)
        status = await self._client.script(_DEFAULTED, keys, self._bound, decision_id, event)
        return bool(status == b"new")
