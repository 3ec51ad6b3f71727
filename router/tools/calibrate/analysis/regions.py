"""Regions of the prompts: the kinds there are, and the best arm for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from router.serving.sampling import words
from router.tools.calibrate.analysis.frontier import Utility
from router.tools.calibrate.analysis.results import PromptResults
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
    """rows, texts: one per prompt."""

    rows: Sequence[PromptResults]
    texts: Sequence[str]
    arms: Sequence[str]
    utility: Utility


def regions(
    rows: Sequence[PromptResults], texts: Sequence[str], arms: Sequence[str], utility: Utility
) -> list[PromptRegion]:
    """Returns regions, the largest first; small ones are merged into the last, without a head.

    rows: prompts with a quality of every one of `arms`. texts: one per prompt.
    """
    places: dict[int, list[int]] = {}
    for i, row in enumerate(rows):
        places.setdefault(int(row.context.membership.argmax()), []).append(i)
    rare = [i for where in places.values() if len(where) < SMALLEST for i in where]
    large = sorted((w for w in places.values() if len(w) >= SMALLEST), key=len, reverse=True)
    everything = _AllPrompts(rows, texts, arms, utility)
    names = names_of({i: _counts(where, texts) for i, where in enumerate(large)}, TERMS)
    made = [_region(where, names[i], everything) for i, where in enumerate(large)]
    if rare:
        made.append(replace(_region(rare, ("(other)",), everything), head=""))
    return made


def _region(where: Sequence[int], terms: tuple[str, ...], everything: _AllPrompts) -> PromptRegion:
    rows = [everything.rows[i] for i in where]
    rewards = {
        a: np.mean([everything.utility.reward(row.arms[a]) for row in rows])
        for a in everything.arms
    }
    typical = max(where, key=lambda i: float(everything.rows[i].context.membership.max()))
    return PromptRegion(
        prompts=len(where),
        share=len(where) / len(everything.rows),
        terms=terms,
        head=_head(everything.texts[typical]),
        best=max(everything.arms, key=lambda arm: float(rewards[arm])),
        qualities={
            arm: float(np.mean([row.arms[arm].quality or 0.0 for row in rows]))
            for arm in everything.arms
        },
    )


def _counts(where: Sequence[int], texts: Sequence[str]) -> dict[str, int]:
    """Returns the number of prompts by word, without words of one prompt alone."""
    found = Counter(word for i in where for word in set(words(texts[i])))
    return {word: count for word, count in found.items() if count > 1}


def _head(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= HEAD_CHARS else line[: HEAD_CHARS - 3] + "..."
