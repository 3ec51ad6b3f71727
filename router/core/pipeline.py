"""A request in, an answer out: reserve, look up, embed, decide, call and judge, record, settle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass

from bandit.types import Context
from router.core.admission import Admission
from router.core.arms import Catalogue, Plan
from router.core.attempt import Journey
from router.core.background import Background
from router.core.calls import Call, Completion, Directive
from router.core.cascade import Cascade
from router.core.chat import Delta, deltas_of
from router.core.closing import Closing
from router.core.deciding import Bounds, Decider, merge
from router.core.errors import (
    AllAttemptsFailed,
    DeadlineTooShort,
    FieldViolation,
    InvalidRequest,
    NoEligiblePlan,
    Overloaded,
    StorageUnavailable,
)
from router.core.judging.auditing import Auditor
from router.core.judging.stepping import Judging, Stepper
from router.core.observer import Observer
from router.core.once import Once
from router.core.opening import open_work
from router.core.ports import Clock, DecisionLog, Embedder, Health, HealthBoard, Ids
from router.core.reask import ReaskWatch, attached
from router.core.records import CacheStatus, Mode, SessionTurn
from router.core.shelf import Hit, Shelf
from router.core.work import MS_PER_S, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything the pipeline works with, built once by the composition root."""

    catalogue: Catalogue
    decider: Decider
    cascade: Cascade
    judging: Judging
    auditor: Auditor
    embedder: Embedder
    health: HealthBoard
    admission: Admission
    shelf: Shelf
    reask: ReaskWatch
    once: Once
    closing: Closing
    decisions: DecisionLog
    background: Background
    observer: Observer
    clock: Clock
    ids: Ids


