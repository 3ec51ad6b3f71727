"""Evidence that few answers are bad: the wealth of one who bets on it.

Against "the risk is at least a" one unit is split over fixed guesses q < a; each multiplies with
every label b by (q/a)^b ((1-q)/(1-a))^(1-b). For b in [0, 1] this is at most 1 + l (a - b) with
l = (a-q) / (a (1-a)), the bet of Waudby-Smith & Ramdas 2024, "Estimating means of bounded random
variables by betting", so that the wealth is at most a nonnegative supermartingale wherever the
risk is at least a, and by Ville's inequality seldom grows to 1/delta.

Fixed guesses, in a mixture (Robbins 1970; Orabona & Jun 2024, "Tight concentrations and
confidence sequences from the regret of universal portfolio"), not guesses that follow the data:
log(1 + l (a - m)) is concave in the risk m, so the wealth is bounded also where only the mean
of the risks is at least a, whatever their order; and the wealth then depends on two sums alone.
A label of weight w in (0, 1] counts w times: (1 + x)^w <= 1 + w x.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from bandit.types import Vector

N_GUESSES: Final = 32
_HALVINGS: Final = 40


class RiskBets:
    """Guesses q = a u^2, u spread evenly over (0, 1): more of them near none bad at all."""

    def __init__(self, max_bad: float) -> None:
        u = (np.arange(N_GUESSES) + 0.5) / N_GUESSES
        guesses = max_bad * u * u
        self._good: Vector = np.log1p(-guesses) - math.log1p(-max_bad)
        self._bad: Vector = 2 * np.log(u)

    def log_wealth(self, total: Vector, bad: Vector) -> Vector:
        """Return the e-value's logarithm. total, bad: (n,) summed weights, bad <= total."""
        each = np.multiply.outer(bad, self._bad) + np.multiply.outer(total - bad, self._good)
        most = each.max(axis=1)
        wealth: Vector = most + np.log(np.exp(each - most[:, None]).mean(axis=1))
        return wealth

    def log_wealth_of(self, total: float, bad: float) -> float:
        return float(self.log_wealth(np.array([total]), np.array([bad]))[0])


def bad_interval(total: float, bad: float, confidence: float) -> tuple[float, float]:
    """Return a confidence sequence of the mean risk of labels, bad of total; (0, 1) of none.

    All m for which the Beta(1/2, 1/2) mixture of likelihood ratios against m is below
    1 / (1 - confidence) (Robbins 1970; Howard et al. 2021, "Time-uniform, nonparametric,
    nonasymptotic confidence sequences").
    """
    if total <= 0:
        return 0.0, 1.0
    level = _log_beta(bad + 0.5, total - bad + 0.5) - math.log(math.pi) + math.log1p(-confidence)
    centre = bad / total
    low = _edge(total, bad, level, 0.0, centre) if bad > 0 else 0.0
    high = _edge(total, bad, level, 1.0, centre) if bad < total else 1.0
    return low, high


def _edge(total: float, bad: float, level: float, outside: float, inside: float) -> float:
    for _ in range(_HALVINGS):
        middle = (outside + inside) / 2
        likelihood = bad * math.log(middle) + (total - bad) * math.log1p(-middle)
        outside, inside = (middle, inside) if likelihood <= level else (outside, middle)
    return outside


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
