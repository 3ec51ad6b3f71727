"""Regions of the prompts: the kinds there are, and the best arm for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from bandit.types import Vector
from router.serving.sampling import words
from router.tools.calibrate.analysis.frontier import QUALITY, REWARD, Utility, mean_of, numbers_of
from router.tools.calibrate.analysis.results import PromptResults
from router.tools.calibrate.collect.picks import cluster_of
from router.tools.map.cluster_names import names_of

HEAD_CHARS: Final = 60
TERMS: Final = 4
SMALLEST: Final = 3
"""Prompts that a region needs to be shown on its own."""


@dataclass(frozen=True, slots=True)
class PromptRegion:
    """best: the arm of the highest mean reward. head: the beginning of its most typical prompt."""

    prompts: int
    share: float
    terms: tuple[str, ...]
    head: str
    best: str
    qualities: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _AllPrompts:
    """rows, texts, weights: one per prompt; the weights with sum 1."""

    rows: Sequence[PromptResults]
    texts: Sequence[str]
    arms: Sequence[str]
    utility: Utility
    weights: Vector


def regions(
    rows: Sequence[PromptResults],
    texts: Sequence[str],
    arms: Sequence[str],
    utility: Utility,
    weights: Vector | None = None,
) -> list[PromptRegion]:
    """Returns regions, the largest first; small ones are merged into the last, without a head.

    rows: prompts with a quality of every one of `arms`. texts: one per prompt. weights: as of
    `Strategy`.
    """
    places: dict[int, list[int]] = {}
    for i, row in enumerate(rows):
        places.setdefault(cluster_of(row.context), []).append(i)
    rare = [i for where in places.values() if len(where) < SMALLEST for i in where]
    large = sorted((w for w in places.values() if len(w) >= SMALLEST), key=len, reverse=True)
    equal = np.full(len(rows), 1 / len(rows))
    weights = equal if weights is None else weights
    everything = _AllPrompts(rows, texts, arms, utility, weights)
    names = names_of({i: _counts(where, texts) for i, where in enumerate(large)}, TERMS)
    made = [_region(where, names[i], everything) for i, where in enumerate(large)]
    if rare:
        made.append(replace(_region(rare, ("(other)",), everything), head=""))
    return made


def _region(where: Sequence[int], terms: tuple[str, ...], everything: _AllPrompts) -> PromptRegion:
    weights = everything.weights[where]
    results = {arm: [everything.rows[i].arms[arm] for i in where] for arm in everything.arms}
    means = {
        arm: mean_of(numbers_of(found, everything.utility), weights)
        for arm, found in results.items()
    }
    typical = max(where, key=lambda i: float(everything.rows[i].context.membership.max()))
    return PromptRegion(
        prompts=len(where),
        share=float(weights.sum()),
        terms=terms,
        head=_head(everything.texts[typical]),
        best=max(everything.arms, key=lambda arm: float(means[arm][REWARD])),
        qualities={arm: float(means[arm][QUALITY]) for arm in everything.arms},
    )


def _counts(where: Sequence[int], texts: Sequence[str]) -> dict[str, int]:
    """Returns the number of prompts by word, without words of one prompt alone."""
    found = Counter(word for i in where for word in set(words(texts[i])))
    return {word: count for word, count in found.items() if count > 1}


def _head(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= HEAD_CHARS else line[: HEAD_CHARS - 3] + "..."
