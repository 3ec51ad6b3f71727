"""One log of recorded outcomes, evaluated, and the truth that the recording knows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandit.types import Units
from bench.routing.figures import outcomes
from bench.routing.jobs import Job, Material, Worker
from bench.routing.provider import StrictObserver
from bench.routing.streams import draw
from bench.routing.world import Variant
from router.learning.rewards import RewardSettings
from router.learning.training import Trainer
from router.tools.evaluate.candidates import (
    Candidate,
    FixedCandidate,
    LearningCandidate,
    LoggedCandidate,
)
from router.tools.evaluate.evaluation import Comparison, EvaluationSettings, compare

LEARNING = "linucb"
UNIFORM = "random-mix"


@dataclass(frozen=True, slots=True)
class Found:
    """Of a candidate's value, or of its gain over what served.

    key: stream, who served, candidate, "value" or "gain".
    low, high: None where no interval was given.
    """

    key: tuple[str, str, str, str]
    truth: float
    estimate: float
    effective: float
    low: float | None = None
    high: float | None = None

    @property
    def covered(self) -> bool | None:
        if self.low is None or self.high is None:
            return None
        return self.low <= self.truth <= self.high


class Evaluator:
    """Replays a stream with the default policy, then evaluates others on its log."""

    def __init__(self, material: Material) -> None:
        self._material = material
        self._worker = Worker(material)

    def run(self, job: Job) -> list[Found]:
        stream = self._material.streams[job.stream]
        drawn = draw(stream, job.seed)
        served = self._worker.made(job, stream, drawn)
        asyncio.run(served.replay.run(drawn.rows, np.ones(len(drawn.rows), dtype=bool), 0))
        settings = EvaluationSettings(served.catalog.plans, Units(stream.unit_usd))
        rewards = outcomes(stream, drawn.rows, job.cost_weight).reward
        order = [stream.data.arms.index(name) for name in sorted(stream.data.arms)]
        found: list[Found] = []
        for name, candidate in self._candidates(job).items():
            compared = compare(served.replay.log, candidate, LoggedCandidate(), settings)
            found += _found((job.stream, job.variant.name, name), compared, rewards[:, order])
        return found

    def _candidates(self, job: Job) -> Mapping[str, Candidate]:
        stream = self._material.streams[job.stream]
        fixed = {f"fixed:{arm}": FixedCandidate(arm) for arm in stream.data.arms}
        return {**fixed, **{name: self._learning(job, name) for name in (LEARNING, UNIFORM)}}

    def _learning(self, job: Job, name: str) -> Candidate:
        stream = self._material.streams[job.stream]
        other = Job(job.stream, job.cost_weight, 0, Variant(name, name), job.seed)
        made = self._worker.made(other, stream, draw(stream, job.seed))
        trainer = Trainer(made.catalog.plans, RewardSettings(), StrictObserver())
        return LearningCandidate(made.policy, trainer)


def _found(
    of: tuple[str, str, str], compared: Comparison, rewards: NDArray[np.float64]
) -> list[Found]:
    """rewards: (n, k) of every arm, columns by name."""
    truth = (compared.wanted * rewards).sum(axis=1)
    logged = compared.logged
    assert np.allclose(logged.reward, rewards[np.arange(len(logged)), logged.taken])  # noqa: S101
    served = (logged.probabilities * rewards).sum(axis=1)
    pairs = (("value", truth, compared.value), ("gain", truth - served, compared.gain))
    return [
        Found(
            key=(*of, what),
            truth=float(true.mean()),
            estimate=float(estimated.values.mean()),
            effective=estimated.effective,
            low=estimated.interval.low if estimated.interval else None,
            high=estimated.interval.high if estimated.interval else None,
        )
        for what, true, estimated in pairs
    ]
