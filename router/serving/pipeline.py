"""A request in, an answer out: reserve, look up, embed, decide, call and judge, record, settle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from router.domain.catalog import Catalog
from router.domain.chat import Delta, deltas_of
from router.domain.errors import (
    AllAttemptsFailed,
    DeadlineTooShort,
    FieldViolation,
    InvalidRequest,
    QuotaExceeded,
    StorageUnavailable,
)
from router.domain.records import CacheStatus, Mode, SessionTurn
from router.domain.requests import Completion, Directive, RouteRequest
from router.domain.tenants import QuotaLeft
from router.ports import Clock, Ids
from router.ports.learning_log import DecisionLog
from router.ports.observer import Observer, Stopwatch
from router.ports.state import Health, HealthBoard
from router.ports.upstream import Embedder
from router.runtime.background import Background
from router.serving.admission import Admission
from router.serving.audits import Auditor
from router.serving.cascade import Cascade
from router.serving.finalize import Finalizer
from router.serving.idempotency import IdempotencyGuard
from router.serving.plan_selection import PlanSelector
from router.serving.rephrase import RephraseDetector, attached, fingerprint
from router.serving.request_state import MS_PER_S, RequestState, open_request
from router.serving.response_cache import Hit, ResponseCache


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """The use cases that choose a plan: `Complete`, `StreamComplete` and `Decide`.

    observe: the arm that serves while the policy only watches; "" for none.
    """

    catalog: Catalog
    selector: PlanSelector
    cascade: Cascade
    auditor: Auditor
    embedder: Embedder
    health: HealthBoard
    admission: Admission
    cache: ResponseCache
    rephrases: RephraseDetector
    idempotency: IdempotencyGuard
    finalizer: Finalizer
    decisions: DecisionLog
    background: Background
    observer: Observer
    stopwatch: Stopwatch
    clock: Clock
    ids: Ids
    observe: str = ""

    async def complete(self, call: RouteRequest) -> Completion:
        items = [item async for item in self.answer(call, Mode.COMPLETE)]
        return next(item for item in items if isinstance(item, Completion))

    def stream(self, call: RouteRequest) -> AsyncGenerator[Delta | Completion]:
        return self.answer(call, Mode.STREAM)

    async def answer(self, call: RouteRequest, mode: Mode) -> AsyncGenerator[Delta | Completion]:
        """Deltas when mode is STREAM, then the Completion."""
        work = self._open(call, mode)
        earlier = await self._earlier(work)
        if earlier is not None:
            for delta in deltas_of(earlier.answer):
                yield delta
            yield earlier
            return
        try:
            await self._admit(work)
            await self._find(work)
            async with aclosing(self._deltas(work)) as deltas:
                async for delta in deltas:
                    yield delta
        except BaseException:
            self.background.start(self._end(work))
            raise
        # The caller may leave now: what was paid for is recorded, and kept for its retry.
        completion = await asyncio.shield(self.background.start(self._end(work)))
        if completion is None:
            raise self._failure(work)
        yield completion

    async def _earlier(self, work: RequestState) -> Completion | None:
        try:
            return await self.idempotency.begin(work.call, work.id)
        except BaseException:
            self.background.start(self.idempotency.release(work.call, work.id))
            raise

    async def _end(self, work: RequestState) -> Completion | None:
        """Close and keep the answer for the same key; without an answer the key is free again."""
        try:
            record = await self.finalizer.close(work)
        finally:
            if work.answer is None:
                await self.idempotency.release(work.call, work.id)
        if work.answer is None:
            return None
        self.auditor.consider(work)
        completion = Completion(work.answer, record, work.quota_left)
        try:
            await self.idempotency.finish(work.call, work.id, completion)
        except StorageUnavailable:
            self.observer.degraded("idempotency")
        return completion

    async def decide(self, call: RouteRequest) -> Directive:
        """Only plans of one arm: the caller has no gate between rungs."""
        if call.options.idempotency_key:
            raise InvalidRequest(
                FieldViolation("routing.idempotency_key", "leave it empty: each Decide is new")
            )
        work = self._open(call, Mode.DECIDE)
        try:
            await self._admit(work)
            await self._embed(work)
            run = self.selector.choose(work)
            work.direct(run, self.catalog)
            record = await self.finalizer.record(work)
        except BaseException:
            self.background.start(self.finalizer.settle(work))
            raise
        return Directive(record, run.rungs, work.quota_left)

    def _open(self, call: RouteRequest, mode: Mode) -> RequestState:
        now_s = self.clock()
        return open_request(call, mode, self.ids(), now_s, self.catalog, observe=self.observe)

    async def _admit(self, work: RequestState) -> None:
        """Reserve, look up the whole request and ask for health in one round trip's time.

        Where no answer given before will do, the plan is chosen in the same time.
        """
        options = work.call.options
        if not self.cache.enabled or options.no_cache or options.arm or work.watched:
            work.cache = CacheStatus.BYPASS
        with self.stopwatch.stage("admit"):
            work.quota_left, work.health, work.hit, work.has_room, _ = await asyncio.gather(
                self._reserve(work),
                self._health(),
                self._exact(work),
                self.decisions.has_room(),
                self._foreseen(work),
            )

    async def _reserve(self, work: RequestState) -> QuotaLeft:
        try:
            return await self.admission.reserve(work.call.tenant, work.reservation)
        except QuotaExceeded:
            work.refused = True
            raise

    async def _foreseen(self, work: RequestState) -> None:
        if work.cache is CacheStatus.BYPASS:
            await self.selector.foresee(work)

    async def _exact(self, work: RequestState) -> Hit | None:
        if work.mode is Mode.DECIDE or work.cache is CacheStatus.BYPASS:
            return None
        return await self.cache.exact(work.key)

    async def _health(self) -> dict[str, Health]:
        try:
            return dict(await self.health.states(self.catalog.names()))
        except StorageUnavailable:
            self.observer.degraded("health")
            return {}

    async def _find(self, work: RequestState) -> None:
        """An answer given before, unless this session shows that it was not good enough."""
        asks = bool(work.call.options.session_id) and work.call.chat.asks
        if work.hit is None or asks:
            await self._embed(work)
        if asks and await self._reasked(work):
            work.hit, work.cache = None, CacheStatus.BYPASS
        elif work.hit is not None:
            work.cache = CacheStatus.EXACT
        elif work.cache is not CacheStatus.BYPASS:
            with self.stopwatch.stage("similar"):
                work.hit, _ = await asyncio.gather(
                    self.cache.similar(work.key, work.likeness), self.selector.foresee(work)
                )
            work.cache = CacheStatus.SEMANTIC if work.hit else CacheStatus.MISS

    async def _reasked(self, work: RequestState) -> bool:
        assert work.embedding is not None  # noqa: S101 - embedded just before
        turn = SessionTurn(
            decision_id=work.id,
            at_ms=int(work.began_s * MS_PER_S),
            embedding=work.embedding.tobytes(),
            attached=attached(work.call.chat),
            letters=fingerprint(work.call.chat.prompt),
        )
        return await self.rephrases.note(work.call.tenant.name, work.call.options.session_id, turn)

    async def _embed(self, work: RequestState) -> None:
        with self.stopwatch.stage("embed"):
            prompt = work.call.chat.prompt
            work.embedding = await self.embedder.embed(prompt)
            work.whole = self.embedder.whole(prompt)

    async def _deltas(self, work: RequestState) -> AsyncGenerator[Delta]:
        if work.hit is not None:
            for delta in deltas_of(work.hit.cached.answer):
                yield delta
            return
        run = self.selector.choose(work)
        with self.stopwatch.stage("call"):
            async with aclosing(self.cascade.run(run)) as deltas:
                async for delta in deltas:
                    yield delta

    def _failure(self, work: RequestState) -> AllAttemptsFailed | DeadlineTooShort:
        metadata = {"decision_id": work.id}
        if work.deadline_s is not None and self.clock() >= work.deadline_s:
            return DeadlineTooShort("the deadline passed before an answer", metadata=metadata)
        return AllAttemptsFailed("no provider could answer: try again later", metadata=metadata)
