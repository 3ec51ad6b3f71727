"""Replays of all seeds together, and against the same policy that detects no changes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bandit.frontier import Interval
from bandit.types import Vector
from bench.experiments.drift.adaptation import WITHIN, Adaptation, first, rolling
from bench.experiments.drift.changes import Scenario
from bench.experiments.drift.replays import DriftJob
from bench.lab.figures import interval

WATCHING, BLIND = "watching", "blind"
AT_ONCE = "at once"
"""The feedback under which marks hold."""
BEFORE, AFTER = 200, 600


@dataclass(frozen=True, slots=True)
class DriftSummary:
    """One scenario on one stream under one kind of feedback, over the seeds.

    taken: of each seed, as in `Adaptation`. on_curve: requests after which the mean reward of all
    seeds over a window is within 5 % of the best arm's. lost, lost_blind: mean reward lost since
    the change, with and without watching. versus: reward minus that without, seed by seed; None
    where not run. curve, curve_blind: mean advantage over the window that begins at each of
    `steps`, which count from the change; share: likewise of the arm that changes.
    """

    stream: str
    scenario: Scenario
    feedback: str
    target: str
    taken: tuple[float, ...]
    on_curve: float
    lost: float
    lost_blind: float
    versus: Interval | None
    steps: Vector
    curve: Vector
    curve_blind: Vector
    share: Vector

    @property
    def median(self) -> float:
        return float(np.median(self.taken))

    @property
    def kept(self) -> bool | None:
        """The mark is held: `back` on the curve, others by the seeds' median or mean."""
        most = self.scenario.most
        if most is None or self.feedback != AT_ONCE:
            return None
        if self.scenario.goal == "still":
            return None if self.versus is None else self.versus.mean >= -most
        if self.scenario.goal == "spared":
            return float(np.mean(self.taken)) <= most
        return (self.on_curve if self.scenario.goal == "back" else self.median) <= most


def summarize(done: Mapping[DriftJob, Adaptation]) -> list[DriftSummary]:
    """Returns a summary per scenario, stream and kind of feedback, in the order of `done`."""
    groups: dict[tuple[str, str, str], dict[str, list[tuple[DriftJob, Adaptation]]]] = {}
    for job, found in done.items():
        group = groups.setdefault(job.panel, {})
        group.setdefault(job.variant.name, []).append((job, found))
    return [_row(group[WATCHING], group.get(BLIND, [])) for group in groups.values()]


def _row(
    watching: Sequence[tuple[DriftJob, Adaptation]], blind: Sequence[tuple[DriftJob, Adaptation]]
) -> DriftSummary:
    job, one = watching[0]
    runs, others = [f for _, f in watching], [f for _, f in blind]
    gains = [a.reward - b.reward for a, b in zip(runs, others, strict=False)]
    return DriftSummary(
        stream=job.stream,
        scenario=job.scenario,
        feedback=job.feedback.name,
        target=one.target,
        taken=tuple(found.taken for found in runs),
        on_curve=_on_curve(runs),
        lost=float(np.mean([found.lost for found in runs])),
        lost_blind=float(np.mean([found.lost for found in others])) if others else math.nan,
        versus=interval(gains) if gains else None,
        steps=_steps(one),
        curve=_mean([f.advantage for f in runs], one),
        curve_blind=_mean([f.advantage for f in others], one),
        share=_mean([f.share for f in runs], one),
    )


def _on_curve(runs: Sequence[Adaptation]) -> float:
    since = runs[0].start
    curve = np.mean([f.advantage[since:].astype(np.float64) for f in runs], axis=0)
    level = abs(float(np.mean([f.level for f in runs])))
    return first(rolling(curve) >= -WITHIN * level)


def _around(found: Adaptation) -> slice:
    return slice(max(0, found.start - BEFORE), found.start + AFTER)


def _steps(found: Adaptation) -> Vector:
    around = _around(found)
    shown = rolling(found.advantage[around].astype(np.float64))
    steps: Vector = np.arange(len(shown), dtype=np.float64) + around.start - found.start
    return steps


def _mean(values: Sequence[np.ndarray], one: Adaptation) -> Vector:
    if not values:
        return np.zeros(0)
    mean: Vector = np.mean([v[_around(one)].astype(np.float64) for v in values], axis=0)
    return rolling(mean)
