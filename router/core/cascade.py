"""Carry out one plan: rung by rung, escalating weak answers and failing over from ill arms."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import islice

from router.core.arms import Catalogue
from router.core.attempt import Caller, Journey
from router.core.chat import Answer, Delta, deltas_of
from router.core.ports import Clock
from router.core.records import Attempt, AttemptOutcome

NO_CALL = "no_healthy_deployment"


@dataclass(frozen=True, slots=True)
class CascadeSettings:
    """An escalation is skipped when less than min_remaining_ms of the deadline is left."""

    max_attempts: int = 6
    min_remaining_ms: int = 200


@dataclass(frozen=True, slots=True)
class _Kept:
    """A weak answer held in reserve, and where its attempt stands."""

    answer: Answer
    index: int


class Cascade:
    def __init__(
        self, *, catalogue: Catalogue, caller: Caller, clock: Clock, settings: CascadeSettings
    ) -> None:
        self._catalogue = catalogue
        self._caller = caller
        self._clock = clock
        self._settings = settings

    async def run(self, journey: Journey) -> AsyncGenerator[Delta]:
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
                return
            if journey.answer is None:
                continue
            if not above or journey.passed or not self._may_climb(journey, above):
                break
            kept = _set_aside(journey)
        if journey.answer is None and kept:
            _take_back(journey, kept)
        if journey.answer is not None:
            for delta in deltas_of(journey.answer):
                yield delta

    def _route(self, journey: Journey) -> Iterator[tuple[str, str]]:
        """(arm, arm above it or "") to try next.

        A rung that failed is followed by a spare arm; when all rungs have failed, so are the rest
        of the spares, unless a weak answer is in hand.
        """
        spares = iter([arm for arm in journey.spares if arm not in journey.rungs])
        for arm, above in zip(journey.rungs, (*journey.rungs[1:], ""), strict=True):
            yield arm, above
            if journey.answer is None and not _set_aside_last(journey):
                yield from ((spare, "") for spare in islice(spares, 1))
        if not any(a.outcome is AttemptOutcome.ESCALATED for a in journey.attempts):
            yield from ((spare, "") for spare in spares)

    def _may_climb(self, journey: Journey, arm: str) -> bool:
        if journey.remaining_ms(self._clock()) < self._settings.min_remaining_ms:
            return False
        return len(journey.attempts) < self._settings.max_attempts and any(
            journey.may_call(d) for d in self._catalogue.arms[arm].deployments
        )

    async def _climb(self, journey: Journey, arm: str, *, live: bool) -> AsyncGenerator[Delta]:
        """Try the arm's deployments in order until one answers."""
        called = False
        for deployment in self._catalogue.arms[arm].deployments:
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

    def _is_over(self, journey: Journey) -> bool:
        late = journey.remaining_ms(self._clock()) <= 0
        return late or len(journey.attempts) >= self._settings.max_attempts


def _set_aside(journey: Journey) -> _Kept:
    """Make the accepted attempt an escalated one."""
    answer, index = journey.answer, len(journey.attempts) - 1
    assert answer is not None  # noqa: S101 - called with an answer in hand only
    last = journey.attempts[index]
    journey.attempts[index] = replace(last, outcome=AttemptOutcome.ESCALATED)
    journey.answer = None
    return _Kept(answer, index)


def _set_aside_last(journey: Journey) -> bool:
    last = journey.attempts[-1] if journey.attempts else None
    return last is not None and last.outcome is AttemptOutcome.ESCALATED


def _take_back(journey: Journey, kept: _Kept) -> None:
    """A weak answer is better than none when the stronger arm could not be had."""
    attempt = replace(journey.attempts[kept.index], outcome=AttemptOutcome.ACCEPTED)
    journey.attempts[kept.index] = attempt
    journey.answer, journey.passed = kept.answer, False
    journey.arm, journey.deployment = attempt.arm, attempt.deployment
