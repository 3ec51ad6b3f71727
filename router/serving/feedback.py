"""Takes what comes back after an answer: outcomes of `Decide`, and feedback."""

from __future__ import annotations

from dataclasses import replace

from router.domain.catalog import Catalog
from router.domain.conversations import Conversation, after_turn
from router.domain.errors import OutcomeConflict, StorageUnavailable
from router.domain.records import (
    Attempt,
    AttemptOutcome,
    DecisionRecord,
    FeedbackReceipt,
    FeedbackReport,
    Mode,
    OutcomeReport,
    session_digest,
)
from router.domain.requests import OutcomeReceipt
from router.domain.tenants import Reservation, Tenant
from router.ports.learning_log import DecisionLog
from router.ports.observer import Observer
from router.runtime.background import INSIST_S, SETTLE_S, Background
from router.serving.admission import Admission
from router.serving.audits import FeedbackRate
from router.serving.earlier_answers import ResponseCache
from router.serving.finalize import KnownTurns

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
        background: Background,
        observer: Observer,
        turns: KnownTurns,
    ) -> None:
        self._catalog = catalog
        self._decisions = decisions
        self._admission = admission
        self._cache = cache
        self._rate = rate
        self._background = background
        self._observer = observer
        self._turns = turns

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
        settled, conversation = await self._with_turn(settled)
        fresh = await self._decisions.settle(settled, report)
        tokens = report.input_tokens + report.output_tokens
        await self._admission.settle(
            Reservation(record.id, tenant.name, 0, 0.0), tokens, attempt.cost_usd, INSIST_S
        )
        if fresh:
            self._observer.attempt(attempt, tenant.name)
        if fresh and conversation is not None and settled.turn is not None:
            self._turns.keep(settled.turn.key, conversation)
        return OutcomeReceipt(already_recorded=not fresh, cost_usd=attempt.cost_usd)

    async def _with_turn(
        self, record: DecisionRecord
    ) -> tuple[DecisionRecord, Conversation | None]:
        """Returns the record with what its conversation has cost, and that with this turn.

        None where the call was not answered, or the store is away.
        """
        turn, (attempt,) = record.turn, record.attempts
        known = {d.name: d for d in self._catalog.deployments()}
        deployment = known.get(record.deployment)
        answered = attempt.outcome is AttemptOutcome.ACCEPTED
        if turn is None or not turn.key or deployment is None or not answered:
            return record, None
        found = await self._turns.find([record.id])
        if not found:
            return record, None
        before = found[0] or Conversation()
        after = after_turn(
            before,
            deployment,
            record.attempts,
            record.created_ms,
            number=turn.number,
            first=known.get(before.first),
            remember_s=self._turns.remember_s,
        )
        spent_usd = turn.spent_usd + attempt.cost_usd
        stay_usd = turn.stay_usd + after.stay_usd - before.stay_usd
        told = replace(turn, spent_usd=spent_usd, stay_usd=stay_usd)
        return replace(record, turn=told), after

    def _attempt(self, record: DecisionRecord, report: OutcomeReport) -> Attempt:
        # Decisions made before prices were kept with them have none.
        price = record.price or self._catalog.price_of(record.deployment)
        outcome = AttemptOutcome.FAILED if report.failure else AttemptOutcome.ACCEPTED
        if report.failure == CANCELLED:
            outcome = AttemptOutcome.CANCELLED
        attempt = Attempt(
            arm=record.arm,
            deployment=record.deployment,
            model=record.model,
            outcome=outcome,
            why=report.failure or "reported",
            latency_ms=report.latency_ms,
        )
        return attempt.charged(report.usage, price)

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

    async def session_feedback(
        self, tenant: Tenant, session_id: str, report: FeedbackReport
    ) -> FeedbackReceipt:
        """Credit every decision of a session alike; it does not say which answer to evict.

        Raises DecisionNotFound, FeedbackConflict, FeedbackTooLate.
        """
        digest = session_digest(tenant.name, session_id)
        done = await self._decisions.session_feedback(tenant.name, digest, report)
        if not done.already_recorded:
            self._observer.feedback("session")
        return done

    async def _evict(self, tenant: str, decision_id: str) -> None:
        """Take the answer out of the cache, at once or when the store is back.

        The feedback is recorded already.
        """
        try:
            record = await self._decisions.get(tenant, decision_id)
        except StorageUnavailable:
            self._observer.degraded("cache")
            return
        place = record.cache_exact, record.cache_partition
        if not await self._cache.evict(*place):
            self._background.start(self._cache.evict(*place, SETTLE_S))
