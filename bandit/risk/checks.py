"""What a promise is told must be before anything is decided or learned from it."""

from __future__ import annotations

import numpy as np

from bandit.errors import BadInput, BadOutcome
from bandit.types import Vector


def check_score(score: float) -> None:
    """Raises BadInput."""
    if not 0 <= score <= 1:
        raise BadInput("score must be a number in [0, 1], as Chosen.score is")


def checked_scores(scores: Vector) -> Vector:
    """Raises BadInput."""
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or not scores.size or not ((scores >= 0) & (scores <= 1)).all():
        raise BadInput("scores must be a vector of at least one number in [0, 1]")
    return scores


def label_weight(bad: float, probability: float, least: float | None) -> float:
    """What a label weighs, least / probability, in (0, 1]; 1 without a least. Raises BadOutcome."""
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
