"""The promise itself: what it permits, and what it learns from labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bandit.errors import BadInput
from bandit.models.sufficient_statistics import shaped
from bandit.risk.checks import check_score, checked_scores, label_weight
from bandit.risk.evidence import NONE, Evidence
from bandit.risk.guard import Guard
from bandit.risk.status import describe
from bandit.risk.types import MAX_WARM_UP, PromiseSettings, PromiseStatus, Source
from bandit.types import Vector


class Promise:
    """Permits by score, learns from labels. Not thread-safe; memory does not grow with labels."""

    def __init__(self, settings: PromiseSettings) -> None:
        self.settings = settings
        self._evidence = Evidence(settings)
        self._guard = Guard(settings.max_bad, settings.labels_between_alarms)
        self._scores: Vector = np.zeros(0)
        self._warm_up_left = settings.warm_up
        self._watched = NONE
        self._epoch = 1

    @property
    def threshold(self) -> float | None:
        """The certified threshold; None: accept nothing."""
        at = self._evidence.at
        return None if at == NONE else float(self._evidence.grid[at])

    @property
    def halted(self) -> bool:
        """Nothing is accepted for the moment, whatever is certified."""
        return self._guard.halted

    def permits(self, score: float) -> bool:
        """Whether an answer may be accepted. score: P(good), in [0, 1]. Raises BadInput."""
        check_score(score)
        return not self._guard.halted and self._reaches(score)

    def place(self, scores: Vector) -> None:
        """Say where to begin by the scores of answers, instead of a warm-up.

        scores: (m,), m >= 1, of answers that are not observed later, or that were all scored
        before any label was learned. Raises BadInput, also once there are labels.
        """
        if self._warm_up_left < self.settings.warm_up or self._evidence.labels or self._epoch > 1:
            raise BadInput("labels were observed already: place scores in a new promise, first")
        self._evidence.start(checked_scores(scores))
        self._warm_up_left = 0

    def observe(
        self,
        score: float,
        bad: float,
        sampling_probability: float = 1.0,
        *,
        least_probability: float | None = None,
        source: Source = Source.AUDIT,
    ) -> bool:
        """Take in the label of an answer the gate would accept. True when that withdrew all.

        score: as it was when it was decided on, before its own label was learned.
        bad: in [0, 1]. sampling_probability: that this answer would be labelled.
        least_probability: the least any answer of this time had; leave it out where all had the
        same. The label weighs least_probability / sampling_probability, never more than 1.

        Where answers of a lower score are labelled oftener (escalated ones are compared with the
        strong answer, accepted ones are audited) and least_probability is left out, the risky
        ones count too much: nothing is promised wrongly as long as a lower score is no better
        one, and far fewer labels are needed.

        Raises BadInput or BadOutcome; nothing is learned then.
        """
        check_score(score)
        weight = label_weight(bad, sampling_probability, least_probability)
        guarded = source in self.settings.guarded_by and self._watches(score)
        if guarded and self._guard.alarm(bad, weight):
            self._withdraw()
            return True
        if source in self.settings.evidence:
            self._count(score, bad, weight)
        return False

    def status(self) -> PromiseStatus:
        """How far the promise is; some milliseconds, not for every request."""
        return describe(
            self._evidence,
            self.settings,
            warm_up_left=self._warm_up_left,
            epoch=self._epoch,
            halted=self.halted,
        )

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """For the snapshot: finite numbers only."""
        own = np.array([self._epoch, self._warm_up_left, self._watched], dtype=np.float64)
        return {
            **self._evidence.arrays(),
            **self._guard.arrays(),
            "scores": self._scores,
            "epoch": own,
        }

    def restore(self, arrays: dict[str, NDArray[np.float64]]) -> None:
        """Raises ValueError or KeyError when the arrays do not fit, and changes nothing then."""
        epoch, left, watched = shaped(arrays["epoch"], (3,)).tolist()
        scores = shaped(arrays["scores"], (len(arrays["scores"]),)).astype(np.float64)
        fits = NONE <= watched < len(self._evidence.grid) and len(scores) <= MAX_WARM_UP
        if not (1 <= epoch < np.inf and 0 <= left <= MAX_WARM_UP and fits):
            raise ValueError("a count is out of range")
        if not ((scores >= 0) & (scores <= 1)).all():
            raise ValueError("a score is out of range")
        evidence = Evidence(self.settings)
        evidence.restore(arrays)
        self._guard.restore(arrays)
        self._evidence = evidence
        self._epoch, self._warm_up_left = int(epoch), int(left)
        self._scores, self._watched = scores, int(watched)

    def _reaches(self, score: float) -> bool:
        at = self._evidence.at
        return bool(at != NONE and score >= self._evidence.grid[at])

    def _watches(self, score: float) -> bool:
        """At or above the certified threshold, or the one that was so last in this epoch."""
        return bool(self._watched != NONE and score >= self._evidence.grid[self._watched])

    def _count(self, score: float, bad: float, weight: float) -> None:
        if not self._warm_up_left:
            self._evidence.add(score, bad, weight)
            if self._evidence.at != NONE:
                self._watched = self._evidence.at
            return
        self._scores = np.append(self._scores, score)
        self._warm_up_left -= 1
        if not self._warm_up_left:
            self._evidence.start(self._scores)
            self._scores = np.zeros(0)

    def _withdraw(self) -> None:
        """All evidence so far spoke of what is no more."""
        self._epoch += 1
        self._watched = NONE
        self._evidence.forget()
        self._guard.reset()
