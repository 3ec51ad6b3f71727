"""The end of a request: record the decision, settle the quota, cache the answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from router.degraded.continuity import Continuity
from router.domain.catalog import Catalog
from router.domain.chat import without_id
from router.domain.conversations import Conversation
from router.domain.errors import StorageUnavailable
from router.domain.records import CachedAnswer, DecisionRecord, Mode
from router.ports.learning_log import DecisionLog
from router.ports.observer import Observer
from router.ports.state import Conversations
from router.runtime.background import INSIST_S, SETTLE_S, Background
from router.serving.admission import Admission
from router.serving.decider import SENDING_TURNS
from router.serving.earlier_answers import Hit, ResponseCache
from router.serving.request_state import RequestState
from router.serving.sampling import PromptSampler


@dataclass(frozen=True, slots=True)
class KnownTurns:
    """Turns of conversations in the store; while it is away they are neither found nor kept."""

    conversations: Conversations
    deployments: Sequence[str]
    remember_s: int
    background: Background
    observer: Observer

    async def find(self, keys: Sequence[str]) -> Sequence[Conversation | None]:
        """Returns them in the order asked; nothing while the store is away."""
        try:
            return await self.conversations.find(keys, self.deployments)
        except StorageUnavailable:
            self.observer.degraded("conversation")
            return ()

    def keep(self, key: str, conversation: Conversation) -> asyncio.Task[None]:
        return self.background.start(self._keep(key, conversation))

    async def _keep(self, key: str, conversation: Conversation) -> None:
        try:
            await self.conversations.keep(key, conversation, self.remember_s)
        except StorageUnavailable:
            self.observer.degraded("conversation")


class Finalizer:
    def __init__(
        self,
        *,
        catalog: Catalog,
        decisions: DecisionLog,
        admission: Admission,
        cache: ResponseCache,
        background: Background,
        observer: Observer,
        continuity: Continuity,
        turns: KnownTurns,
        sampler: PromptSampler | None = None,
    ) -> None:
        self._catalog = catalog
        self._decisions = decisions
        self._admission = admission
        self._cache = cache
        self._background = background
        self._observer = observer
        self._continuity = continuity
        self._turns = turns
        self._sampler = sampler

    async def close(self, state: RequestState, patience_s: float = INSIST_S) -> DecisionRecord:
        """The decision is on record before its answer is returned.

        An answer that was paid for is handed out even where neither store nor disk takes it.
        patience_s: how long an answer waits for them; they are tried for longer.
        """
        kept = {self._background.start(self.settle(state)), *self.keep_turn(state)}
        if state.answer is None:
            began_s = time.monotonic()
            record = await self.record(state)
            await asyncio.wait(kept, timeout=max(0.0, began_s + patience_s - time.monotonic()))
        else:
            record = state.record(self._catalog)
            writing = self._background.start(self._written(state, record))
            for _ in range(SENDING_TURNS):
                await asyncio.sleep(0)
            self._tell(state, record)  # while the store writes
            await asyncio.wait({writing, *kept}, timeout=patience_s)
            record = self._recorded(record, writing)
        self._put(state)
        return self._flagged(record)

    def keep_turn(self, state: RequestState) -> Iterable[asyncio.Task[None]]:
        """Keep an answered turn beside the decision's write, in the same round trip.

        A turn of `DECIDE` is not answered yet: its outcome finds what came before it by its id.
        """
        if state.mode is not Mode.DECIDE:
            state.after = state.turn_after(self._catalog, self._turns.remember_s)
            key, known = state.turn_keys.own, state.after
        else:
            key, known = state.id, state.conversation if state.conversation.turns else None
        return () if known is None else (self._turns.keep(key, known),)

    def _recorded(
        self, record: DecisionRecord, writing: asyncio.Task[DecisionRecord]
    ) -> DecisionRecord:
        if writing.done():
            with suppress(StorageUnavailable):
                return writing.result()
        self._observer.degraded("unrecorded")
        return replace(record, degraded=True)

    async def record(self, state: RequestState) -> DecisionRecord:
        record = state.record(self._catalog)
        if state.run is None and state.hit is None:
            return record  # refused before anything was looked up or chosen
        self._tell(state, record)
        return await self._written(state, record)

    def _tell(self, state: RequestState, record: DecisionRecord) -> None:
        for attempt in record.attempts:
            self._observer.attempt(attempt, record.tenant)
        if state.answer is not None:
            self._observer.answered(record.cost_usd, state.dearest_usd(self._catalog))
        self._observer.cache(record.cache)

    async def _written(self, state: RequestState, record: DecisionRecord) -> DecisionRecord:
        await self._background.insist(lambda: self._decisions.record(record), record, INSIST_S)
        if self._sampler is not None:
            self._sampler.note(state.request.chat.prompt, state.choice, state.said_embedding)
        return self._flagged(record)

    def _flagged(self, record: DecisionRecord) -> DecisionRecord:
        degraded = self._continuity.is_degraded(record.id)
        return replace(record, degraded=True) if degraded else record

    def end(self, state: RequestState) -> None:
        """Tell that nothing more comes of a request."""
        self._continuity.end(state.id)

    async def settle(self, state: RequestState) -> None:
        """Give back what was reserved and not used.

        What was paid is charged even where its reservation is lost, and insisted on for minutes.
        """
        if state.refused:
            return
        attempts = state.run.attempts if state.run else []
        tokens = sum(a.input_tokens + a.output_tokens for a in attempts)
        cost_usd = sum(a.cost_usd for a in attempts)
        paid = bool(tokens or cost_usd)
        state.quota_left = await self._admission.settle(
            replace(state.reservation, held=not paid),
            tokens,
            cost_usd,
            SETTLE_S if paid else INSIST_S,
        )
        self._observer.budget(state.request.tenant.name, state.quota_left)

    def _put(self, state: RequestState) -> None:
        """Keep the answer for others, if it may answer them; its caller does not wait for it."""
        run, key = state.run, state.key
        if not state.is_keepable or run is None or run.answer is None:
            return
        cached = CachedAnswer(
            without_id(run.answer),
            run.arm,
            run.deployment,
            state.id,
            key.exact,
            model=self._catalog.model_of(run.deployment),
            tenant=key.tenant,
            prompt=key.prompt,
            partition=key.partition,
        )
        self._background.start(self._keep(state, cached))

    async def _keep(self, state: RequestState, cached: CachedAnswer) -> None:
        try:
            await self._cache.put(state.key, state.cache_embedding, cached)
        finally:
            await self._cache.leave(state.key, state.id, Hit(cached, 1.0))
