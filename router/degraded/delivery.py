"""Brings what was spooled to the store once it is back, in order and once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import structlog

from router.degraded.continuity import Continuity
from router.degraded.decisions import RecentDecisions
from router.degraded.entries import (
    AnyEntry,
    SpooledAnswer,
    SpooledAudit,
    SpooledDecision,
    SpooledEvidence,
    SpooledFeedback,
    SpooledOutcome,
    SpooledReask,
    SpooledReservation,
    SpooledSessionFeedback,
    SpooledUsage,
    SpoolProbe,
    decode_entry,
    kind_of,
)
from router.degraded.stores import Store
from router.domain import MS_PER_S
from router.domain.errors import Overloaded, RouterError, StorageUnavailable
from router.domain.tenants import Tenant
from router.ports.observer import Observer
from router.ports.spool import Spool, SpoolPage
from router.runtime.loops import finished_step, wait

POLL_S: Final = 0.25
ADOPT_S: Final = 5.0
PAGE: Final = 128
"""Entries that are sent together: as many as one pipeline of the store takes."""
MINUTE_MS: Final = 60_000
DELIVERED: Final = "delivered"


class SpoolDelivery:
    """Delivers at least once; every write is known by its id, so that it counts once."""

    def __init__(
        self,
        spool: Spool,
        store: Store,
        continuity: Continuity,
        recent: RecentDecisions,
        observer: Observer,
    ) -> None:
        self._spool = spool
        self._store = store
        self._continuity = continuity
        self._recent = recent
        self._observer = observer
        self._log = structlog.get_logger("spool")
        self._looked_s = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop`, and what is there then once more."""
        while not stop.is_set():
            await self.step()
            await wait(stop, POLL_S)
        await self.step()

    async def step(self) -> None:
        try:
            await self._step()
        except StorageUnavailable:
            self._observer.degraded("spool")
        state, now_ms = self._continuity.state, self._continuity.now_ms
        age_ms = now_ms - state.oldest_ms if state.oldest_ms else 0
        self._observer.spool(state.entries, state.size_bytes, max(0, age_ms) / MS_PER_S)

    async def adopt(self) -> None:
        """Take over what ended processes left, and know their decisions."""
        self._looked_s = asyncio.get_running_loop().time()
        while (page := await self._spool.adopt()) is not None:
            for body in page.entries:
                entry = _decoded(body)
                if entry is not None:
                    self._continuity.adopted(entry, len(body))
                    self._remember(entry)

    def _remember(self, entry: AnyEntry) -> None:
        if isinstance(entry, SpooledDecision | SpooledOutcome):
            self._recent.remember(entry.record)
        elif isinstance(entry, SpooledFeedback):
            self._recent.note_feedback(entry.decision_id, entry.report.value)
        elif isinstance(entry, SpooledSessionFeedback):
            self._recent.note_session_feedback(entry.session_id, entry.report.value)

    async def _step(self) -> None:
        if asyncio.get_running_loop().time() > self._looked_s + ADOPT_S:
            await self.adopt()
            if self._continuity.disk_refuses:
                await self._continuity.write(SpoolProbe(at_ms=self._continuity.now_ms, tenant=""))
        began = self._continuity.state.entries
        if began:
            await self._deliver_all()
        left = self._continuity.state.entries
        if began > left:
            self._log.info("spool_delivered", entries=began - left, left=left)

    async def _deliver_all(self) -> None:
        while not self._continuity.is_away:
            page = await self._spool.oldest(PAGE)
            if page is None or not await self._deliver_page(page):
                return
            finished_step()

    async def _deliver_page(self, page: SpoolPage) -> bool:
        """False when the store could not take all of it."""
        entries = [_decoded(body) for body in page.entries]
        for start, end in _waves(entries):
            wave = entries[start:end]
            if not await self._deliver_wave(wave):
                return False
            await self._spool.delivered(page, end)
            for entry, body in zip(wave, page.entries[start:end], strict=True):
                if entry is not None:
                    self._continuity.delivered(entry, len(body))
        return True

    async def _deliver_wave(self, wave: Sequence[AnyEntry | None]) -> bool:
        """Nothing of a wave is forgotten before all of it is in the store."""
        told = await asyncio.gather(*map(self._deliver, wave), return_exceptions=True)
        results = [_result(found) for found in told]
        if None in results:
            return False
        for entry, result in zip(wave, results, strict=True):
            self._observer.unspooled(kind_of(entry) if entry else "unreadable", str(result))
            if entry is None or result != DELIVERED:
                self._log.warning("spool_refused", reason=result if entry else "unreadable")
        return True

    async def _deliver(self, entry: AnyEntry | None) -> None:
        store, ask = self._store, self._continuity.ask
        match entry:
            case SpooledDecision(record=record):
                await ask(lambda: store.decisions.record(record))
            case SpooledOutcome(record=record, report=outcome):
                await ask(lambda: store.decisions.settle(record, outcome))
            case SpooledFeedback(tenant=tenant, decision_id=told, report=report, at_ms=at_ms):
                await ask(lambda: store.decisions.feedback(tenant, told, report, at_ms))
            case SpooledSessionFeedback(tenant=tenant, session_id=told, report=report, at_ms=at_ms):
                await ask(lambda: store.decisions.session_feedback(tenant, told, report, at_ms))
            case SpooledReask(decision_id=told, similarity=similarity, likeness=likeness):
                await ask(lambda: store.decisions.reasked(told, similarity, likeness))
            case SpooledAudit() | SpooledEvidence():
                await ask(lambda: _checked(store, entry))
            case SpooledReservation(tenant=tenant, reservation=held):
                await ask(lambda: store.quota.reserve(Tenant(tenant), held, admitted=True))
            case SpooledUsage(reservation=held, cost_usd=cost_usd):
                tokens = self._tokens_of(entry)
                await ask(lambda: store.quota.settle(held, tokens, cost_usd))
            case SpooledAnswer(key=key, payload=payload, ttl_s=ttl_s, fingerprint=print_):
                await ask(lambda: store.idempotency.finish(key, payload, ttl_s, print_))
            case _:
                return  # a probe of the disk, or what cannot be read

    def _tokens_of(self, used: SpooledUsage) -> int:
        """Tokens of a minute that is over are held against no later one."""
        return used.tokens if self._continuity.now_ms - used.at_ms < MINUTE_MS else 0


