"""A share of accepted first answers is checked off the caller's path.

An escalated answer says what the first one was worth, an accepted one does not: without the audit
a gate would never learn where it accepts wrongly, unless callers tell.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Final

from annotated_types import Ge, Le

from bandit.gates import Step
from router.domain import MS_PER_S
from router.domain.bounds import Share
from router.domain.catalog import Catalog, Plan
from router.domain.chat import Answer, ChatRequest
from router.domain.eligibility import Requirements, most_cost_usd
from router.domain.errors import QuotaExceeded, RouterError
from router.domain.events import Audited
from router.domain.records import Judge, Judged
from router.domain.tenants import Reservation, Tenant, TenantLimits
from router.gates.gate_session import GateSession
from router.gates.judge_prompt import judge_chat, read_score
from router.ports.learning_log import DecisionLog
from router.ports.observer import NO_TRACER, Observer, Tracer
from router.runtime.background import Background
from router.serving.admission import Admission
from router.serving.attempts import PlanRun
from router.serving.cascade import Cascade
from router.serving.earlier_answers import ResponseCache
from router.serving.request_state import RequestState

BUDGET_TENANT: Final = "#audits"
"""The name whose daily budget bounds all audits together; no tenant can have it."""
MOST_AT_ONCE: Final = 8
TIMEOUT_MS: Final = 20_000
"""So that a server that drains does not wait longer."""


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Bounds of audits: how many answers are checked, and what that may cost."""

    audit_share: Share = 0.02
    """Share of accepted first answers that are checked off the caller's path."""
    audit_usd_per_day: Annotated[float, Ge(0), Le(1e6)] = 1.0
    """Bound on what all audits cost together."""
    judge: str = ""
    """Arm that grades audited answers; unset: the arm above answers and is compared."""


@dataclass(frozen=True, slots=True)
class _AuditCall:
    """A call that checks a first answer, and how to read its quality off the reply.

    share: the probability with which its answer is labelled.
    """

    chat: ChatRequest
    arm: str
    quality: Callable[[Answer], float | None]
    share: float = 1.0


