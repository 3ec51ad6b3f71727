"""Carry out one plan: rung by rung, escalating weak answers and failing over from ill arms."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Annotated

from annotated_types import Ge, Le

from bandit.gates import Step
from router.domain import MS_PER_S
from router.domain.catalog import Catalog, Deployment
from router.domain.chat import Answer, Delta, deltas_of
from router.domain.errors import RouterError
from router.domain.records import JUDGED, UNJUDGED, Attempt, AttemptOutcome
from router.gates.gate_session import AvailableSteps, GateSession
from router.ports import Clock
from router.ports.observer import NO_TRACER, Tracer
from router.ports.state import Health
from router.serving.account_faults import failure_of
from router.serving.attempts import DeploymentCaller, PlanRun

NO_CALL = "no_healthy_deployment"
BUSY = "deployment_busy"
"""Why an arm was not called: as many attempts are under way as its deployments may have."""
NOT_SERVED = (AttemptOutcome.ESCALATED, AttemptOutcome.SECOND_OPINION)


@dataclass(frozen=True, slots=True)
class CascadeSettings:
    """Bounds on the provider calls of one request."""

    max_per_request: Annotated[int, Ge(1), Le(20)] = 6
    """Provider calls that one request may make, second opinions included."""
    min_remaining_ms: Annotated[int, Ge(0)] = 200
    """Kept of the deadline to hand out an answer. With one in hand no attempt is begun when less
    than twice as much is left."""


@dataclass(frozen=True, slots=True)
class _HeldAnswer:
    """An answer held in reserve, and where its attempt stands."""

    answer: Answer
    index: int


class Cascade:
    """second_timeout_ms: the most a second opinion is waited for, with an answer in hand."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        caller: DeploymentCaller,
        clock: Clock,
        settings: CascadeSettings,
        second_timeout_ms: float = 10_000,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._tracer = tracer
        self._catalog = catalog
        self._caller = caller
        self._clock = clock
        self._settings = settings
        self._second_timeout_s = second_timeout_ms / MS_PER_S

    def failure_of(self, run: PlanRun, decision_id: str) -> RouterError:
        """Returns the error of a run that came to no answer."""
        known = self._caller.account_faults.current
        return failure_of(run.attempts, run.errors, self._catalog, known, decision_id)

    def now_s(self) -> float:
        """Read the clock that deadlines are measured by."""
        return self._clock()

    async def run(self, run: PlanRun) -> AsyncGenerator[Delta]:
        """Deltas of the served answer where it is live; then `run` holds the answer, or None.

        Only the last rung streams as it comes: an answer in front of a gate may be thrown away.
        """
        held: _HeldAnswer | None = None
        for arm, above in self._route(run):
            live = run.live and not above
            async with aclosing(self._try_arm(run, arm, live=live)) as deltas:
                async for delta in deltas:
                    yield delta
            if run.started:
                break
            if run.answer is None:
                continue
            if not above or not await self._escalates(run, arm, above):
                break
            held = _hold(run)
            _mark_escalated(run, held)
            run.handout_ms = self._settings.min_remaining_ms
        if run.answer is None and held and not run.started:
            # A weak answer is better than none when the stronger arm could not be had.
            _serve(run, held, passed=False)
        if run.gate_session is not None:
            _mark_agreement(run, run.gate_session)
        if run.answer is not None and run.live and not run.started:
            for delta in deltas_of(run.answer, run.chat):
                yield delta

    async def _escalates(self, run: PlanRun, arm: str, above: str) -> bool:
        """True if the arm above is to be called, with an answer in hand."""
        if not run.passed:
            return self._may_try_arm(run, above)
        if run.gate_session is None or arm != run.rungs[0]:
            return False
        return await self._gate_escalates(run, run.gate_session, above)

    async def _gate_escalates(self, run: PlanRun, gate_session: GateSession, above: str) -> bool:
        """Ask the plan's gate about a first answer that passed; True to escalate."""
        first = _hold(run)
        try:
            with self._tracer.stage("gate") as span:
                leads_up = await self._steps_lead_up(run, gate_session, above, first)
                span.note(plan=gate_session.plan.name, escalated=leads_up)
        except BaseException:
            # Mostly the caller left: an answer that was not judged to the end is not served.
            _mark_cancelled(run, first)
            raise
        return leads_up

    async def _steps_lead_up(
        self, run: PlanRun, gate_session: GateSession, above: str, first: _HeldAnswer
    ) -> bool:
        within_ms = run.remaining_ms(self._clock()) - self._settings.min_remaining_ms
        available = self._available(run, gate_session, above)
        step = await gate_session.judge_first(first.answer, available, within_ms)
        second: _HeldAnswer | None = None
        if step is Step.ASK:
            second = await self._second_opinion(run, gate_session.second_arm)
            _serve(run, first, passed=True)
            answer = second.answer if second else None
            available = self._available(run, gate_session, above)
            step = await gate_session.judge_second(first.answer, answer, available)
        if step is Step.SECOND and second is not None:
            _mark(run, first.index, AttemptOutcome.ESCALATED, JUDGED)
            _serve(run, second, passed=True)
        return step is Step.ESCALATE

    def _available(self, run: PlanRun, gate_session: GateSession, above: str) -> AvailableSteps:
        second = gate_session.second_arm
        ask = bool(second) and self._is_healthy(run, second) and self._may_try_arm(run, second)
        return AvailableSteps(ask=ask, escalate=self._may_try_arm(run, above))

    def _is_healthy(self, run: PlanRun, arm: str) -> bool:
        deployments = self._catalog.arms[arm].deployments
        return any(run.health.get(d.name) is not Health.OPEN for d in deployments)

    async def _second_opinion(self, run: PlanRun, arm: str) -> _HeldAnswer | None:
        """A second opinion, if one comes in time to be of use."""
        deadline_s, now_s, settings = run.deadline_s, self._clock(), self._settings
        until_s = now_s + self._second_timeout_s
        if deadline_s is not None:
            until_s = min(until_s, deadline_s - settings.min_remaining_ms / MS_PER_S)
        run.answer, run.deadline_s = None, until_s
        try:
            async with aclosing(self._try_arm(run, arm, live=False)) as deltas:
                async for _ in deltas:
                    pass  # nothing of it is handed out before it was chosen
        except BaseException:
            if run.answer is not None:  # it came, and its caller left while it was checked
                _mark_cancelled(run, _hold(run))
            raise
        finally:
            run.deadline_s = deadline_s
        if run.answer is None:
            return None
        second = _hold(run)
        _mark(run, second.index, AttemptOutcome.SECOND_OPINION)
        return second if run.passed else None

    def _route(self, run: PlanRun) -> Iterator[tuple[str, str]]:
        """(arm, arm above it or "") to try next.

        A rung that failed is followed by a spare arm; when all rungs have failed, so are the rest
        of the spares, unless a weak answer is in hand.
        """
        spares = (
            arm
            for arm in run.spares
            if arm not in run.rungs and not any(a.arm == arm for a in run.attempts)
        )
        for arm, above in zip(run.rungs, (*run.rungs[1:], ""), strict=True):
            yield arm, above
            if run.answer is None and not _was_escalated(run, arm):
                yield from ((spare, "") for spare in islice(spares, 1))
        if not any(a.outcome is AttemptOutcome.ESCALATED for a in run.attempts):
            yield from ((spare, "") for spare in spares)

    def _may_try_arm(self, run: PlanRun, arm: str) -> bool:
        """True if a call beside the answer in hand may be of use: part of the time hands it out."""
        if run.remaining_ms(self._clock()) < 2 * self._settings.min_remaining_ms:
            return False
        return len(run.attempts) < self._settings.max_per_request and any(
            run.may_call(d) for d in self._catalog.arms[arm].deployments
        )

    async def _try_arm(self, run: PlanRun, arm: str, *, live: bool) -> AsyncGenerator[Delta]:
        """Try the arm's deployments in order until one answers."""
        called, why = False, NO_CALL
        deployments = run.in_order(self._catalog.arms[arm].deployments)
        for position, deployment in enumerate(deployments, start=1):
            if self._is_over(run):
                return
            if not run.may_call(deployment):
                continue
            if self._caller.is_busy(run, deployment):
                why = BUSY
                continue
            others = self._others(run, arm, deployments[position:])
            limit_ms = self._caller.limit_ms(run, deployment, others, live=live)
            # A half-open one may take no call at all.
            sure = (d for d in others if run.health.get(d.name) is not Health.HALF_OPEN)
            if any(sure) and self._caller.holds_back(run, deployment, limit_ms):
                continue
            if not await self._caller.admits(run, deployment):
                continue
            called = True
            calls = self._caller.call(run, arm, deployment, live=live, limit_ms=limit_ms)
            async with aclosing(calls) as deltas:
                async for delta in deltas:
                    yield delta
            if run.answer or run.started:
                return
        if not called:
            run.attempts.append(Attempt(arm, "", "", AttemptOutcome.FAILED, why, 0.0))

    def _others(
        self, run: PlanRun, arm: str, siblings: Sequence[Deployment]
    ) -> Sequence[Deployment]:
        """Returns the deployments that may still be tried after this one, in order.

        With an answer in hand, as where a second opinion is asked for, no other arm stands in.
        """
        if len(run.attempts) + 1 >= self._settings.max_per_request:
            return ()
        found = list(siblings)
        if not any(a.outcome is AttemptOutcome.ACCEPTED for a in run.attempts):
            tried = {arm, *(a.arm for a in run.attempts)}
            arms = [a for a in dict.fromkeys((*run.rungs, *run.spares)) if a not in tried]
            found += [d for name in arms for d in self._catalog.arms[name].deployments]
        return [d for d in found if self._may_try(run, d)]

    def _may_try(self, run: PlanRun, deployment: Deployment) -> bool:
        is_open = run.health.get(deployment.name) is Health.OPEN
        return (
            not is_open and run.may_call(deployment) and not self._caller.is_busy(run, deployment)
        )

    def _is_over(self, run: PlanRun) -> bool:
        late = run.remaining_ms(self._clock()) <= run.handout_ms
        return late or len(run.attempts) >= self._settings.max_per_request


