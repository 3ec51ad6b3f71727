"""Takes what comes back after an answer: outcomes of `Decide`, feedback, and how often it comes."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import Final

from router.domain.catalog import Catalog
from router.domain.chat import Usage
from router.domain.errors import OutcomeConflict, StorageUnavailable
from router.domain.records import (
    Attempt,
    AttemptOutcome,
    DecisionRecord,
    FeedbackReport,
    Mode,
    OutcomeReport,
)
from router.domain.requests import OutcomeReceipt
from router.domain.tenants import Reservation, Tenant
from router.ports.learning_log import DecisionLog
from router.ports.observer import Observer
from router.runtime.background import INSIST_S
from router.serving.admission import Admission
from router.serving.response_cache import ResponseCache

BAD_QUALITY = 0.5
CANCELLED = "cancelled"
"""The reported failure that blames nobody: the caller itself gave up."""


class FeedbackService:
    def __init__(
        self,
        *,
        catalog: Catalog,
        decisions: DecisionLog,
        admission: Admission,
        cache: ResponseCache,
        rate: FeedbackRate,
        observer: Observer,
    ) -> None:
        self._catalog = catalog
        self._decisions = decisions
        self._admission = admission
        self._cache = cache
        self._rate = rate
        self._observer = observer

    async def decision(self, tenant: Tenant, decision_id: str) -> DecisionRecord:
        """Raises DecisionNotFound."""
        return await self._decisions.get(tenant.name, decision_id)

    async def report_outcome(
        self, tenant: Tenant, decision_id: str, report: OutcomeReport
    ) -> OutcomeReceipt:
        """Raises DecisionNotFound, OutcomeConflict."""
        record = await self._decisions.get(tenant.name, decision_id)
        if record.mode is not Mode.DECIDE:
            raise OutcomeConflict("the router made this call itself and knows its outcome")
        attempt = self._attempt(record, report)
        settled = replace(record, attempts=(attempt,), settled=True)
        fresh = await self._decisions.settle(settled, report)
        tokens = report.input_tokens + report.output_tokens
        await self._admission.settle(
            Reservation(record.id, tenant.name, 0, 0.0), tokens, attempt.cost_usd, INSIST_S
        )
        if fresh:
            self._observer.attempt(attempt)
        return OutcomeReceipt(already_recorded=not fresh, cost_usd=attempt.cost_usd)

    def _attempt(self, record: DecisionRecord, report: OutcomeReport) -> Attempt:
        usage = Usage(report.input_tokens, report.output_tokens)
        # Decisions made before prices were kept with them have none.
        price = record.price or self._catalog.price_of(record.deployment)
        outcome = AttemptOutcome.FAILED if report.failure else AttemptOutcome.ACCEPTED
        if report.failure == CANCELLED:
            outcome = AttemptOutcome.CANCELLED
        return Attempt(
            arm=record.arm,
            deployment=record.deployment,
            model=record.model,
            outcome=outcome,
            why=report.failure or "reported",
            latency_ms=report.latency_ms,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cost_usd=price.cost_usd(usage) if price else 0.0,
        )

    async def feedback(self, tenant: Tenant, decision_id: str, report: FeedbackReport) -> bool:
        """True when the same value had been recorded before.

        Raises DecisionNotFound, FeedbackConflict, FeedbackTooLate.
        """
        fresh = await self._decisions.feedback(tenant.name, decision_id, report)
        if fresh:
            self._observer.feedback("explicit")
            self._rate.count_feedback(tenant.name)
        if report.value < BAD_QUALITY:
            await self._evict(tenant.name, decision_id)
        return not fresh

    async def _evict(self, tenant: str, decision_id: str) -> None:
        """Take the answer out of the cache; the feedback is recorded already."""
        try:
            await self._cache.evict(await self._decisions.get(tenant, decision_id))
        except StorageUnavailable:
            self._observer.degraded("cache")


HALF_LIFE: Final = 500.0
"""Answers after which one counts for half."""
PRIOR: Final = 5.0
"""Answers nobody said anything of, before the first one."""
LEAST: Final = 0.05
"""Share of the checks that is left where callers tell of every answer: they may be wrong."""
MOST_TENANTS: Final = 10_000
_KEPT: Final = 0.5 ** (1 / HALF_LIFE)


class FeedbackRate:
    """The share of answers each tenant rates, by what this process saw lately."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, list[float]] = OrderedDict()

    def count_answer(self, tenant: str) -> float:
        """Count an answer; the share of the usual checks that is worth making, in [LEAST, 1]."""
        counts = self._counts_of(tenant)
        told = min(1.0, counts[1] / counts[0])
        counts[0] = PRIOR + (counts[0] - PRIOR) * _KEPT + 1
        counts[1] *= _KEPT
        return max(LEAST, 1 - told)

    def count_feedback(self, tenant: str) -> None:
        self._counts_of(tenant)[1] += 1

    def _counts_of(self, tenant: str) -> list[float]:
        counts = self._counts.setdefault(tenant, [PRIOR, 0.0])
        self._counts.move_to_end(tenant)
        if len(self._counts) > MOST_TENANTS:
            self._counts.popitem(last=False)
        return counts
