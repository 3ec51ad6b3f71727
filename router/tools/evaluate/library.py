"""The Vowpal Wabbit project's own estimators, beside ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandit.offpolicy import LoggedDecisions
from router.tools.evaluate.errors import NothingToEvaluate

try:
    from estimators.bandits import cressieread, ips, snips
except ImportError:
    cressieread = ips = snips = None


@dataclass(frozen=True, slots=True)
class Weighted:
    """Values by importance weights alone. low, high: Cressie-Read's 95 % interval, at this n.

    Karampatziakis, Langford and Mineiro, "Empirical likelihood for contextual bandits" (2020).
    """

    ips: float
    snips: float
    low: float
    high: float


def weighted(logged: LoggedDecisions, wanted: NDArray[np.float64]) -> Weighted:
    """wanted: (n, k) shares of the candidate. Raises NothingToEvaluate without the library."""
    if ips is None:
        raise NothingToEvaluate("install what evaluates: pip install 'adaptive-router[evaluate]'")
    made: list[Any] = [ips.Estimator(), snips.Estimator()]
    interval = cressieread.Interval(empirical_r_bounds=True)
    rows = np.arange(len(logged))
    facts = zip(logged.propensity, logged.reward, wanted[rows, logged.taken], strict=True)
    for p_log, reward, p_wanted in facts:
        for estimator in (*made, interval):
            estimator.add_example(float(p_log), float(reward), float(p_wanted))
    low, high = interval.get(0.05)
    plain, normalised = (estimator.get() for estimator in made)
    return Weighted(plain, 0.0 if normalised is None else normalised, low, high)
