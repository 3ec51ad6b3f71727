"""Which threshold is tested at which level, so that all tests together err as seldom as one.

Angelopoulos et al. 2021, "Learn then Test", with the graphs of Bretz et al. 2009, "A graphical
approach to sequentially rejective multiple test procedures": every threshold has a share of the
error; one that is certified hands its share to the next looser one that is not.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.risk.types import PromiseSettings
from bandit.types import Vector

_STRICTEST: Final = 32.0
"""The strictest threshold of a grid: a chance of bad this many times below max_bad."""
_FIRST: Final = 0.8
"""Share of the error given to the threshold to begin with; the stricter ones share the rest."""


def thresholds(settings: PromiseSettings) -> Vector:
    """Thresholds, the strictest first."""
    if isinstance(settings.grid, tuple):
        return np.array(settings.grid, dtype=np.float64)
    chances = np.geomspace(settings.max_bad / _STRICTEST, 1.0, settings.grid)
    chances[-1] = 1.0
    return 1.0 - chances


def first_levels(scores: Vector, grid: Vector, max_bad: float) -> Vector:
    """Shares of the error, (n,), that sum to 1; scores: (m,) of answers that are no evidence.

    Most goes to the threshold that would be certified soonest if the scores were right: its
    share of the traffic times the growth of the wealth at the risk they say. Scores alone are
    looked at, so this costs no error.
    """
    if not scores.size:
        return np.full(len(grid), 1 / len(grid))
    reached = scores[:, None] >= grid[None, :]
    counts = reached.sum(axis=0)
    risks = ((1 - scores)[:, None] * reached).sum(axis=0) / np.maximum(counts, 1)
    first = int(np.argmax(counts * _growth(risks, max_bad) + 1e-9 * counts))
    levels = np.zeros(len(grid))
    levels[first] = _FIRST
    levels[:first] = (1 - _FIRST) / max(first, 1)
    shares: Vector = levels / levels.sum()
    return shares


def proven(wealth: Vector, levels: Vector, confidence: float) -> tuple[NDArray[np.bool_], Vector]:
    """Which thresholds are proven, (n,), and the levels as handed on, 0 for those that are.

    wealth: (n,) log e-values. levels: (n,) shares of the error at first.
    """
    wanted = -math.log1p(-confidence)
    passed, left, handed = [], [], 0.0
    for log_e, own in zip(wealth.tolist(), levels.tolist(), strict=True):
        share = own + handed
        passed.append(share > 0 and log_e + math.log(share) >= wanted)
        handed = share if passed[-1] else 0.0
        left.append(0.0 if passed[-1] else share)
    return np.array(passed), np.array(left)


def _growth(risks: Vector, max_bad: float) -> Vector:
    """Mean growth of the log wealth per label: KL(risk, max_bad) below it, else 0."""
    r: Vector = np.clip(risks, 1e-6, max_bad)
    growth: Vector = r * np.log(r / max_bad) + (1 - r) * (np.log1p(-r) - math.log1p(-max_bad))
    growth[risks >= max_bad] = 0.0
    return growth
