"""The certificate: differences that so many prompts tell, and the number that others would take."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from bandit.risk import Promise, PromiseSettings, least_labels
from router.tools.calibrate.analysis.advice import best_reward
from router.tools.calibrate.analysis.cross_validation import CostWeightResult
from router.tools.calibrate.analysis.frontier import REWARD, Strategy
from router.tools.calibrate.analysis.precision import Precision, Strata

HALF_WIDTHS: Final = (0.02, 0.01, 0.005)
"""Of which is said how many prompts they would take."""
LEAST_BAD: Final = 1e-4
MOST_BAD: Final = 0.5
HALVINGS: Final = 12


@dataclass(frozen=True, slots=True)
class RewardGap:
    """The reward of one way to answer minus that of the best fixed plan, prompt by prompt."""

    what: str
    against: str
    precision: Precision

    @property
    def certified(self) -> str:
        """Returns better or worse where the interval leaves out 0, else ""."""
        found = self.precision.interval()
        return "better" if found.low > 0 else "worse" if found.high < 0 else ""


@dataclass(frozen=True, slots=True)
class PromiseCertificate:
    """A promise after calibration. share: of accepted answers. low, high: of the bad share.

    most: labels needed until more is certified, None where no number is likely to do. least: for
    any such promise, were none bad. provable: the least share of bad answers that could have been
    promised with these labels, had none been bad; None where nothing could. why: "" where something
    is certified.
    """

    name: str
    settings: PromiseSettings
    labels: int
    certified: bool
    share: float
    low: float
    high: float
    more: int | None
    least: int
    provable: float | None
    why: str

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2


@dataclass(frozen=True, slots=True)
class Certificate:
    """gain: of the policy. others: of every other fixed plan. clusters: of the prompts."""

    gain: RewardGap
    others: tuple[RewardGap, ...]
    promises: tuple[PromiseCertificate, ...]
    clusters: int


def certify(
    tried: CostWeightResult,
    fixed: Sequence[Strategy],
    strata: Strata,
    promises: Mapping[str, Promise],
) -> Certificate:
    """tried: the policy at the configured weight. fixed: a strategy per plan."""
    best = best_reward(fixed)

    def compared(one: Strategy) -> RewardGap:
        differences = one.numbers[:, REWARD] - best.numbers[:, REWARD]
        return RewardGap(f"always {one.name}", best.name, strata.precision(differences))

    return Certificate(
        gain=RewardGap("the policy", best.name, _gain(tried, fixed, strata)),
        others=tuple(compared(each) for each in fixed if each is not best),
        promises=tuple(_promise(name, promise) for name, promise in promises.items()),
        clusters=len(strata.sizes),
    )


def _gain(tried: CostWeightResult, fixed: Sequence[Strategy], strata: Strata) -> Precision:
    """Returns the reward of the policy minus that of the best plan.

    Where the policy chose that plan every time, one prompt might still have been worth to it what
    the next best plan and that one differ by.
    """
    best, *others = sorted(fixed, key=lambda s: -float(s.means[REWARD]))
    differences = others[0].numbers[:, REWARD] - best.numbers[:, REWARD] if others else np.zeros(1)
    gains = tried.numbers[:, REWARD] - best.numbers[:, REWARD]
    return strata.precision(gains, float((differences**2).mean()))


def _promise(name: str, promise: Promise) -> PromiseCertificate:
    status = promise.status()
    low, high = status.bad_interval
    return PromiseCertificate(
        name=name,
        settings=promise.settings,
        labels=status.labels,
        certified=not status.vacuous,
        share=status.share,
        low=low,
        high=high,
        more=status.labels_needed,
        least=least_labels(promise.settings) + promise.settings.warm_up,
        provable=provable(promise.settings, status.labels),
        why=status.why,
    )


def provable(settings: PromiseSettings, labels: int) -> float | None:
    """Returns the least `max_bad` that so many labels can certify, if none is bad.

    >>> provable(PromiseSettings(), 3) is None
    True
    """
    if least_labels(replace(settings, max_bad=MOST_BAD)) > labels:
        return None
    low, high = math.log(LEAST_BAD), math.log(MOST_BAD)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        enough = least_labels(replace(settings, max_bad=math.exp(middle))) <= labels
        low, high = (low, middle) if enough else (middle, high)
    return math.exp(high)
