"""Carry out one plan: rung by rung, escalating weak answers and failing over from ill arms."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Annotated

from annotated_types import Ge, Le

from bandit.gates import Step
from router.domain.catalog import Catalog
from router.domain.chat import Answer, Delta, deltas_of
from router.domain.records import JUDGED, UNJUDGED, Attempt, AttemptOutcome
from router.gates.gate_session import AvailableSteps, GateSession
from router.ports import Clock
from router.ports.state import Health
from router.serving.attempts import DeploymentCaller, PlanRun

NO_CALL = "no_healthy_deployment"
MS_PER_S = 1_000
NOT_SERVED = (AttemptOutcome.ESCALATED, AttemptOutcome.SECOND_OPINION)


@dataclass(frozen=True, slots=True)
class CascadeSettings:
    max_per_request: Annotated[int, Ge(1), Le(20)] = 6
    """Calls to deployments that one request may cause."""
    min_remaining_ms: Annotated[int, Ge(0)] = 200
    """Remaining time of the deadline below which no escalation begins."""


@dataclass(frozen=True, slots=True)
class _Kept:
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
    ) -> None:
        self._catalog = catalog
        self._caller = caller
        self._clock = clock
        self._settings = settings
        self._second_timeout_s = second_timeout_ms / MS_PER_S

    def now_s(self) -> float:
        """Of the clock that deadlines are measured by."""
        return self._clock()

    async def run(self, journey: PlanRun) -> AsyncGenerator[Delta]:
        """Deltas of the served answer; afterwards `journey` holds the answer, or None.

        Only the last rung streams as it comes: an answer in front of a gate may be thrown away.
        """
        kept: _Kept | None = None
        for arm, above in self._route(journey):
            live = journey.live and not above
            async with aclosing(self._climb(journey, arm, live=live)) as deltas:
                async for delta in deltas:
                    yield delta
            if journey.started:
                break
            if journey.answer is None:
                continue
            if not above or not await self._climbs(journey, arm, above):
                break
            kept = _hold(journey)
            _set_aside(journey, kept)
        if journey.answer is None and kept and not journey.started:
            # A weak answer is better than none when the stronger arm could not be had.
            _serve(journey, kept, passed=False)
        if journey.stepper is not None:
            _mark_agreement(journey, journey.stepper)
        if journey.answer is not None and not journey.started:
            for delta in deltas_of(journey.answer):
                yield delta

    async def _climbs(self, journey: PlanRun, arm: str, above: str) -> bool:
        """Whether to call the arm above, with an answer in hand."""
        if not journey.passed:
            return self._may_climb(journey, above)
        if journey.stepper is None or arm != journey.rungs[0]:
            return False
        return await self._judged(journey, journey.stepper, above)

    async def _judged(self, journey: PlanRun, stepper: GateSession, above: str) -> bool:
        """What the plan's gate makes of a first answer that passed: whether to climb."""
        first = _hold(journey)
        try:
            return await self._weighed(journey, stepper, above, first)
        except BaseException:
            # The caller left, mostly: what nobody judged to the end is neither served nor kept.
            _withdraw(journey, first)
            raise

    async def _weighed(
        self, journey: PlanRun, stepper: GateSession, above: str, first: _Kept
    ) -> bool:
        within_ms = journey.remaining_ms(self._clock()) - self._settings.min_remaining_ms
        left = self._open(journey, stepper, above)
        step = await stepper.first(first.answer, left, within_ms)
        second: _Kept | None = None
        if step is Step.ASK:
            second = await self._ask(journey, stepper.second_arm)
            _serve(journey, first, passed=True)
            answer = second.answer if second else None
            left = self._open(journey, stepper, above)
            step = await stepper.again(first.answer, answer, left)
        if step is Step.SECOND and second is not None:
            _mark(journey, first.index, AttemptOutcome.ESCALATED, JUDGED)
            _serve(journey, second, passed=True)
        return step is Step.ESCALATE

    def _open(self, journey: PlanRun, stepper: GateSession, above: str) -> AvailableSteps:
        second = stepper.second_arm
        ask = bool(second) and self._is_well(journey, second) and self._may_climb(journey, second)
        return AvailableSteps(ask=ask, escalate=self._may_climb(journey, above))

    def _is_well(self, journey: PlanRun, arm: str) -> bool:
        deployments = self._catalog.arms[arm].deployments
        return any(journey.health.get(d.name) is not Health.OPEN for d in deployments)

    async def _ask(self, journey: PlanRun, arm: str) -> _Kept | None:
        """A second opinion, if one comes in time to be of use."""
        deadline_s, now_s, settings = journey.deadline_s, self._clock(), self._settings
        until_s = now_s + self._second_timeout_s
        if deadline_s is not None:
            until_s = min(until_s, deadline_s - settings.min_remaining_ms / MS_PER_S)
        journey.answer, journey.deadline_s = None, until_s
        try:
            async with aclosing(self._climb(journey, arm, live=False)) as deltas:
                async for _ in deltas:
                    pass  # nothing of it is handed out before it was chosen
        finally:
            journey.deadline_s = deadline_s
        if journey.answer is None:
            return None
        second = _hold(journey)
        _mark(journey, second.index, AttemptOutcome.SECOND_OPINION)
        return second if journey.passed else None

    def _route(self, journey: PlanRun) -> Iterator[tuple[str, str]]:
        """(arm, arm above it or "") to try next.

        A rung that failed is followed by a spare arm; when all rungs have failed, so are the rest
        of the spares, unless a weak answer is in hand.
        """
        spares = (
            arm
            for arm in journey.spares
            if arm not in journey.rungs and not any(a.arm == arm for a in journey.attempts)
        )
        for arm, above in zip(journey.rungs, (*journey.rungs[1:], ""), strict=True):
            yield arm, above
            if journey.answer is None and not _was_set_aside(journey, arm):
                yield from ((spare, "") for spare in islice(spares, 1))
        if not any(a.outcome is AttemptOutcome.ESCALATED for a in journey.attempts):
            yield from ((spare, "") for spare in spares)

    def _may_climb(self, journey: PlanRun, arm: str) -> bool:
        if journey.remaining_ms(self._clock()) < self._settings.min_remaining_ms:
            return False
        return len(journey.attempts) < self._settings.max_per_request and any(
            journey.may_call(d) for d in self._catalog.arms[arm].deployments
        )

    async def _climb(self, journey: PlanRun, arm: str, *, live: bool) -> AsyncGenerator[Delta]:
        """Try the arm's deployments in order until one answers."""
        called = False
        for deployment in self._catalog.arms[arm].deployments:
            if self._is_over(journey):
                return
            if not journey.may_call(deployment):
                continue
            if not await self._caller.admits(journey, deployment):
                continue
            called = True
            calls = self._caller.call(journey, arm, deployment, live=live)
            async with aclosing(calls) as deltas:
                async for delta in deltas:
                    yield delta
            if journey.answer or journey.started:
                return
        if not called:
            journey.attempts.append(Attempt(arm, "", "", AttemptOutcome.FAILED, NO_CALL, 0.0))

    def _is_over(self, journey: PlanRun) -> bool:
        late = journey.remaining_ms(self._clock()) <= 0
        return late or len(journey.attempts) >= self._settings.max_per_request


