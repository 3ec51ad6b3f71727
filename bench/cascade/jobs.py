"""Many replays, each of one variant on one stream."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.cascade.answers import Answers
from bench.cascade.audits import Auditor
from bench.cascade.calibrating import Calibration
from bench.cascade.figures import Figures, Took, figures, perfect, single, took
from bench.cascade.provider import Vectors
from bench.cascade.replay import Replay, Scene
from bench.cascade.world import PERFECT, SINGLE, Brain, Pledge, Variant, catalog, config_of
from bench.routing.figures import Outcomes, outcomes
from bench.routing.maps import Maps
from bench.routing.streams import Drawn, Stream, draw

FEEDBACK, AUDITS = 2, 4
_NO_AUDITS: Final = 0.0


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which everything runs.

    calibrate: prompts outside the stream of which every arm's answer is known first. audit_share:
    of accepted cheap answers. pledge: None to promise nothing. cost_factors: by arm, of what was
    recorded. delay: requests until an outcome is learned. feedback_share: of requests that are
    judged at all.
    """

    calibrate: int = 0
    audit_share: float = _NO_AUDITS
    pledge: Pledge | None = None
    cost_factors: Mapping[str, float] = field(default_factory=dict)
    delay: int = 0
    feedback_share: float = 1.0


@dataclass(frozen=True, slots=True)
class Job:
    """index: of the variant among those compared; its plans may differ from seed to seed."""

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
    """What jobs work on, by stream name. texts: embeddings of open answers."""

    streams: Mapping[str, Stream]
    answers: Mapping[str, Answers]
    embeddings: Mapping[str, NDArray[np.float32]]
    texts: Vectors
    terms: Terms


class Worker:
    """Runs jobs one after the other; contexts are built once per prompt."""

    def __init__(self, material: Material) -> None:
        self._material = material
        self._maps = Maps(shipped=False)

    def run(self, job: Job) -> Figures:
        stream = self._material.streams[job.stream]
        drawn = draw(stream, job.seed, self._material.terms.calibrate)
        known = outcomes(stream, drawn.rows, job.cost_weight)
        return figures(
            known, self._took(job, stream, drawn, known), job.cost_weight / stream.unit_usd
        )

    def _took(self, job: Job, stream: Stream, drawn: Drawn, known: Outcomes) -> Took:
        variant, arms = job.variant, stream.data.arms
        if variant.kind == SINGLE:
            return single(known, arms.index(variant.fixed), variant.fixed)
        if variant.kind == PERFECT:
            spec = variant.specs[0]
            pair = arms.index(spec.first), arms.index(spec.strong)
            return perfect(known, *pair, variant.name)
        return asyncio.run(self._replayed(job, stream, drawn, known))

    async def _replayed(self, job: Job, stream: Stream, drawn: Drawn, known: Outcomes) -> Took:
        material, terms, variant = self._material, self._material.terms, job.variant
        config = config_of(stream, drawn, variant, job.cost_weight, terms.pledge)
        made = catalog(config)
        embeddings = material.embeddings[job.stream]
        mapped = self._maps.of(stream, drawn, embeddings, job.seed)
        brain = Brain(config, made, mapped.map, variant, job.seed)
        answers = material.answers[job.stream]
        scene = Scene(stream.data, answers, embeddings, material.texts, mapped.contexts)
        auditor = None
        if terms.audit_share:
            chance = np.random.default_rng([job.seed, AUDITS]).random(len(stream.data))
            always = terms.pledge is not None
            auditor = Auditor(stream.data, answers, chance, terms.audit_share, always)
        replay = Replay(scene, made, brain.decider, auditor)
        if terms.calibrate:
            rows = drawn.aside[: terms.calibrate]
            await Calibration(replay, brain, made.plans).teach(rows)
        judged = np.random.default_rng([job.seed, FEEDBACK]).random(len(drawn.rows))
        ran = await replay.run(drawn.rows, judged < terms.feedback_share, terms.delay)
        specs = {spec.name: spec for spec in variant.specs}
        return took(known, ran, specs, list(made.plans))
