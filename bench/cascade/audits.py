"""Accepted first answers checked against the strong arm's, off the caller's path, and charged."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bench.cascade.answers import Answers
from bench.routing.recorded import Recorded
from router.core.arms import Plan
from router.core.judging.closed import compare
from router.core.judging.signals import question_of
from router.core.records import Audited, DecisionRecord


class Auditor:
    """share: of answers that a gate accepted. chance: (n rows,), uniform in [0, 1)."""

    def __init__(
        self,
        data: Recorded,
        answers: Answers,
        plans: Mapping[str, Plan],
        chance: NDArray[np.float64],
        share: float,
    ) -> None:
        self._data = data
        self._answers = answers
        self._plans = plans
        self._chance = chance
        self._share = share

    def audit(self, record: DecisionRecord, row: int) -> Audited | None:
        """A closed answer that the strong arm's confirms is held right; open ones are left out."""
        plan = self._plans[record.choice.plan] if record.choice else None
        if plan is None or record.judged is None or record.arm != plan.rungs[0]:
            return None
        if self._chance[row] >= self._share:
            return None
        strong = plan.rungs[-1]
        asked = question_of(self._data.prompts[row]).asked
        same = compare(self._answers[record.arm][row], self._answers[strong][row], asked)
        if same is None:
            return None
        cost_usd = float(self._data.cost_usd[row, self._data.arms.index(strong)])
        return Audited(record.id, same, self._share, cost_usd)
