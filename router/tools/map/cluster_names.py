"""Names of clusters, from how often terms occur in each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

MOST: Final = 3
STEM: Final = 5
"""Terms that share this many first letters are forms of one word; the first one is kept."""

Key = TypeVar("Key")


def names_of(
    counts: Mapping[Key, Mapping[str, int]], most: int = MOST
) -> dict[Key, tuple[str, ...]]:
    """Returns the terms that tell a cluster from the others, the most telling first.

    Class-based TF-IDF (Grootendorst 2022): the share of a term in its cluster's terms, times
    log(1 + A / f), A the mean number of terms per cluster and f the term's number in all of them.
    A term names the one cluster where that is highest, so that no two are called alike.

    >>> names_of({0: {"sum": 9, "write": 5}, 1: {"poem": 6, "write": 6}}, most=1)
    {0: ('sum',), 1: ('poem',)}
    """
    spread = Counter[str]()
    for found in counts.values():
        spread.update({term: count for term, count in found.items() if count > 0})
    average = sum(spread.values()) / max(len(counts), 1)
    weights = {key: _weights(found, spread, average) for key, found in counts.items()}
    owners: dict[str, Key] = {}
    for key, weighed in weights.items():
        for term, weight in weighed.items():
            if term not in owners or weight > weights[owners[term]][term]:
                owners[term] = key
    return {key: _distinct(_ranked(found, owners, key), most) for key, found in weights.items()}


def _weights(
    found: Mapping[str, int], spread: Mapping[str, int], average: float
) -> dict[str, float]:
    total = sum(count for count in found.values() if count > 0)
    return {
        term: count / total * math.log(1 + average / spread[term])
        for term, count in found.items()
        if count > 0
    }


def _ranked(found: Mapping[str, float], owners: Mapping[str, Key], key: Key) -> list[str]:
    mine = (term for term in found if owners[term] == key)
    return sorted(mine, key=lambda term: (-found[term], term))


def _distinct(terms: Sequence[str], most: int) -> tuple[str, ...]:
    kept: dict[str, str] = {}
    for term in terms:
        kept.setdefault(term[:STEM], term)
        if len(kept) == most:
            break
    return tuple(kept.values())
