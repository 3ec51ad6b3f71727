"""One policy taught by a stream, and which arm it holds best for prompts said otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from bench.robustness.variants import VARIANTS, varied
from bench.routing.maps import Mapped, Maps
from bench.routing.provider import chat_of
from bench.routing.replay import ANY_COST, ANY_WEIGHTS, Replay
from bench.routing.streams import Drawn, Stream
from bench.routing.world import Variant, catalog, config_of, decider_of, policy_of
from router.domain.catalog import Catalog
from router.serving.decider import Decider


@dataclass(frozen=True, slots=True)
class Kept:
    """same: share of prompts whose best arm stays. largest: share of the arm most prompts get."""

    stream: str
    cost_weight: float
    prompts: int
    largest: float
    same: Mapping[str, float]


def texts_of(stream: Stream, drawn: Drawn, count: int, seed: int) -> dict[str, list[str]]:
    """The last prompts of the stream as they are, under "", and by variant."""
    plain = [stream.data.prompts[row] for row in drawn.rows[-count:]]
    return {"": plain} | {name: [varied(t, name, seed) for t in plain] for name in VARIANTS}


def measure(
    stream: Stream,
    drawn: Drawn,
    embeddings: NDArray[np.float32],
    texts: Mapping[str, Sequence[str]],
    vectors: Mapping[str, NDArray[np.float32]],
    *,
    cost_weight: float,
    seed: int,
) -> Kept:
    """embeddings: (rows recorded, d). vectors: (prompts, d) for each of `texts`."""
    mapped = Maps(shipped=False).of(stream, drawn, embeddings, seed)
    taught = asyncio.run(
        _taught(stream, drawn, embeddings, mapped, cost_weight=cost_weight, seed=seed)
    )
    best = {name: _best(*taught, texts[name], vectors[name]) for name in texts}
    plain = best[""]
    return Kept(
        stream=stream.spec.name,
        cost_weight=cost_weight,
        prompts=len(plain),
        largest=float(np.unique(plain, return_counts=True)[1].max() / len(plain)),
        same={name: float((found == plain).mean()) for name, found in best.items() if name},
    )


async def _taught(
    stream: Stream,
    drawn: Drawn,
    embeddings: NDArray[np.float32],
    mapped: Mapped,
    *,
    cost_weight: float,
    seed: int,
) -> tuple[Decider, Catalog]:
    variant = Variant("adaptive", "adaptive")
    config = config_of(stream, variant, cost_weight)
    known = catalog(config, stream, drawn, {})
    policy = policy_of(config, known, variant, mapped.map, utterances={}, seed=seed)
    decider = decider_of(config, mapped.map, policy)
    replay = Replay(stream, embeddings, mapped.contexts, known, decider)
    await replay.run(drawn.rows, np.ones(len(drawn.rows), dtype=bool), 0)
    return decider, known


def _best(
    decider: Decider, known: Catalog, texts: Sequence[str], vectors: NDArray[np.float32]
) -> NDArray[np.str_]:
    """The arm of the largest expected utility for each text, (n,)."""
    plans = tuple(known.plans.values())
    found = []
    for text, vector in zip(texts, vectors, strict=True):
        context = decider.context(chat_of(text, 0), vector)
        choice = decider.choose(context, plans, ANY_WEIGHTS, ANY_COST)
        assert choice is not None  # noqa: S101 - there is no cost limit to exceed
        found.append(max(choice.expected, key=itemgetter(3))[0])
    return np.array(found)
