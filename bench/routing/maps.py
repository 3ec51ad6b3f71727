"""The context map of a replay: clusters and projection fitted on none of its stream's prompts."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit import ContextMap
from bandit.context.fitting import MIN_PROMPTS, fit
from bandit.types import Context
from bench.routing.provider import chat_of
from bench.routing.recorded import Rows
from bench.routing.streams import Drawn, Stream
from router.domain.logged_context import facts_of

MOST_FITTED: Final = 4_000
KEPT: Final = 2
"""Maps at once: jobs come seed by seed."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """contexts: by row, filled in as they are built."""

    map: ContextMap
    contexts: dict[int, Context] = field(default_factory=dict)


def fitted_rows(drawn: Drawn, *, shipped: bool) -> Rows:
    """The rows a map is fitted on; none for the map shipped with the package."""
    rows = drawn.aside[:MOST_FITTED]
    return rows[:0] if shipped or len(rows) < MIN_PROMPTS else rows


def origin(drawn: Drawn, *, shipped: bool) -> str:
    """In words: where the context map and the price priors come from."""
    fitted = len(fitted_rows(drawn, shipped=shipped))
    told = f"is fitted on {fitted} of" if fitted else "is the package's own, fitted on none of"
    return (
        f"The context map {told} {len(drawn.aside)} prompts beside the stream, price priors are "
        f"the mean costs of {len(drawn.priced)}."
    )


class Maps:
    """shipped: use the package's own map for every stream."""

    def __init__(self, *, shipped: bool) -> None:
        self._shipped = shipped
        self._kept: OrderedDict[tuple[str, int], Mapped] = OrderedDict()

    def of(
        self, stream: Stream, drawn: Drawn, embeddings: NDArray[np.float32], seed: int
    ) -> Mapped:
        key = stream.spec.name, seed
        if key not in self._kept:
            self._kept[key] = Mapped(self._made(stream, drawn, embeddings))
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return self._kept[key]

    def _made(self, stream: Stream, drawn: Drawn, embeddings: NDArray[np.float32]) -> ContextMap:
        rows = fitted_rows(drawn, shipped=self._shipped)
        if not len(rows):
            return ContextMap.default()
        facts = [facts_of(chat_of(stream.data.prompts[row], row)) for row in rows.tolist()]
        return fit(embeddings[rows], facts)
