"""The map: what kinds of prompts there are, and which arm is good at which."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from router.calibrate.frontier import Utility
from router.calibrate.training import Row

HEAD_CHARS: Final = 60
TERMS: Final = 4
SMALLEST: Final = 3
"""Prompts that a region must have to be shown on its own."""
_WORD: Final = re.compile(r"[^\W\d_]{3,}")
_COMMON: Final = frozenset(
    _WORD.findall(
        "the and for with that this you was are from have has not but what which who how why when "
        "where can could would should does did will your all one two its their there please into "
        "than then them they his her she our out about each any some more many much also only just"
    )
)


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
    """All prompts. words: of each; spread: in how many prompts a word is."""

    rows: Sequence[Row]
    texts: Sequence[str]
    words: Sequence[set[str]]
    spread: Counter[str]
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
    words = [set(_words(text)) for text in texts]
    spread = Counter(word for found in words for word in found)
    land = _Land(rows, texts, words, spread, arms, utility)
    made = [_region(where, land) for where in large]
    if rare:
        made.append(replace(_region(rare, land), terms=("(other)",), head=""))
    return made


def _region(where: Sequence[int], land: _Land) -> Region:
    rows = [land.rows[i] for i in where]
    rewards = {a: np.mean([land.utility.reward(row.arms[a]) for row in rows]) for a in land.arms}
    typical = max(where, key=lambda i: float(land.rows[i].context.membership.max()))
    return Region(
        prompts=len(where),
        share=len(where) / len(land.rows),
        terms=_terms([land.words[i] for i in where], land.spread, len(land.rows)),
        head=_head(land.texts[typical]),
        best=max(land.arms, key=lambda arm: float(rewards[arm])),
        qualities={
            arm: float(np.mean([row.arms[arm].quality or 0.0 for row in rows])) for arm in land.arms
        },
    )


def _terms(words: Sequence[set[str]], spread: Counter[str], total: int) -> tuple[str, ...]:
    """Words that stand out: weighted log-odds of being in a prompt here against elsewhere."""
    here = Counter(word for found in words for word in found)

    def standing(word: str) -> float:
        inside = (here[word] + 0.5) / (len(words) + 1)
        outside = (spread[word] - here[word] + 0.5) / (total - len(words) + 1)
        return here[word] * float(np.log(inside / outside))

    known = [word for word in here if here[word] > 1 or len(words) < SMALLEST]
    return tuple(sorted(known, key=lambda word: (-standing(word), word))[:TERMS])


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text.casefold()) if word not in _COMMON]


def _head(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= HEAD_CHARS else line[: HEAD_CHARS - 3] + "..."
