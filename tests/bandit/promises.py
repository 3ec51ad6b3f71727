"""Replays of a promise.

Calibrated answers, then requests. Accepted answers are audited at a known share; those
that are not accepted are compared with the strong answer, so that each is labelled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bandit.risk import LabelSource, Promise, PromiseSettings

SETTINGS = PromiseSettings()
REPLAYS = 200
CALIBRATED = 250
MOST_BROKEN = 0.05 * REPLAYS
"""A promise with confidence 0.95 may be broken in so many replays; it should be in fewer."""

Risk = Callable[[float, float], float]
"""(score, progress of the requests in [0, 1]) -> probability of bad."""


@dataclass(frozen=True, slots=True)
class Played:
    """accepted: answers. bad: of those. broken: a threshold was certified whose risk is higher."""

    accepted: int
    bad: float
    broken: bool

    @property
    def share(self) -> float:
        return self.bad / max(self.accepted, 1)


def draw_scores(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    return 1 - 0.3 * rng.random(count) ** 2


@cache
def risk_above(threshold: float, risk: Risk) -> float:
    scores = 1 - 0.3 * ((np.arange(4_000) + 0.5) / 4_000) ** 2
    return float(np.mean([risk(s, 0.0) for s in scores[scores >= threshold]]))


def play(
    seed: int, risk: Risk, requests: int, audited: float, settings: PromiseSettings = SETTINGS
) -> Played:
    rng = np.random.default_rng(seed)
    promise, certified = Promise(settings), set[float]()
    scores = draw_scores(rng, CALIBRATED + requests)
    luck, audits = rng.random((2, len(scores)))
    accepted, spoiled = 0, 0.0
    for step, score in enumerate(scores.tolist()):
        progress = max(0.0, (step - CALIBRATED) / requests)
        bad = float(luck[step] < risk(score, progress))
        if step < CALIBRATED:
            promise.observe(score, bad, source=LabelSource.CALIBRATION)
        elif not promise.permits(score):
            promise.observe(score, bad)
        else:
            accepted, spoiled = accepted + 1, spoiled + bad
            if audits[step] < audited:
                promise.observe(score, bad, audited)
        if promise.threshold is not None:
            certified.add(promise.threshold)
    most = settings.max_bad
    return Played(accepted, spoiled, any(risk_above(t, risk) > most for t in certified))
