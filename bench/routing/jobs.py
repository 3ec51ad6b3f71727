"""Many replays, each of one policy on one stream."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bandit import Policy
from bench import pool
from bench.routing.figures import Figures, figures, outcomes
from bench.routing.maps import Maps
from bench.routing.replay import Ran, Replay
from bench.routing.streams import Drawn, Stream, draw
from bench.routing.world import Variant, catalog, config_of, decider_of, is_told, policy_of
from router.domain.catalog import Catalog

Embeddings = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which every policy runs.

    calibrate: prompts outside the stream whose outcome of every arm is learned first. delay:
    requests until an outcome is learned. feedback_share: of requests that are judged at all.
    prior_factors: what an arm's price prior is wrong by. shipped_map: instead of one fitted on
    prompts outside the stream.
    """

    calibrate: int = 0
    delay: int = 0
    feedback_share: float = 1.0
    prior_factors: Mapping[str, float] = field(default_factory=dict)
    shipped_map: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """index: of the variant among those compared."""

    stream: str
    cost_weight: float
    index: int
    variant: Variant
    seed: int

    @property
    def key(self) -> tuple[str, float, int, int]:
        return self.stream, self.cost_weight, self.index, self.seed


@dataclass(frozen=True, slots=True)
class Material:
    """What jobs work on, by stream name. utterances: embeddings of example texts, by text."""

    streams: Mapping[str, Stream]
    embeddings: Mapping[str, Embeddings]
    terms: Terms
    utterances: Mapping[str, Embeddings] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Made:
    """A replay with what it chooses among, and who chooses."""

    replay: Replay
    catalog: Catalog
    policy: Policy


class Worker:
    """Runs jobs one after the other; contexts are built once per prompt."""

    def __init__(self, material: Material) -> None:
        self._material = material
        self._maps = Maps(shipped=material.terms.shipped_map)

    def run(self, job: Job) -> Figures:
        stream = self._material.streams[job.stream]
        drawn = draw(stream, job.seed, self._material.terms.calibrate)
        ran = asyncio.run(self._run(job, stream, drawn))
        return figures(outcomes(stream, drawn.rows, job.cost_weight), ran)

    async def _run(self, job: Job, stream: Stream, drawn: Drawn) -> Ran:
        terms = self._material.terms
        made = self.made(job, stream, drawn)
        await made.replay.calibrate(drawn.aside[: terms.calibrate])
        chance = np.random.default_rng([job.seed, 2]).random(len(drawn.rows))
        return await made.replay.run(drawn.rows, chance < terms.feedback_share, terms.delay)

    def made(self, job: Job, stream: Stream, drawn: Drawn) -> Made:
        """Ready to run, nothing learned yet."""
        terms, embeddings = self._material.terms, self._material.embeddings[job.stream]
        mapped = self._maps.of(stream, drawn, embeddings, job.seed)
        config = config_of(stream, job.variant, job.cost_weight)
        known = catalog(config, stream, drawn, terms.prior_factors)
        policy = policy_of(
            config,
            known,
            job.variant,
            mapped.map,
            utterances=self._material.utterances,
            seed=job.seed,
        )
        replay = Replay(
            stream,
            embeddings,
            mapped.contexts,
            known,
            decider_of(config, mapped.map, policy),
            by_choice=is_told(policy),
        )
        return Made(replay, known, policy)


def run_all(
    material: Material, jobs: Sequence[Job], processes: int
) -> Iterator[tuple[Job, Figures]]:
    """Raises BenchError when a replay can't be set up."""
    return pool.run_all(partial(Worker, material), jobs, processes)
