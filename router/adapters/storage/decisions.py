"""Decisions by id, and the events they cause, each change one atomic step."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from router.adapters.storage.client import Client, Script, Word, load
from router.adapters.storage.codec import encode, encode_report, pack_record, read_decision
from router.adapters.storage.keys import Keys
from router.adapters.storage.settings import GRACE_S, StorageSettings
from router.domain import MS_PER_S
from router.domain.errors import (
    OutcomeConflict,
    Overloaded,
    conflicting_feedback,
    late_feedback,
    no_decision,
)
from router.domain.events import Audited, EvidenceBought, FeedbackGiven, Reasked
from router.domain.records import (
    MOST_OF_SESSION,
    DecisionRecord,
    FeedbackReceipt,
    FeedbackReport,
    OutcomeReport,
)
from router.ports import Clock

_RECORD = load("events_common", "decision_record")
_SETTLE = load("events_common", "decision_settle")
_FEEDBACK = load("events_common", "decision_feedback")
_SESSION = load("events_common", "session_feedback")
_REASKED = load("events_common", "decision_reasked")
_AUDITED = load("events_common", "decision_audited")
_EVIDENCE = load("events_common", "decision_evidence")
_DEFAULTED = load("events_common", "decision_defaulted")


MOST_TRIES: Final = 8


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
        self._keep_session_s = int(settings.join_window_s + GRACE_S)

    async def record(self, record: DecisionRecord) -> None:
        # Where nothing was chosen, as in loops of tools, attempts still tell what is charged.
        has_calls = bool(record.attempts) or not record.settled
        learnable = 1 if record.choice is not None else 2 * has_calls
        facts: tuple[Word, ...] = (
            record.tenant,
            record.created_ms,
            pack_record(record),
            learnable,
            record.settled + 0,
            record.id if self._default else "",
        )
        keys = self._keys.of_change(record.id)
        if record.session_id:
            keys.append(self._keys.session_decisions(record.session_id))
            facts += (
                record.id if record.is_credited else "",
                MOST_OF_SESSION,
                self._keep_session_s,
            )
        await self._client.script(_RECORD, keys, self._bound, self._keep_s, *facts)

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
            raise no_decision("decision", is_foreign=record is not None)
        return record

    async def settle(self, record: DecisionRecord, report: OutcomeReport) -> bool:
        """Raises DecisionNotFound besides, for a decision that has expired."""
        told = pack_record(record), encode_report(report)
        facts = (record.tenant, *told, record.answered + 0)
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
        _check(status, "decision")
        return status == b"new"

    async def session_feedback(
        self, tenant: str, session_id: str, report: FeedbackReport, at_ms: int | None = None
    ) -> FeedbackReceipt:
        value = abs(report.value)
        now_ms = int(self._clock() * MS_PER_S) if at_ms is None else at_ms
        event = encode(FeedbackGiven("", value, now_ms, session_share=1.0))
        facts = (
            *(tenant, at_ms or 0, now_ms, self._window_ms),
            *(repr(value), event, report.correction + 0, self._keep_session_s),
        )
        for _ in range(MOST_TRIES):
            status, decisions = await self._credit(session_id, facts)
            if status != b"moved":
                break
        else:
            raise Overloaded("others report on this session at this moment: try again")
        _check(status, "session")
        return FeedbackReceipt(status == b"same", decisions)

    async def _credit(self, session_id: str, facts: tuple[Word, ...]) -> tuple[bytes, int]:
        """The keys of a script are named before it runs: it tells where the list has changed."""
        listed = self._keys.session_decisions(session_id)
        found = await self._client.call("LRANGE", listed, 1, -1)
        ids = [name.decode() for name in found]
        keys = [listed, *self._keys.of_change("")[1:], *map(self._keys.decision, ids)]
        status, decisions = await self._client.script(_SESSION, keys, self._bound, *facts, *ids)
        return status, decisions

    async def reasked(self, decision_id: str, similarity: float, likeness: float) -> None:
        event = Reasked(decision_id, similarity, int(self._clock() * MS_PER_S), likeness)
        await self._change(_REASKED, decision_id, encode(event))

    async def audited(self, audit: Audited) -> None:
        noted = replace(audit, at_ms=audit.at_ms or int(self._clock() * MS_PER_S))
        await self._change(_AUDITED, audit.decision_id, encode(noted))

    async def evidence(self, bought: EvidenceBought) -> None:
        noted = replace(bought, at_ms=bought.at_ms or int(self._clock() * MS_PER_S))
        await self._change(_EVIDENCE, bought.decision_id, encode(noted))

    async def _change(self, script: Script, decision_id: str, *args: Word) -> bytes:
        keys = self._keys.of_change(decision_id)
        status: bytes = await self._client.script(script, keys, self._bound, *args)
        if status in (b"full", b"unknown", b"foreign"):
            _check(status, "decision")
        return status


def _check(status: bytes, what: str) -> None:
    """Raises what a script's status stands for. what: it is about."""
    if status == b"full":
        raise Overloaded("too many events wait to be learned: try again later")
    if status in (b"unknown", b"foreign"):
        raise no_decision(what, is_foreign=status == b"foreign")
    if status == b"conflict":
        raise conflicting_feedback(what)
    if status == b"late":
        raise late_feedback(what)


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
