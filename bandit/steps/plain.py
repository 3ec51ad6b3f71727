"""Gates that follow a fixed rule; what they learn shows in their scores and values only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bandit.steps.base import BookedGate
from bandit.steps.types import Seen, Step
from bandit.steps.values import Terms
from bandit.types import Vector

RULES: Final = "rules"
AGREEMENT: Final = "agreement"


class RulesGate(BookedGate):
    """Always accepts: what failed the format checks never comes here."""

    def _shares(
        self,
        row: Vector,  # noqa: ARG002 - whatever was seen
        seen: Seen,  # noqa: ARG002 - the same
        terms: Terms,  # noqa: ARG002 - the same
        values: Mapping[Step, float],
    ) -> dict[Step, float]:
        return {step: float(step is Step.ACCEPT) for step in values}


class AgreementGate(BookedGate):
    """Asks for a second opinion; accepts what it confirms and escalates the rest."""

    def _shares(
        self,
        row: Vector,  # noqa: ARG002 - one rule for every prompt
        seen: Seen,
        terms: Terms,  # noqa: ARG002 - at any price
        values: Mapping[Step, float],
    ) -> dict[Step, float]:
        wanted = plain_step(values, agrees=self._agrees(seen))
        return {step: float(step is wanted) for step in values}


def plain_step(values: Mapping[Step, float], *, agrees: bool | None) -> Step:
    """values: of the eligible steps; where nobody is above, the likelier answer is served."""
    if Step.ASK in values:
        return Step.ASK
    if agrees:
        return Step.ACCEPT
    if Step.ESCALATE in values:
        return Step.ESCALATE
    return max(values, key=lambda step: values[step])
