"""Audits of accepted first answers by the strong arm, off the caller's path, and charged."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bandit.gates import Step
from bench.lab.provider import Answers
from bench.lab.recorded import Recorded
from router.domain.chat import Answer, FinishReason, Usage
from router.domain.events import Audited
from router.gates.gate_session import GateSession
from router.serving.feedback_rate import FeedbackRate


@dataclass(frozen=True, slots=True)
class ReplayAuditor:
    """The service's auditor without a judge: closed answers are compared, open ones left out.

    share: of the first answers that a gate accepted. chance: (rows,), uniform in [0, 1). always:
    audit answers that get feedback too.
    """

    data: Recorded
    answers: Answers
    chance: NDArray[np.float64]
    share: float
    always: bool
    feedback: FeedbackRate = field(default_factory=FeedbackRate)

    def check(
        self, decision_id: str, row: int, stepper: GateSession | None
    ) -> tuple[float, Audited | None] | None:
        """Returns cost and event, None where nothing is audited.

        The event is None where the strong arm's answer cannot be compared.
        """
        worth = self.feedback.served("")
        share = self.share * (1.0 if self.always else worth)
        judged = stepper.judged if stepper else None
        if stepper is None or judged is None or self.chance[row] >= share:
            return None
        plan, last = stepper.plan, judged.steps[-1]
        if last.step != Step.ACCEPT or not stepper.is_closed(plan.rungs[0]):
            return None
        strong = plan.rungs[1]
        cost_usd = float(self.data.cost_usd[row, self.data.arms.index(strong)])
        said = Answer(self.answers[strong][row], FinishReason.STOP, Usage(), strong)
        quality = stepper.confirms(said)
        if quality is None:
            return cost_usd, None
        return cost_usd, Audited(decision_id, quality, share, cost_usd)
