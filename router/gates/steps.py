"""Which steps are open, who else has a say, and a choice as it is written down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bandit.gates import Chosen, Step
from router.domain.chat import Answer, ChatRequest
from router.domain.records import Judge, StepTaken


@dataclass(frozen=True, slots=True)
class AvailableSteps:
    """Which steps the request's deadline, attempts and cost limit leave."""

    ask: bool
    escalate: bool


class Verdicts(Protocol):
    """A caller's verifier, as the stepper asks it."""

    @property
    def accept_at(self) -> float: ...

    async def verdict(
        self, chat: ChatRequest, tenant: str, arm: str, answer: Answer, within_ms: float
    ) -> float | None:
        """Quality in [0, 1]; None when it abstains, fails, is switched off or is not for this."""
        ...


class RiskBound(Protocol):
    """A promise: of what is accepted at such a score, few turn out bad."""

    def permits(self, score: float) -> bool: ...


def taken_of(chosen: Chosen) -> StepTaken:
    probabilities = tuple(chosen.probabilities.items())
    return StepTaken(chosen.step, chosen.propensity, probabilities, chosen.score)


def withheld(taken: StepTaken) -> StepTaken:
    """What would have been served goes to the arm above instead."""
    probabilities = {Step.ESCALATE: 0.0}
    for step, probability in taken.probabilities:
        to = Step.ESCALATE if step in (Step.ACCEPT, Step.SECOND) else step
        probabilities[to] = probabilities.get(to, 0.0) + probability
    escalated = probabilities[Step.ESCALATE]
    shares = tuple(probabilities.items())
    return StepTaken(
        Step.ESCALATE, escalated, shares, taken.score, Judge.PROMISE, instead=taken.step
    )