def _hold(journey: PlanRun) -> _Kept:
    """The answer in hand and where its attempt stands: the last that was accepted."""
    assert journey.answer is not None  # noqa: S101 - called with an answer in hand only
    outcomes = [a.outcome for a in journey.attempts]
    return _Kept(journey.answer, len(outcomes) - 1 - outcomes[::-1].index(AttemptOutcome.ACCEPTED))


def _mark(journey: PlanRun, index: int, outcome: AttemptOutcome, why: str = "") -> Attempt:
    """why: "" to leave what the certain checks said."""
    attempt = journey.attempts[index]
    marked = replace(attempt, outcome=outcome, why=why or attempt.why)
    journey.attempts[index] = marked
    return marked


def _set_aside(journey: PlanRun, kept: _Kept) -> None:
    why = JUDGED if journey.passed else ""
    _mark(journey, kept.index, AttemptOutcome.ESCALATED, why)
    journey.answer = None


def _withdraw(journey: PlanRun, kept: _Kept) -> None:
    _mark(journey, kept.index, AttemptOutcome.CANCELLED, UNJUDGED)
    journey.answer, journey.arm, journey.deployment = None, "", ""


def _was_set_aside(journey: PlanRun, arm: str) -> bool:
    return any(a.arm == arm and a.outcome is AttemptOutcome.ESCALATED for a in journey.attempts)


def _serve(journey: PlanRun, kept: _Kept, *, passed: bool) -> None:
    attempt = _mark(journey, kept.index, AttemptOutcome.ACCEPTED)
    journey.answer, journey.passed = kept.answer, passed
    journey.arm, journey.deployment = attempt.arm, attempt.deployment


def _mark_agreement(journey: PlanRun, stepper: GateSession) -> None:
    """Which of the other answers say the same as the one that is served."""
    served = journey.answer
    if served is None:
        return
    for index, attempt in enumerate(journey.attempts):
        if attempt.outcome in NOT_SERVED:
            agrees = stepper.agrees(attempt.arm, served)
            journey.attempts[index] = replace(attempt, agrees=agrees)
