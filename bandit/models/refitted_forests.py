"""Forests that are fitted anew from the last outcomes, on a schedule."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bandit.models.forest import Forest
from bandit.models.forest_training import ForestSpec, fit_forest
from bandit.models.recent_outcomes import Memory
from bandit.options import PairClassifierOptions
from bandit.snapshots.codec import part_of
from bandit.types import Vector

FIRST_FITS: Final = (64, 128)
LEAST_OUTCOMES: Final = 20
"""Of an action, for a forest."""


class Forests:
    """A regression forest of quality per slot, fitted anew from a memory on a schedule."""

    def __init__(self, width: int, options: PairClassifierOptions) -> None:
        self._options = options
        self._width = width
        self._memory = Memory(width, self._options.memory)
        self._fitted: dict[int, Forest] = {}
        self._seen = 0

    def get(self, slot: int) -> Forest | None:
        return self._fitted.get(slot)

    def add(self, x: Vector, slot: int, y: float, weight: float, rng: np.random.Generator) -> None:
        self._memory.add(x, slot, y, weight)
        self._seen += 1
        if self._seen in FIRST_FITS or self._seen % self._options.refit_every == 0:
            self._fit(rng)

    def _fit(self, rng: np.random.Generator) -> None:
        """A forest stays as it is while too few of its outcomes are remembered."""
        memory, spec = self._memory, ForestSpec(self._options.trees, self._options.depth)
        slots, counts = np.unique(memory.slots, return_counts=True)
        for slot in slots[counts >= LEAST_OUTCOMES].tolist():
            mine = memory.slots == slot
            y, weights = memory.targets[mine].T
            seed = int(rng.integers(2**31))
            self._fitted[slot] = fit_forest(memory.x[mine], y, weights, spec, seed)

    def grow(self, slots: int) -> None:
        """It has a forest for those slots that have outcomes enough."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        found: dict[str, NDArray[Any]] = dict(self._memory.arrays())
        found["seen"] = np.array([self._seen], dtype=np.float64)
        found["fitted"] = np.array(list(self._fitted), dtype=np.int32)
        for slot, forest in self._fitted.items():
            found |= {f"{slot}.{name}": array for name, array in forest.arrays().items()}
        return found

    def restore(self, arrays: dict[str, NDArray[Any]], slots: int) -> None:
        self._memory.restore(arrays, slots)
        self._seen = int(arrays["seen"][0])
        self._fitted = {
            slot: Forest.of(part_of(arrays, str(slot)), self._width)
            for slot in arrays["fitted"].tolist()
        }