class Pipeline:
    def __init__(self, parts: Parts) -> None:
        self._p = parts

    async def answer(self, call: Call, mode: Mode) -> AsyncGenerator[Delta | Completion]:
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
            self._p.background.start(self._end(work))
            raise
        # The caller may leave now: what was paid for is recorded, and kept for its retry.
        completion = await asyncio.shield(self._p.background.start(self._end(work)))
        if completion is None:
            raise self._failure(work)
        yield completion

    async def _earlier(self, work: Work) -> Completion | None:
        try:
            return await self._p.once.begin(work.call, work.id)
        except BaseException:
            self._p.background.start(self._p.once.release(work.call, work.id))
            raise

    async def _end(self, work: Work) -> Completion | None:
        """Close and keep the answer for the same key; without an answer the key is free again."""
        try:
            record = await self._p.closing.close(work)
        finally:
            if work.answer is None:
                await self._p.once.release(work.call, work.id)
        if work.answer is None:
            return None
        self._p.auditor.consider(work)
        completion = Completion(work.answer, record, work.quota_left)
        try:
            await self._p.once.finish(work.call, work.id, completion)
        except StorageUnavailable:
            self._p.observer.degraded("idempotency")
        return completion

    async def decide(self, call: Call) -> Directive:
        """Only plans of one arm: the caller has no gate between rungs."""
        if call.options.idempotency_key:
            raise InvalidRequest(
                FieldViolation("routing.idempotency_key", "leave it empty: each Decide is new")
            )
        work = self._open(call, Mode.DECIDE)
        try:
            await self._admit(work)
            await self._embed(work)
            journey = self._choose(work)
            work.direct(journey, self._p.catalogue)
            record = await self._p.closing.record(work)
        except BaseException:
            self._p.background.start(self._p.closing.settle(work))
            raise
        return Directive(record, journey.rungs, work.quota_left)

    def _open(self, call: Call, mode: Mode) -> Work:
        return open_work(call, mode, self._p.ids(), self._p.clock(), self._p.catalogue)

    async def _admit(self, work: Work) -> None:
        """Reserve, look up the whole request and ask for health in one round trip's time."""
        if not self._p.shelf.enabled or work.call.options.no_cache or work.call.options.arm:
            work.cache = CacheStatus.BYPASS
        with self._stage("admit"):
            work.quota_left, work.health, work.hit, work.has_room = await asyncio.gather(
                self._p.admission.reserve(work.call.tenant, work.reservation),
                self._health(),
                self._exact(work),
                self._p.decisions.has_room(),
            )

    async def _exact(self, work: Work) -> Hit | None:
        if work.mode is Mode.DECIDE or work.cache is CacheStatus.BYPASS:
            return None
        return await self._p.shelf.exact(work.key)

    async def _health(self) -> dict[str, Health]:
        try:
            return dict(await self._p.health.states(self._p.catalogue.names()))
        except StorageUnavailable:
            self._p.observer.degraded("health")
            return {}

    async def _find(self, work: Work) -> None:
        """An answer given before, unless this session shows that it was not good enough."""
        asks = bool(work.call.options.session_id) and work.call.chat.asks
        if work.hit is None or asks:
            await self._embed(work)
        if asks and await self._reasked(work):
            work.hit, work.cache = None, CacheStatus.BYPASS
        elif work.hit is not None:
            work.cache = CacheStatus.EXACT
        elif work.cache is not CacheStatus.BYPASS and work.embedding is not None:
            with self._stage("similar"):
                work.hit = await self._p.shelf.similar(work.key, work.embedding)
            work.cache = CacheStatus.SEMANTIC if work.hit else CacheStatus.MISS

    async def _reasked(self, work: Work) -> bool:
        assert work.embedding is not None  # noqa: S101 - embedded just before
        turn = SessionTurn(
            decision_id=work.id,
            at_ms=int(work.began_s * MS_PER_S),
            embedding=work.embedding.tobytes(),
            attached=attached(work.call.chat),
        )
        return await self._p.reask.note(work.call.tenant.name, work.call.options.session_id, turn)

    async def _embed(self, work: Work) -> None:
        with self._stage("embed"):
            work.embedding = await self._p.embedder.embed(work.call.chat.prompt)

    async def _deltas(self, work: Work) -> AsyncGenerator[Delta]:
        if work.hit is not None:
            for delta in deltas_of(work.hit.cached.answer):
                yield delta
            return
        journey = self._choose(work)
        with self._stage("call"):
            async with aclosing(self._p.cascade.run(journey)) as deltas:
                async for delta in deltas:
                    yield delta

    def _choose(self, work: Work) -> Journey:
        """Let the policy pick among the plans that are permitted and well.

        With every plan ill only spare arms are left: nothing was chosen, so nothing is learned.
        """
        assert work.embedding is not None  # noqa: S101 - embedded just before
        if not work.has_room:
            raise Overloaded("too many events wait to be learned: try again later")
        options = work.call.options
        plans = [plan for plan in work.plans if work.well(self._p.catalogue, plan)]
        rungs, stepper = work.arms[:1], None
        if plans:
            with self._stage("decide"):
                context = self._p.decider.context(work.call.chat, work.embedding)
                bounds = Bounds(options.max_cost_usd, options.max_latency_ms)
                work.choice = self._p.decider.choose(context, plans, options.weights, bounds)
            if work.choice is None:
                raise NoEligiblePlan("no plan is expected to keep the cost limit")
            plan = next(p for p in plans if p.name == work.choice.plan)
            rungs, stepper = plan.rungs, self._stepper(work, plan, context)
            self._p.observer.decision(plan.name, explored=work.choice.explored)
        work.journey = Journey(
            chat=work.call.chat,
            needs=work.needs,
            rungs=rungs,
            spares=work.arms,
            live=work.mode is Mode.STREAM,
            deadline_s=work.deadline_s,
            max_cost_usd=options.max_cost_usd,
            health=work.health,
            stepper=stepper,
        )
        return work.journey

    def _stepper(self, work: Work, plan: Plan, context: Context) -> Stepper | None:
        gates, overrides = self._p.decider.gates, work.call.options.weights
        weights = merge(self._p.decider.weights, overrides)
        call = work.call
        return self._p.judging.stepper(
            call.chat,
            plan,
            gates,
            context,
            weights,
            tenant=call.tenant.name,
            promises=self._p.decider.promises,
        )

    def _failure(self, work: Work) -> AllAttemptsFailed | DeadlineTooShort:
        metadata = {"decision_id": work.id}
        if work.deadline_s is not None and self._p.clock() >= work.deadline_s:
            return DeadlineTooShort("the deadline passed before an answer", metadata=metadata)
        return AllAttemptsFailed("no provider could answer: try again later", metadata=metadata)

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        began_s = self._p.clock()
        yield
        self._p.observer.stage(name, self._p.clock() - began_s)
