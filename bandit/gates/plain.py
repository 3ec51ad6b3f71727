"""Gates that follow a fixed rule; learning changes their scores and values only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bandit.gates.base import SnapshotGate
from bandit.gates.types import GateInput, Step
from bandit.gates.values import plain_step
from bandit.types import Vector

RULES: Final = "rules"
AGREEMENT: Final = "agreement"


class RulesGate(SnapshotGate):
    """Always accepts: answers that failed the format checks never come here."""

    def _shares(
        self,
        seen: GateInput,  # noqa: ARG002 - whatever was seen
        values: Mapping[Step, Vector],
    ) -> dict[Step, float]:
        return certain(Step.ACCEPT, values)


class AgreementGate(SnapshotGate):
    """Asks for a second opinion; accepts what it confirms and escalates the rest."""

    def _shares(self, seen: GateInput, values: Mapping[Step, Vector]) -> dict[Step, float]:
        return certain(plain_step(values, agrees=self._agrees(seen)), values)


def certain(wanted: Step, steps: Mapping[Step, Vector]) -> dict[Step, float]:
    return {step: float(step is wanted) for step in steps}