async def _checked(store: Store, entry: SpooledAudit | SpooledEvidence) -> None:
    """Write what was found out about answers off their callers' path."""
    if isinstance(entry, SpooledAudit):
        await store.decisions.audited(entry.audit)
    else:
        await store.decisions.evidence(entry.bought)


def _result(found: BaseException | None) -> str | None:
    """None where it is to be tried again."""
    if found is None:
        return DELIVERED
    if isinstance(found, Overloaded):
        return None
    if isinstance(found, StorageUnavailable) and not found.is_refused:
        return None
    if not isinstance(found, Exception):
        raise found
    return found.reason.lower() if isinstance(found, RouterError) else "internal"


def _decoded(body: bytes) -> AnyEntry | None:
    """None for what is damaged or of another version."""
    try:
        return decode_entry(body)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
        return None


def _waves(entries: Sequence[AnyEntry | None]) -> Iterator[tuple[int, int]]:
    """Yields start and end of runs in which no entry has to wait for another."""
    start, seen, was_alone = 0, set[str](), False
    for index, entry in enumerate(entries):
        order, is_alone = (entry.order, entry.is_alone) if entry else ("", False)
        if index > start and ((order and order in seen) or is_alone or was_alone):
            yield start, index
            start, seen = index, set()
        seen.add(order)
        was_alone = is_alone
    if entries:
        yield start, len(entries)
