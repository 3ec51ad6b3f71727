"""Accepted first answers checked against the strong arm's, off the caller's path, and charged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bandit.gates import Step
from bench.cascade.answers import Answers
from bench.routing.recorded import Recorded
from router.domain.chat import Answer, FinishReason, Usage
from router.domain.events import Audited
from router.gates.gate_session import GateSession
from router.serving.feedback import FeedbackRate


class Check(NamedTuple):
    """told: None where the strong arm's answer could not be compared; it is charged still."""

    cost_usd: float
    told: Audited | None


@dataclass(frozen=True, slots=True)
class Auditor:
    """share: of first answers that a gate accepted. chance: (rows,), uniform in [0, 1).

    always: also of those whose callers say how good they were. As the service's auditor without a
    judge: closed answers are compared, open ones left out.
    """

    data: Recorded
    answers: Answers
    chance: NDArray[np.float64]
    share: float
    always: bool
    telling: FeedbackRate = field(default_factory=FeedbackRate)

    def check(self, decision_id: str, row: int, gate_session: GateSession | None) -> Check | None:
        """None where nothing is checked."""
        worth = self.telling.count_answer("")
        share = self.share * (1.0 if self.always else worth)
        judged = gate_session.judged if gate_session else None
        if gate_session is None or judged is None or self.chance[row] >= share:
            return None
        plan, last = gate_session.plan, judged.steps[-1]
        if last.step != Step.ACCEPT or not gate_session.is_closed(plan.rungs[0]):
            return None
        strong = plan.rungs[1]
        cost_usd = float(self.data.cost_usd[row, self.data.arms.index(strong)])
        said = Answer(self.answers[strong][row], FinishReason.STOP, Usage(), strong)
        quality = gate_session.confirms(said)
        if quality is None:
            return Check(cost_usd, None)
        return Check(cost_usd, Audited(decision_id, quality, share, cost_usd))
