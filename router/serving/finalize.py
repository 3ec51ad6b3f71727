"""The end of a request: record the decision, settle the quota, cache the answer."""

from __future__ import annotations

from router.domain.catalog import Catalog
from router.domain.records import CachedAnswer, CacheStatus, DecisionRecord
from router.ports.learning_log import DecisionLog
from router.ports.observer import Observer
from router.runtime.background import Background, retry_write
from router.serving.admission import Admission
from router.serving.request_state import RequestState
from router.serving.response_cache import ResponseCache
from router.serving.sampling import PromptSampler


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
        sampler: PromptSampler | None = None,
    ) -> None:
        self._catalog = catalog
        self._decisions = decisions
        self._admission = admission
        self._cache = cache
        self._background = background
        self._observer = observer
        self._sampler = sampler

    async def close(self, work: RequestState) -> DecisionRecord:
        """The decision is on record before its answer is returned."""
        settled = self._background.start(self.settle(work))
        record = await self.record(work)
        await settled
        self._put(work)
        return record

    async def record(self, work: RequestState) -> DecisionRecord:
        record = work.record(self._catalog)
        if work.run is None and work.hit is None:
            return record  # refused before anything was looked up or chosen
        for attempt in record.attempts:
            self._observer.attempt(attempt)
        self._observer.cache(record.cache)
        await retry_write(lambda: self._decisions.record(record))
        if self._sampler is not None:
            self._sampler.note(work.call.chat.prompt, work.choice, work.embedding)
        return record

    async def settle(self, work: RequestState) -> None:
        """Give back what was reserved and not used."""
        if work.refused:
            return
        attempts = work.run.attempts if work.run else []
        tokens = sum(a.input_tokens + a.output_tokens for a in attempts)
        cost_usd = sum(a.cost_usd for a in attempts)
        work.quota_left = await retry_write(
            lambda: self._admission.settle(work.reservation, tokens, cost_usd)
        )

    def _put(self, work: RequestState) -> None:
        """Only what passed its gate may answer somebody else; nobody waits for it."""
        run = work.run
        if run is None or run.answer is None or not run.passed:
            return
        if work.cache is CacheStatus.MISS:
            cached = CachedAnswer(run.answer, run.arm, run.deployment, work.id, work.key.exact)
            self._background.start(self._cache.put(work.key, work.likeness, cached))