def _hold(run: PlanRun) -> _HeldAnswer:
    """The answer in hand and where its attempt stands: the last that was accepted."""
    assert run.answer is not None  # noqa: S101 - called with an answer in hand only
    outcomes = [a.outcome for a in run.attempts]
    return _HeldAnswer(
        run.answer, len(outcomes) - 1 - outcomes[::-1].index(AttemptOutcome.ACCEPTED)
    )


def _mark(run: PlanRun, index: int, outcome: AttemptOutcome, why: str = "") -> Attempt:
    """Replace an attempt's outcome. why: "" to leave what the certain checks said."""
    attempt = run.attempts[index]
    marked = replace(attempt, outcome=outcome, why=why or attempt.why)
    run.attempts[index] = marked
    return marked


def _mark_escalated(run: PlanRun, held: _HeldAnswer) -> None:
    why = JUDGED if run.passed else ""
    _mark(run, held.index, AttemptOutcome.ESCALATED, why)
    run.answer = None


def _mark_cancelled(run: PlanRun, held: _HeldAnswer) -> None:
    _mark(run, held.index, AttemptOutcome.CANCELLED, UNJUDGED)
    run.answer, run.arm, run.deployment = None, "", ""


def _was_escalated(run: PlanRun, arm: str) -> bool:
    return any(a.arm == arm and a.outcome is AttemptOutcome.ESCALATED for a in run.attempts)


def _serve(run: PlanRun, held: _HeldAnswer, *, passed: bool) -> None:
    attempt = _mark(run, held.index, AttemptOutcome.ACCEPTED)
    run.answer, run.passed = held.answer, passed
    run.arm, run.deployment = attempt.arm, attempt.deployment


def _mark_agreement(run: PlanRun, gate_session: GateSession) -> None:
    """Note which of the other answers say the same as the one that is served."""
    served = run.answer
    if served is None:
        return
    for index, attempt in enumerate(run.attempts):
        if attempt.outcome in NOT_SERVED:
            agrees = gate_session.agrees(attempt.arm, served)
            run.attempts[index] = replace(attempt, agrees=agrees)
