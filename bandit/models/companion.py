"""Another amount of the same outcomes, shrunk exactly as the main one is.

Where hard prompts cost more and need the dearer action, a model that learns the first in full and
shrinks the second serves them the cheap one. The posterior mean of a linear model is linear in what
is learned, so with the same design, noise and prior variances that of q - lambda c is the mean of q
less lambda times that of c, whatever lambda is: c needs one right-hand side more, and no weights.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bandit.models.posterior import Posterior
from bandit.snapshots.parts import Arrays, shaped
from bandit.types import Vector

Array = NDArray[np.float64]


class Companion:
    """Sums phi t of the outcomes that the statistics hold; t: the amount less 1, (slots, width)."""

    def __init__(self, moment: Array) -> None:
        self._moment = moment
        self._weights: Array = np.zeros((len(moment) + 1, moment.shape[1]))

    @classmethod
    def begun(cls, gram: Array, levels: Vector) -> Companion:
        """Take earlier outcomes to have had their action's usual amount; levels: (slots,)."""
        return cls(gram[:, 0] * (levels - 1)[:, None])

    def add(self, slot: int, phi: Vector, amount: float, weight: float) -> None:
        self._moment[slot] += (weight * (amount - 1)) * phi

    def solve(self, posterior: Posterior) -> None:
        self._weights = posterior.coefficients(self._moment)

    def mean(self, rows: NDArray[np.intp], x: Vector, v: Vector | None = None) -> Vector:
        """Return expected amounts, (k,); 1 and the shared part for an action never seen."""
        picked = self._weights.take(rows, axis=0)
        result: Vector = 1 + picked[:, :-1] @ x
        return result if v is None else result + picked[:, -1] * v

    def rescale(self, slot: int, factor: float, phi: Vector) -> None:
        """Multiply all amounts of a slot. phi: its sum."""
        self._moment[slot] = factor * self._moment[slot] + (factor - 1) * phi

    def scale(self, slot: int, factor: float) -> None:
        """Multiply the weight of every outcome of the slot."""
        self._moment[slot] *= factor

    def forget_intercept(self, slot: int, phi: Vector) -> None:
        """Marginalise the intercept out, as the statistics do. phi: its sum, before."""
        if phi[0] > 0:
            self._moment[slot] -= phi * (self._moment[slot, 0] / phi[0])

    def add_level(
        self, slot: int, level: float, count: float, columns: NDArray[np.intp], phi: Vector
    ) -> None:
        """Add outcomes as the statistics do. level: t."""
        self._moment[slot, columns] += count * level * phi

    def level(self, slot: int, columns: NDArray[np.intp], phi: Vector) -> float:
        return float(self._weights[slot, columns] @ phi)

    def grow(self, slots: int) -> None:
        missing = slots - len(self._moment)
        if missing > 0:
            self._moment = np.pad(self._moment, ((0, missing), (0, 0)))

    def widen(self, width: int) -> None:
        """Make room for more numbers before the last one, 0 in all that was added so far."""
        held = self._moment.shape[1]
        self._moment = np.insert(self._moment, [held - 1] * (width - held), 0.0, axis=1)

    def arrays(self) -> Arrays:
        return {"beside": self._moment}

    @classmethod
    def of(cls, arrays: Arrays, slots: int, width: int) -> Companion | None:
        """Restore what `arrays` gave. Raises ValueError for other arrays."""
        if "beside" not in arrays:
            return None
        return cls(shaped(arrays["beside"], (slots, width)).copy())
