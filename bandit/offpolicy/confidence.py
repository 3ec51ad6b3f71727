"""An interval for a mean that may be looked at as often as one likes."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from bandit.errors import BadInput
from bandit.frontier import LEVEL, Interval

TUNED_FOR: Final = 1_000
"""Number of values at which the interval is about as narrow as it can be."""


def confidence_sequence(
    values: ArrayLike,
    level: float = LEVEL,
    *,
    least_variance: float = 0.0,
    tuned_for: int = TUNED_FOR,
) -> Interval:
    """Return an asymptotic two-sided confidence sequence of a running mean.

    It is valid at every length at once.

    values: (n,), in the order they came, not necessarily alike in distribution. Half width:
    s sqrt(2 (n r^2 + 1) / (n^2 r^2) log(sqrt(n r^2 + 1) / alpha)), s^2 the variance so far, at
    least `least_variance` (what is known of it besides the values), and
    r^2 = (log(1 - 2 log alpha) - 2 log alpha) / tuned_for (Waudby-Smith, Arbour, Sinha, Kennedy
    and Ramdas, Annals of SufficientStatistics 2024, theorem 2.2 and appendix B.2).

    >>> interval = confidence_sequence([0.0, 1.0] * 500)
    >>> interval.mean, round(interval.high - interval.mean, 3)
    (0.5, 0.048)

    Raises:
        BadInput: no value, a non-finite one, or a level outside (0, 1).

    """
    sample = np.asarray(values, dtype=float)
    if sample.ndim != 1 or not len(sample) or not np.isfinite(sample).all():
        raise BadInput("give at least one finite value to find an interval of their mean")
    mean = float(sample.mean())
    variance = float(sample.var(ddof=1)) if len(sample) > 1 else 0.0
    variance = max(variance, least_variance)
    return interval_of(len(sample), mean, variance, level, tuned_for=tuned_for)


def interval_of(
    n: int, mean: float, variance: float, level: float = LEVEL, *, tuned_for: int = TUNED_FOR
) -> Interval:
    """Return the sequence from the number of values, their mean and their variance.

    Raises:
        BadInput: no value, or a level outside (0, 1).

    """
    if n < 1 or not 0 < level < 1 or tuned_for < 1:
        raise BadInput("a level lies between 0 and 1 and is tuned for at least one value")
    if n == 1:
        return Interval(mean, -math.inf, math.inf)
    alpha = 1 - level
    rho = (math.log(1 - 2 * math.log(alpha)) - 2 * math.log(alpha)) / tuned_for
    grown = n * rho + 1
    width = math.sqrt(2 * grown / (n * n * rho) * math.log(math.sqrt(grown) / alpha))
    half = math.sqrt(variance) * width
    return Interval(mean, mean - half, mean + half)
