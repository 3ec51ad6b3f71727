"""Replays as jobs: the terms they run under, the data they share, and how each is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bandit.types import Context
from bench.lab.buying import ReplayBuyer
from bench.lab.embeddings import ContextMaps, MapWithContexts, embed_stream, embed_texts
from bench.lab.processes import JobRunner, progress_bar, run_jobs
from bench.lab.provider import Answers, ReplayAuditor
from bench.lab.replay import Replay, ReplayData, ReplayRun
from bench.lab.setup import Texts, Variant, catalog, config_of, decider_of, typical_usd
from bench.lab.streams import Split, Stream
from router.config.values import units_of

FEEDBACK, AUDITS = 2, 4
Embeddings = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ReplayTerms:
    """Conditions under which every variant runs.

    calibrate: held-out prompts of which every arm's outcome is learned first. delay: requests until
    an outcome is learned. feedback_share: of requests. prior_factors: error of the price priors,
    by arm. shipped_map: the package's context map, not one fitted on held-out prompts. audit_share:
    of accepted cheap answers. buy_ahead: requests to come by which evidence is worth buying on the
    stream; 0 for none.
    """

    calibrate: int = 0
    delay: int = 0
    feedback_share: float = 1.0
    prior_factors: Mapping[str, float] = field(default_factory=dict)
    shipped_map: bool = False
    audit_share: float = 0.0
    buy_ahead: float = 0.0

    def phrases(self, *others: str) -> list[str]:
        """Returns the differences from a plain replay in words, `others` among them."""
        parts = ["the shipped context map"] * self.shipped_map
        parts += [f"{self.calibrate} calibrated prompts"] if self.calibrate else []
        if self.audit_share:
            parts.append(f"{self.audit_share:.0%} of accepted cheap answers audited")
        if self.buy_ahead:
            parts.append(f"evidence bought and charged, {self.buy_ahead:g} requests ahead")
        parts += others
        parts += [f"outcomes learned {self.delay} requests late"] if self.delay else []
        if self.feedback_share < 1:
            parts.append(f"feedback on {self.feedback_share:.0%} of requests")
        return parts


@dataclass(frozen=True, slots=True)
class Job:
    """One replay; index: of the variant among those compared, whatever its plans are."""

    stream: str
    cost_weight: float
    index: int
    variant: Variant
    seed: int


JobT = TypeVar("JobT", bound=Job)
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Material:
    """Data that jobs share, by stream name; texts: embeddings of examples and open answers."""

    streams: Mapping[str, Stream]
    embeddings: Mapping[str, Embeddings]
    terms: ReplayTerms = ReplayTerms()
    texts: Texts = field(default_factory=dict)
    answers: Mapping[str, Answers] = field(default_factory=dict)


class ReplayFactory:
    """Builds replays; context maps and contexts are kept from job to job."""

    def __init__(self, material: Material) -> None:
        self.material = material
        self._maps = ContextMaps(shipped=material.terms.shipped_map)

    def build(
        self, job: Job, split: Split, stream: Stream | None = None, *, by_choice: bool | None = None
    ) -> Replay:
        """Returns a replay that has learned nothing; stream: the job's with other outcomes."""
        material, terms, variant = self.material, self.material.terms, job.variant
        embeddings = material.embeddings[job.stream]
        mapped = self._maps.of(material.streams[job.stream], split, embeddings, job.seed)
        stream = stream or material.streams[job.stream]
        usd = typical_usd(stream, split)
        config = config_of(stream, variant, job.cost_weight, list(usd.values()))
        made = catalog(config, usd, terms.prior_factors)
        if terms.buy_ahead:
            variant = replace(variant, evidence={**variant.evidence, "bought": True})
        decider = decider_of(config, made, variant, mapped.map, seed=job.seed, texts=material.texts)
        answers = material.answers.get(job.stream, {})
        contexts = self.contexts(job, split, mapped)
        data = ReplayData(stream.data, embeddings, contexts, answers, material.texts)
        auditor = self._auditor(job, data) if terms.audit_share else None
        buyer = None
        if terms.buy_ahead:
            units = units_of(config, made)
            ahead, weights = terms.buy_ahead, decider.weights
            buyer = ReplayBuyer(stream.data, made.plans, weights, units, ahead, job.seed)
        return Replay(data, made, decider, by_choice=by_choice, auditor=auditor, buyer=buyer)

    def contexts(self, job: Job, split: Split, mapped: MapWithContexts) -> dict[int, Context]:  # noqa: ARG002 - others need them
        """Returns contexts that are known before, by row; the replay adds those of its chats."""
        return mapped.contexts

    def _auditor(self, job: Job, data: ReplayData) -> ReplayAuditor:
        chance = np.random.default_rng([job.seed, AUDITS]).random(len(data.recorded))
        always, share = "promise" in job.variant.options, self.material.terms.audit_share
        return ReplayAuditor(data.recorded, data.answers, chance, share, always)


def replay_all(
    kind: Callable[[Material], JobRunner[JobT, ResultT]],
    todo: Sequence[JobT],
    processes: int,
    streams: Mapping[str, Stream],
    terms: ReplayTerms = ReplayTerms(),
    *,
    texts: Sequence[str] = (),
    answers: Mapping[str, Answers] | None = None,
) -> dict[JobT, ResultT]:
    """Embed and run jobs, each in a `kind` of its process; texts: to embed beside the prompts."""
    calibrate, shipped, seeds = terms.calibrate, terms.shipped_map, {job.seed for job in todo}
    with progress_bar() as progress:
        vectors = {
            name: embed_stream(stream, seeds, progress, calibrate=calibrate, shipped_map=shipped)
            for name, stream in streams.items()
        }
        known = dict(zip(texts, embed_texts(texts, progress), strict=True)) if texts else {}
        material = Material(streams, vectors, terms, known, answers or {})
        return run_jobs(partial(kind, material), todo, processes, progress)


async def run_stream(
    replay: Replay, split: Split, seed: int, terms: ReplayTerms = ReplayTerms()
) -> ReplayRun:
    """Calibrate plan by plan, then serve the stream."""
    await replay.calibrate(split.held_out[: terms.calibrate])
    return await replay.run(split.rows, judged(split, seed, terms.feedback_share), terms.delay)


def judged(split: Split, seed: int, share: float) -> NDArray[np.bool_]:
    """Draw the requests that get feedback, (n,)."""
    return np.random.default_rng([seed, FEEDBACK]).random(len(split.rows)) < share
