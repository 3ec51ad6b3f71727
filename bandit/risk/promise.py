"""The promise itself: it permits answers by their score, and learns from labels."""

from __future__ import annotations

import numpy as np

from bandit.errors import BadInput, BadOutcome
from bandit.risk.evidence import NONE, ThresholdEvidence
from bandit.risk.guard import RiskGuard
from bandit.risk.status import describe
from bandit.risk.types import MAX_WARM_UP, LabelSource, PromiseSettings, PromiseStatus
from bandit.snapshots.parts import Arrays, shaped
from bandit.types import Vector


class Promise:
    """Permits by score, learns from labels. Not thread-safe; memory does not grow with labels."""

    def __init__(self, settings: PromiseSettings) -> None:
        self.settings = settings
        self._evidence = ThresholdEvidence(settings)
        self._guard = RiskGuard(settings.max_bad, settings.labels_between_alarms)
        self._scores: Vector = np.zeros(0)
        self._warm_up_left = settings.warm_up
        self._watched = NONE
        self._epoch = 1

    @property
    def threshold(self) -> float | None:
        """Return the certified threshold; None: accept nothing."""
        at = self._evidence.at
        return None if at == NONE else float(self._evidence.grid[at])

    @property
    def halted(self) -> bool:
        """Return whether nothing is accepted for the moment, whatever is certified."""
        return self._guard.halted

    def permits(self, score: float) -> bool:
        """Return whether an answer may be accepted. score: P(good), in [0, 1]. Raises BadInput."""
        _check_score(score)
        return not self._guard.halted and self._reaches(score)

    def place(self, scores: Vector) -> None:
        """Choose where to begin by the scores of answers, instead of a warm-up.

        scores: (m,), m >= 1, of answers that are not observed later, or that were all scored
        before any label was learned. Raises BadInput, also once there are labels.
        """
        if self._warm_up_left < self.settings.warm_up or self._evidence.labels or self._epoch > 1:
            raise BadInput("labels were observed already: place scores in a new promise, first")
        self._evidence.start(_checked_scores(scores))
        self._warm_up_left = 0

    def observe(
        self,
        score: float,
        bad: float,
        sampling_probability: float = 1.0,
        *,
        least_probability: float | None = None,
        source: LabelSource = LabelSource.AUDIT,
    ) -> bool:
        """Take in the label of an answer the gate would accept; return whether that withdrew all.

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
        _check_score(score)
        weight = _label_weight(bad, sampling_probability, least_probability)
        guarded = source in self.settings.guarded_by and self._watches(score)
        if guarded and self._guard.alarm(bad, weight):
            self._withdraw()
            return True
        if source in self.settings.evidence:
            self._count(score, bad, weight)
        return False

    def status(self) -> PromiseStatus:
        """Describe how far the promise is; takes some milliseconds."""
        return describe(
            self._evidence,
            self.settings,
            warm_up_left=self._warm_up_left,
            epoch=self._epoch,
            halted=self.halted,
        )

    def arrays(self) -> Arrays:
        """Return the state for the snapshot, finite numbers only."""
        own = np.array([self._epoch, self._warm_up_left, self._watched], dtype=np.float64)
        return {
            **self._evidence.arrays(),
            **self._guard.arrays(),
            "scores": self._scores,
            "epoch": own,
        }

    def restore(self, arrays: Arrays) -> None:
        """Restore the state. Raises ValueError or KeyError, and changes nothing then."""
        epoch, left, watched = shaped(arrays["epoch"], (3,)).tolist()
        scores = shaped(arrays["scores"], (len(arrays["scores"]),)).astype(np.float64)
        fits = NONE <= watched < len(self._evidence.grid) and len(scores) <= MAX_WARM_UP
        if not (1 <= epoch < np.inf and 0 <= left <= MAX_WARM_UP and fits):
            raise ValueError("a count is out of range")
        if not ((scores >= 0) & (scores <= 1)).all():
            raise ValueError("a score is out of range")
        evidence = ThresholdEvidence(self.settings)
        evidence.restore(arrays)
        self._guard.restore(arrays)
        self._evidence = evidence
        self._epoch, self._warm_up_left = int(epoch), int(left)
        self._scores, self._watched = scores, int(watched)

    def _reaches(self, score: float) -> bool:
        at = self._evidence.at
        return bool(at != NONE and score >= self._evidence.grid[at])

    def _watches(self, score: float) -> bool:
        """Return whether a score reaches the threshold that was certified last in this epoch."""
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
        """Drop all evidence and begin a new epoch."""
        self._epoch += 1
        self._watched = NONE
        self._evidence.forget()
        self._guard.reset()


def _check_score(score: float) -> None:
    """Raise BadInput for a score outside [0, 1]."""
    if not 0 <= score <= 1:
        raise BadInput("score must be a number in [0, 1], as Chosen.score is")


def _checked_scores(scores: Vector) -> Vector:
    """Return a vector of scores. Raises BadInput."""
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or not scores.size or not ((scores >= 0) & (scores <= 1)).all():
        raise BadInput("scores must be a vector of at least one number in [0, 1]")
    return scores


def _label_weight(bad: float, probability: float, least: float | None) -> float:
    """Return a label's weight, least / probability; 1 without a least. Raises BadOutcome."""
    if not 0 <= bad <= 1:
        raise BadOutcome("bad must be a number in [0, 1]")
    if not 0 < probability <= 1:
        raise BadOutcome(
            "sampling_probability must be in (0, 1]: leave out labels that were not drawn at random"
        )
    if least is None:
        return 1.0
    if not 0 < least <= probability:
        raise BadOutcome("least_probability must be in (0, sampling_probability]")
    return least / probability
