"""The map: what kinds of prompts there are, and which arm is good at which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from router.serving.sampling import words
from router.tools.calibrate.analysis.frontier import Utility
from router.tools.calibrate.analysis.training import Row
from router.tools.map.naming import names_of

HEAD_CHARS: Final = 60
TERMS: Final = 4
SMALLEST: Final = 3
"""Prompts that a region must have to be shown on its own."""


@dataclass(frozen=True, slots=True)
class Region:
    """best: the arm of the highest mean reward. head: the beginning of its most typical prompt."""

    prompts: int
    share: float
    terms: tuple[str, ...]
    head: str
    best: str
    qualities: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Land:
    """All prompts."""

    rows: Sequence[Row]
    texts: Sequence[str]
    arms: Sequence[str]
    utility: Utility


def regions(
    rows: Sequence[Row], texts: Sequence[str], arms: Sequence[str], utility: Utility
) -> list[Region]:
    """Largest first; regions of few prompts are put together as the last one, without a head.

    rows: with a result of known quality for every one of `arms`. texts: their prompts.
    """
    places: dict[int, list[int]] = {}
    for i, row in enumerate(rows):
        places.setdefault(int(row.context.membership.argmax()), []).append(i)
    rare = [i for where in places.values() if len(where) < SMALLEST for i in where]
    large = sorted((w for w in places.values() if len(w) >= SMALLEST), key=len, reverse=True)
    land = _Land(rows, texts, arms, utility)
    names = names_of({i: _counts(where, texts) for i, where in enumerate(large)}, TERMS)
    made = [_region(where, names[i], land) for i, where in enumerate(large)]
    if rare:
        made.append(replace(_region(rare, ("(other)",), land), head=""))
    return made


def _region(where: Sequence[int], terms: tuple[str, ...], land: _Land) -> Region:
    rows = [land.rows[i] for i in where]
    rewards = {a: np.mean([land.utility.reward(row.arms[a]) for row in rows]) for a in land.arms}
    typical = max(where, key=lambda i: float(land.rows[i].context.membership.max()))
    return Region(
        prompts=len(where),
        share=len(where) / len(land.rows),
        terms=terms,
        head=_head(land.texts[typical]),
        best=max(land.arms, key=lambda arm: float(rewards[arm])),
        qualities={
            arm: float(np.mean([row.arms[arm].quality or 0.0 for row in rows])) for arm in land.arms
        },
    )


def _counts(where: Sequence[int], texts: Sequence[str]) -> dict[str, int]:
    """In how many of these prompts a word is; a word of one prompt alone tells nothing."""
    found = Counter(word for i in where for word in set(words(texts[i])))
    return {word: count for word, count in found.items() if count > 1}


def _head(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= HEAD_CHARS else line[: HEAD_CHARS - 3] + "..."
