"""Many courses replayed, each under one policy."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bandit.types import Vector
from bench import pool
from bench.drift.course import Course, course
from bench.drift.figures import Followed, followed
from bench.drift.scenarios import Scenario
from bench.routing.maps import Mapped, Maps
from bench.routing.replay import ANY_WEIGHTS, Ran, Replay
from bench.routing.streams import Drawn, Stream, draw
from bench.routing.world import Variant, catalog, config_of, decider_of, policy_of
from router.domain.catalog import Plan
from router.domain.requests import WeightOverrides


@dataclass(frozen=True, slots=True)
class Feedback:
    """delay: requests until an outcome is learned. share: of requests that are judged at all."""

    name: str
    delay: int = 0
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Job:
    stream: str
    scenario: Scenario
    feedback: Feedback
    variant: Variant
    cost_weight: float
    seed: int

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        return (
            self.stream,
            self.scenario.name,
            self.feedback.name,
            self.variant.name,
            self.seed,
        )


@dataclass(frozen=True, slots=True)
class Material:
    streams: Mapping[str, Stream]
    embeddings: Mapping[str, NDArray[np.float32]]


class Worker:
    """Runs jobs one after the other; contexts are built once per prompt."""

    def __init__(self, material: Material) -> None:
        self._material = material
        self._maps = Maps(shipped=False)

    def run(self, job: Job) -> Followed:
        return asyncio.run(self._run(job))

    async def _run(self, job: Job) -> Followed:
        given = self._material.streams[job.stream]
        drawn, vectors = draw(given, job.seed), self._material.embeddings[job.stream]
        mapped = self._maps.of(given, drawn, vectors, job.seed)
        made = course(
            job.scenario, given, drawn, vectors, cost_weight=job.cost_weight, seed=job.seed
        )
        twin: Vector = np.zeros(0)
        if job.scenario.goal in {"found", "fair"}:
            calm = replace(made, stream=given, late=False)
            ran = await self._replayed(job, calm, drawn, mapped)
            twin = ran.worth[:, made.target].astype(np.float64)
        ran = await self._replayed(job, made, drawn, mapped)
        return followed(job.scenario.goal, made, ran, job.cost_weight, twin)

    async def _replayed(self, job: Job, made: Course, drawn: Drawn, mapped: Mapped) -> Ran:
        config = config_of(self._material.streams[job.stream], job.variant, job.cost_weight)
        known = catalog(config, made.stream, drawn, {})
        policy = policy_of(config, known, job.variant, mapped.map, utterances={}, seed=job.seed)
        replay = Replay(
            made.stream,
            self._material.embeddings[job.stream],
            mapped.contexts,
            known,
            decider_of(config, mapped.map, policy),
            by_choice=True,
        )
        return await _through(replay, made, known.plans, job)


async def _through(replay: Replay, made: Course, plans: Mapping[str, Plan], job: Job) -> Ran:
    """Up to the change, and on under what is known of it."""
    judged = np.random.default_rng([job.seed, 2]).random(len(made.rows)) < job.feedback.share
    target, before, after = made.stream.data.arms[made.target], *_halves(made.start)
    replay.change(_without(plans, target) if made.late else plans, ANY_WEIGHTS)
    first = await replay.run(made.rows[before], judged[before], job.feedback.delay)
    weights = WeightOverrides(cost=job.cost_weight * made.weight_factor)
    replay.change(_priced(plans, target, made.price_factor), weights)
    second = await replay.run(made.rows[after], judged[after], job.feedback.delay)
    chosen = np.concatenate([first.chosen, second.chosen])
    return Ran(chosen, np.concatenate([first.worth, second.worth]), second.us)


def run_all(
    material: Material, jobs: Sequence[Job], processes: int
) -> Iterator[tuple[Job, Followed]]:
    """Raises BenchError when a replay can't be set up."""
    return pool.run_all(partial(Worker, material), jobs, processes)


def _without(plans: Mapping[str, Plan], name: str) -> dict[str, Plan]:
    return {plan.name: plan for plan in plans.values() if plan.name != name}


def _priced(plans: Mapping[str, Plan], name: str, factor: float) -> dict[str, Plan]:
    dearer = replace(plans[name], prior_cost_usd=plans[name].prior_cost_usd * factor)
    return {**plans, name: dearer}


def _halves(start: int) -> tuple[slice, slice]:
    return slice(start), slice(start, None)
