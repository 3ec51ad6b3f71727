"""A request in, an answer out: reserve, look up, embed, decide, call and judge, record, settle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

from router.domain.catalog import Catalog
from router.domain.chat import Delta, deltas_of
from router.domain.conversations import Conversation
from router.domain.errors import (
    AllAttemptsFailed,
    DeadlineTooShort,
    FieldViolation,
    InvalidRequest,
    Overloaded,
    QuotaExceeded,
    RouterError,
    StorageUnavailable,
)
from router.domain.records import CachedAnswer, CacheStatus, Mode, SessionTurn
from router.domain.requests import Completion, Directive, RouteRequest
from router.domain.tenants import QuotaLeft, Tenant
from router.ports import Clock, Ids
from router.ports.observer import Observer, Stopwatch
from router.ports.state import Health, HealthBoard
from router.ports.upstream import Embedder
from router.runtime.background import INSIST_S, Background
from router.runtime.fair_queue import CheckPool
from router.serving.admission import Admission, IdempotencyGuard
from router.serving.audits import Auditor
from router.serving.cascade import BUSY, Cascade
from router.serving.coalescing import Followers
from router.serving.decider import PlanSelector
from router.serving.earlier_answers import Ending, ResponseCache
from router.serving.evidence.buyer import EvidenceBuyer
from router.serving.finalize import Finalizer, KnownTurns
from router.serving.rephrase import RephraseDetector, attachment_digest, letter_fingerprint
from router.serving.request_state import RequestState, open_request

QUICK_CHARACTERS = 16_384
UNREAD_S = 2.0
"""Longest time that a piece of a stream waits for its caller while others wait for the answer."""
HANDOUT_S = 1.0
"""Kept of a deadline: a write that is under way may take a moment to end."""
LEAST_S = 0.5
"""However near the deadline is, a store that serves has taken a write by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """The use cases that choose a plan: `Complete`, `StreamComplete` and `Decide`.

    observe: the arm that serves while the policy only watches; "" for none. room: tells whether
    the log takes what comes of a request, and refuses it where nothing could be written down.
    checks: reads long prompts. evidence: None where none is bought.
    """

    catalog: Catalog
    selector: PlanSelector
    cascade: Cascade
    auditor: Auditor
    embedder: Embedder
    health: HealthBoard
    turns: KnownTurns
    admission: Admission
    cache: ResponseCache
    followers: Followers
    rephrases: RephraseDetector
    idempotency: IdempotencyGuard
    finalizer: Finalizer
    room: Callable[[Tenant, str], Awaitable[bool]]
    background: Background
    observer: Observer
    stopwatch: Stopwatch
    clock: Clock
    ids: Ids
    observe: str = ""
    checks: CheckPool = field(default_factory=CheckPool)
    evidence: EvidenceBuyer | None = None

    async def complete(self, request: RouteRequest) -> Completion:
        answered = self.answer(request, Mode.COMPLETE)
        (completion,) = [item async for item in answered if isinstance(item, Completion)]
        return completion

    def stream(self, request: RouteRequest) -> AsyncGenerator[Delta | Completion]:
        return self.answer(request, Mode.STREAM)

    async def answer(self, request: RouteRequest, mode: Mode) -> AsyncGenerator[Delta | Completion]:
        """Deltas when mode is STREAM, then the Completion."""
        state = await self._open_request(request, mode)
        replayed = await self._begin(state)
        if replayed is not None:
            for delta in deltas_of(replayed.answer, request.chat):
                yield delta
            yield replayed
            return
        try:
            await self._admit(state)
            await self._look_up(state)
            await self._share(state)
            async with aclosing(self._serve(state)) as deltas:
                async for delta in deltas:
                    with self._handed_over(state):
                        yield delta
        except BaseException:
            self.background.start(self._finish(state, Ending.LEFT))
            raise
        # The caller may leave now: what was paid for is recorded, and kept for its retry.
        completion = await asyncio.shield(self.background.start(self._finish(state)))
        if completion is None:
            failure = self._failure(state)
            failure.record = state.record(self.catalog)
            raise failure
        yield completion

    async def _begin(self, state: RequestState) -> Completion | None:
        try:
            return await self.idempotency.begin(state.request, state.id)
        except BaseException:
            self.background.start(self.idempotency.release(state.request, state.id))
            raise

    @contextmanager
    def _handed_over(self, state: RequestState) -> Iterator[None]:
        """A caller who does not read holds none of those who wait for the same answer."""
        if state.flight is None:
            yield
            return
        timer = asyncio.get_running_loop().call_later(UNREAD_S, self._let_go, state, Ending.LEFT)
        try:
            yield
        finally:
            timer.cancel()

    async def _finish(self, state: RequestState, ending: Ending | None = None) -> Completion | None:
        """Close and keep the answer for the same key; without an answer the key is free at once.

        ending: what those who wait for the same answer are told where they may not have it.
        """
        if state.answer is None:
            self.background.start(self.idempotency.release(state.request, state.id))
        ending = ending or (Ending.FAILED if state.answer is None else Ending.IN_VAIN)
        if not state.is_keepable:
            self._let_go(state, ending)
        try:
            return await self._close(state)
        except BaseException:
            self._let_go(state, ending)
            raise
        finally:
            self.idempotency.leave(state.id)
            self.finalizer.end(state)

    def _let_go(self, state: RequestState, ending: Ending) -> None:
        if state.flight is not None or state.cache is CacheStatus.MISS:
            self.background.start(self.cache.leave(state.key, state.id, ending=ending))

    async def _close(self, state: RequestState) -> Completion | None:
        record = await self.finalizer.close(state, self._patience_s(state))
        if state.answer is None:
            return None
        if self.evidence is None or not self.evidence.maybe_buy(
            state, partial(self.auditor.share_of, state)
        ):
            self.auditor.maybe_audit(state)
        completion = Completion(state.answer, record, state.quota_left)
        if state.request.options.idempotency_key:
            keeping = self.background.start(self._keep(state, completion))
            await asyncio.wait({keeping}, timeout=self._patience_s(state))
        return completion

    async def _keep(self, state: RequestState, completion: Completion) -> None:
        try:
            await self.idempotency.finish(state.request, state.id, completion)
        except StorageUnavailable:
            self.observer.degraded("idempotency")

    def _patience_s(self, state: RequestState) -> float:
        """How long an answer may wait for its writes: its caller has to hear it in time."""
        if state.deadline_s is None:
            return INSIST_S
        return max(LEAST_S, min(INSIST_S, state.deadline_s - self.clock() - HANDOUT_S))

    async def decide(self, request: RouteRequest) -> Directive:
        """Only plans of one arm: the caller has no gate between rungs."""
        if request.options.idempotency_key:
            raise InvalidRequest(
                FieldViolation("routing.idempotency_key", "leave it empty: each Decide is new")
            )
        state = await self._open_request(request, Mode.DECIDE)
        try:
            await self._admit(state)
            await self._embed(state)
            run = self.selector.choose(state)
            state.pick_deployment(run, self.catalog)
            self.finalizer.keep_turn(state)
            record = await self.finalizer.record(state)
        except BaseException:
            self.background.start(self.finalizer.settle(state))
            raise
        finally:
            self.finalizer.end(state)
        return Directive(record, run.rungs, state.quota_left)

    async def _open_request(self, request: RouteRequest, mode: Mode) -> RequestState:
        """Reading a long prompt for its keys takes time that grows with it."""
        args = request, mode, self.ids(), self.clock(), self.catalog
        opened = partial(open_request, *args, observe=self.observe, keyed=self.cache.enabled)
        if request.chat.characters > QUICK_CHARACTERS:
            state = await self.checks.run(request.tenant.name, opened)
        else:
            state = opened()
        self.selector.price(state)
        return state

    async def _admit(self, state: RequestState) -> None:
        """Reserve, look up the whole request and ask for health in one round trip's time.

        Where neither earlier answers nor earlier turns are looked for, the plan is chosen in the
        same time.
        """
        options = state.request.options
        if not self.cache.enabled or options.no_cache or state.is_pinned or state.shadow_plans:
            state.cache = CacheStatus.BYPASS
        with self.stopwatch.stage("admit"):
            state.quota_left, state.health, state.has_room, _ = await asyncio.gather(
                self._reserve(state),
                self._health(),
                self.room(state.request.tenant, state.id),
                self._look_back(state),
            )

    async def _reserve(self, state: RequestState) -> QuotaLeft:
        try:
            return await self.admission.reserve(state.request.tenant, state.reservation)
        except QuotaExceeded:
            state.refused = True
            raise

    async def _recognise(self, state: RequestState) -> None:
        """Find the turns before; without the store every conversation is one that begins.

        The plan of a later turn is chosen after that: what it costs depends on them.
        """
        if not state.turn_keys.earlier:
            if state.cache is CacheStatus.BYPASS:
                await self.selector.choose_early(state)
            return
        found = await self.turns.find(state.turn_keys.earlier)
        known = ((at, turn) for at, turn in enumerate(found) if turn is not None)
        at, state.conversation = next(known, (0, Conversation()))
        state.knows_asker = at < state.turn_keys.asking

    async def _look_back(self, state: RequestState) -> None:
        if state.mode is Mode.DECIDE or state.cache is CacheStatus.BYPASS:
            await self._recognise(state)
        else:
            await asyncio.gather(self._cached_exactly(state), self._recognise(state))

    async def _cached_exactly(self, state: RequestState) -> None:
        with self.stopwatch.tracer.stage("cache") as span:
            fits = self._fits(state)
            state.hit, state.flight = await self.cache.join(state.key, state.id, fits)
            span.note(hit=state.hit is not None)

    def _fits(self, state: RequestState) -> Callable[[CachedAnswer], bool]:
        return partial(state.may_serve, catalog=self.catalog)

    async def _health(self) -> dict[str, Health]:
        try:
            return dict(await self.health.states(self.catalog.names()))
        except StorageUnavailable:
            self.observer.degraded("health")
            return {}

    async def _look_up(self, state: RequestState) -> None:
        """An answer given before, unless this session shows that it was not good enough."""
        is_question = bool(state.request.options.session_id) and state.request.chat.asks
        if state.hit is None or is_question:
            await self._embed(state)
        if is_question and await self._is_rephrased(state):
            state.hit, state.cache = None, CacheStatus.BYPASS
        elif state.hit is not None:
            state.cache = CacheStatus.EXACT
        elif state.cache is not CacheStatus.BYPASS:
            with self.stopwatch.stage("similar"):
                state.hit, _ = await asyncio.gather(
                    self.cache.similar(state.key, state.cache_embedding),
                    self.selector.choose_early(state),
                )
            if state.hit is not None and not self._fits(state)(state.hit.cached):
                state.hit = None
            state.cache = CacheStatus.SEMANTIC if state.hit else CacheStatus.MISS

    async def _share(self, state: RequestState) -> None:
        """Wait for the same request under way in place of a call; lead no others without one."""
        flight = state.flight
        if flight is None:
            return
        if state.cache is not CacheStatus.MISS:
            self._let_go(state, Ending.LEFT)
        elif not flight.is_led_by(state.id):
            with self.stopwatch.tracer.stage("coalesce"):
                await self.followers.follow(state, self._fits(state))
            if state.hit is None:
                state.health = await self._health()  # as it is after the wait

    async def _is_rephrased(self, state: RequestState) -> bool:
        assert state.embedding is not None  # noqa: S101 - embedded just before
        turn = SessionTurn(
            decision_id=state.id,
            at_ms=state.began_ms,
            embedding=state.embedding.tobytes(),
            attached=attachment_digest(state.request.chat),
            letters=letter_fingerprint(state.request.chat.prompt),
        )
        return await self.rephrases.check(
            state.request.tenant.name, state.request.options.session_id, turn
        )

    async def _embed(self, state: RequestState) -> None:
        with self.stopwatch.stage("embed"):
            prompt, tenant = state.request.chat.prompt, state.request.tenant.name
            others = self._others_wanted(state)
            own = self.embedder.embed(prompt, tenant)
            beside = [self._embed_if_room(text, tenant) for text in others]
            state.embedding = (await asyncio.gather(own, *beside))[0] if beside else await own

    def _others_wanted(self, state: RequestState) -> list[str]:
        """Returns what else is said in it, as far as it is new and nobody waits for that."""
        if not self.embedder.is_idle:
            return []
        return [text for text, _ in state.said[1:] if self.embedder.cached(text) is None]

    async def _embed_if_room(self, text: str, tenant: str) -> None:
        with suppress(Overloaded):
            await self.embedder.embed(text, tenant)

    async def _serve(self, state: RequestState) -> AsyncGenerator[Delta]:
        if state.hit is not None:
            for delta in deltas_of(state.hit.cached.answer, state.request.chat):
                yield delta
            return
        run = self.selector.choose(state)
        if self.evidence is not None:
            self.evidence.weigh(state)
        with self.stopwatch.stage("call"):
            async with aclosing(self.cascade.run(run)) as deltas:
                async for delta in deltas:
                    yield delta

    def _failure(self, state: RequestState) -> RouterError:
        metadata = {"decision_id": state.id}
        if state.deadline_s is not None and self.clock() >= state.deadline_s:
            return DeadlineTooShort("the deadline passed before an answer", metadata=metadata)
        attempts = state.run.attempts if state.run else ()
        if attempts and all(attempt.why == BUSY for attempt in attempts):
            busy = "every deployment that may answer is busy: try again later"
            return Overloaded(busy, metadata=metadata)
        if state.run is not None:
            return self.cascade.failure_of(state.run, state.id)
        return AllAttemptsFailed("no provider could answer: try again later", metadata=metadata)
