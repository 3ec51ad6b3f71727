"""Context maps of replays, fitted on held-out prompts only."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit import ContextMap
from bandit.context.fitting import MIN_PROMPTS, fit
from bandit.types import Context
from bench.lab.provider import chat_of
from bench.lab.recorded import Rows
from bench.lab.streams import Split, Stream
from router.domain.logged_context import facts_of

MOST_FITTED: Final = 4_000
KEPT: Final = 2
"""ContextMaps at once: jobs come seed by seed."""


@dataclass(frozen=True, slots=True)
class MapWithContexts:
    """A map and the contexts built with it, by row; replays fill them in."""

    map: ContextMap
    contexts: dict[int, Context] = field(default_factory=dict)


def fitted_rows(split: Split, *, shipped: bool) -> Rows:
    """Returns the rows a map is fitted on; none where the package's own map is used."""
    rows = split.held_out[:MOST_FITTED]
    return rows[:0] if shipped or len(rows) < MIN_PROMPTS else rows


def origin(split: Split, *, shipped: bool) -> str:
    """Returns a sentence on where the context map and the price priors come from."""
    fitted = len(fitted_rows(split, shipped=shipped))
    told = f"is fitted on {fitted} of" if fitted else "is the package's own, fitted on none of"
    return (
        f"The context map {told} {len(split.held_out)} prompts beside the stream, price priors are "
        f"the mean costs of {len(split.priced)}."
    )


class ContextMaps:
    """Cache of the newest maps; `shipped` uses the package's own for every stream."""

    def __init__(self, *, shipped: bool) -> None:
        self._shipped = shipped
        self._kept: OrderedDict[tuple[str, int], MapWithContexts] = OrderedDict()

    def of(
        self, stream: Stream, split: Split, embeddings: NDArray[np.float32], seed: int
    ) -> MapWithContexts:
        key = stream.spec.name, seed
        if key not in self._kept:
            self._kept[key] = MapWithContexts(self._made(stream, split, embeddings))
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return self._kept[key]

    def _made(self, stream: Stream, split: Split, embeddings: NDArray[np.float32]) -> ContextMap:
        rows = fitted_rows(split, shipped=self._shipped)
        if not len(rows):
            return ContextMap.default()
        facts = [facts_of(chat_of(stream.data.prompts[row], row)) for row in rows.tolist()]
        return fit(embeddings[rows], facts)