class Auditor:
    """Audits a share of answers, each at the cost of its tenant and of the day's budget.

    always: audits also answers whose callers say how good they were, as a promise wants.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        cascade: Cascade,
        admission: Admission,
        decisions: DecisionLog,
        cache: ResponseCache,
        background: Background,
        observer: Observer,
        draw: Callable[[], float],
        feedback_rate: FeedbackRate,
        settings: AuditSettings,
        always: bool,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._tracer = tracer
        self._catalog = catalog
        self._cascade = cascade
        self._admission = admission
        self._decisions = decisions
        self._cache = cache
        self._background = background
        self._observer = observer
        self._draw = draw
        self._feedback_rate = feedback_rate
        self._settings = settings
        self._always = always
        self._running = 0

    def maybe_audit(self, state: RequestState) -> None:
        """Once its answer is on record; a check that is due goes on in the background."""
        share = self._share(state)
        if not share or self._draw() >= share:
            return
        check = self._due(state)
        if check is not None and self._running < MOST_AT_ONCE:
            self._running += 1
            # An answer that evidence was drawn for has its label by that, and is not audited.
            drawn = state.evidence_share if state.evidence_labels else 0.0
            labelled = drawn + (1 - drawn) * share
            self._background.spare(self._audit(state, replace(check, share=labelled)))

    def share_of(self, state: RequestState) -> float:
        """Returns the probability of an audit, for an answer that is judged by something else."""
        share = self._share(state)
        return share if share and self._due(state) is not None else 0.0

    def _share(self, state: RequestState) -> float:
        """Count the answer."""
        settings = self._settings
        worth = self._feedback_rate.count_answer(state.request.tenant.name)
        share = settings.audit_share * (1.0 if self._always else worth)
        return share if settings.audit_usd_per_day > 0 else 0.0

    def _due(self, state: RequestState) -> _AuditCall | None:
        """None where the first answer was not accepted by a gate, or nothing can be told of it."""
        run = state.run
        gate_session = run.gate_session if run else None
        if run is None or run.answer is None or gate_session is None:
            return None
        judged, plan = gate_session.judged, gate_session.plan
        # A caller's own cost limit is for all that its request costs.
        limited = state.request.options.max_cost_usd is not None
        if judged is None or limited or not _accepted(judged, plan):
            return None
        return self._audit_call(state, run.answer, gate_session)

    def _audit_call(
        self, state: RequestState, answer: Answer, gate_session: GateSession
    ) -> _AuditCall | None:
        judge, chat = self._settings.judge, state.request.chat
        allowed = state.request.tenant.limits.arms
        if judge:
            if allowed and judge not in allowed:
                return None
            return _AuditCall(
                judge_chat(chat, answer.text), judge, lambda said: read_score(said.text)
            )
        if not gate_session.is_closed(gate_session.plan.rungs[0]):
            return None  # open text of two models differs also where both are right
        return _AuditCall(chat, gate_session.plan.rungs[1], gate_session.confirms)

    async def _audit(self, state: RequestState, check: _AuditCall) -> None:
        try:
            with self._tracer.stage("audit") as span:
                result = await self._result(state, check)
                span.note(arm=check.arm, result=result)
        finally:
            self._running -= 1

    async def _result(self, state: RequestState, check: _AuditCall) -> str:
        try:
            return await self._run_within_budget(state, check)
        except QuotaExceeded:
            self._observer.audit("no_budget")
            return "no_budget"

    async def _run_within_budget(self, state: RequestState, check: _AuditCall) -> str:
        needs = Requirements.of(check.chat)
        most_usd = most_cost_usd(self._catalog.arms[check.arm], needs)
        able = filter(needs.met_by, self._catalog.arms[check.arm].deployments)
        tokens = needs.input_tokens + max(map(needs.most_output, able), default=0)
        budget = Tenant(BUDGET_TENANT, TenantLimits(daily_usd=self._settings.audit_usd_per_day))
        shared = Reservation(f"{state.id}#audits", BUDGET_TENANT, 0, most_usd)
        own = Reservation(f"{state.id}#audit", state.request.tenant.name, tokens, most_usd)
        run = self._planned(state, check, needs)
        await self._admission.reserve(budget, shared)
        try:
            await self._admission.reserve(state.request.tenant, own)
            try:
                async for _ in self._cascade.run(run):
                    pass  # nobody reads along
            finally:
                # Also where it is cut short: what was called is paid for.
                for attempt in run.attempts:
                    self._observer.attempt(attempt, run.tenant)
                await self._admission.settle(own, _tokens(run), _cost_usd(run))
        finally:
            await self._admission.settle(shared, 0, _cost_usd(run))
        return await self._record(state, check, run.answer, _cost_usd(run))

    def _planned(self, state: RequestState, check: _AuditCall, needs: Requirements) -> PlanRun:
        return PlanRun(
            check.chat,
            needs,
            (check.arm,),
            deadline_s=self._cascade.now_s() + TIMEOUT_MS / MS_PER_S,
            health=state.health,
            tenant=state.request.tenant.name,
        )

    async def _record(
        self, state: RequestState, check: _AuditCall, answer: Answer | None, cost_usd: float
    ) -> str:
        """Returns what came of it, as it is counted."""
        quality = check.quality(answer) if answer is not None else None
        result = _result_of(answer, quality)
        self._observer.audit(result)
        if quality is None:
            return result
        if result == "bad":
            await self._cache.evict(state.key.exact, state.key.partition)
        event = Audited(state.id, quality, check.share, cost_usd)
        try:
            await self._decisions.audited(event)
        except RouterError:
            self._observer.degraded("audit")
        return result


def _result_of(answer: Answer | None, quality: float | None) -> str:
    if quality is None:
        return "failed" if answer is None else "unreadable"
    return "good" if quality >= 0.5 else "bad"  # noqa: PLR2004 - the middle


def _cost_usd(run: PlanRun) -> float:
    return sum(attempt.cost_usd for attempt in run.attempts)


def _tokens(run: PlanRun) -> int:
    return sum(attempt.input_tokens + attempt.output_tokens for attempt in run.attempts)


def _accepted(judged: Judged, plan: Plan) -> bool:
    last = judged.steps[-1]
    return plan.is_judged and last.step is Step.ACCEPT and last.by is not Judge.VERIFIER


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
